//! Real parts, spawned, private, ended by their own process ids: a redis-server, a scripted
//! payment service over sockets, sidecars, a client that speaks raw HTTP.

pub mod client;
pub mod openmetrics;
pub mod redis;
pub mod sidecar;
pub mod toxic;
pub mod upstream;

use std::process::Command;
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

/// A port nobody listens on at the moment.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
