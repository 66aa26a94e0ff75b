//! The main job, and the hard bits of it: each order once, every duplicate the first answer.

use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Sidecar, sidecar};
use crate::support::toxic::{Harm, Toxic};
use crate::support::upstream::{Act, Gate, Upstream};
use crate::support::{Refusing, until};
use std::collections::HashSet;
use std::time::Duration;

/// The number of connections Redis serves at the moment.
fn connections(redis: &Redis) -> usize {
    redis.command(&["CLIENT", "LIST"]).lines().filter(|line| !line.is_empty()).count()
}

fn check_refused(reply: &Reply, status: u16, problem: &str, state: &str) {
    let got = (reply.status, reply.problem(), reply.state().to_owned());
    assert_eq!(got, (status, problem.into(), state.into()), "{}", reply.text());
}

/// Has every script loaded, so that the next command is the one that counts.
fn warm(onceward: &Sidecar) {
    assert_eq!(Call::pay("warm").send(onceward.address).status, 200);
}

/// Asks until the order stands in that state.
fn until_state(onceward: &Sidecar, key: &str, state: &str) -> Reply {
    let mut reply = None;
    until(&format!("order {key} is {state}"), || {
        let answer = Call::pay(key).send(onceward.address);
        let there = answer.state() == state;
        reply = Some(answer);
        there
    });
    reply.unwrap()
}

#[test]
fn a_duplicate_of_a_finished_order_gets_the_same_bytes() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();

    let first = Call::pay("2024-0001").send(onceward.address);
    assert_eq!((first.status, first.state(), first.is_replay()), (200, "succeeded", false));
    assert_eq!(first.text(), r#"{"paid":true,"call":1}"#);

    let again = Call::pay("2024-0001").send(onceward.address);
    assert_eq!((again.status, again.state(), again.is_replay()), (200, "succeeded", true));
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("content-type"), first.header("content-type"));
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn sixty_four_duplicates_at_once_over_two_sidecars_reach_upstream_once() {
    let gate = Gate::default();
    let held = gate.clone();
    let redis = Redis::start();
    let upstream = Upstream::acting(move |call, _| Act::ok(&format!("call {call}")).behind(&held));
    let (a, b) = (sidecar(&redis, &upstream).start(), sidecar(&redis, &upstream).start());
    let duplicates: Vec<_> = (0..64)
        .map(|n| Call::pay("64").spawn(if n % 2 == 0 { a.address } else { b.address }))
        .collect();
    upstream.heard(1);
    until("63 duplicates wait", || {
        a.metric("onceward_waiters") + b.metric("onceward_waiters") == 63.0
    });
    gate.open();
    let replies: Vec<_> = duplicates.into_iter().map(|d| d.join().unwrap()).collect();
    assert!(replies.iter().all(|r| (r.status, r.text().as_str()) == (200, "call 1")));
    assert_eq!(replies.iter().filter(|reply| !reply.is_replay()).count(), 1);
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn an_upstream_slower_than_three_leases_is_called_once() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, _| Act::ok("slow").after(Duration::from_millis(4000)));
    let build = sidecar(&redis, &upstream).set("LOCK_TTL", "1s").set("DUPLICATE_WAIT", "25s");
    let (a, b) = (build.start(), build.start());
    let first = Call::pay("slow").spawn(a.address);
    upstream.heard(1);
    // Were the lease not renewed, this duplicate would find it gone and say so.
    let duplicate = Call::pay("slow").send(b.address);
    assert_eq!(
        (duplicate.status, duplicate.text(), duplicate.is_replay()),
        (200, "slow".into(), true)
    );
    assert_eq!(first.join().unwrap().status, 200);
    assert_eq!(upstream.calls(), 1);
    // A machine that stalls may renew it late.
    let renewals =
        |result: &str| a.metric(&format!(r#"onceward_renewals_total{{result="{result}"}}"#));
    assert!(renewals("renewed") + renewals("regained") >= 1.0);
}

#[test]
fn a_holder_that_wakes_after_its_lease_cannot_overwrite() {
    let gate = Gate::default();
    let held = gate.clone();
    let redis = Redis::start();
    let upstream = Upstream::acting(move |call, _| match call {
        1 => Act::ok("the paused one's").behind(&held),
        _ => Act::ok("the second one's"),
    });
    let build = sidecar(&redis, &upstream)
        .set("LOCK_TTL", "1s")
        .set("DUPLICATE_WAIT", "0s")
        .set("ON_UNKNOWN", "retry");
    let (a, b) = (build.start(), build.start());
    let paused = Call::pay("7").spawn(a.address);
    upstream.heard(1);
    a.pause();
    // Explicitly allowed by the route: once the lease is gone, another attempt under a new fence.
    let second = until_state(&b, "7", "succeeded");
    assert_eq!(second.text(), "the second one's");
    assert_eq!(b.metric("onceward_permitted_reruns_total"), 1.0);
    assert_eq!(upstream.requests()[1].header("onceward-fence"), Some("2"));

    a.resume();
    gate.open();
    let woken = paused.join().unwrap();
    assert_eq!(woken.text(), "the paused one's");
    // Where its order stands, on the second one's word.
    assert_eq!(woken.state(), "succeeded");
    until("the late write is refused", || a.metric("onceward_fenced_writes_total") == 1.0);
    assert_eq!(Call::pay("7").send(a.address).text(), "the second one's");
}

#[test]
fn a_holder_that_wakes_while_nobody_knows_better_tells_the_outcome() {
    let gate = Gate::default();
    let held = gate.clone();
    let redis = Redis::start();
    let upstream = Upstream::acting(move |_, _| Act::ok("late, but true").behind(&held));
    let build = sidecar(&redis, &upstream).set("LOCK_TTL", "1s").set("DUPLICATE_WAIT", "0s");
    let (a, b) = (build.start(), build.start());
    let paused = Call::pay("8").spawn(a.address);
    upstream.heard(1);
    a.pause();
    let unknown = until_state(&b, "8", "unknown");
    check_refused(&unknown, 409, "outcome-unknown", "unknown");
    assert!(unknown.header("retry-after").is_some());
    a.resume();
    gate.open();
    assert_eq!(paused.join().unwrap().state(), "succeeded");
    let after = Call::pay("8").send(b.address);
    assert_eq!((after.text().as_str(), after.is_replay()), ("late, but true", true));
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn kill_9_of_the_holder_leaves_unknown_and_not_a_second_call() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, _| Act::Silence);
    let build = sidecar(&redis, &upstream).set("LOCK_TTL", "3s").set("DUPLICATE_WAIT", "0s");
    let (mut a, b) = (build.start(), build.start());
    let call = Call::pay("9");
    let address = a.address;
    let lost = std::thread::spawn(move || call.try_send(address));
    upstream.heard(1);
    check_refused(&Call::pay("9").send(b.address), 409, "in-progress", "in_flight");
    a.kill();
    assert_eq!(lost.join().unwrap(), None);
    until_state(&b, "9", "unknown");
    for _ in 0..5 {
        check_refused(&Call::pay("9").send(b.address), 409, "outcome-unknown", "unknown");
    }
    assert_eq!(upstream.calls(), 1);
    // It shows without anybody asking for the order, too.
    let gauge = r#"onceward_orders{state="unknown"}"#;
    until("the survey sees it", || b.metric(gauge) == 1.0);
}

