//! Connections that live on: whatever was answered leaves nothing behind on them.

use super::wire::{Wire, guarded};
use crate::support::client::Call;
use crate::support::redis::Redis;
use crate::support::upstream::Upstream;
use std::io::Read;

#[test]
fn a_replay_leaves_no_byte_of_its_request_behind() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream).start();
    let payment = Call::pay("k").bytes();
    let mut wire = Wire::open(onceward.address);
    wire.send(&[&payment, &payment, &payment, &Call::get("/open").bytes()[..]].concat());
    let replies = [(); 4].map(|()| wire.reply().expect("an answer"));
    let told = replies.map(|reply| (reply.status, reply.is_replay(), reply.text()));
    let first = r#"{"paid":true,"call":1}"#.to_owned();
    let passed = r#"{"paid":true,"call":2}"#.to_owned();
    assert_eq!(told[0], (200, false, first.clone()));
    assert_eq!(told[1], (200, true, first.clone()));
    assert_eq!(told[2], (200, true, first));
    assert_eq!(told[3], (200, false, passed));
}

#[test]
fn a_refusal_by_meaning_leaves_the_connection_in_order() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream).start();
    let other = Call::post("/pay").key("k").json(r#"{"amount":999}"#).bytes();
    let keyless = Call::post("/pay").json(r#"{"amount":100}"#).bytes();
    let mut wire = Wire::open(onceward.address);
    wire.send(&[&Call::pay("k").bytes(), &other, &keyless, &Call::pay("k").bytes()[..]].concat());
    let replies = [(); 4].map(|()| wire.reply().expect("an answer"));
    assert_eq!(replies.map(|reply| reply.status), [200, 422, 400, 200]);
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn who_hangs_up_in_the_middle_of_a_body_has_sent_nothing() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream).start();
    let chunked = Call::post("/pay").key("k").header("Transfer-Encoding", "chunked");
    let chunked = String::from_utf8(chunked.bytes()).expect("ASCII");
    let chunked = chunked.replace("Content-Length: 0\r\n", "") + "5\r\nab";
    let sized = Call::pay("k").bytes();
    for half in [&sized[..sized.len() - 3], chunked.as_bytes()] {
        let mut wire = Wire::open(onceward.address);
        wire.send(half);
        wire.finish();
        if let Some(reply) = wire.reply() {
            assert_eq!(reply.status, 400);
        }
        assert_eq!(wire.end(), Ok(()));
    }
    assert_eq!(upstream.calls(), 0);
    assert_eq!(Call::pay("k").send(onceward.address).status, 200);
}

/// The head of a payment larger than its route takes, waiting to be asked for its body or not.
fn large(length: usize, lines: &str) -> String {
    format!("POST /pay HTTP/1.1\r\nHost: pay.test\r\nContent-Length: {length}\r\n{lines}\r\n")
}

#[test]
fn who_is_refused_in_the_middle_of_a_body_gets_the_answer_all_the_same() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream).start();
    let length = 8 << 20;
    let mut wire = Wire::open(onceward.address);
    assert!(wire.send(large(length, "").as_bytes()));
    // A caller that reads only when it has written all: it must not run into a closed door.
    assert!(wire.send(&vec![b'x'; length]));
    assert_eq!(wire.reply().expect("an answer").status, 413);
    assert_eq!(wire.end(), Ok(()));
}

#[test]
fn a_body_that_is_too_large_is_not_asked_for() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream).start();
    let mut wire = Wire::open(onceward.address);
    assert!(wire.send(large(1 << 20, "Expect: 100-continue\r\n").as_bytes()));
    let mut text = String::new();
    wire.stream.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
}
