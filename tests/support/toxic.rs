//! A TCP proxy that loses replies: the only way to lose one for real.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to the replies of a connection on which the needle was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The command is passed on; its reply is lost and the connection closed.
    Cut,
    /// The command is passed on; its reply and all that follow are swallowed in silence.
    Swallow,
    /// The command is passed on; its reply comes so much later.
    Delay(Duration),
}

/// The bytes to look for, and what to do then.
type Trap = Arc<Mutex<Option<(Vec<u8>, Harm)>>>;

/// A running proxy.
pub struct Toxic {
    pub address: SocketAddr,
    trap: Trap,
    sprung: Arc<AtomicBool>,
}

impl Toxic {
    /// Proxies to a port of this machine.
    pub fn before(port: u16) -> Toxic {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let trap: Trap = Arc::default();
        let sprung = Arc::new(AtomicBool::new(false));
        let (set, told) = (trap.clone(), sprung.clone());
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                connect(caller, server, &set, &told);
            }
        });
        Toxic { address, trap, sprung }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Lays a trap for the next command that contains `needle`.
    pub fn lose_reply_to(&self, needle: &str, harm: Harm) {
        self.sprung.store(false, Ordering::SeqCst);
        *self.trap.lock().expect("no panic inside") = Some((needle.as_bytes().to_vec(), harm));
    }

    /// Whether the trap was sprung.
    pub fn sprung(&self) -> bool {
        self.sprung.load(Ordering::SeqCst)
    }
}

fn connect(caller: TcpStream, server: TcpStream, trap: &Trap, sprung: &Arc<AtomicBool>) {
    let harmed: Arc<Mutex<Option<Harm>>> = Arc::default();
    let (mut from, mut to) =
        (caller.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    let (trap, sprung, mark) = (trap.clone(), sprung.clone(), harmed.clone());
    std::thread::spawn(move || {
        let mut bytes = [0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let mut trap = trap.lock().expect("no panic inside");
            let caught = trap.as_ref().is_some_and(|(needle, _)| {
                bytes[..count].windows(needle.len()).any(|window| window == needle)
            });
            if caught && let Some((_, harm)) = trap.take() {
                // Before the command goes on, so that its reply cannot slip by.
                *mark.lock().expect("no panic inside") = Some(harm);
                sprung.store(true, Ordering::SeqCst);
            }
            drop(trap);
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (server, caller);
    std::thread::spawn(move || {
        let mut bytes = [0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let mut harmed = harmed.lock().expect("no panic inside");
            if let Some(Harm::Delay(delay)) = *harmed {
                std::thread::sleep(delay);
                *harmed = None;
            }
            match *harmed {
                None if to.write_all(&bytes[..count]).is_err() => break,
                _ if *harmed != Some(Harm::Cut) => {}
                _ => break,
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
