//! Large requests at once: as many as there is BODY_MEMORY for. What it has no room for is refused
//! before anything is claimed, and all of it is there again whatever became of those who had it.

use super::wire::Wire;
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, Sidecar, sidecar};
use crate::support::upstream::{Act, Gate, Upstream};

const KIB: usize = 1024;

/// The length of a large request here; twice it is all there is room for.
const LARGE: usize = 64 * KIB;

fn tight(redis: &Redis, upstream: &Upstream) -> Builder {
    // Nobody's time is to run out that a test keeps waiting.
    sidecar(redis, upstream).set("BODY_MEMORY", "128KiB").set("BODY_TIMEOUT", "10m")
}

fn head(key: &str, line: &str) -> String {
    format!("POST /pay HTTP/1.1\r\nHost: pay.test\r\nIdempotency-Key: {key}\r\n{line}\r\n")
}

fn large(key: &str) -> Call {
    Call::post("/pay").key(key).body(&[b'x'; LARGE])
}

/// A caller that announces a large body and sends but the first byte of it.
fn announced(onceward: &Sidecar, key: &str) -> Wire {
    let mut wire = Wire::open(onceward.address);
    let head = head(key, &format!("Content-Length: {LARGE}\r\n"));
    assert!(wire.send(format!("{head}x").as_bytes()));
    wire
}

/// A caller that sends as many chunks of 8 KiB, and leaves open whether more come.
fn in_chunks(onceward: &Sidecar, key: &str, chunks: usize) -> Wire {
    let mut wire = Wire::open(onceward.address);
    let chunk = format!("2000\r\n{}\r\n", "x".repeat(8 * KIB));
    assert!(wire.send(head(key, "Transfer-Encoding: chunked\r\n").as_bytes()));
    wire.send_behind(chunk.repeat(chunks).as_bytes());
    wire
}

/// Waits until requests hold so many bytes.
#[track_caller]
fn held(onceward: &Sidecar, bytes: usize) {
    onceward.counts("onceward_body_memory_bytes", bytes as f64);
}

#[track_caller]
fn refused(reply: &Reply) {
    let told = (reply.status, reply.problem(), reply.state().to_owned());
    assert_eq!(told, (503, "overloaded".into(), "unknown".into()));
    assert!(reply.header("retry-after").is_some());
}

fn records(redis: &Redis) -> usize {
    redis.command(&["KEYS", "onceward:*:order:*"]).lines().count()
}

#[test]
fn large_requests_beyond_body_memory_are_refused_and_nothing_is_claimed() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = tight(&redis, &upstream).start();
    let let_in = ["a", "b"].map(|key| announced(&onceward, key));
    held(&onceward, 2 * LARGE);
    let mut third = announced(&onceward, "c");
    refused(&third.reply().expect("an answer"));
    assert_eq!(third.end(), Ok(()));
    // In chunks the little that is not counted is read, and no more.
    refused(&in_chunks(&onceward, "d", 3).reply().expect("an answer"));
    held(&onceward, 2 * LARGE);
    assert_eq!((records(&redis), upstream.calls()), (0, 0));
    let overloaded = r#"onceward_requests_total{route="default",outcome="overloaded"}"#;
    onceward.counts(overloaded, 2.0);
    // A payment as it usually is needs none of it.
    assert_eq!(Call::pay("small").send(onceward.address).status, 200);

    for mut wire in let_in {
        assert!(wire.send(&[b'x'; LARGE - 1]));
        assert_eq!(wire.reply().expect("an answer").status, 200);
    }
    held(&onceward, 0);
    for key in ["c", "d"] {
        assert_eq!(large(key).send(onceward.address).status, 200);
    }
    assert_eq!((records(&redis), upstream.calls()), (5, 5));
    let lengths: Vec<_> = upstream.requests().iter().map(|request| request.body.len()).collect();
    assert_eq!(lengths.iter().filter(|length| **length == LARGE).count(), 4);
}

#[test]
fn body_memory_is_whole_again_whatever_became_of_a_request() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = tight(&redis, &upstream).set("MAX_REQUEST_BODY", "100KiB").start();
    let over = |onceward: &Sidecar, mut wire: Wire, status: u16| {
        assert_eq!(wire.reply().expect("an answer").status, status);
        held(onceward, 0);
    };
    // It left in the middle of its body.
    let wires = [announced(&onceward, "left"), in_chunks(&onceward, "left", 4)];
    held(&onceward, LARGE + 32 * KIB);
    drop(wires);
    held(&onceward, 0);
    // It took too long.
    let impatient = tight(&redis, &upstream).set("BODY_TIMEOUT", "1s").start();
    over(&impatient, announced(&impatient, "late"), 408);
    over(&impatient, in_chunks(&impatient, "late", 4), 408);
    // It was larger than the route takes, or no HTTP, in the end.
    over(&onceward, in_chunks(&onceward, "larger", 13), 413);
    let mut garbled = in_chunks(&onceward, "garbled", 4);
    held(&onceward, 32 * KIB);
    assert!(garbled.send(b"no chunk\r\n"));
    over(&onceward, garbled, 400);
    // It is no order's, another payload of one, a duplicate.
    assert_eq!(Call::post("/pay").body(&[b'x'; LARGE]).send(onceward.address).status, 200);
    assert_eq!(large("1").send(onceward.address).status, 200);
    assert!(large("1").send(onceward.address).is_replay());
    assert_eq!(large("1").body(&[b'y'; LARGE]).send(onceward.address).status, 422);
    held(&onceward, 0);
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn a_body_is_let_go_once_the_payment_service_has_it() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let behind = gate.clone();
    let upstream = Upstream::acting(move |_, _| Act::ok("paid").behind(&behind));
    let onceward = tight(&redis, &upstream).start();
    let in_hand: Vec<_> = (1..=5)
        .map(|nth| {
            let call = large(&nth.to_string()).spawn(onceward.address);
            upstream.heard(nth);
            held(&onceward, 0);
            call
        })
        .collect();
    gate.open();
    for call in in_hand {
        assert_eq!(call.join().expect("an answer").status, 200);
    }
}

#[test]
fn a_request_larger_than_body_memory_is_let_in_when_it_is_alone() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = tight(&redis, &upstream).start();
    let huge = Call::post("/pay").body(&[b'x'; 1000 * KIB]);
    let other = announced(&onceward, "other");
    held(&onceward, LARGE);
    refused(&huge.clone().key("1").send(onceward.address));
    drop(other);
    held(&onceward, 0);
    assert_eq!(huge.key("1").send(onceward.address).status, 200);
    assert_eq!(upstream.requests()[0].body.len(), 1000 * KIB);
}