#[test]
fn a_claim_whose_answer_is_lost_is_asked_again_and_granted_once() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let toxic = Toxic::before(redis.port);
    let onceward = sidecar(&redis, &upstream).set("REDIS_URL", &toxic.url()).start();
    warm(&onceward);
    toxic.lose_reply_to("lost-claim", Harm::Cut);
    let reply = Call::pay("lost-claim").send(onceward.address);
    assert!(toxic.sprung());
    assert_eq!((reply.status, reply.state()), (200, "succeeded"));
    assert_eq!(upstream.calls(), 2);
    assert_eq!(upstream.requests()[1].header("onceward-fence"), Some("1"));
}

#[test]
fn a_claim_that_is_never_answered_does_not_wedge_the_order() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let toxic = Toxic::before(redis.port);
    let onceward = sidecar(&redis, &upstream)
        .set("REDIS_URL", &toxic.url())
        .set("REDIS_TIMEOUT", "1s")
        .set("DUPLICATE_WAIT", "0s")
        .start();
    warm(&onceward);
    toxic.lose_reply_to("swallowed", Harm::Swallow);
    let reply = Call::pay("swallowed").send(onceward.address);
    assert!(toxic.sprung());
    check_refused(&reply, 503, "store-unavailable", "unknown");
    assert!(reply.header("retry-after").is_some());
    assert_eq!(upstream.calls(), 1);
    // The claim stands in Redis, and its lease would hold for half a minute and then leave the
    // order unknown for a week. It is taken back instead.
    let paid = until_state(&onceward, "swallowed", "succeeded");
    assert_eq!(paid.status, 200);
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn a_settle_whose_answer_is_lost_is_settled_once() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|call, _| match call {
        1 => Act::ok("warm"),
        _ => Act::ok("find-this-answer"),
    });
    let toxic = Toxic::before(redis.port);
    let onceward = sidecar(&redis, &upstream).set("REDIS_URL", &toxic.url()).start();
    warm(&onceward);
    toxic.lose_reply_to("find-this-answer", Harm::Cut);
    let first = Call::pay("10").send(onceward.address);
    assert!(toxic.sprung());
    let told = (first.status, first.text(), first.state().to_owned());
    assert_eq!(told, (200, "find-this-answer".into(), "succeeded".into()));
    let again = Call::pay("10").send(onceward.address);
    assert_eq!((again.is_replay(), again.body), (true, first.body));
    assert_eq!(onceward.metric(r#"onceward_settled_total{state="succeeded"}"#), 2.0);
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn upstream_refusing_connections_lets_a_retry_through() {
    let redis = Redis::start();
    let (nobody, refusing) = (Upstream::start(), Refusing::bind());
    let onceward = sidecar(&redis, &nobody).set("UPSTREAM", &refusing.url()).start();
    let refused = Call::pay("11").send(onceward.address);
    check_refused(&refused, 502, "upstream-unreachable", "none");
    let upstream = Upstream::on(refusing.listen(), |_, _| Act::ok("paid"));
    let retry = Call::pay("11").send(onceward.address);
    assert_eq!((retry.status, retry.is_replay(), upstream.calls()), (200, false, 1));
    // The fence went up with the abandoned claim and stays up.
    assert_eq!(upstream.requests()[0].header("onceward-fence"), Some("2"));
}

#[test]
fn upstream_resetting_after_the_request_leaves_unknown() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Reset));
    let onceward = sidecar(&redis, &upstream).set("DUPLICATE_WAIT", "0s").start();
    check_refused(&Call::pay("12").send(onceward.address), 502, "upstream-broken", "unknown");
    check_refused(&Call::pay("12").send(onceward.address), 409, "outcome-unknown", "unknown");
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn answers_cut_or_malformed_anywhere_leave_unknown() {
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: 1\r\n\r\npaid";
    let bad: [&[u8]; 6] = [
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\npaid",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npaid\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ];
    let answers: Vec<Vec<u8>> = (0..whole.len())
        .map(|length| whole[..length].to_vec())
        .chain(bad.iter().map(|bytes| bytes.to_vec()))
        .collect();
    let (redis, count) = (Redis::start(), answers.len());
    let upstream = Upstream::acting(move |_, request| {
        let index: usize = request.header("idempotency-key").unwrap().parse().unwrap();
        Act::Bytes(answers[index].clone())
    });
    let onceward = sidecar(&redis, &upstream).set("DUPLICATE_WAIT", "0s").start();
    for index in 0..count {
        let reply = Call::pay(&index.to_string()).send(onceward.address);
        check_refused(&reply, 502, "upstream-broken", "unknown");
        let again = Call::pay(&index.to_string()).send(onceward.address);
        check_refused(&again, 409, "outcome-unknown", "unknown");
    }
    onceward.counts("onceward_upstream_duration_seconds_count", count as f64);
    assert_eq!(upstream.calls(), count);
}

#[test]
fn an_upstream_that_never_answers_leaves_unknown() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Silence));
    let onceward = sidecar(&redis, &upstream)
        .set("UPSTREAM_TIMEOUT", "1s")
        .set("DUPLICATE_WAIT", "0s")
        .start();
    check_refused(&Call::pay("13").send(onceward.address), 504, "upstream-timeout", "unknown");
    check_refused(&Call::pay("13").send(onceward.address), 409, "outcome-unknown", "unknown");
    assert_eq!(upstream.calls(), 1);
    onceward.counts("onceward_upstream_duration_seconds_count", 1.0);
    assert!(onceward.metric("onceward_upstream_duration_seconds_sum") >= 1.0, "it hung so long");
}

