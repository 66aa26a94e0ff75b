//! What is said on standard output: for people, and a JSON line for programs.

use super::DevError;
use super::leash::Ended;
use serde::Serialize;
use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What there is to know about a running place.
pub(super) struct Facts {
    pub(super) url: String,
    pub(super) admin: String,
    /// `host:port` of the payment service, the sandbox or another.
    pub(super) upstream: String,
    pub(super) sandbox: Option<String>,
    pub(super) ledger: Option<PathBuf>,
    pub(super) sidecar_pid: Option<u32>,
    pub(super) redis_pid: Option<u32>,
    /// The lease, when it is shorter than outside development.
    pub(super) short_lease: Option<Duration>,
}

/// A line for programs. `dev` says what happened.
#[derive(Serialize)]
#[serde(tag = "dev")]
enum Event<'a> {
    #[serde(rename = "ready")]
    Ready {
        url: &'a str,
        admin: &'a str,
        sidecar_pid: Option<u32>,
        redis_pid: Option<u32>,
        sandbox: Option<&'a str>,
        ledger: Option<&'a Path>,
    },
    #[serde(rename = "sidecar restarted")]
    Restarted { sidecar_pid: u32 },
    #[serde(rename = "sandbox ready")]
    Sandbox { sandbox: String, ledger: &'a Path },
}

/// Everything runs.
pub(super) fn ready(facts: &Facts) {
    say(table(facts));
    event(&Event::Ready {
        url: &facts.url,
        admin: &facts.admin,
        sidecar_pid: facts.sidecar_pid,
        redis_pid: facts.redis_pid,
        sandbox: facts.sandbox.as_deref(),
        ledger: facts.ledger.as_deref(),
    });
}

/// The sidecar died.
pub(super) fn sidecar_ended(pid: u32, how: Ended) {
    say(format_args!("sidecar pid {pid} ended ({how}); starting it again"));
}

/// It lives again.
pub(super) fn sidecar_restarted(pid: u32) {
    say(format_args!("sidecar pid {pid} serves on the same port"));
    event(&Event::Restarted { sidecar_pid: pid });
}

/// It does not, and will be started once more when it ends.
pub(super) fn trouble(error: &DevError) {
    say(error);
}

/// The sandbox listens, by itself.
pub(super) fn sandbox_ready(address: SocketAddr, ledger: &Path) {
    event(&Event::Sandbox { sandbox: format!("http://{address}"), ledger });
}

fn table(facts: &Facts) -> String {
    let mut text = String::from("onceward dev is ready\n\n");
    let mut line = |name: &str, about: &str, value: &dyn Display| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<9} {about:<41} {value}");
    };
    line("sidecar", "send payments here", &facts.url);
    line("admin", "/readyz, /metrics, /admin/orders", &facts.admin);
    line("console", "all of it to look at, in a browser", &format!("{}/console", facts.admin));
    match &facts.sandbox {
        Some(url) => line("sandbox", "the payment service behind the sidecar", url),
        None => line("upstream", "your payment service", &facts.upstream),
    }
    if let Some(ledger) = &facts.ledger {
        let about = "a line for every charge; gone at the end";
        line("ledger", about, &ledger.display());
    }
    let pid = |pid: Option<u32>| pid.map_or("of your own".to_owned(), |pid| pid.to_string());
    let _ = writeln!(text, "\nsidecar pid {}", pid(facts.sidecar_pid));
    let _ = writeln!(text, "redis pid {}", pid(facts.redis_pid));
    if let Some(lease) = facts.short_lease {
        let _ = writeln!(
            text,
            "leases are short here (ONCEWARD_LOCK_TTL={}): the order of a killed sidecar is soon `unknown`",
            humantime::format_duration(lease)
        );
    }
    if facts.sandbox.is_some() {
        text.push_str(&tries(facts));
    }
    text.push_str("\nEvery ONCEWARD_ variable you set wins. Ctrl-C ends it all.");
    text
}

/// Three lines to paste, each of which shows something.
fn tries(facts: &Facts) -> String {
    let (url, admin) = (&facts.url, &facts.admin);
    format!(
        "
Try, the first one twice (same answer, one charge), then with another amount (422):

  curl -i {url}/order/pay -H 'Content-Type: application/json' -d '{{\"orderId\":\"2024-0001\",\"amount\":\"9.90\"}}'
  curl '{url}/ledger?orderId=2024-0001'
  curl {admin}/admin/orders/pay/2024-0001
"
    )
}

fn event(event: &Event<'_>) {
    // An event has nothing in it that JSON cannot hold, but for a path that is no text.
    if let Ok(json) = serde_json::to_string(event) {
        say(json);
    }
}

/// Nobody need listen: a closed pipe is no reason to end.
fn say(what: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{what}").and_then(|()| out.flush());
}
