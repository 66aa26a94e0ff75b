//! Load as heavy as the machine can take: wrk, 64 connections.

use crate::BenchError;
use crate::wire::{Wire, payment};
use std::net::SocketAddr;
use std::process::Command;

/// Connections that send one request after another.
pub(crate) const CONNECTIONS: usize = 64;

/// Orders that are finished before a run of duplicates begins.
pub(crate) const FINISHED: usize = 1000;

/// What wrk saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Requests answered.
    pub(crate) requests: f64,
    /// Seconds it took.
    pub(crate) seconds: f64,
    /// Median latency, us.
    pub(crate) p50: f64,
    /// 99th percentile, us.
    pub(crate) p99: f64,
}

/// Sends requests of one kind for so many seconds; `run` makes its order numbers new.
pub(crate) fn load(
    address: SocketAddr,
    kind: &str,
    run: &str,
    seconds: u32,
) -> Result<Load, BenchError> {
    load_over(CONNECTIONS, address, kind, run, seconds)
}

/// Likewise, over so many connections.
pub(crate) fn load_over(
    connections: usize,
    address: SocketAddr,
    kind: &str,
    run: &str,
    seconds: u32,
) -> Result<Load, BenchError> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/wrk/order.lua");
    let output = Command::new("wrk")
        .args(["--threads", "2", "--connections", &connections.to_string(), "--latency"])
        .args(["--duration", &format!("{seconds}s"), "--timeout", "20s", "--script", script])
        .arg(format!("http://{address}"))
        .args(["--", kind, run, &FINISHED.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if let Some(wrong) = text.lines().find(|line| wrong(line)) {
        return Err(BenchError::Wrong(format!("{kind}: {}", wrong.trim())));
    }
    read(&text).ok_or_else(|| {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        BenchError::Wrong(format!("wrk said nothing to go by: {text}{why}"))
    })
}

/// Answers that were no success must not be measured.
fn wrong(line: &str) -> bool {
    line.contains("Non-2xx") || line.contains("Socket errors")
}

fn read(text: &str) -> Option<Load> {
    let after = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name))?;
        time(line.split_whitespace().next()?)
    };
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    let (requests, rest) = line.trim().split_once(" requests in ")?;
    let seconds = time(rest.split(',').next()?)? / 1e6;
    Some(Load { requests: requests.parse().ok()?, seconds, p50: after("50%")?, p99: after("99%")? })
}

/// A time as wrk writes it, in us.
fn time(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 6e7,
        _ => return None,
    };
    digits.parse::<f64>().ok().map(|number| number * unit)
}

/// Pays the orders that a run of duplicates sends again.
pub(crate) fn prime(address: SocketAddr, run: &str) -> Result<(), BenchError> {
    let mut wire = Wire::open(address)?;
    for number in 0..FINISHED {
        let key = format!("{run:>6}-99-{number:010}");
        let reply = wire.send(&payment("/order/pay", &key))?;
        if reply.status != 200 {
            return Err(BenchError::Wrong(format!("priming was answered {}", reply.status)));
        }
    }
    Ok(())
}