#[test]
fn a_500_is_replayed_and_not_run_again() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|call, _| Act::status(500, &format!("charged, then {call}")));
    let onceward = sidecar(&redis, &upstream).start();
    let first = Call::pay("14").send(onceward.address);
    assert_eq!((first.status, first.state(), first.is_replay()), (500, "unknown", false));
    for _ in 0..3 {
        let again = Call::pay("14").send(onceward.address);
        assert_eq!((again.status, again.state(), again.is_replay()), (500, "unknown", true));
        assert_eq!(again.body, first.body);
    }
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn a_declined_start_is_not_stored_and_a_retry_goes_through() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|call, _| match call {
        1 => Act::status(429, "busy"),
        2 => Act::status(503, "busier").with("Retry-After", "7"),
        _ => Act::ok("paid"),
    });
    let onceward = sidecar(&redis, &upstream).start();
    let answers: Vec<_> = (0..4)
        .map(|_| {
            let reply = Call::pay("15").send(onceward.address);
            (reply.status, reply.state().to_owned(), reply.text(), reply.is_replay())
        })
        .collect();
    let expected = [
        (429, "none", "busy", false),
        (503, "none", "busier", false),
        (200, "succeeded", "paid", false),
        (200, "succeeded", "paid", true),
    ];
    let expected = expected
        .map(|(status, state, text, replay)| (status, state.to_owned(), text.to_owned(), replay));
    assert_eq!(answers, expected);
    assert_eq!(upstream.calls(), 3);
}

