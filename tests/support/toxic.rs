//! A TCP proxy that is as bad as a network can be: the only way to lose a reply for real.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What happens to the replies of a connection on which the needle was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The command is passed on; its reply is lost and the connection closed.
    Cut,
    /// The command is passed on; its reply is lost and the connection reset.
    Reset,
    /// The command is passed on; its reply and all that follow are swallowed in silence.
    Swallow,
    /// The command is passed on; its reply comes so much later.
    Delay(Duration),
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From whoever connected to the server.
    There,
    /// Back.
    Back,
}

/// How a connection ends, for both of its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN: all was said.
    Close,
    /// RST: the peer is gone.
    Reset,
}

/// The bytes to look for, and what to do then.
type Trap = Option<(Vec<u8>, Harm)>;

/// What holds for every connection.
#[derive(Default)]
struct Weather {
    latency: Duration,
    held: bool,
    /// The next connection ends after so many bytes that way.
    cut: Option<(Way, usize, End)>,
    trap: Trap,
}

#[derive(Default)]
struct Sky {
    weather: Mutex<Weather>,
    changed: Condvar,
    sprung: AtomicBool,
    /// Where new connections go.
    target: AtomicU16,
    /// Connections to be reset on demand.
    lines: Mutex<Vec<(TcpStream, TcpStream)>>,
}

impl Sky {
    fn target(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.target.load(Ordering::SeqCst)))
    }
}

/// A running proxy.
pub struct Toxic {
    pub address: SocketAddr,
    sky: Arc<Sky>,
}

impl Toxic {
    /// Proxies to a port of this machine.
    pub fn before(port: u16) -> Toxic {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let sky: Arc<Sky> = Arc::default();
        sky.target.store(port, Ordering::SeqCst);
        let above = sky.clone();
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(above.target()) else {
                    continue;
                };
                connect(caller, server, &above);
            }
        });
        Toxic { address, sky }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Sends new connections to another port.
    pub fn retarget(&self, port: u16) {
        self.sky.target.store(port, Ordering::SeqCst);
    }

    /// Lays a trap for the next command that contains `needle`.
    pub fn lose_reply_to(&self, needle: &str, harm: Harm) {
        self.sky.sprung.store(false, Ordering::SeqCst);
        self.change(|weather| weather.trap = Some((needle.as_bytes().to_vec(), harm)));
    }

    /// Whether the trap was sprung.
    pub fn sprung(&self) -> bool {
        self.sky.sprung.load(Ordering::SeqCst)
    }

    /// Every piece takes so much longer, each way.
    pub fn latency(&self, latency: Duration) {
        self.change(|weather| weather.latency = latency);
    }

    /// Nothing passes, and nothing breaks, until it is released.
    pub fn hold(&self) {
        self.change(|weather| weather.held = true);
    }

    pub fn release(&self) {
        self.change(|weather| weather.held = false);
    }

    /// The next connection ends after so many bytes that way.
    pub fn cut_next(&self, way: Way, at: usize, end: End) {
        self.change(|weather| weather.cut = Some((way, at, end)));
    }

    /// Resets every connection there is.
    pub fn reset(&self) {
        for (caller, server) in self.sky.lines.lock().expect("no panic inside").drain(..) {
            end(&caller, &server, End::Reset);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.sky.weather.lock().expect("no panic inside"));
        self.sky.changed.notify_all();
    }
}

impl Sky {
    /// Waits as long as the weather says.
    fn pass(&self) {
        let mut weather = self.weather.lock().expect("no panic inside");
        let latency = weather.latency;
        while weather.held {
            weather = self.changed.wait(weather).expect("no panic inside");
        }
        drop(weather);
        std::thread::sleep(latency);
    }

    /// What is done to the replies of a command that holds the needle.
    fn spring(&self, bytes: &[u8]) -> Option<Harm> {
        let mut weather = self.weather.lock().expect("no panic inside");
        let (needle, _) = weather.trap.as_ref()?;
        if !bytes.windows(needle.len()).any(|window| window == needle) {
            return None;
        }
        let (_, harm) = weather.trap.take()?;
        self.sprung.store(true, Ordering::SeqCst);
        Some(harm)
    }
}

/// Ends both sides of a connection.
pub fn end(caller: &TcpStream, server: &TcpStream, how: End) {
    for side in [caller, server] {
        if how == End::Reset {
            let _ = socket2::SockRef::from(side).set_linger(Some(Duration::ZERO));
        }
        let _ = side.shutdown(Shutdown::Both);
    }
}

/// One connection, seen by each of its two pumps.
#[derive(Clone)]
struct Line {
    sky: Arc<Sky>,
    harm: Arc<Mutex<Option<Harm>>>,
    cut: Option<(Way, usize, End)>,
}

fn connect(caller: TcpStream, server: TcpStream, sky: &Arc<Sky>) {
    let copy = |stream: &TcpStream| stream.try_clone().expect("a socket");
    let cut = sky.weather.lock().expect("no panic inside").cut.take();
    let mut lines = sky.lines.lock().expect("no panic inside");
    lines.retain(|(caller, _)| caller.peer_addr().is_ok());
    lines.push((copy(&caller), copy(&server)));
    drop(lines);
    let line = Line { sky: sky.clone(), harm: Arc::default(), cut };
    for (way, from, to) in
        [(Way::There, copy(&caller), copy(&server)), (Way::Back, copy(&server), copy(&caller))]
    {
        let line = line.clone();
        std::thread::spawn(move || line.pump(way, from, to));
    }
}

impl Line {
    fn pump(&self, way: Way, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 64 * 1024];
        let mut left = self.cut.filter(|(cut, ..)| *cut == way).map(|(_, at, how)| (at, how));
        let mut over = matches!(left, Some((0, _)));
        while !over && let Ok(count @ 1..) = from.read(&mut bytes) {
            self.sky.pass();
            let mut piece = &bytes[..count];
            if let Some((at, _)) = &mut left {
                piece = &piece[..count.min(*at)];
                *at -= piece.len();
                over = *at == 0;
            }
            if way == Way::There
                && let Some(harm) = self.sky.spring(piece)
            {
                // Before the command goes on, so that its reply cannot slip by.
                *self.harm.lock().expect("no panic inside") = Some(harm);
            }
            match (way, self.harm()) {
                (Way::Back, Some(Harm::Swallow)) => continue,
                (Way::Back, Some(Harm::Cut)) => break,
                (Way::Back, Some(Harm::Reset)) => return end(&to, &from, End::Reset),
                (Way::Back, Some(Harm::Delay(delay))) => {
                    std::thread::sleep(delay);
                    *self.harm.lock().expect("no panic inside") = None;
                }
                _ => {}
            }
            if to.write_all(piece).is_err() {
                break;
            }
        }
        match left {
            Some((0, how)) => end(&from, &to, how),
            _ if way == Way::There => drop(to.shutdown(Shutdown::Write)),
            _ => end(&from, &to, End::Close),
        }
    }

    fn harm(&self) -> Option<Harm> {
        *self.harm.lock().expect("no panic inside")
    }
}
