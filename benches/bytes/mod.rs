//! `make bytes`: what the records of an order take in a real Redis, and what that comes to for so
//! many orders a day. Redis' own tables, indexes and queues are part of it: it is what its
//! `used_memory` grows by, over thousands of orders of a kind.

mod kinds;

use crate::redis::Redis;
use crate::{BenchError, table};
use kinds::{KINDS, Kind, Writer};
use onceward::config::vars::var;
use std::fmt::Write;
use std::path::Path;

/// Orders of each kind. Redis doubles its tables as they fill up, so that a record's share of them
/// is a few bytes more or less at other numbers.
const ORDERS: u64 = 20_000;

/// Orders a day in the second table.
const A_DAY: [(&str, f64); 4] =
    [("10,000", 1e4), ("1 million", 1e6), ("10 million", 1e7), ("100 million", 1e8)];

const GIB: f64 = (1024_u64 * 1024 * 1024) as f64;
const DAY: f64 = 24.0 * 3600.0;

/// Measures every kind and tells; when asked to `write`, in the README as well.
pub(crate) fn bytes(write: bool) -> Result<(), BenchError> {
    let folder = tempfile::tempdir()?;
    let mut redis = Redis::start(folder.path())?;
    let mut measured = Vec::new();
    for kind in KINDS {
        let bytes = measure(&mut redis, kind)?;
        eprintln!("{:<50} {bytes:.0} bytes", kind.what);
        measured.push((kind, bytes));
    }
    let text = markdown(&measured)?;
    println!("{text}");
    match write {
        true => {
            table::put(&Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"), "bytes", &text)
        }
        false => Ok(()),
    }
}

/// What one order of that kind takes.
fn measure(redis: &mut Redis, kind: &Kind) -> Result<f64, BenchError> {
    let writer = Writer::on(&redis.url())?;
    redis.clear()?;
    // What is there once and for all, scripts and connections, is no order's.
    writer.write(kind, 0..200)?;
    redis.clear()?;
    let before = redis.memory()?;
    writer.write(kind, 0..ORDERS)?;
    Ok((redis.memory()? as f64 - before as f64) / ORDERS as f64)
}

fn markdown(measured: &[(&Kind, f64)]) -> Result<String, BenchError> {
    // Writing to a String cannot fail.
    let mut text = String::from("| what Redis keeps | until | bytes |\n|---|---|---|\n");
    for (kind, bytes) in measured {
        let until = match (kind.ttl, kind.name) {
            (Some(ttl), _) => format!("{ttl}, {}", var(ttl).default),
            (None, Ok(until) | Err(until)) => until.to_owned(),
        };
        let _ = writeln!(text, "| {} | {until} | {bytes:.0} |", kind.what);
    }
    let mut columns = Vec::new();
    for (kind, bytes) in measured {
        if let (Some(ttl), Ok(name)) = (kind.ttl, kind.name) {
            let kept = humantime::parse_duration(var(ttl).default);
            let days =
                kept.map_err(|error| BenchError::Wrong(error.to_string()))?.as_secs_f64() / DAY;
            columns.push((format!("{name}, {}", var(ttl).default), days * bytes));
        }
    }
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let _ =
        writeln!(text, "\n| a day | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    for (name, orders) in A_DAY {
        let cells: Vec<String> = columns.iter().map(|(_, bytes)| gib(orders * bytes)).collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    Ok(text)
}

/// Two digits that count.
fn gib(bytes: f64) -> String {
    let gib = bytes / GIB;
    match gib {
        _ if gib < 0.0995 => format!("{gib:.3} GiB"),
        _ if gib < 0.995 => format!("{gib:.2} GiB"),
        _ if gib < 9.95 => format!("{gib:.1} GiB"),
        _ => format!("{gib:.0} GiB"),
    }
}
