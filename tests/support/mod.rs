//! Real parts, spawned, private, ended by their own process ids: a redis-server, a scripted
//! payment service over sockets, sidecars, a client that speaks raw HTTP.

pub mod certificates;
pub mod client;
pub mod cluster;
pub mod collector;
pub mod cutter;
pub mod dice;
pub mod faults;
pub mod liar;
pub mod measured;
pub mod openmetrics;
pub mod record;
pub mod redis;
pub mod sandbox;
pub mod sentinels;
pub mod sidecar;
pub mod toxic;
pub mod upstream;

use std::collections::BTreeSet;
use std::io::BufRead;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Longer than anything here should ever take, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a condition holds; fails the test when it never does.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to pass that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to one process.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
    assert!(sent.expect("sh runs").success(), "kill -{name} {pid}");
}

/// A port nobody listens on at the moment, and nobody else here was told of.
pub fn free_port() -> u16 {
    static TOLD: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        if TOLD.lock().expect("no panic inside").insert(port) {
            return port;
        }
    }
}

/// A port that is ours and refuses connections until it is listened on.
pub struct Refusing(socket2::Socket);

impl Refusing {
    pub fn bind() -> Refusing {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        Refusing(socket)
    }

    pub fn url(&self) -> String {
        let address = self.0.local_addr().expect("its address").as_socket();
        format!("http://{}", address.expect("an IP address"))
    }

    /// Listens without accepting, for so many at the most.
    pub fn queue(&self, most: i32) {
        self.0.listen(most).expect("listening");
    }

    pub fn listen(self) -> TcpListener {
        self.0.listen(128).expect("listening");
        self.0.into()
    }
}

/// A chunked body, read to its end; nothing where it is cut short.
pub fn read_chunks(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..]).ok()?;
        stream.read_line(&mut line).ok()?;
        if size == 0 {
            return Some(body);
        }
    }
}
