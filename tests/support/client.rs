//! A client that speaks HTTP/1.1 over a plain socket, so that nothing is hidden or helped along.

use super::PATIENCE;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

/// A request in the making.
#[derive(Clone)]
pub struct Call {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer, wholly read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Call {
    pub fn new(method: &str, path: &str) -> Call {
        // Without a token the admin plane answers to this machine's own names only.
        let host = if path.starts_with("/admin") { "localhost" } else { "pay.test" };
        Call {
            method: method.into(),
            path: path.into(),
            headers: vec![("Host".into(), host.into())],
            body: Vec::new(),
        }
    }

    pub fn get(path: &str) -> Call {
        Call::new("GET", path)
    }

    pub fn post(path: &str) -> Call {
        Call::new("POST", path)
    }

    /// A payment of that key: what most tests send.
    pub fn pay(key: &str) -> Call {
        Call::post("/pay").key(key).json(r#"{"amount":100}"#)
    }

    pub fn key(self, key: &str) -> Call {
        self.header("Idempotency-Key", key)
    }

    pub fn header(mut self, name: &str, value: &str) -> Call {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends this value of a header in place of the one it has.
    pub fn instead(mut self, name: &str, value: &str) -> Call {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    pub fn json(self, body: &str) -> Call {
        self.header("Content-Type", "application/json").body(body.as_bytes())
    }

    pub fn body(mut self, body: &[u8]) -> Call {
        self.body = body.to_vec();
        self
    }

    /// The bytes that go over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !self.body.is_empty() || self.method != "GET" {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        [text.as_bytes(), b"\r\n", &self.body].concat()
    }

    /// Sends it on a connection of its own and reads the answer.
    pub fn send(&self, to: SocketAddr) -> Reply {
        self.try_send(to).expect("an answer")
    }

    /// Likewise, where no answer may come.
    pub fn try_send(&self, to: SocketAddr) -> Option<Reply> {
        let mut stream = TcpStream::connect(to).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(&self.bytes()).ok()?;
        Reply::read(&mut BufReader::new(stream), self.method == "HEAD")
    }

    /// Sends it and reads nothing; whoever drops the connection hangs up.
    pub fn begin(&self, to: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(to).expect("a connection");
        stream.write_all(&self.bytes()).expect("sent");
        stream
    }

    /// Likewise, where nobody may listen.
    pub fn try_begin(&self, to: SocketAddr) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(to).ok()?;
        stream.write_all(&self.bytes()).ok()?;
        Some(stream)
    }

    /// Sends it from a thread of its own.
    pub fn spawn(&self, to: SocketAddr) -> std::thread::JoinHandle<Reply> {
        let call = self.clone();
        std::thread::spawn(move || call.send(to))
    }
}

impl Reply {
    /// Reads one answer; interim ones are passed over.
    pub fn read(stream: &mut impl BufRead, headless_body: bool) -> Option<Reply> {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let status: u16 = line.split(' ').nth(1)?.trim().parse().ok()?;
            let mut headers = Vec::new();
            loop {
                let mut line = Vec::new();
                stream.read_until(b'\n', &mut line).ok()?;
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_end();
                if line.is_empty() {
                    break;
                }
                let (name, value) = line.split_once(':')?;
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            let mut reply = Reply { status, headers, body: Vec::new() };
            if !headless_body && status != 204 && status != 304 && status != 101 {
                reply.body = reply.read_body(stream)?;
            }
            return Some(reply);
        }
    }

    fn read_body(&self, stream: &mut impl BufRead) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        if let Some(length) = self.header("content-length") {
            body.resize(length.parse().ok()?, 0);
            stream.read_exact(&mut body).ok()?;
        } else if self.header("transfer-encoding") == Some("chunked") {
            body = super::read_chunks(stream)?;
        } else {
            stream.read_to_end(&mut body).ok()?;
        }
        Some(body)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn state(&self) -> &str {
        self.header("onceward-state").unwrap_or("")
    }

    pub fn is_replay(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    /// The problem's name, without its prefix; empty for what is no problem.
    pub fn problem(&self) -> String {
        if self.header("content-type") != Some("application/problem+json") {
            return String::new();
        }
        let document = self.json();
        assert_eq!(document["status"], self.status, "{document}");
        let kind = document["type"].as_str().unwrap_or_default();
        kind.strip_prefix("urn:onceward:problem:").expect("our type").to_owned()
    }
}
