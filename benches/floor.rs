//! What anybody would pay who goes the same way and does nothing else, measured in the same run.
//!
//! Four contenders, each the bench's own executable started again, with two threads and a listener
//! each, as Onceward has them:
//!
//! - the way alone: a first request read, a script at Redis, the request passed on, its answer read,
//!   another script, the answer written ([`way`]);
//! - the way, its writes done: the same, and the scripts write what Onceward's leave of a payment: the
//!   lock, the record, its place in the index, then the record again, and lock and place taken out; they
//!   look at nothing and decide nothing;
//! - one empty script: a duplicate read, a script at Redis, an answer written ([`way`]);
//! - hyper alone: a duplicate read and answered by the HTTP library ([`library`]).
//!
//! Scripts are handed the very words that Onceward's are ([`recording`]), and but for those that write
//! they do nothing. So no proxy that tells Redis as much in as many commands takes less of it, none
//! that keeps as much there of a payment does either, and none that reads its duplicates by that
//! library takes less itself. What Redis says back is a letter, not a record, and hyper has no timer:
//! where in doubt the floor is too low. Memory is allocated as the sidecar does
//! it (mimalloc), and the build is the release's, but for its profile.

mod library;
mod recording;
mod step;
mod targets;
mod way;

pub(crate) use recording::record;
pub(crate) use targets::markdown;

use crate::BenchError;
use crate::contender::Place;
use recording::Recording;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;
use tokio::runtime::Builder;

/// Threads, each with a runtime of its own: one a core of the machine that the README speaks of.
const THREADS: u64 = 2;

/// The bench itself, to be started as one of the floors: `way`, `writes`, `script` or `library`.
///
/// # Errors
/// When it does not find itself.
pub(crate) fn command(
    which: &str,
    address: SocketAddr,
    place: &Place<'_>,
) -> Result<Command, BenchError> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(format!("--floor={which}"))
        .arg(format!("--listen={address}"))
        .arg(format!("--upstream={}", place.upstream.address))
        .arg(format!("--redis=127.0.0.1:{}", place.redis.port))
        .arg(format!("--folder={}", place.folder.display()));
    Ok(command)
}

/// Is one of the floors until it is ended; `value` finds what [`command`] said.
///
/// # Errors
/// When it was told too little, or what it stands between is not there.
pub(crate) fn run<'w>(
    which: &str,
    value: impl Fn(&str) -> Option<&'w str>,
) -> Result<(), BenchError> {
    let said = Said(value);
    let (listen, redis) = (said.to("--listen=")?, said.to("--redis=")?);
    let upstream: SocketAddr = said.to("--upstream=")?;
    let folder: PathBuf = said.to("--folder=")?;
    let recording = Arc::new(Recording::read(&folder)?);
    // All listen before any takes a connection, so that each gets its share.
    let listeners = onceward::serve::bind(listen, THREADS as usize)?;
    std::thread::scope(|scope| {
        let serve = |(listener, thread)| {
            let recording = recording.clone();
            scope.spawn(move || -> io::Result<()> {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let way = match which {
                    "way" => way::Way::First(upstream),
                    "writes" => way::Way::Written(upstream),
                    "script" => way::Way::Duplicate,
                    "library" => return runtime.block_on(library::serve(listener, &recording)),
                    _ => return Err(io::Error::other(format!("no floor is called {which}"))),
                };
                runtime.block_on(way::serve(listener, way, recording, redis, (thread, THREADS)))
            })
        };
        let threads: Vec<_> = listeners.into_iter().zip(0..).map(serve).collect();
        threads.into_iter().try_for_each(|thread| {
            let ended = thread.join();
            Ok(ended.map_err(|_| BenchError::Wrong("a floor broke down".into()))??)
        })
    })
}

/// What the process was told.
struct Said<F>(F);

impl<'w, F: Fn(&str) -> Option<&'w str>> Said<F> {
    fn to<T: FromStr>(&self, name: &str) -> Result<T, BenchError> {
        let word = self.0(name).and_then(|word| word.parse().ok());
        word.ok_or_else(|| BenchError::Wrong(format!("a floor has to be told {name}...")))
    }
}
