//! Sockets as hostile callers use them, and the sidecar they meet.

use crate::support::PATIENCE;
use crate::support::client::Reply;
use crate::support::redis::Redis;
use crate::support::sidecar::{self, Sidecar};
use crate::support::upstream::Upstream;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// A route for every place a key may stand in. All else is open.
pub const ROUTES: &str = r#"[
  {"name": "pay", "path": "/pay", "key": "header:Idempotency-Key", "key_required": true,
   "max_request_body": "64KiB"},
  {"name": "json", "path": "/json", "key": "json:/orderId", "key_required": true},
  {"name": "form", "path": "/form", "key": "form:trade", "key_required": true},
  {"name": "xml", "path": "/xml", "key": "xml:trade", "key_required": true},
  {"name": "query", "path": "/query", "key": "query:trade", "key_required": true},
  {"name": "path", "path": "/orders/{id}/pay", "key": "path:id"}
]"#;

/// The sidecar with those routes.
pub fn guarded(redis: &Redis, upstream: &Upstream) -> sidecar::Builder {
    sidecar::sidecar(redis, upstream).set("ROUTES", ROUTES)
}

/// A caller's connection.
pub struct Wire {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Wire {
    pub fn open(to: SocketAddr) -> Wire {
        let stream = TcpStream::connect(to).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let reader = BufReader::new(stream.try_clone().expect("a socket"));
        Wire { stream, reader }
    }

    /// Sends what the other side will take; it may hang up at any time.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Likewise, from a thread of its own: the other side may answer before it has read all.
    pub fn send_behind(&self, bytes: &[u8]) {
        let mut stream = self.stream.try_clone().expect("a socket");
        let bytes = bytes.to_vec();
        std::thread::spawn(move || stream.write_all(&bytes));
    }

    /// Sends no more, but still listens.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next answer, if one comes before the connection ends.
    pub fn reply(&mut self) -> Option<Reply> {
        Reply::read(&mut self.reader, false)
    }

    /// How the connection ends, as far as it does: without another byte, or how else.
    pub fn end(&mut self) -> Result<(), String> {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(0) => Ok(()),
            Ok(_) => Err(format!("more came: {:?}", String::from_utf8_lossy(&rest))),
            Err(error) if error.kind() == ErrorKind::ConnectionReset && rest.is_empty() => Ok(()),
            Err(error) => Err(format!("it stayed open: {error}")),
        }
    }
}

/// A figure of a process's memory from `/proc`, in bytes: `VmRSS` for now, `VmHWM` for the most it
/// ever was.
pub fn memory(of: &Sidecar, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", of.pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kibibytes.expect("a figure in kB") * 1024
}

pub const MIB: u64 = 1024 * 1024;
