//! A freshly started `onceward dev`, followed by the lines it writes for programs.

use serde_json::Value;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long anything may take to come about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Runs until it is dropped, and all its children with it.
pub(crate) struct Dev {
    child: Child,
    events: Receiver<Value>,
    /// Where the sidecar listens.
    pub(crate) url: String,
    /// Where operators ask.
    pub(crate) admin: String,
    /// The file in which the payment service writes every charge.
    pub(crate) ledger: PathBuf,
    pub(crate) sidecar_pid: u64,
}

impl Dev {
    /// Starts one on free ports and waits until it is ready.
    pub(crate) fn start() -> io::Result<Dev> {
        let mut child = command()?.stdout(Stdio::piped()).spawn()?;
        let lines = child.stdout.take().map(BufReader::new);
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in lines.into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
                if let Ok(event @ Value::Object(_)) = serde_json::from_str(&line)
                    && sender.send(event).is_err()
                {
                    return;
                }
            }
        });
        let mut dev = Dev {
            child,
            events,
            url: String::new(),
            admin: String::new(),
            ledger: PathBuf::new(),
            sidecar_pid: 0,
        };
        let ready = dev.event("ready")?;
        let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        dev.url = text("url");
        dev.admin = text("admin");
        dev.ledger = text("ledger").into();
        dev.sidecar_pid = ready["sidecar_pid"].as_u64().unwrap_or_default();
        Ok(dev)
    }

    /// Waits for the line that tells this.
    fn event(&self, name: &str) -> io::Result<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) if event["dev"] == name => return Ok(event),
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("onceward dev ended; it said why above"));
                }
                Err(RecvTimeoutError::Timeout) => {
                    let what = format!("onceward dev never said {name:?}");
                    return Err(io::Error::other(what));
                }
            }
        }
    }

    /// kill -9 of the sidecar; returns when another serves in its place.
    pub(crate) fn kill_sidecar(&mut self) -> io::Result<()> {
        signal("KILL", self.sidecar_pid)?;
        let restarted = self.event("sidecar restarted")?;
        self.sidecar_pid = restarted["sidecar_pid"].as_u64().unwrap_or_default();
        Ok(())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = signal("TERM", self.child.id().into());
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary stands beside the examples: `make demo` has just built it.
fn command() -> io::Result<Command> {
    let here = std::env::current_exe()?;
    let target = here.ancestors().nth(2).map(|folder| folder.join("onceward"));
    let Some(binary) = target.filter(|binary| binary.exists()) else {
        return Err(io::Error::other("onceward is not built: run `make demo`"));
    };
    let mut command = Command::new(binary);
    for name in ours() {
        command.env_remove(name);
    }
    command
        .arg("dev")
        .env("ONCEWARD_LISTEN", "127.0.0.1:0")
        .env("ONCEWARD_ADMIN_LISTEN", "127.0.0.1:0")
        // A payment service that never answers is not waited for as long as elsewhere.
        .env("ONCEWARD_UPSTREAM_TIMEOUT", "3s")
        .env("ONCEWARD_LOG", "error");
    Ok(command)
}

/// Variables of whoever runs the demo: it is to show the same everywhere.
#[allow(clippy::disallowed_methods, reason = "a program of its own, which clears what it inherits")]
fn ours() -> Vec<std::ffi::OsString> {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_string_lossy().starts_with("ONCEWARD_"))
        .collect()
}

fn signal(name: &str, pid: u64) -> io::Result<()> {
    let sent = Command::new("/bin/sh").arg("-c").arg(format!("kill -s {name} {pid}")).status()?;
    match sent.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("there is no process {pid}"))),
    }
}
