//! `make instructions`: what a request costs in instructions, whatever mood the machine is in.
//!
//! One data thread under callgrind, one caller, one request after another. What starting costs falls
//! out: a long run less a short one, by the difference in requests. The thread of the workers, which
//! go by the clock, is left out too. A count that rises by more than [`ALLOWED`] fails.

use crate::contender::{Place, Sidecar};
use crate::process::Process;
use crate::redis::Redis;
use crate::upstream::Upstream;
use crate::wire::{Wire, payment};
use crate::{BenchError, free_port, until};
use serde_json::{Map, Value};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// How much a count may rise.
const ALLOWED: f64 = 1.05;

/// Requests of the short run and of the long one.
const SHORT: u64 = 200;
const LONG: u64 = 800;

/// A hot path: its name, LOCAL_CACHE, and the request of a number.
struct HotPath {
    name: &'static str,
    cache: &'static str,
    request: fn(u64) -> Vec<u8>,
}

const PATHS: [HotPath; 4] = [
    HotPath {
        name: "first",
        cache: "8MiB",
        request: |n| payment("/order/pay", &format!("{n:020}")),
    },
    HotPath { name: "duplicate, from Redis", cache: "0", request: |_| the_same() },
    HotPath { name: "duplicate, from memory", cache: "8MiB", request: |_| the_same() },
    HotPath { name: "not protected", cache: "8MiB", request: |_| plain() },
];

fn the_same() -> Vec<u8> {
    payment("/order/pay", "the-same-order-again")
}

fn plain() -> Vec<u8> {
    b"GET /order/get_result?orderId=1 HTTP/1.1\r\nHost: pay.example\r\nUser-Agent: bench\r\n\
      Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n\r\n"
        .to_vec()
}

/// Counts every hot path and holds it to what is on record; `accept` records what was counted.
///
/// # Errors
/// When one rose too much, or cannot be counted.
pub(crate) fn instructions(sidecar: &Sidecar, accept: bool) -> Result<(), BenchError> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.json");
    let known: Map<String, Value> = match fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).map_err(std::io::Error::other)?,
        Err(_) => Map::new(),
    };
    let folder = tempfile::tempdir()?;
    let upstream = Upstream::start()?;
    let mut redis = Redis::start(folder.path())?;
    let (mut counted, mut risen) = (Map::new(), Vec::new());
    for path in &PATHS {
        let mut run = |requests| {
            redis.clear()?;
            let place =
                Place { folder: folder.path(), upstream: &upstream, redis: &redis, sidecar };
            count(path, requests, &place)
        };
        let (short, long) = (run(SHORT)?, run(LONG)?);
        let each = long.saturating_sub(short) / (LONG - SHORT);
        let before = known.get(path.name).and_then(Value::as_u64);
        let change = before.map_or(1.0, |before| each as f64 / before as f64);
        println!("{:<24} {each:>9} a request  {:+.1} %", path.name, (change - 1.0) * 100.0);
        if change > ALLOWED {
            risen.push(path.name);
        }
        counted.insert(path.name.to_owned(), each.into());
    }
    if accept {
        let text = serde_json::to_string_pretty(&counted).map_err(std::io::Error::other)?;
        return Ok(fs::write(file, text + "\n")?);
    }
    match risen.is_empty() {
        true => Ok(()),
        false => Err(BenchError::Wrong(format!(
            "more than {:.0} % more instructions: {}. Where that is worth it: make instructions \
             ACCEPT=--accept",
            (ALLOWED - 1.0) * 100.0,
            risen.join("; ")
        ))),
    }
}

/// Instructions of one data thread that answered so many requests.
fn count(path: &HotPath, requests: u64, place: &Place<'_>) -> Result<u64, BenchError> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let out = place.folder.join(format!("{requests}"));
    let mut command = Command::new("taskset");
    command
        .args(["--cpu-list", "0", "valgrind", "--quiet", "--tool=callgrind"])
        .arg("--separate-threads=yes")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(&place.sidecar.binary)
        .env("ONCEWARD_LISTEN", address.to_string())
        .env("ONCEWARD_ADMIN_LISTEN", format!("127.0.0.1:{}", free_port()?))
        .env("ONCEWARD_UPSTREAM", format!("http://{}", place.upstream.address))
        .env("ONCEWARD_REDIS_URL", place.redis.url())
        // Everything takes fifty times as long.
        .env("ONCEWARD_REDIS_TIMEOUT", "20s")
        .env("ONCEWARD_LOCAL_CACHE", path.cache);
    let mut process = Process::start(&mut command)?;
    let mut wire = until("the sidecar answers under valgrind", || match process.runs() {
        true => Wire::open(address).ok(),
        false => None,
    })?;
    for number in 0..requests {
        let reply = wire.send(&(path.request)(number))?;
        if reply.status != 200 {
            return Err(BenchError::Wrong(format!("{}: answered {}", path.name, reply.status)));
        }
    }
    drop(wire);
    drop(process);
    busiest(place.folder, &format!("{requests}-"))
}

/// The count of the busiest thread, each of which left a file whose name begins like that. Takes
/// the files away.
fn busiest(folder: &Path, head: &str) -> Result<u64, BenchError> {
    let mut most = None;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(head) {
            continue;
        }
        let text = fs::read_to_string(entry.path())?;
        fs::remove_file(entry.path())?;
        let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
        most = most.max(totals.and_then(|count| count.trim().parse::<u64>().ok()));
    }
    most.ok_or_else(|| BenchError::Wrong("callgrind left no count".into()))
}
