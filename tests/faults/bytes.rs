//! The exchange with the payment service cut at every byte: what was sent at all is never sent
//! again, and every duplicate is told the truth.

use super::playing;
use crate::support::client::{Call, Reply};
use crate::support::cutter::{Cut, Cutter};
use crate::support::redis::Redis;
use crate::support::toxic::{End, Way};
use crate::support::upstream::{Act, Upstream};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Callers at once.
const CALLERS: usize = 24;

/// Bytes of the answer's body, so that there are some 4,000 cuts in all.
const BODY: usize = 950;

/// An order is named by where its exchange is cut: `b-b-0017-x` at byte 17 on the way back, by reset.
fn cut_of(key: &str) -> Option<Cut> {
    let mut words = key.split('-').skip(1);
    let way = if words.next()? == "t" { Way::There } else { Way::Back };
    let at = words.next()?.parse().ok()?;
    let end = if words.next()? == "x" { End::Reset } else { End::Close };
    Some((way, at, end))
}

fn key_in(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    let line = text.lines().find_map(|line| line.strip_prefix("idempotency-key: "));
    line.expect("a key on every protected request").to_owned()
}

fn pay(key: &str) -> Call {
    // Padding of the head and of the body, so that both have bytes to be cut at.
    let body = format!(r#"{{"amount":100,"memo":"{}"}}"#, "m".repeat(400));
    Call::post("/pay").key(key).header("X-Padding", &"p".repeat(300)).json(&body)
}

/// What an order came to, for whoever reads a failure.
fn story(key: &str, replies: &[Reply], effects: usize) -> String {
    let told: Vec<_> =
        replies.iter().map(|reply| (reply.status, reply.problem(), reply.state())).collect();
    format!("{key}: {effects} effects, told {told:?}")
}

#[test]
fn cut_at_every_byte_of_request_and_answer_no_order_is_paid_twice() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, request| {
        let key = request.header("idempotency-key").unwrap_or_default();
        Act::ok(&format!("{key:<BODY$}"))
    });
    let plan = |request: &[u8]| cut_of(&key_in(request));
    let cutter = Cutter::before(upstream.address.port(), plan);
    let onceward = playing(&redis, &upstream).set("UPSTREAM", &cutter.url()).start();

    // How long a request and an answer are, seen by the service itself: nothing is cut here.
    let whole = pay("b-t-9999-x").send(onceward.address);
    assert_eq!(whole.status, 200);
    let seen = upstream.requests().remove(0);
    let head: usize = seen.headers.iter().map(|(n, v)| n.len() + v.len() + 4).sum();
    let request = "POST /pay HTTP/1.1\r\n\r\n".len() + head + seen.body.len();
    let answer =
        "HTTP/1.1 200 Whatever\r\nContent-Length: 950\r\nContent-Type: application/json\r\n\r\n";
    let answer = answer.len() + BODY;

    let offsets = |way: &'static str, end: usize| {
        (0..end).flat_map(move |at| ["x", "c"].map(|how| (way, at, how)))
    };
    // Past the end of each nothing is cut: connections are used again in between.
    let orders: Vec<String> = offsets("t", request + 8)
        .chain(offsets("b", answer + 8))
        .map(|(way, at, how)| format!("b-{way}-{at:04}-{how}"))
        .collect();
    let (next, told) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while let Some(key) = orders.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let replies = [(); 2].map(|()| pay(key).send(onceward.address));
                    told.lock().unwrap().insert(key.clone(), replies);
                }
            });
        }
    });

    let mut effects: BTreeMap<String, usize> = BTreeMap::new();
    for request in upstream.requests() {
        *effects.entry(request.header("idempotency-key").unwrap().to_owned()).or_default() += 1;
    }
    let mut wrong = Vec::new();
    for (key, [first, again]) in told.into_inner().unwrap() {
        let effects = effects.get(&key).copied().unwrap_or_default();
        let (way, at, _) = cut_of(&key).unwrap();
        let (arrived, answered) = match way {
            Way::There => (at >= request, at >= request),
            Way::Back => (true, at >= answer),
        };
        let right = if answered {
            let replayed = again.is_replay() && again.body == first.body;
            first.status == 200 && first.state() == "succeeded" && replayed
        } else {
            let unknown = |reply: &Reply| reply.state() == "unknown";
            (first.status, first.problem().as_str()) == (502, "upstream-broken")
                && (again.status, again.problem().as_str()) == (409, "outcome-unknown")
                && unknown(&first)
                && unknown(&again)
        };
        if !right || effects != usize::from(arrived) {
            wrong.push(story(&key, &[first, again], effects));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}: {:#?}",
        wrong.len(),
        orders.len(),
        &wrong[..wrong.len().min(20)]
    );
    println!("{} cuts over {request} bytes there and {answer} back", orders.len());
}
