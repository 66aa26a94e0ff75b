//! HTTP/1.1 in as few lines as it takes: a connection a request, over a plain socket.

use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any answer here takes.
const PATIENCE: Duration = Duration::from_secs(15);

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

/// Asks for what stands at a path.
pub(crate) fn get(url: &str, path: &str) -> io::Result<Answer> {
    send(url, "GET", path, "", None)
}

/// Sends a JSON body to `http://host:port` and reads the answer.
pub(crate) fn post(url: &str, path: &str, token: Option<&str>, body: &Value) -> io::Result<Answer> {
    let token = token.map_or(String::new(), |token| format!("Payment-Token: {token}\r\n"));
    send(url, "POST", path, &token, Some(body))
}

/// Sends a request with more headers, each a whole line.
pub(crate) fn send(
    url: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: Option<&Value>,
) -> io::Result<Answer> {
    let host = url.strip_prefix("http://").unwrap_or(url);
    let body = body.map_or(String::new(), Value::to_string);
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    read(&bytes).ok_or_else(|| io::Error::other("the connection broke before the answer was whole"))
}

fn read(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let answer = Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        head,
        body: bytes[end + 4..].to_vec(),
    };
    let length: usize = answer.header("content-length")?.parse().ok()?;
    (length == answer.body.len()).then_some(answer)
}

impl Answer {
    /// A header's value, in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(n, _)| *n == name).map(|(_, value)| value.trim())
    }

    /// The order's state; empty where there is none.
    pub(crate) fn state(&self) -> &str {
        self.header("onceward-state").unwrap_or_default()
    }

    pub(crate) fn is_replay(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// The problem's name, such as `payload-mismatch`; empty for an answer that is none.
    pub(crate) fn problem(&self) -> String {
        let kind = self.json()["type"].as_str().unwrap_or_default().to_owned();
        kind.strip_prefix("urn:onceward:problem:").unwrap_or_default().to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The answer in a few words.
    pub(crate) fn words(&self) -> String {
        let mut words = self.status.to_string();
        match (self.problem(), self.header("onceward-state")) {
            (problem, _) if !problem.is_empty() => words += &format!(" {problem}"),
            // Nothing is known of the order, as if it had never been sent.
            (_, Some("none") | None) => {}
            (_, Some(state)) => words += &format!(" {state}"),
        }
        if self.is_replay() {
            words += ", replayed";
        }
        words
    }
}
