//! Callers that pay order after order, each asking again until it is paid, and the ledger.

use crate::support::client::Call;
use crate::support::sidecar::Sidecar;
use crate::support::upstream::Upstream;
use onceward::model::identity::{Order, Partition};
use onceward::model::key::Key;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

const CALLERS: usize = 6;

/// Before a caller asks again.
const PAUSE: Duration = Duration::from_millis(20);

/// One order that was paid.
pub struct Paid {
    pub key: String,
    /// When its caller was told.
    pub told: Instant,
}

/// Callers at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    paid: Arc<AtomicUsize>,
    callers: Vec<JoinHandle<Vec<Paid>>>,
}

impl Load {
    /// Begins to pay through those sidecars in turn.
    pub fn begin(name: &str, sidecars: &[&Sidecar]) -> Load {
        let (stop, paid) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let addresses: Vec<SocketAddr> = sidecars.iter().map(|one| one.address).collect();
        let callers = (0..CALLERS).map(|caller| {
            let (stop, paid, addresses) = (stop.clone(), paid.clone(), addresses.clone());
            let name = format!("{name}-{caller}");
            std::thread::spawn(move || pay(&name, &addresses, &stop, &paid))
        });
        Load { stop: stop.clone(), callers: callers.collect(), paid: paid.clone() }
    }

    /// How many orders were paid so far.
    pub fn paid(&self) -> usize {
        self.paid.load(Ordering::SeqCst)
    }

    /// Lets every caller end with the order it has in hand.
    pub fn end(self) -> Vec<Paid> {
        self.stop.store(true, Ordering::SeqCst);
        let paid = self.callers.into_iter().flat_map(|one| one.join().expect("no panic inside"));
        paid.collect()
    }
}

fn pay(name: &str, to: &[SocketAddr], stop: &AtomicBool, count: &AtomicUsize) -> Vec<Paid> {
    let mut paid = Vec::new();
    for n in 0.. {
        let key = format!("{name}-{n}");
        let mut tries = n;
        loop {
            tries += 1;
            let reply = Call::pay(&key).try_send(to[tries % to.len()]);
            match reply.map(|reply| (reply.status, reply.problem())) {
                Some((200, _)) => {
                    paid.push(Paid { key, told: Instant::now() });
                    count.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                // What was sent and then lost its record or its lease is not asked for again here.
                Some((409, problem)) if problem == "outcome-unknown" => break,
                _ if stop.load(Ordering::SeqCst) && tries > n + 200 => break,
                _ => sleep(PAUSE),
            }
        }
        if stop.load(Ordering::SeqCst) {
            break;
        }
    }
    paid
}

/// How often each order reached the payment service.
pub fn ledger(upstream: &Upstream) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for request in upstream.requests() {
        let key = request.header("idempotency-key").expect("its key").to_owned();
        *calls.entry(key).or_insert(0) += 1;
    }
    calls
}

#[track_caller]
pub fn check_once(upstream: &Upstream) {
    let twice: Vec<_> = ledger(upstream).into_iter().filter(|(_, calls)| *calls > 1).collect();
    assert!(twice.is_empty(), "sent more than once: {twice:?}");
}

/// The partition an order of the default route is in.
pub fn partition(key: &str) -> Partition {
    partition_of("default", key)
}

/// The partition an order of that route is in.
pub fn partition_of(route: &str, key: &str) -> Partition {
    Order::new(route.into(), "", Key::from_text(key).expect("a key")).partition
}
