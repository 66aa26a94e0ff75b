//! A proxy before an HTTP service that passes everything on, and answers on as it is told: in drips,
//! or with a length that is not theirs.

use super::cutter::message;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is done to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It comes in so many pieces, with so long a pause before each.
    Drip(usize, Duration),
    /// Its head promises so many bytes more than come; then there is silence.
    Longer(usize),
    /// Its head promises so many bytes fewer than come.
    Shorter(usize),
}

/// A lie for the next answers, as many as are left.
struct Order {
    lie: Lie,
    left: u64,
    told: Arc<AtomicU64>,
}

/// A running proxy; it tells the truth until told otherwise.
pub struct Liar {
    pub address: SocketAddr,
    orders: Arc<Mutex<Vec<Order>>>,
}

/// A lie that is being told; no longer, once this is dropped.
pub struct Telling {
    told: Arc<AtomicU64>,
    orders: Arc<Mutex<Vec<Order>>>,
}

impl Liar {
    /// Proxies to a port of this machine.
    pub fn before(port: u16) -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let orders: Arc<Mutex<Vec<Order>>> = Arc::default();
        let lies = orders.clone();
        std::thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let lies = lies.clone();
                std::thread::spawn(move || {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                        let _ = caller.set_nodelay(true);
                        let _ = server.set_nodelay(true);
                        while exchange(&caller, &server, &lies).is_some() {}
                    }
                });
            }
        });
        Liar { address, orders }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has it lie about the next answers, `times` at the most.
    pub fn tell(&self, lie: Lie, times: u64) -> Telling {
        let told: Arc<AtomicU64> = Arc::default();
        let order = Order { lie, left: times, told: told.clone() };
        self.orders.lock().expect("no panic inside").push(order);
        Telling { told, orders: self.orders.clone() }
    }
}

impl Telling {
    /// How often it was told so far.
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::SeqCst)
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let mut orders = self.orders.lock().expect("no panic inside");
        orders.retain(|order| !Arc::ptr_eq(&order.told, &self.told));
    }
}

/// The next lie to be told, if any is.
fn next(orders: &Mutex<Vec<Order>>) -> Option<(Lie, Arc<AtomicU64>)> {
    let mut orders = orders.lock().expect("no panic inside");
    let order = orders.iter_mut().find(|order| order.left > 0)?;
    order.left -= 1;
    Some((order.lie, order.told.clone()))
}

/// One exchange; nothing when the connection is over.
fn exchange(
    mut caller: &TcpStream,
    mut server: &TcpStream,
    orders: &Mutex<Vec<Order>>,
) -> Option<()> {
    server.write_all(&message(caller)?).ok()?;
    let answer = message(server)?;
    let Some((lie, told)) = next(orders) else {
        return caller.write_all(&answer).ok();
    };
    told.fetch_add(1, Ordering::SeqCst);
    match lie {
        Lie::Drip(pieces, pause) => {
            for piece in answer.chunks(answer.len().div_ceil(pieces.max(1))) {
                std::thread::sleep(pause);
                caller.write_all(piece).ok()?;
            }
            Some(())
        }
        Lie::Longer(by) => {
            caller.write_all(&promising(&answer, |length| length + by)).ok()?;
            let _ = caller.read_to_end(&mut Vec::new());
            None
        }
        Lie::Shorter(by) => {
            caller.write_all(&promising(&answer, |length| length.saturating_sub(by))).ok()
        }
    }
}

/// The answer with another length in its head.
fn promising(answer: &[u8], length: impl Fn(usize) -> usize) -> Vec<u8> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let (head, rest) = answer.split_at(end);
    let head = String::from_utf8_lossy(head);
    let lines = head.split("\r\n").map(|line| match line.split_once(':') {
        Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
            format!("{name}: {}", length(value.trim().parse().expect("a length")))
        }
        _ => line.to_owned(),
    });
    let head: Vec<String> = lines.collect();
    [head.join("\r\n").as_bytes(), rest].concat()
}
