//! The sandbox as a process of its own: the payment service whose ledger is the judge.

use super::sidecar::ONCEWARD;
use onceward::sandbox::ledger::{self, Reading};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running `onceward sandbox`; killed when dropped.
pub struct Sandbox {
    child: Child,
    pub url: String,
    ledger: PathBuf,
    _folder: TempDir,
}

impl Sandbox {
    /// One that sends no callbacks.
    pub fn start() -> Sandbox {
        Sandbox::spawn(&[])
    }

    /// One whose callbacks go to that URL.
    pub fn notifying(url: &str) -> Sandbox {
        Sandbox::spawn(&["--notify-url", url])
    }

    fn spawn(arguments: &[&str]) -> Sandbox {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger");
        let mut child = Command::new(ONCEWARD)
            .args(["sandbox", "--listen", "127.0.0.1:0", "--ledger"])
            .arg(&ledger)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let url = said["sandbox"].as_str().unwrap().to_owned();
        Sandbox { child, url, ledger, _folder: folder }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// What moved money so far; whole, or the judge is no judge.
    pub fn ledger(&self) -> Reading {
        let reading = ledger::read(&self.ledger).unwrap();
        assert!(reading.damaged.is_empty(), "the ledger is damaged: {:?}", reading.damaged);
        reading
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
