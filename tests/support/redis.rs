//! A redis-server of one's own.

use super::{free_port, signal, until};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running redis-server; killed when dropped.
pub struct Redis {
    child: Child,
    pub port: u16,
    directory: TempDir,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    pub fn start() -> Redis {
        Redis::start_with(&[])
    }

    /// Starts one with more arguments, as `redis-server` takes them.
    pub fn start_with(arguments: &[&str]) -> Redis {
        let directory = tempfile::tempdir().expect("a temporary folder");
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        // Another process may take the port between the look and the bind: look again then.
        for _ in 0..20 {
            let port = free_port();
            let mut child = spawn(port, &directory, &arguments);
            if answers(port, &mut child) {
                return Redis { child, port, directory, arguments };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("no redis-server would start");
    }

    /// A field of `INFO replication`.
    pub fn replication(&self, field: &str) -> String {
        let info = command(self.port, &["INFO", "replication"]).unwrap_or_default();
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_default().trim_end().to_owned()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Stops it in its tracks: connections stay, nothing is answered.
    pub fn pause(&self) {
        signal(self.child.id(), "STOP");
    }

    pub fn resume(&self) {
        signal(self.child.id(), "CONT");
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on its port and folder.
    pub fn restart(&mut self) {
        self.kill();
        until("redis-server is back", || {
            self.child = spawn(self.port, &self.directory, &self.arguments);
            answers(self.port, &mut self.child)
        });
    }

    /// Starts it again on its port, with nothing of what it knew.
    pub fn restart_empty(&mut self) {
        self.kill();
        self.directory = tempfile::tempdir().expect("a temporary folder");
        self.restart();
    }

    /// Sends one command and returns its answer as text, arrays a line an element.
    pub fn command(&self, words: &[&str]) -> String {
        command(self.port, words).expect("redis-server answers")
    }

    /// How often a command was called since the last `CONFIG RESETSTAT`.
    pub fn calls(&self, name: &str) -> u64 {
        let stats = self.command(&["INFO", "commandstats"]);
        let head = format!("cmdstat_{name}:calls=");
        let line = stats.lines().find_map(|line| line.strip_prefix(&head));
        line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0)
    }
}

/// Every command Redis runs, until stopped.
pub struct Monitor {
    stream: TcpStream,
    lines: std::thread::JoinHandle<Vec<String>>,
    redis: u16,
}

impl Redis {
    /// Begins to watch: what runs after this call is seen.
    pub fn monitor(&self) -> Monitor {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.write_all(b"MONITOR\r\n").expect("sent");
        let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        assert_eq!(line, "+OK\r\n");
        let lines = std::thread::spawn(move || {
            let lines = reader.lines().map_while(Result::ok);
            lines.take_while(|line| !line.contains(END)).collect()
        });
        Monitor { stream, lines, redis: self.port }
    }
}

/// Marks the end of what a monitor is to see.
const END: &str = "end-of-monitor";

impl Monitor {
    /// What ran up to this call.
    pub fn stop(self) -> Vec<String> {
        command(self.redis, &["ECHO", END]).expect("redis-server answers");
        let lines = self.lines.join().expect("no panic inside");
        drop(self.stream);
        lines
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16, directory: &TempDir, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .arg("--dir")
        .arg(directory.path())
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

fn answers(port: u16, child: &mut Child) -> bool {
    let deadline = std::time::Instant::now() + super::PATIENCE;
    while std::time::Instant::now() < deadline {
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        // Ours, not that of somebody who was quicker to take the port. Behind a password it will
        // not say.
        let info = command(port, &["INFO", "server"]).unwrap_or_default();
        let ours = format!("process_id:{}\r", child.id());
        let ready = || command(port, &["PING"]).is_some_and(|pong| !pong.contains("LOADING"));
        if (info.contains(&ours) || info.contains("NOAUTH")) && ready() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    false
}

pub fn command(port: u16, words: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(super::PATIENCE)).ok()?;
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(text.as_bytes()).ok()?;
    read(&mut BufReader::new(stream))
}

fn read(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let line = line.trim_end();
    let rest = line.get(1..)?;
    match line.as_bytes()[0] {
        b'$' if rest == "-1" => Some(String::new()),
        b'$' => {
            let mut bytes = vec![0; rest.parse::<usize>().ok()? + 2];
            stream.read_exact(&mut bytes).ok()?;
            bytes.truncate(bytes.len() - 2);
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        b'*' => {
            let count: usize = rest.parse().ok()?;
            let elements: Option<Vec<_>> = (0..count).map(|_| read(stream)).collect();
            Some(elements?.join("\n"))
        }
        _ => Some(rest.to_owned()),
    }
}
