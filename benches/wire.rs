//! A client that speaks as much HTTP as the bench needs, one request at a time.

use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A kept connection.
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Reply {
    /// What stands before its body, line by line.
    pub(crate) head: String,
    /// Its status.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Wire> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Wire { stream: BufReader::new(stream) })
    }

    /// Sends a request and reads its answer.
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.stream.get_mut().write_all(request)?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {line:?}")))?;
        let (mut head, mut length) = (line.clone(), 0);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            head.push_str(&line);
            if line.trim().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Reply { head, status, body })
    }
}

impl Reply {
    /// Its headers, by name.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.map(|(name, value)| (name, value.trim()))
    }

    /// As it came.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }
}

/// A payment as `wrk/order.lua` sends it.
pub(crate) fn payment(path: &str, key: &str) -> Vec<u8> {
    payment_with(path, key, "")
}

/// The same with more lines in its head, each of which ends with a line break.
pub(crate) fn payment_with(path: &str, key: &str, lines: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"orderId":"{key}","amount":1999,"currency":"CNY","authCode":"134567890123456789"}}"#
    );
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: pay.example\r\nUser-Agent: bench\r\n\
         Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\
         Idempotency-Key: {key}\r\n{lines}\r\n{body}"
    )
    .into_bytes()
}
