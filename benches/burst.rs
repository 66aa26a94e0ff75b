//! 64 duplicates of one order at once, at a payment service that takes 20 ms over it.

use crate::BenchError;
use crate::upstream::{BODY_LENGTH, Upstream};
use crate::wire::{Wire, payment};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::Instant;

/// Copies of each order.
const COPIES: usize = 64;

/// Orders, one after another.
const ORDERS: u64 = 10;

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    /// Requests that reached upstream, per order; the most of any.
    pub(crate) most_hits: u64,
    /// Until the last copy was answered, ms; the slowest order's.
    pub(crate) slowest: f64,
}

/// Sends every order 64 times at once; all copies must get the same bytes.
pub(crate) fn burst(
    address: SocketAddr,
    run: &str,
    upstream: &Upstream,
) -> Result<Burst, BenchError> {
    let mut found = Burst { most_hits: 0, slowest: 0.0 };
    for order in 0..ORDERS {
        let request = payment("/slow/pay", &format!("{run:>6}-77-{order:010}"));
        let (before, begun) = (upstream.hits(), Instant::now());
        let barrier = Barrier::new(COPIES);
        let replies: Vec<_> = std::thread::scope(|scope| {
            let copy = || {
                let opened = Wire::open(address);
                barrier.wait();
                opened?.send(&request)
            };
            let copies: Vec<_> = (0..COPIES).map(|_| scope.spawn(copy)).collect();
            copies.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        for reply in replies {
            let reply = reply.map_err(|_| BenchError::Wrong("a caller broke down".into()))??;
            if reply.status != 200 || reply.body.len() != BODY_LENGTH {
                return Err(BenchError::Wrong(format!("a copy was answered {}", reply.status)));
            }
        }
        found.most_hits = found.most_hits.max(upstream.hits() - before);
        found.slowest = found.slowest.max(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(found)
}
