//! A proxy before an HTTP service that cuts exchanges off where their requests say so.

use super::toxic::{End, Way, end};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Where an exchange breaks, and how.
pub type Cut = (Way, usize, End);

/// A running proxy; a connection carries as many exchanges as go well.
pub struct Cutter {
    pub address: SocketAddr,
}

impl Cutter {
    /// Proxies to a port of this machine; `plan` is shown each whole request.
    pub fn before(
        port: u16,
        plan: impl Fn(&[u8]) -> Option<Cut> + Send + Sync + 'static,
    ) -> Cutter {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let plan = Arc::new(plan);
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let plan = plan.clone();
                std::thread::spawn(move || {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                        let _ = caller.set_nodelay(true);
                        let _ = server.set_nodelay(true);
                        while exchange(&caller, &server, &*plan).is_some() {}
                    }
                });
            }
        });
        Cutter { address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// One exchange; nothing when the connection is over.
fn exchange(
    mut caller: &TcpStream,
    mut server: &TcpStream,
    plan: &dyn Fn(&[u8]) -> Option<Cut>,
) -> Option<()> {
    let request = message(caller)?;
    let cut = plan(&request);
    if let Some((Way::There, at, how)) = cut
        && at < request.len()
    {
        server.write_all(&request[..at]).ok()?;
        end(caller, server, how);
        return None;
    }
    server.write_all(&request).ok()?;
    let answer = message(server)?;
    if let Some((Way::Back, at, how)) = cut
        && at < answer.len()
    {
        caller.write_all(&answer[..at]).ok()?;
        end(caller, server, how);
        return None;
    }
    caller.write_all(&answer).ok()
}

/// A whole message, by its length; nothing when the stream ends before.
pub fn message(mut from: &TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let count = from.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |length| length.trim().parse().expect("a length"));
        if bytes.len() >= head + 4 + length {
            return Some(bytes);
        }
    }
}
