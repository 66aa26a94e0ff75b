//! Commands that ask the admin plane of a running sidecar: `onceward order`, an operator's view of
//! one order; `onceward health` and `onceward leave`, what a container runtime asks; `onceward fault`, a
//! tester's switchboard.

mod ask;
pub mod fault;

use crate::config::AdminPlane;
use crate::model::address::{self, RESERVED};
use ask::ask;
use clap::{Args, Subcommand};
use hyper::{Method, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// What to do about which order.
#[derive(Subcommand)]
pub enum Act {
    /// Print the order with its history
    Show(Which),
    /// Cancel it: a tombstone where nothing was sent, else through the route's cancel call
    Cancel(Reasoned),
    /// Say how an order of unknown outcome ended
    Resolve {
        /// Which order, and why
        #[command(flatten)]
        reasoned: Reasoned,
        /// How it ended
        #[arg(long, value_parser = ["succeeded", "failed", "cancelled"])]
        state: String,
    },
    /// Let an order of unknown outcome run once more: nothing reached the payment service
    Release(Reasoned),
}

/// An order.
#[derive(Args)]
pub struct Which {
    /// Its route's name
    route: String,
    /// Its order number
    key: String,
    /// Its partition of keys, where its route has SCOPE: the header's value. Of several headers the
    /// values in SCOPE's order, a newline between them (in a shell: --scope $'a\nb')
    #[arg(long, default_value = "")]
    scope: String,
}

/// An order, and why.
#[derive(Args)]
pub struct Reasoned {
    #[command(flatten)]
    which: Which,
    /// Why, for the order's history
    #[arg(long)]
    why: Option<String>,
}

/// What a container runtime wants to know.
#[derive(Args)]
pub struct Health {
    /// Whether payments can be taken, and not only whether the process is alive
    #[arg(long)]
    ready: bool,
}

/// How a sidecar is taken out of service.
#[derive(Args)]
pub struct Leave {
    /// How long to wait then, for callers to learn to go elsewhere
    #[arg(long = "for", default_value = "0s", value_parser = humantime::parse_duration)]
    wait: Duration,
}

/// Does it: 0 when it is done, 1 when it could not be, 64 where the admin plane refuses the
/// question itself.
pub fn order(plane: &AdminPlane, act: Act) -> ExitCode {
    let (which, verb, wish) = match act {
        Act::Show(which) => (which, None, Value::Null),
        Act::Cancel(Reasoned { which, why }) => (which, Some("cancel"), json!({"why": why})),
        Act::Release(Reasoned { which, why }) => (which, Some("release"), json!({"why": why})),
        Act::Resolve { reasoned: Reasoned { which, why }, state } => {
            (which, Some("resolve"), json!({"state": state, "why": why}))
        }
    };
    let verb_part = verb.map(|verb| format!("/{verb}")).unwrap_or_default();
    let target = format!(
        "/admin/orders/{}{verb_part}?scope={}",
        address::written(&which.route, &which.key),
        utf8_percent_encode(&which.scope, RESERVED)
    );
    match verb {
        None => told(plane, ask(plane, Method::GET, &target, String::new())),
        Some(_) => told(plane, ask(plane, Method::POST, &target, wish.to_string())),
    }
}

/// 0 when the sidecar is alive, or ready; 1 when it is not, or does not answer.
pub fn health(plane: &AdminPlane, health: &Health) -> ExitCode {
    let target = if health.ready { "/readyz" } else { "/livez" };
    told(plane, ask(plane, Method::GET, target, String::new()))
}

/// Has the sidecar tell that it is not ready any more, though it serves as before, and waits. What
/// it could not do is told, but it waits all the same: callers leave a pod that is deleted without
/// its help too, if they are given the time.
pub fn leave(plane: &AdminPlane, leave: &Leave) -> ExitCode {
    let left = told(plane, ask(plane, Method::POST, "/admin/leave", String::new()));
    std::thread::sleep(leave.wait);
    left
}

/// Prints what the admin plane said.
fn told(plane: &AdminPlane, asked: Result<(StatusCode, String), String>) -> ExitCode {
    match asked {
        Ok((status, document)) if status.is_success() => {
            if !document.trim_end().is_empty() {
                println!("{}", document.trim_end());
            }
            ExitCode::SUCCESS
        }
        Ok((status, document)) => {
            eprintln!("onceward: {} answered {status}:\n{document}", plane.address);
            ExitCode::from(if status == StatusCode::BAD_REQUEST { 64 } else { 1 })
        }
        Err(error) => {
            eprintln!("onceward: the admin plane at {}: {error}", plane.address);
            ExitCode::FAILURE
        }
    }
}
