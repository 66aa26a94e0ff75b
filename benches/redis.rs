//! A redis-server of the bench's own, and what it says of itself.

use crate::process::Process;
use crate::{BenchError, free_port, until};
use redis::{Client, Connection, FromRedisValue};
use std::path::Path;
use std::process::Command;

/// A running redis-server.
pub(crate) struct Redis {
    /// Its process.
    pub(crate) process: Process,
    /// Its port on loopback.
    pub(crate) port: u16,
    connection: Connection,
}

impl Redis {
    /// Starts one that keeps nothing on disk: the bench measures CPU, not disks.
    pub(crate) fn start(folder: &Path) -> Result<Redis, BenchError> {
        Redis::start_with(folder, &[])
    }

    /// Starts one with more arguments.
    pub(crate) fn start_with(folder: &Path, more: &[&str]) -> Result<Redis, BenchError> {
        let port = free_port()?;
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]);
        command.arg("--dir").arg(folder).args(more);
        let process = Process::start(&mut command)?;
        let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
        let connection = until("redis-server answers", || client.get_connection().ok())?;
        Ok(Redis { process, port, connection })
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends one command.
    pub(crate) fn command<T: FromRedisValue>(&mut self, words: &[&str]) -> Result<T, BenchError> {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(word);
        }
        Ok(command.query(&mut self.connection)?)
    }

    /// Forgets every record and count; scripts stay.
    pub(crate) fn clear(&mut self) -> Result<(), BenchError> {
        self.command::<()>(&["FLUSHALL"])?;
        self.command::<()>(&["CONFIG", "RESETSTAT"])
    }

    /// Bytes its data takes.
    pub(crate) fn memory(&mut self) -> Result<u64, BenchError> {
        let memory: String = self.command(&["INFO", "memory"])?;
        let line = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
        let bytes = line.and_then(|bytes| bytes.trim().parse().ok());
        bytes.ok_or_else(|| BenchError::Wrong("Redis does not say what it holds".into()))
    }

    /// How often the commands of these names were run since the last `clear`, by scripts or not.
    pub(crate) fn ran(&mut self, names: &[&str]) -> Result<u64, BenchError> {
        let stats: String = self.command(&["INFO", "commandstats"])?;
        let calls = |name: &str| {
            let head = format!("cmdstat_{name}:calls=");
            let rest = stats.lines().find_map(|line| line.strip_prefix(&head))?;
            rest.split(',').next()?.parse::<u64>().ok()
        };
        Ok(names.iter().copied().filter_map(calls).sum())
    }
}
