//! Callers who take for ever.

use super::wire::{Wire, guarded};
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::upstream::Upstream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two bytes of a slow caller: well within the time allowed.
const PAUSE: Duration = Duration::from_millis(50);

/// Sends `all` at once, then `drip` for as long as the connection lives. What came back, and how
/// often something reached the payment service.
fn drip(all: &str, drip: &str) -> (Option<Reply>, usize) {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward =
        guarded(&redis, &upstream).set("HEADER_TIMEOUT", "1s").set("BODY_TIMEOUT", "1s").start();
    let mut wire = Wire::open(onceward.address);
    assert!(wire.send(all.as_bytes()));
    let over = AtomicBool::new(false);
    let mut dripping = wire.stream.try_clone().expect("a socket");
    let reply = std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::io::Write;
            while !over.load(Ordering::SeqCst) && dripping.write_all(drip.as_bytes()).is_ok() {
                std::thread::sleep(PAUSE);
            }
        });
        let reply = wire.reply();
        let end = wire.end();
        over.store(true, Ordering::SeqCst);
        assert_eq!(end, Ok(()));
        reply
    });
    (reply, upstream.calls())
}

const PAY: &str = "POST /pay HTTP/1.1\r\nHost: pay.test\r\nIdempotency-Key: k\r\n";
const OPEN: &str = "POST /open HTTP/1.1\r\nHost: pay.test\r\n";

#[test]
fn a_slow_head_is_cut_off() {
    let (reply, calls) = drip("POST /pay HTTP/1.1\r\nHost: pay.test\r\nX: ", "y");
    assert!(reply.is_none_or(|reply| reply.status == 408));
    assert_eq!(calls, 0);
}

#[test]
fn silence_is_cut_off() {
    let (reply, calls) = drip("", "");
    assert!(reply.is_none_or(|reply| reply.status == 408));
    assert_eq!(calls, 0);
}

#[test]
fn a_slow_protected_body_is_given_up() {
    for (lines, piece) in
        [("Content-Length: 1000\r\n", "x"), ("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n")]
    {
        let (reply, calls) = drip(&format!("{PAY}{lines}\r\n"), piece);
        let reply = reply.expect("an answer");
        assert_eq!((reply.status, &*reply.problem()), (408, "request-timeout"));
        assert_eq!(calls, 0);
    }
}

#[test]
fn an_open_body_that_stops_is_given_up() {
    for lines in ["Content-Length: 1000\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"] {
        let (reply, calls) = drip(&format!("{OPEN}{lines}"), "");
        let reply = reply.expect("an answer");
        assert_eq!((reply.status, &*reply.problem()), (408, "request-timeout"));
        assert_eq!(calls, 0, "never heard to its end");
    }
}

#[test]
fn slow_callers_do_not_stop_the_others() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream).set("MAX_IN_FLIGHT", "8").start();
    let begun = |lines: &str| {
        let mut wire = Wire::open(onceward.address);
        assert!(wire.send(format!("{PAY}{lines}").as_bytes()));
        wire
    };
    let _half_heads: Vec<_> = (0..300).map(|_| begun("X: y")).collect();
    for key in 0..20 {
        let reply = Call::pay(&format!("k{key}")).send(onceward.address);
        assert_eq!((reply.status, reply.state()), (200, "succeeded"));
    }
}

/// One payment on a connection of a sidecar with these timeouts.
fn paid(header_timeout: &str, idle_timeout: &str, then: impl FnOnce(&mut Wire)) {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream)
        .set("HEADER_TIMEOUT", header_timeout)
        .set("IDLE_TIMEOUT", idle_timeout)
        .start();
    let mut wire = Wire::open(onceward.address);
    assert!(pay(&mut wire));
    then(&mut wire);
}

/// Whether it is answered.
fn pay(wire: &mut Wire) -> bool {
    let sent = wire.send(format!("{PAY}Content-Length: 0\r\n\r\n").as_bytes());
    sent && wire.reply().is_some_and(|reply| reply.status == 200)
}

#[test]
fn a_connection_may_idle_for_longer_than_a_head_may_take() {
    paid("500ms", "600s", |wire| {
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(1500));
            assert!(pay(wire), "closed while it idled");
        }
    });
}

#[test]
fn a_connection_does_not_idle_for_ever() {
    paid("600s", "500ms", |wire| assert_eq!(wire.end(), Ok(())));
}

#[test]
fn a_slow_head_is_cut_off_on_a_connection_that_idled() {
    paid("500ms", "600s", |wire| {
        assert!(wire.send(b"POST /pay HTTP/1.1\r\nHost: "));
        assert!(wire.reply().is_none_or(|reply| reply.status == 408));
        assert_eq!(wire.end(), Ok(()));
    });
}
