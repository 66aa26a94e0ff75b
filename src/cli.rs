//! The commands: serve, check, doctor, order, fault, health, leave, dev.

use crate::app::End;
use crate::config::{AdminPlane, Config, Problems, Process};
use crate::doctor;
use crate::{app, dev, lines, operate, telemetry};
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Bad usage or a bad configuration (sysexits.h: EX_USAGE).
const USAGE: u8 = 64;

/// Signals this close together count as one.
const SAME_WISH: Duration = Duration::from_secs(1);

/// Makes payments happen once: a reverse-proxy sidecar in front of a payment service.
///
/// It is configured by environment variables that begin with ONCEWARD_; `onceward check` prints
/// them all.
#[derive(Parser)]
#[command(name = "onceward", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the sidecar (what happens without a command)
    Serve,
    /// Print the effective configuration, secrets masked; exit 64 when it is bad
    Check,
    /// Examine Redis: may money rest on it? Exit 1 when something fails
    Doctor,
    /// Show, cancel, resolve or release one order, through the admin plane at ADMIN_LISTEN
    #[command(subcommand)]
    Order(operate::Act),
    /// Put, list or remove fault rules, through the admin plane at ADMIN_LISTEN
    #[command(subcommand)]
    Fault(operate::fault::Act),
    /// Ask a running sidecar how it is; exit 0 or 1. For container runtimes
    Health(operate::Health),
    /// Have a running sidecar say that it is not ready any more, while it serves as before; until
    /// its process ends. For a container's preStop
    Leave(operate::Leave),
    /// Run everything on this machine: a private redis-server, the sandbox payment service, the
    /// sidecar on 127.0.0.1:1234
    Dev,
    /// Run the sandbox payment service alone
    #[command(hide = true)]
    Sandbox(dev::SandboxArgs),
}

/// Runs the command that was typed; its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => configured(serve),
        Command::Check => configured(check),
        Command::Doctor => configured(doctor),
        Command::Order(act) => asking(|plane| operate::order(&plane, act)),
        Command::Fault(act) => asking(|plane| operate::fault::main(&plane, act)),
        Command::Health(health) => asking(|plane| operate::health(&plane, &health)),
        Command::Leave(leave) => asking(|plane| operate::leave(&plane, &leave)),
        Command::Dev => dev::main(),
        Command::Sandbox(arguments) => dev::sandbox(arguments),
    }
}

/// Runs a command that needs a good configuration.
fn configured(command: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    Config::load(&Process).map_or_else(refuse, command)
}

/// Runs a command that only asks a running sidecar.
fn asking(command: impl FnOnce(AdminPlane) -> ExitCode) -> ExitCode {
    Config::admin_plane(&Process).map_or_else(refuse, command)
}

/// Tells every problem of the configuration.
fn refuse(Problems(problems): Problems) -> ExitCode {
    eprintln!("onceward: the configuration has {} problem(s):", problems.len());
    for problem in problems {
        eprintln!("  {problem}");
    }
    ExitCode::from(USAGE)
}

fn serve(config: Config) -> ExitCode {
    let _logging = match telemetry::start(&config.log, config.log_format) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("onceward: logging could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    for name in &config.strangers {
        tracing::warn!(name, "this variable has our prefix and means nothing");
    }
    for remark in &config.remarks {
        tracing::warn!(name = remark.at, "{}", remark.what);
    }
    if config.faults {
        tracing::warn!("ONCEWARD_FAULTS is on: never in front of real money");
    }
    let stop = CancellationToken::new();
    if let Err(error) = stop_on_signals(&stop) {
        tracing::error!(%error, "signals cannot be listened to");
        return ExitCode::FAILURE;
    }
    let listening = |data: std::net::SocketAddr, admin: std::net::SocketAddr| {
        tracing::info!(%data, %admin, version = env!("CARGO_PKG_VERSION"), "listening");
    };
    match app::run(config, &Process, stop, listening) {
        Ok(End::Drained) => {
            tracing::info!("drained");
            ExitCode::SUCCESS
        }
        Ok(End::CutShort) => {
            tracing::warn!("ended before everything under way had");
            ExitCode::SUCCESS
        }
        Ok(End::Broken) => {
            tracing::error!("ended by a fault of its own: start it again");
            ExitCode::FAILURE
        }
        Err(error) => {
            tracing::error!(%error, "the sidecar could not start");
            ExitCode::FAILURE
        }
    }
}

fn check(config: Config) -> ExitCode {
    for (name, value) in config.shown.iter().chain(&config.shown_routes) {
        println!("{name}={value}");
    }
    for name in &config.strangers {
        eprintln!("warning: {name} has our prefix and means nothing");
    }
    for remark in &config.remarks {
        eprintln!("warning: {remark}");
    }
    ExitCode::SUCCESS
}

fn doctor(config: Config) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let report = runtime.block_on(doctor::every_server(&config));
            print!("{report}");
            if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("onceward: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The first SIGTERM or SIGINT drains; a second one ends the process where it stands.
fn stop_on_signals(stop: &CancellationToken) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let stop = stop.clone();
    let waiting = async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        tracing::info!("draining");
        stop.cancel();
        // Some senders signal a process and its group at once: that is one wish, not two.
        let _ = tokio::time::timeout(SAME_WISH, async {
            loop {
                next().await;
            }
        })
        .await;
        next().await;
        tracing::warn!("a second signal: ending at once");
        lines::flush();
        std::process::exit(1);
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || runtime.block_on(waiting))
        .map(drop)
}
