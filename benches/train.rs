//! `make profile`: what a sidecar that counts what it does is made to do, so that the release binary
//! can be built by its counts.
//!
//! Every workload of the bench once, and then what real traffic has beside them: orders with tokens,
//! orders that are queued and asked for, Redis over TLS. What is not done here is built as if there
//! were no counts.

use crate::contender::{Contender, Kind, Sidecar, Variables};
use crate::load::load;
use crate::redis::Redis;
use crate::upstream::Upstream;
use crate::wire::{Reply, Wire, payment, payment_with};
use crate::workload::{self, Bench};
use crate::{BenchError, Length, free_port};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Each is done once, for so many seconds: as long as the others, so that none outweighs them.
const LENGTH: Length = Length { repeats: 1, seconds: 2 };

/// Callers of those that wrk has no words for.
const CALLERS: usize = 16;

/// A route as a payment service has one: its key stands in the body.
const ROUTES: &str = r#"[{"name": "pay", "path": "/order/pay", "key": ["json:/orderId"],
    "key_required": true, "token": "optional", "mode": "either"}]"#;

/// What one caller does with an order of that number.
type Turn = fn(&mut Wire, &str) -> Result<(), BenchError>;

/// Has every workload done by `sidecar`, an instrumented one, whose counts come to the folder `counts`.
///
/// # Errors
/// When one could not be done, or left no counts.
pub(crate) fn train(mut sidecar: Sidecar, counts: &Path) -> Result<(), BenchError> {
    fs::create_dir_all(counts)?;
    let file = counts.join("%p.profraw");
    // One that counts is slow, and what a timeout leads to is not what is to be quick.
    sidecar.variables = vec![
        ("LLVM_PROFILE_FILE", file.display().to_string()),
        ("ONCEWARD_REDIS_TIMEOUT", "20s".into()),
    ];
    let folder = tempfile::tempdir()?;
    let upstream = Upstream::start()?;
    let (mut redis, secured) = secured(folder.path())?;
    let mut bench = Bench {
        folder: folder.path(),
        upstream: &upstream,
        redis: &mut redis,
        sidecar: &sidecar,
        length: LENGTH,
    };
    for workload in workload::ALL {
        for kind in workload.contenders.iter().filter(|kind| kind.is_ours()) {
            counted(counts, &format!("{}, {}", workload.name, kind.name()), || {
                bench.measure(*kind, workload).map(drop)
            })?;
        }
    }
    let on_routes = sidecar.with(vec![("ONCEWARD_ROUTES", ROUTES.into())]);
    bench.sidecar = &on_routes;
    for (name, turn) in [("with a token", with_a_token as Turn), ("queued", queued)] {
        counted(counts, name, || {
            bench.redis.clear()?;
            let contender = Contender::start(Kind::Onceward, &bench.place())?;
            callers(contender.address, turn)
        })?;
    }
    let by_tls = sidecar.with(secured);
    bench.sidecar = &by_tls;
    counted(counts, "Redis over TLS", || {
        bench.redis.clear()?;
        let contender = Contender::start(Kind::OncewardThroughRedis, &bench.place())?;
        load(contender.address, "mixed", "run", LENGTH.seconds).map(drop)
    })
}

/// Does it, and sees that the sidecar that was started for it left its counts. On a machine that is
/// busy elsewhere it may fail: one more chance.
fn counted(
    counts: &Path,
    name: &str,
    mut work: impl FnMut() -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    eprintln!("train: {name}");
    let before = files(counts)?;
    work().or_else(|_| work())?;
    match files(counts)? > before {
        true => Ok(()),
        false => Err(BenchError::Wrong(format!(
            "{name}: the sidecar left no counts; is it one of scripts/release --instrumented?"
        ))),
    }
}

/// Files that sidecars left when they ended.
fn files(counts: &Path) -> Result<usize, BenchError> {
    Ok(fs::read_dir(counts)?.count())
}

/// A Redis that may also be spoken to by TLS, and the variables by which a sidecar does.
fn secured(folder: &Path) -> Result<(Redis, Variables), BenchError> {
    let host = "127.0.0.1";
    let signed = rcgen::generate_simple_self_signed([host.to_owned()]);
    let signed = signed.map_err(std::io::Error::other)?;
    let (certificate, key) = (folder.join("redis.pem"), folder.join("redis.key"));
    fs::write(&certificate, signed.cert.pem())?;
    fs::write(&key, signed.signing_key.serialize_pem())?;
    let (port, certificate) = (free_port()?.to_string(), certificate.display().to_string());
    let redis = Redis::start_with(
        folder,
        &[
            ["--tls-port", &port],
            ["--tls-cert-file", &certificate],
            ["--tls-key-file", &key.display().to_string()],
            ["--tls-ca-cert-file", &certificate],
            ["--tls-auth-clients", "no"],
        ]
        .concat(),
    )?;
    let url = format!("rediss://{host}:{port}");
    Ok((redis, vec![("ONCEWARD_REDIS_URL", url), ("ONCEWARD_REDIS_CA_FILE", certificate)]))
}

/// Callers that take one order after the other, side by side.
fn callers(address: SocketAddr, turn: Turn) -> Result<(), BenchError> {
    let until = Instant::now() + Duration::from_secs(LENGTH.seconds.into());
    let caller = |caller: usize| {
        let mut wire = Wire::open(address)?;
        for number in 0_u64.. {
            if Instant::now() >= until {
                break;
            }
            turn(&mut wire, &format!("order-{caller:02}-{number:010}"))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> =
            (0..CALLERS).map(|number| scope.spawn(move || caller(number))).collect();
        callers.into_iter().try_for_each(|caller| {
            caller.join().map_err(|_| BenchError::Wrong("a caller broke down".into()))?
        })
    })
}

/// Fetches a token for an order, pays with it, and sends the payment again.
fn with_a_token(wire: &mut Wire, key: &str) -> Result<(), BenchError> {
    let wish = format!(r#"{{"route": "pay", "key": "{key}"}}"#);
    let issued = asked(wire, &called("POST", "/_onceward/tokens", "", &wish), 201)?;
    let issued: Value = serde_json::from_slice(&issued.body).map_err(std::io::Error::other)?;
    let token = issued["token"].as_str().unwrap_or_default();
    let payment = payment_with("/order/pay", key, &format!("Payment-Token: {token}\r\n"));
    asked(wire, &payment, 200)?;
    asked(wire, &payment, 200).map(drop)
}

/// Has an order accepted, waits for its end, and sends it again.
fn queued(wire: &mut Wire, key: &str) -> Result<(), BenchError> {
    asked(wire, &payment_with("/order/pay", key, "Prefer: respond-async\r\n"), 202)?;
    let document = format!("/_onceward/orders/pay/{key}");
    asked(wire, &called("GET", &document, "Prefer: wait=10\r\n", ""), 200)?;
    asked(wire, &payment("/order/pay", key), 200).map(drop)
}

/// A request of the caller that pays.
fn called(method: &str, path: &str, lines: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: pay.example\r\nUser-Agent: bench\r\n\
         Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n{lines}\r\n{body}"
    )
    .into_bytes()
}

/// Sends a request that is to be answered so.
fn asked(wire: &mut Wire, request: &[u8], status: u16) -> Result<Reply, BenchError> {
    let reply = wire.send(request)?;
    if reply.status == status {
        return Ok(reply);
    }
    let said = String::from_utf8_lossy(&reply.body).into_owned();
    Err(BenchError::Wrong(format!("answered {} instead of {status}: {said}", reply.status)))
}
