//! A redis-server of our own.

use super::leash::{Leashed, SpawnError};
use super::{DevError, port};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Its log, in the temporary folder.
const LOG: &str = "redis.log";

/// What it writes there once it serves.
const READY: &str = "Ready to accept connections";

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at its log.
const AGAIN: Duration = Duration::from_millis(10);

/// Ports tried: one that was free may be taken before it is bound.
const TRIES: usize = 5;

/// Starts one on the folder and leaves it in `place`; its port, once it serves.
pub(super) async fn start(folder: &Path, place: &mut Option<Leashed>) -> Result<u16, DevError> {
    for _ in 0..TRIES {
        let port = port::free()?;
        let server = place.insert(spawn(folder, port).await?);
        if serves(folder, server).await {
            return Ok(port);
        }
    }
    let log = std::fs::read_to_string(folder.join(LOG)).unwrap_or_default();
    Err(DevError::RedisDidNotStart(log))
}

async fn spawn(folder: &Path, port: u16) -> Result<Leashed, DevError> {
    // A log of a try before this one could say that it is ready.
    let _ = std::fs::remove_file(folder.join(LOG));
    let port = port.to_string();
    let folder = folder.to_string_lossy();
    let arguments = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--dir",
        &folder,
        "--logfile",
        LOG,
        "--appendonly",
        "yes",
        // The append-only file is the record; there is no need of snapshots beside it.
        "--save",
        "",
    ];
    match Leashed::spawn("redis-server", &arguments, &[]).await {
        Err(SpawnError::NotFound) => Err(DevError::NoRedis),
        other => Ok(other?),
    }
}

/// Whether it comes to serve. Its own log says so: whoever answers on the port may be another.
async fn serves(folder: &Path, server: &mut Leashed) -> bool {
    let until = Instant::now() + PATIENCE;
    let log = folder.join(LOG);
    while Instant::now() < until {
        if std::fs::read_to_string(&log).is_ok_and(|text| text.contains(READY)) {
            return true;
        }
        tokio::select! {
            _ = server.ended() => return false,
            () = sleep(AGAIN) => {}
        }
    }
    false
}
