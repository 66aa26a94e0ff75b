//! `onceward dev`: everything on one machine.
//!
//! ```text
//! onceward dev ──┬── sh ── redis-server      private, on a temporary folder
//!                ├── sandbox                 the payment service, a task of this process
//!                └── sh ── onceward serve    the sidecar; started again when it dies
//! ```
//!
//! Each child hangs on a leash: when this process ends, however it ends, so do they. What a
//! developer sets in the environment wins over every default of `settings.rs`. What this command
//! says stands on standard output, log lines on standard error.

mod alone;
mod banner;
mod folder;
mod leash;
mod place;
mod port;
mod probe;
mod redis;
mod settings;
mod signals;

pub use alone::{SandboxArgs, sandbox};

use crate::config::{Problems, Process};
use leash::{Ended, SpawnError};
use place::Place;
use settings::Settings;
use signals::Signals;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;

/// Bad configuration (sysexits.h: EX_USAGE), as `serve` ends.
const USAGE: u8 = 64;

/// Why there is no development setup, or no longer one.
#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error("the configuration cannot be used:\n{0}")]
    Config(#[from] Problems),
    #[error("{0} cannot be listened on ({1}); is something else there, another `onceward dev`?")]
    Port(SocketAddr, #[source] io::Error),
    #[error(
        "redis-server is not installed. On Debian and Ubuntu: `make setup`, or \
         `sudo apt-get install redis-server`. Or set ONCEWARD_REDIS_URL to a Redis you have"
    )]
    NoRedis,
    #[error("redis-server did not start. It wrote:\n{0}")]
    RedisDidNotStart(String),
    #[error("redis-server ended ({0}), and with it all that was known of the orders")]
    RedisEnded(Ended),
    #[error("the sidecar ended while it started ({0}); it said why above")]
    SidecarEnded(Ended),
    #[error("the sidecar does not become ready: {0}")]
    NotReady(String),
    #[error("the sandbox payment service ended: {0}")]
    Sandbox(#[source] io::Error),
    #[error("a child could not be started: {0}")]
    Spawn(#[from] SpawnError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Runs everything until a signal, or until something ends that cannot be replaced.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("onceward dev: {error}");
            match error {
                DevError::Config(_) => ExitCode::from(USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run() -> Result<(), DevError> {
    let settings = Settings::read(&Process)?;
    log_to_stderr(&settings.config.log);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(live(settings))
}

async fn live(settings: Settings) -> Result<(), DevError> {
    let mut signals = Signals::new()?;
    let mut place = Place::new(settings)?;
    let end = tokio::select! {
        error = place.run() => Err(error),
        () = signals.next() => Ok(()),
    };
    tokio::select! {
        () = place.stop() => {}
        // What still runs is killed as its leash is let go.
        () = signals.next() => {}
    }
    end
}

/// Log lines of the sandbox go where the sidecar's go.
fn log_to_stderr(filter: &str) {
    let Ok(filter) = filter.parse::<tracing_subscriber::EnvFilter>() else {
        return;
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    // It fails only when logging was started before.
    let _ = lines.try_init();
}
