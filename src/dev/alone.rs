//! `onceward sandbox`: the payment service without the rest.

use super::{DevError, banner, log_to_stderr, signals::Signals};
use crate::sandbox::{self, Config};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How the sandbox runs by itself.
#[derive(clap::Args)]
pub struct SandboxArgs {
    /// Where it listens; port 0 for any free one
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// The ledger's file: continued when it exists
    #[arg(long)]
    ledger: PathBuf,
    /// Where callbacks go, http:// only; none without it
    #[arg(long)]
    notify_url: Option<String>,
}

/// Runs the sandbox until a signal.
pub fn sandbox(arguments: SandboxArgs) -> ExitCode {
    log_to_stderr("info");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ran = runtime.map_err(DevError::from).and_then(|runtime| runtime.block_on(run(arguments)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("onceward sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: SandboxArgs) -> Result<(), DevError> {
    let mut signals = Signals::new()?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|error| DevError::Port(arguments.listen, error))?;
    banner::sandbox_ready(listener.local_addr()?, &arguments.ledger);
    let config = Config { notify_url: arguments.notify_url, ..Config::new(arguments.ledger) };
    let stop = CancellationToken::new();
    let serving = sandbox::run(listener, config, stop.clone());
    let ending = async {
        signals.next().await;
        stop.cancel();
        std::future::pending().await
    };
    tokio::select! {
        served = serving => served.map_err(DevError::Sandbox),
        never = ending => never,
    }
}
