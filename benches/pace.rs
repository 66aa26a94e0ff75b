//! Load at a fixed rate: what a caller waits when the machine is not full.
//!
//! Every request has a time at which it is to be sent, whatever became of those before it; where a
//! late answer makes it late, its latency counts from when it was due (wrk alone would leave such
//! waits out: coordinated omission).

use crate::BenchError;
use crate::wire::{Wire, payment};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Connections the requests take turns on: each may be busy for 32 ms before it delays its next.
const CONNECTIONS: u32 = 32;

/// Requests a second.
const RATE: u32 = 1000;

/// Latencies, in us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    /// Median.
    pub(crate) p50: f64,
    /// 99th percentile.
    pub(crate) p99: f64,
}

/// First requests of new orders, 1,000 a second for so many seconds.
pub(crate) fn pace(address: SocketAddr, run: &str, seconds: u32) -> Result<Latency, BenchError> {
    let barrier = &Barrier::new(CONNECTIONS as usize);
    let mut waits = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CONNECTIONS)
            .map(|caller| scope.spawn(move || turns(address, run, seconds, caller, barrier)))
            .collect();
        let mut waits = Vec::new();
        for caller in callers {
            match caller.join() {
                Ok(turns) => waits.extend(turns?),
                Err(_) => return Err(BenchError::Wrong("a caller broke down".into())),
            }
        }
        Ok(waits)
    })?;
    waits.sort_unstable();
    let at = |share: f64| {
        let index = (waits.len() as f64 * share) as usize;
        waits.get(index).map_or(0.0, |wait| wait.as_secs_f64() * 1e6)
    };
    Ok(Latency { p50: at(0.5), p99: at(0.99) })
}

/// What one caller waited, request by request.
fn turns(
    address: SocketAddr,
    run: &str,
    seconds: u32,
    caller: u32,
    barrier: &Barrier,
) -> Result<Vec<Duration>, BenchError> {
    let opened = Wire::open(address);
    barrier.wait();
    let mut wire = opened?;
    let begun = Instant::now();
    let mut waits = Vec::new();
    for turn in 0..seconds * RATE / CONNECTIONS {
        let due = begun + Duration::from_secs(1) * (turn * CONNECTIONS + caller) / RATE;
        let request = payment("/order/pay", &format!("{run:>6}-{caller:02}-{turn:010}"));
        let early = due.checked_duration_since(Instant::now());
        if let Some(early) = early {
            std::thread::sleep(early);
        }
        // Who was free in time begins to wait when it wakes: the sleep's own lateness is ours.
        let since = if early.is_some() { Instant::now() } else { due };
        let reply = wire.send(&request)?;
        waits.push(since.elapsed());
        if reply.status != 200 {
            return Err(BenchError::Wrong(format!("paced: answered {}", reply.status)));
        }
    }
    Ok(waits)
}
