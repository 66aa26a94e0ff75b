//! Sidecars as processes of their own: what a pod runs.

use super::redis::Redis;
use super::upstream::Upstream;
use super::{PATIENCE, signal, until};
use onceward::config::vars::{OTEL, PREFIX};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The binary under test.
pub const ONCEWARD: &str = env!("CARGO_BIN_EXE_onceward");

/// A sidecar in the making.
#[derive(Clone, Default)]
pub struct Builder {
    variables: BTreeMap<String, String>,
}

/// A running sidecar; killed when dropped.
pub struct Sidecar {
    child: Child,
    /// The data plane.
    pub address: SocketAddr,
    /// The admin plane.
    pub admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

/// A sidecar on that Redis, in front of that service. More patient than the defaults: what is no
/// test's subject should not fail one on a busy machine.
pub fn sidecar(redis: &Redis, upstream: &Upstream) -> Builder {
    Builder::default()
        .set("REDIS_URL", &redis.url())
        .set("UPSTREAM", &upstream.url())
        .set("REDIS_TIMEOUT", "5s")
        .set("UPSTREAM_CONNECT_TIMEOUT", "10s")
        // Every Redis here is a new one.
        .set("HISTORY_WINDOW", "0s")
}

impl Builder {
    /// Sets a variable, named without its prefix; OpenTelemetry's have none.
    pub fn set(mut self, name: &str, value: &str) -> Builder {
        let prefix = if name.starts_with(OTEL) { "" } else { PREFIX };
        self.variables.insert(format!("{prefix}{name}"), value.into());
        self
    }

    /// Gives it a clock that is so far off (`+7m`), by the library libfaketime at that path.
    pub fn clock(mut self, library: &str, off: &str) -> Builder {
        for (name, value) in
            [("LD_PRELOAD", library), ("FAKETIME", off), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]
        {
            self.variables.insert(name.into(), value.into());
        }
        self
    }

    /// The command, to be run with other arguments or watched more closely.
    pub fn command(&self) -> Command {
        let mut command = Command::new(ONCEWARD);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("ONCEWARD_LISTEN", "127.0.0.1:0")
            .env("ONCEWARD_ADMIN_LISTEN", "127.0.0.1:0")
            .envs(&self.variables);
        command
    }

    /// Starts it and waits until it listens; nobody reads its log any further.
    pub fn start_unread(&self) -> (Sidecar, BufReader<ChildStdout>) {
        let mut child = self.command().stdout(Stdio::piped()).spawn().expect("onceward starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output"));
        let (address, admin) = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).expect("a line") > 0, "the sidecar ended");
            if let Some(addresses) = listening(&line) {
                break addresses;
            }
        };
        (Sidecar { child, address, admin, log: Arc::default() }, lines)
    }

    /// Starts it and waits until it listens.
    pub fn start(&self) -> Sidecar {
        let mut child = self.command().stdout(Stdio::piped()).spawn().expect("onceward starts");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let written = log.clone();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                written.lock().expect("no panic inside").push(line);
            }
        });
        let mut addresses = None;
        until("the sidecar listens", || {
            addresses = log.lock().expect("no panic inside").iter().find_map(|l| listening(l));
            addresses.is_some() || child.try_wait().expect("a child").is_some()
        });
        let Some((address, admin)) = addresses else {
            panic!("the sidecar ended: {:?}", log.lock().expect("no panic inside"));
        };
        Sidecar { child, address, admin, log }
    }
}

fn listening(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    if line["message"] != "listening" {
        return None;
    }
    Some((line["data"].as_str()?.parse().ok()?, line["admin"].as_str()?.parse().ok()?))
}

impl Sidecar {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it in its tracks, as a paused node does.
    pub fn pause(&self) {
        signal(self.pid(), "STOP");
    }

    pub fn resume(&self) {
        signal(self.pid(), "CONT");
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        signal(self.pid(), "TERM");
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the sidecar never ended");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Every line it wrote so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic inside").join("\n")
    }

    /// Waits for a line with that text: a line is written before what follows it, and read later.
    #[track_caller]
    pub fn logs(&self, text: &str) {
        until(&format!("the log says: {text}"), || self.log().contains(text));
    }

    /// Waits until a metric has that value: what is counted after an answer is seen after it.
    #[track_caller]
    pub fn counts(&self, name: &str, value: f64) {
        until(&format!("{name} is {value}"), || self.metric(name) == value);
    }

    /// A metric's value by its whole name and labels, as `/metrics` writes it; 0 where it is not.
    pub fn metric(&self, name: &str) -> f64 {
        let text = super::client::Call::get("/metrics").send(self.admin).text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.kill();
    }
}