#[test]
fn a_4xx_is_final_and_replayed() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, _| Act::status(402, "no money"));
    let onceward = sidecar(&redis, &upstream).start();
    assert_eq!(Call::pay("16").send(onceward.address).state(), "failed");
    let again = Call::pay("16").send(onceward.address);
    assert_eq!((again.status, again.state(), again.is_replay()), (402, "failed", true));
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn a_client_that_hangs_up_loses_nothing() {
    let gate = Gate::default();
    let held = gate.clone();
    let redis = Redis::start();
    let upstream = Upstream::acting(move |_, _| Act::ok("finished all the same").behind(&held));
    let onceward = sidecar(&redis, &upstream).start();
    let caller = Call::pay("17").begin(onceward.address);
    upstream.heard(1);
    drop(caller);
    gate.open();
    let reply = Call::pay("17").send(onceward.address);
    assert_eq!((reply.text().as_str(), reply.is_replay()), ("finished all the same", true));
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn three_hundred_waiters_hold_no_connection_and_slow_nobody() {
    let gate = Gate::default();
    let held = gate.clone();
    let redis = Redis::start();
    let upstream = Upstream::acting(move |_, request| match request.header("idempotency-key") {
        Some("crowded") => Act::ok("at last").behind(&held),
        _ => Act::ok("at once"),
    });
    let onceward = sidecar(&redis, &upstream).set("DUPLICATE_WAIT", "10m").start();
    let first = Call::pay("crowded").spawn(onceward.address);
    upstream.heard(1);
    let waiters: Vec<_> = (0..300).map(|_| Call::pay("crowded").spawn(onceward.address)).collect();
    until("300 duplicates wait", || onceward.metric("onceward_waiters") == 300.0);
    // A connection for each thread, one for the admin plane, one for what is published, and the
    // one that asks: none for those who wait.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(connections(&redis) <= threads + 3, "{}", connections(&redis));
    for order in 0..50 {
        assert_eq!(Call::pay(&order.to_string()).send(onceward.address).text(), "at once");
    }
    // 50 orders, one after the other, and every waiter waits yet.
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    gate.open();
    for waiter in waiters {
        assert_eq!(waiter.join().unwrap().text(), "at last");
    }
    assert_eq!(first.join().unwrap().text(), "at last");
}

#[test]
fn the_same_key_with_another_body_or_caller_is_refused_even_while_the_first_runs() {
    let gate = Gate::default();
    let held = gate.clone();
    let redis = Redis::start();
    let upstream = Upstream::acting(move |_, _| Act::ok("somebody's secret").behind(&held));
    let onceward = sidecar(&redis, &upstream).set("DUPLICATE_WAIT", "20s").start();
    let mine = Call::pay("18").header("Authorization", "Bearer mine");
    let others = [
        Call::post("/pay").key("18").header("Authorization", "Bearer mine").json(r#"{"amount":1}"#),
        Call::pay("18").header("Authorization", "Bearer theirs"),
        Call::pay("18"),
        Call::post("/pay?x=1")
            .key("18")
            .header("Authorization", "Bearer mine")
            .json(r#"{"amount":100}"#),
        Call::post("/refund")
            .key("18")
            .header("Authorization", "Bearer mine")
            .json(r#"{"amount":100}"#),
        Call::new("PATCH", "/pay")
            .key("18")
            .header("Authorization", "Bearer mine")
            .json(r#"{"amount":100}"#),
    ];
    let first = mine.spawn(onceward.address);
    upstream.heard(1);
    for other in &others {
        check_refused(&other.send(onceward.address), 422, "payload-mismatch", "in_flight");
    }
    gate.open();
    assert_eq!(first.join().unwrap().status, 200);
    for other in &others {
        let reply = other.send(onceward.address);
        check_refused(&reply, 422, "payload-mismatch", "succeeded");
        assert!(!reply.text().contains("secret"));
    }
    assert_eq!(mine.send(onceward.address).text(), "somebody's secret");
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn sigterm_drains() {
    let gate = Gate::default();
    let held = gate.clone();
    let redis = Redis::start();
    let upstream = Upstream::acting(move |_, _| Act::ok("drained").behind(&held));
    let build = sidecar(&redis, &upstream);
    let mut leaving = build.start();
    let held_call = Call::pay("19").spawn(leaving.address);
    // Its caller leaves, but its attempt must be seen to its end as well.
    let caller = Call::pay("20").begin(leaving.address);
    upstream.heard(2);
    drop(caller);
    leaving.terminate();
    until("it takes no more connections", || {
        std::net::TcpStream::connect(leaving.address).is_err()
    });
    let ready = Call::get("/readyz").send(leaving.admin);
    assert_eq!((ready.status, ready.json()["reasons"][0].as_str()), (503, Some("draining")));
    gate.open();
    assert_eq!(held_call.join().unwrap().text(), "drained");
    leaving.logs(r#""message":"drained""#);
    assert!(leaving.ended().success());
    let staying = build.start();
    for key in ["19", "20"] {
        let reply = Call::pay(key).send(staying.address);
        assert_eq!((reply.text().as_str(), reply.is_replay()), ("drained", true), "{key}");
    }
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn draining_ends_in_time_and_leaves_the_rest_unknown() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Silence));
    let build = sidecar(&redis, &upstream)
        .set("LOCK_TTL", "1s")
        .set("DUPLICATE_WAIT", "0s")
        .set("DRAIN_TIMEOUT", "200ms");
    let mut leaving = build.start();
    let caller = Call::pay("21").begin(leaving.address);
    upstream.heard(1);
    drop(caller);
    leaving.terminate();
    assert!(leaving.ended().success());
    leaving.logs("ended before everything under way had");
    assert!(!leaving.log().contains("drained"), "{}", leaving.log());
    let staying = build.start();
    until_state(&staying, "21", "unknown");
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn beyond_max_in_flight_payments_are_refused_and_nothing_is_sent() {
    let gate = Gate::default();
    let held = gate.clone();
    let redis = Redis::start();
    let upstream = Upstream::acting(move |_, _| Act::ok("paid").behind(&held));
    let onceward = sidecar(&redis, &upstream).set("MAX_IN_FLIGHT", "2").start();
    let held: Vec<_> =
        (0..2).map(|n| Call::pay(&format!("held-{n}")).spawn(onceward.address)).collect();
    upstream.heard(2);
    let refused = Call::pay("one-more").send(onceward.address);
    check_refused(&refused, 503, "overloaded", "unknown");
    assert!(refused.header("retry-after").is_some());
    // What is not protected needs no place.
    gate.open();
    held.into_iter().for_each(|call| assert_eq!(call.join().unwrap().status, 200));
    assert_eq!(Call::pay("one-more").send(onceward.address).status, 200);
    let keys: HashSet<_> = upstream
        .requests()
        .iter()
        .map(|r| r.header("idempotency-key").unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 3);
}

#[test]
fn a_holder_that_slept_past_its_lease_before_sending_sends_nothing() {
    let redis = Redis::start();
    let upstream = Upstream::start();
    let toxic = Toxic::before(redis.port);
    let onceward = sidecar(&redis, &upstream)
        .set("REDIS_URL", &toxic.url())
        .set("LOCK_TTL", "2s")
        .set("REDIS_TIMEOUT", "20s")
        .set("DUPLICATE_WAIT", "0s")
        .start();
    warm(&onceward);
    // Granted in Redis, but the word takes longer than the lease to come.
    toxic.lose_reply_to("sleepy", Harm::Delay(Duration::from_millis(3000)));
    let reply = Call::pay("sleepy").send(onceward.address);
    assert!(toxic.sprung());
    assert_eq!((reply.status, reply.problem().as_str()), (502, "upstream-unreachable"));
    assert_eq!(upstream.calls(), 1);
}
