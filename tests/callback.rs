//! callback-once: a channel's notification reaches the service until it is acknowledged, and not
//! once more; and it settles the order it names.

use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, Sidecar, sidecar};
use crate::support::toxic::{Harm, Toxic};
use crate::support::until;
use crate::support::upstream::{Act, Gate, Request, Upstream};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A payment route, and one notify route per dialect.
const ROUTES: &str = r#"[
    {"name": "pay", "path": "/pay"},
    {"name": "json", "path": "/notify/json", "kind": "callback", "key": ["json:/orderId"],
     "event": ["json:/status"], "unchanged": ["json:/amount"],
     "ack": {"status": [200], "body": "success"}, "settles": "pay",
     "outcome": [{"at": "json:/status", "in": ["PAID"], "means": "succeeded"},
                 {"at": "json:/status", "in": ["CLOSED"], "means": "failed"}]},
    {"name": "v3", "path": "/notify/v3", "preset": "wechat-v3-notify", "settles": "pay"},
    {"name": "v2", "path": "/notify/v2", "preset": "wechat-v2-notify", "settles": "pay"},
    {"name": "alipay", "path": "/notify/alipay", "preset": "alipay-notify", "settles": "pay"}
]"#;

fn build(redis: &Redis, upstream: &Upstream) -> Builder {
    sidecar(redis, upstream).set("ROUTES", ROUTES).set("DUPLICATE_WAIT", "0s")
}

/// What the payment service says to an Alipay-like channel that it believes.
fn success() -> Act {
    Act::Answer(200, vec![("Content-Type", "text/plain".into())], b"success".to_vec())
}

fn paid(key: &str) -> Call {
    json(key, "PAID", 100)
}

fn json(key: &str, status: &str, amount: u32) -> Call {
    let body = format!(r#"{{"orderId":"{key}","status":"{status}","amount":{amount}}}"#);
    Call::post("/notify/json").json(&body)
}

fn form(body: &str) -> Call {
    let kind = "application/x-www-form-urlencoded; charset=utf-8";
    Call::post("/notify/alipay").header("Content-Type", kind).body(body.as_bytes())
}

fn xml(body: &str) -> Call {
    Call::post("/notify/v2").header("Content-Type", "text/xml").body(body.as_bytes())
}

fn check(reply: &Reply, status: u16, body: &str, replayed: bool) {
    let got = (reply.status, reply.text(), reply.is_replay());
    assert_eq!(got, (status, body.to_owned(), replayed));
}

fn check_refused(reply: &Reply, status: u16, problem: &str) {
    assert_eq!((reply.status, reply.problem().as_str()), (status, problem), "{}", reply.text());
}

fn callbacks(onceward: &Sidecar, result: &str) -> f64 {
    onceward.metric(&format!(r#"onceward_callbacks_total{{result="{result}"}}"#))
}

fn settles(onceward: &Sidecar, result: &str) -> f64 {
    onceward.metric(&format!(r#"onceward_callback_settles_total{{result="{result}"}}"#))
}

fn alarms(onceward: &Sidecar, kind: &str) -> f64 {
    onceward.metric(&format!(r#"onceward_alarms_total{{kind="{kind}"}}"#))
}

/// Loses the answers to payments, and acknowledges callbacks.
fn forgetful(_: usize, request: &Request) -> Act {
    if request.target == "/pay" { Act::Reset } else { success() }
}

/// The state an order stands in.
fn state(onceward: &Sidecar, key: &str) -> String {
    let place = format!("/admin/orders/pay/{key}");
    Call::get(&place).send(onceward.admin).json()["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn somebody_is_called_of_a_paid_order_whose_caller_was_told_it_failed_whichever_came_first() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, request| match request.target.as_str() {
        "/pay" if request.header("idempotency-key") == Some("early") => {
            Act::status(402, "declined").behind(&held)
        }
        "/pay" => Act::status(402, "declined"),
        _ => success(),
    });
    let onceward = build(&redis, &upstream).start();
    let last_line = |key: &str| {
        let place = format!("/admin/orders/pay/{key}");
        let order = Call::get(&place).send(onceward.admin).json();
        let line = order["history"].as_array().unwrap().last().unwrap();
        line["why"].as_str().unwrap().to_owned()
    };
    let paying = Call::pay("early").spawn(onceward.address);
    upstream.heard(1);
    check(&paid("early").send(onceward.address), 200, "success", false);
    gate.open();
    assert_eq!(paying.join().unwrap().status, 402);
    assert_eq!(state(&onceward, "early"), "succeeded");
    assert_eq!(last_line("early"), "attempt ended failed: upstream's answer");
    onceward.counts(r#"onceward_alarms_total{kind="success-on-failed"}"#, 1.0);
    onceward.logs("a succeeded order's caller was told that it failed");

    assert_eq!(Call::pay("late").send(onceward.address).status, 402);
    check(&paid("late").send(onceward.address), 200, "success", false);
    assert_eq!(state(&onceward, "late"), "failed");
    assert_eq!(alarms(&onceward, "success-on-failed"), 2.0);
}

#[test]
fn the_first_is_forwarded_and_every_repeat_gets_its_acknowledgement() {
    let redis = Redis::start();
    let upstream =
        Upstream::acting(|_, _| success().with("X-Channel", "a").with("Set-Cookie", "s=1"));
    let (a, b) = (build(&redis, &upstream).start(), build(&redis, &upstream).start());
    let first = paid("1").send(a.address);
    check(&first, 200, "success", false);
    for sidecar in [&a, &b, &a] {
        let repeat = paid("1").send(sidecar.address);
        check(&repeat, 200, "success", true);
        assert_eq!(repeat.header("x-channel"), Some("a"));
        assert_eq!(repeat.header("content-type"), Some("text/plain"));
        assert_eq!(repeat.header("set-cookie"), None);
    }
    assert_eq!(upstream.calls(), 1);
    assert_eq!((callbacks(&a, "first"), callbacks(&a, "repeat")), (1.0, 2.0));
    let request = &upstream.requests()[0];
    assert_eq!(request.header("idempotency-key"), Some("1"));
    assert_eq!(request.header("onceward-fence"), Some("1"));
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.body, br#"{"orderId":"1","status":"PAID","amount":100}"#);
}

#[test]
fn a_repeat_after_callback_ttl_is_a_first_again() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| success()));
    let onceward = build(&redis, &upstream).set("CALLBACK_TTL", "300ms").start();
    check(&paid("1").send(onceward.address), 200, "success", false);
    until("the acknowledgement is forgotten", || !paid("1").send(onceward.address).is_replay());
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn thirty_two_copies_at_once_are_forwarded_once_and_all_acknowledged() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| success().behind(&held));
    let build = build(&redis, &upstream).set("SECRET", "acknowledgements are sealed");
    let (a, b) = (build.start(), build.start());
    let copies: Vec<_> =
        (0..32).map(|n| paid("1").spawn(if n % 2 == 0 { a.address } else { b.address })).collect();
    upstream.heard(1);
    gate.open();
    let replies: Vec<Reply> = copies.into_iter().map(|copy| copy.join().unwrap()).collect();
    // A copy may be told to come again on a slow machine; it is never acknowledged by itself.
    for reply in &replies {
        assert!(reply.text() == "success" || reply.problem() == "in-progress", "{}", reply.text());
    }
    assert_eq!(replies.iter().filter(|reply| reply.status == 200 && !reply.is_replay()).count(), 1);
    check(&paid("1").send(b.address), 200, "success", true);
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn what_is_not_acknowledged_is_passed_on_and_the_next_try_goes_through() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|call, _| match call {
        1 => Act::status(500, "fail"),
        2 => Act::status(200, "fail"),
        3 => Act::Reset,
        4 => Act::status(201, "success"),
        _ => success(),
    });
    let onceward = build(&redis, &upstream).start();
    check(&paid("1").send(onceward.address), 500, "fail", false);
    check(&paid("1").send(onceward.address), 200, "fail", false);
    check_refused(&paid("1").send(onceward.address), 502, "upstream-broken");
    check(&paid("1").send(onceward.address), 201, "success", false);
    check(&paid("1").send(onceward.address), 200, "success", false);
    check(&paid("1").send(onceward.address), 200, "success", true);
    assert_eq!(upstream.calls(), 5);
    assert_eq!(callbacks(&onceward, "unacknowledged"), 4.0);
    let fences: Vec<_> = upstream
        .requests()
        .iter()
        .map(|r| r.header("onceward-fence").unwrap().to_owned())
        .collect();
    assert_eq!(fences, ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_copy_that_met_another_is_not_forwarded_after_it() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| Act::status(500, "fail").behind(&held));
    let onceward = build(&redis, &upstream).start();
    let first = paid("1").spawn(onceward.address);
    upstream.heard(1);
    let second = paid("1").spawn(onceward.address);
    until("the second waits", || redis.calls("evalsha") >= 3);
    gate.open();
    check(&first.join().unwrap(), 500, "fail", false);
    let second = second.join().unwrap();
    check_refused(&second, 409, "in-progress");
    assert_eq!(second.header("retry-after"), Some("1"));
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn the_channel_has_its_answer_within_5_s_and_a_later_acknowledgement_on_its_next_try() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| success().behind(&held));
    let onceward = build(&redis, &upstream).start();
    let begun = Instant::now();
    let copies = [paid("1").spawn(onceward.address), paid("1").spawn(onceward.address)];
    for copy in copies {
        let late = copy.join().unwrap();
        check_refused(&late, 409, "in-progress");
        assert!(late.header("retry-after").is_some());
    }
    assert!(begun.elapsed() >= Duration::from_secs(3), "it waited");
    gate.open();
    until("the late acknowledgement is stored", || paid("1").send(onceward.address).is_replay());
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn a_forwarder_that_dies_is_followed_by_the_channels_next_try() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|call, _| if call == 1 { Act::Silence } else { success() });
    // Long enough to die in; the lease outlasts it by 4 s.
    let build = build(&redis, &upstream).set("REDIS_TIMEOUT", "1s");
    let (mut a, b) = (build.clone().set("UPSTREAM_TIMEOUT", "6s").start(), build.start());
    let address = a.address;
    let lost = std::thread::spawn(move || paid("1").try_send(address));
    upstream.heard(1);
    a.kill();
    assert_eq!(lost.join().unwrap(), None);
    check_refused(&paid("1").send(b.address), 409, "in-progress");
    until("the lease is over", || paid("1").send(b.address).text() == "success");
    check(&paid("1").send(b.address), 200, "success", true);
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn a_repeat_that_says_another_amount_is_neither_forwarded_nor_acknowledged() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| success()));
    let onceward = build(&redis, &upstream).start();
    paid("1").send(onceward.address);
    for other in [
        json("1", "PAID", 99_777),
        Call::post("/notify/json").json(r#"{"orderId":"1","status":"PAID"}"#),
    ] {
        let reply = other.send(onceward.address);
        check_refused(&reply, 409, "callback-contradiction");
        assert!(!reply.text().contains("99777"));
    }
    assert_eq!(upstream.calls(), 1);
    assert_eq!(callbacks(&onceward, "contradiction"), 2.0);
    assert_eq!(alarms(&onceward, "callback-contradiction"), 2.0);
    onceward.logs("says something else");
    assert!(!onceward.log().contains("99777"));
    // The true one is heard as before.
    check(&paid("1").send(onceward.address), 200, "success", true);
}

#[test]
fn a_forged_copy_that_upstream_refuses_does_not_lock_the_true_one_out() {
    let redis = Redis::start();
    let upstream =
        Upstream::acting(
            |call, _| if call == 1 { Act::status(401, "bad sign") } else { success() },
        );
    let onceward = build(&redis, &upstream).start();
    check(&json("1", "PAID", 1).send(onceward.address), 401, "bad sign", false);
    check(&paid("1").send(onceward.address), 200, "success", false);
}

#[test]
fn an_acknowledged_callback_settles_the_order_whose_answer_was_lost() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(forgetful));
    let onceward = build(&redis, &upstream).start();
    check_refused(&Call::pay("1").send(onceward.address), 502, "upstream-broken");
    check(&paid("1").send(onceward.address), 200, "success", false);
    let duplicate = Call::pay("1").send(onceward.address);
    assert_eq!(
        (duplicate.status, duplicate.state(), duplicate.is_replay()),
        (200, "succeeded", true)
    );
    assert_eq!(duplicate.json()["state"], "succeeded");
    let other = Call::pay("1").header("X-A", "b").body(b"other").send(onceward.address);
    check_refused(&other, 422, "payload-mismatch");
    assert_eq!((settles(&onceward, "settled"), upstream.calls()), (1.0, 2));
    let history = Call::get("/admin/orders/pay/1").send(onceward.admin).json();
    let last = history["history"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["why"], "a callback said so");
}

#[test]
fn a_callback_of_failure_settles_its_order_failed() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(forgetful));
    let onceward = build(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);
    json("1", "CLOSED", 100).send(onceward.address);
    check_refused(&Call::pay("1").send(onceward.address), 409, "already-final");
}

#[test]
fn nothing_is_settled_before_upstream_acknowledged_nor_by_what_no_rule_speaks_of() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|call, _| match call {
        1 => Act::Reset,
        2 => Act::status(401, "bad sign"),
        _ => success(),
    });
    let onceward = build(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);
    paid("1").send(onceward.address);
    assert_eq!(state(&onceward, "1"), "unknown");
    check(&json("1", "WAITING", 100).send(onceward.address), 200, "success", false);
    assert_eq!(state(&onceward, "1"), "unknown");
    paid("1").send(onceward.address);
    assert_eq!(state(&onceward, "1"), "succeeded");
}

#[test]
fn an_order_settled_while_in_flight_gives_every_duplicate_the_response_to_come() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, request| match request.target.as_str() {
        "/pay" => Act::ok("late, but true").behind(&held),
        _ => success(),
    });
    let onceward = build(&redis, &upstream).set("DUPLICATE_WAIT", "25s").start();
    let paying = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);
    paid("1").send(onceward.address);
    let waiting = Call::pay("1").spawn(onceward.address);
    until("it waits", || onceward.metric("onceward_waiters") == 1.0);
    gate.open();
    let paying = paying.join().unwrap();
    assert_eq!((paying.text().as_str(), paying.state()), ("late, but true", "succeeded"));
    for after in [waiting.join().unwrap(), Call::pay("1").send(onceward.address)] {
        assert_eq!((after.text().as_str(), after.is_replay()), ("late, but true", true));
    }
}

/// A payment whose connection is reset once a callback ended its order: its answer and a duplicate's.
fn broken_off_after(status: &str) -> (Reply, Reply) {
    let (paying, onceward, (_redis, upstream)) = broken_off(status, None);
    let duplicate = Call::pay("1").send(onceward.address);
    assert_eq!(upstream.calls(), 2);
    // The attempt's own caller is no duplicate.
    let order = Call::get("/admin/orders/pay/1").send(onceward.admin).json();
    assert_eq!(order["duplicates_here"]["times"], u64::from(status == "PAID"), "{order}");
    (paying, duplicate)
}

/// Likewise, while that accident is played: the payment's answer, and those that still run.
fn broken_off(status: &str, accident: Option<Value>) -> (Reply, Sidecar, (Redis, Upstream)) {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, request| match request.target.as_str() {
        "/pay" => Act::Reset.behind(&held),
        _ => success(),
    });
    let onceward = build(&redis, &upstream).set("FAULTS", "on").start();
    let paying = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);
    check(&json("1", status, 100).send(onceward.address), 200, "success", false);
    if let Some(accident) = accident {
        onceward.fault("f", accident);
    }
    gate.open();
    let paying = paying.join().unwrap();
    onceward.heal_all();
    (paying, onceward, (redis, upstream))
}

#[test]
fn an_attempt_that_breaks_off_after_its_order_succeeded_is_answered_as_its_duplicates_are() {
    let (paying, duplicate) = broken_off_after("PAID");
    assert_eq!((paying.status, paying.state(), paying.is_replay()), (200, "succeeded", true));
    assert_eq!(paying.json(), duplicate.json());
    assert_eq!(paying.json()["state"], "succeeded");
}

#[test]
fn an_attempt_that_breaks_off_after_its_order_failed_is_told_so_and_that_it_was_sent() {
    let (paying, duplicate) = broken_off_after("CLOSED");
    for reply in [&paying, &duplicate] {
        check_refused(reply, 409, "already-final");
        assert_eq!(reply.state(), "failed");
    }
    // It was sent, whatever became of it.
    assert!(!paying.text().contains("Nothing was sent"), "{}", paying.text());
}

#[test]
fn where_its_order_cannot_be_looked_at_a_broken_attempt_says_nothing_of_its_end() {
    let unseen =
        serde_json::json!({"at": "redis_before", "do": {"reset": true}, "command": "look"});
    let (paying, onceward, _parts) = broken_off("PAID", Some(unseen));
    check_refused(&paying, 502, "upstream-broken");
    assert_eq!(paying.state(), "unknown");
    assert_eq!(Call::pay("1").send(onceward.address).state(), "succeeded");
}

#[test]
fn a_payment_that_succeeds_after_a_callback_said_it_failed_raises_the_alarm() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, request| match request.target.as_str() {
        "/pay" => Act::ok("{}").behind(&held),
        _ => success(),
    });
    let onceward = build(&redis, &upstream).start();
    let paying = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);
    json("1", "CLOSED", 100).send(onceward.address);
    gate.open();
    assert_eq!(paying.join().unwrap().state(), "failed");
    assert_eq!(alarms(&onceward, "success-on-failed"), 1.0);
    // So does a callback that says it was paid after all.
    check(&paid("1").send(onceward.address), 200, "success", false);
    assert_eq!(
        (state(&onceward, "1").as_str(), alarms(&onceward, "success-on-failed")),
        ("failed", 2.0)
    );
}

#[test]
fn a_duplicate_that_waits_is_told_by_the_callback() {
    let redis = Redis::start();
    let upstream = Upstream::acting(forgetful);
    let onceward = build(&redis, &upstream).set("DUPLICATE_WAIT", "25s").start();
    Call::pay("1").send(onceward.address);
    let waiting = Call::pay("1").spawn(onceward.address);
    until("it waits", || onceward.metric("onceward_waiters") == 1.0);
    paid("1").send(onceward.address);
    assert_eq!(waiting.join().unwrap().state(), "succeeded");
}

#[test]
fn a_success_on_a_cancelled_order_is_forwarded_acknowledged_and_raises_the_alarm() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(forgetful));
    let onceward = build(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);
    let keys = redis.command(&["KEYS", "*:order:*"]);
    redis.change_record(keys.trim(), &["state", "cancelled"]);
    check(&paid("1").send(onceward.address), 200, "success", false);
    check(&paid("1").send(onceward.address), 200, "success", true);
    assert_eq!(state(&onceward, "1"), "cancelled");
    assert_eq!(alarms(&onceward, "success-on-cancelled"), 1.0);
    onceward.logs("does not fit its order");
    check_refused(&Call::pay("1").send(onceward.address), 409, "order-cancelled");
}

#[test]
fn a_final_order_stays_what_it_is_and_the_other_outcome_raises_the_alarm() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, request| match request.target.as_str() {
        "/pay" => Act::ok("{}"),
        _ => success(),
    });
    let onceward = build(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);
    // Out of order: the close of an earlier try comes after the payment.
    paid("1").send(onceward.address);
    assert_eq!(
        (settles(&onceward, "already"), alarms(&onceward, "callback-against-order")),
        (1.0, 0.0)
    );
    check(&json("1", "CLOSED", 100).send(onceward.address), 200, "success", false);
    assert_eq!(
        (settles(&onceward, "refused"), alarms(&onceward, "callback-against-order")),
        (1.0, 1.0)
    );
    assert!(Call::pay("1").send(onceward.address).is_replay());
    assert_eq!(state(&onceward, "1"), "succeeded");
}

#[test]
fn a_callback_before_its_order_settles_nothing_and_the_payment_goes_through() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, request| match request.target.as_str() {
        "/pay" => Act::ok("{}"),
        _ => success(),
    });
    let onceward = build(&redis, &upstream).start();
    check(&paid("1").send(onceward.address), 200, "success", false);
    assert_eq!(settles(&onceward, "absent"), 1.0);
    let reply = Call::pay("1").send(onceward.address);
    assert_eq!((reply.status, reply.state(), reply.is_replay()), (200, "succeeded", false));
}

#[test]
fn upstream_names_the_order_where_the_callback_cannot() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, request| match request.target.as_str() {
        "/pay" => Act::Reset,
        _ => Act::Answer(204, vec![("Onceward-Settles", "2024-0001".into())], vec![]),
    });
    let onceward = build(&redis, &upstream).start();
    Call::pay("2024-0001").send(onceward.address);
    let notify = Call::post("/notify/v3")
        .json(r#"{"id":"EV-1","event_type":"TRANSACTION.SUCCESS","resource":{"ciphertext":"x"}}"#);
    let first = notify.send(onceward.address);
    check(&first, 204, "", false);
    assert_eq!(first.header("onceward-settles"), None);
    let repeat = notify.send(onceward.address);
    check(&repeat, 204, "", true);
    assert_eq!(repeat.header("onceward-settles"), None);
    assert_eq!(state(&onceward, "2024-0001"), "succeeded");
    assert_eq!(upstream.requests()[1].header("idempotency-key"), Some("EV-1"));
    // A refund's notification settles no payment.
    Call::pay("2").send(onceward.address);
    let refund = r#"{"id":"EV-2","event_type":"REFUND.SUCCESS"}"#;
    check(&Call::post("/notify/v3").json(refund).send(onceward.address), 204, "", false);
    assert_eq!((settles(&onceward, "settled"), state(&onceward, "2")), (1.0, "unknown".into()));
}

#[test]
fn what_upstream_names_unreadably_settles_nothing_and_raises_the_alarm() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, _| success().with("Onceward-Settles", "1, 2"));
    let onceward = build(&redis, &upstream).start();
    check(&paid("1").send(onceward.address), 200, "success", false);
    assert_eq!(alarms(&onceward, "callback-names-no-order"), 1.0);
}

#[test]
fn wechat_v2_speaks_xml_and_is_acknowledged_in_xml() {
    let redis = Redis::start();
    let ack = "<xml><return_code><![CDATA[SUCCESS]]></return_code></xml>";
    let upstream = Upstream::acting(move |call, request| match request.target.as_str() {
        "/pay" => Act::Reset,
        _ if call == 2 => Act::status(200, "<xml><return_code>FAIL</return_code></xml>"),
        _ => Act::status(200, ack),
    });
    let onceward = build(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);
    let notify = |fee| {
        xml(&format!(
            "<xml><out_trade_no><![CDATA[1]]></out_trade_no><result_code>SUCCESS</result_code>\
             <transaction_id>T1</transaction_id><total_fee>{fee}</total_fee></xml>"
        ))
    };
    assert_eq!(notify(100).send(onceward.address).status, 200);
    assert_eq!(state(&onceward, "1"), "unknown");
    check(&notify(100).send(onceward.address), 200, ack, false);
    check(&notify(100).send(onceward.address), 200, ack, true);
    check_refused(&notify(1).send(onceward.address), 409, "callback-contradiction");
    assert_eq!((state(&onceward, "1").as_str(), upstream.calls()), ("succeeded", 3));
}

#[test]
fn alipay_posts_forms_and_tells_payments_from_refunds() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(forgetful));
    let onceward = build(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);
    let notify = |more: &str| {
        form(&format!("out_trade_no=1&total_amount=1.00&seller_id=2088&subject=%B2%CE&{more}"))
    };
    check(&notify("trade_status=WAIT_BUYER_PAY").send(onceward.address), 200, "success", false);
    assert_eq!(state(&onceward, "1"), "unknown");
    check(&notify("trade_status=TRADE_SUCCESS").send(onceward.address), 200, "success", false);
    check(&notify("trade_status=TRADE_SUCCESS").send(onceward.address), 200, "success", true);
    assert_eq!(state(&onceward, "1"), "succeeded");
    // A refund of part of it, then of all: events of their own, and no failed payment.
    let part = "trade_status=TRADE_SUCCESS&refund_fee=0.10&out_biz_no=R1&gmt_refund=2024-01-01";
    check(&notify(part).send(onceward.address), 200, "success", false);
    let all = "trade_status=TRADE_CLOSED&refund_fee=1.00&gmt_refund=2024-01-02";
    check(&notify(all).send(onceward.address), 200, "success", false);
    assert_eq!(alarms(&onceward, "callback-against-order"), 0.0);
    // An order nobody paid is closed.
    Call::pay("2").send(onceward.address);
    form("out_trade_no=2&trade_status=TRADE_CLOSED").send(onceward.address);
    assert_eq!(state(&onceward, "2"), "failed");
}

#[test]
fn a_body_that_cannot_be_read_is_refused_and_nothing_is_stuck() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| success()));
    let onceward = build(&redis, &upstream).start();
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\">]><xml><out_trade_no>&a;</out_trade_no></xml>";
    let deep = format!("{}<out_trade_no>1</out_trade_no>{}", "<a>".repeat(500), "</a>".repeat(500));
    let bad = [
        (xml(bomb), "bad-request"),
        (xml(&deep), "bad-request"),
        (xml("<xml><out_trade_no>1</out_trade_no>"), "bad-request"),
        (xml("<xml/>"), "key-missing"),
        (Call::post("/notify/json").json("{"), "bad-request"),
        (Call::post("/notify/json").json("{}"), "key-missing"),
        (Call::post("/notify/json").json(r#"{"orderId":"1","orderId":"2"}"#), "key-invalid"),
        (
            Call::post("/notify/json").json(r#"{"orderId":"1","status":{"a":1,"a":2}}"#),
            "bad-request",
        ),
        (Call::post("/notify/json").json(r#"{"orderId":1.0}"#), "key-invalid"),
        (Call::post("/notify/json").json(r#"{"orderId":null}"#), "key-invalid"),
        (Call::post("/notify/json"), "key-missing"),
        (Call::post("/notify/alipay").json("out_trade_no=1"), "key-missing"),
        (form("out_trade_no=1&out_trade_no=2"), "key-invalid"),
        (form("out_trade_no=1&trade_status=A&trade_status=B"), "bad-request"),
    ];
    for (call, problem) in bad {
        check_refused(&call.send(onceward.address), 400, problem);
    }
    assert_eq!(upstream.calls(), 0);
    check(&paid("1").send(onceward.address), 200, "success", false);
}

#[test]
fn without_redis_nothing_is_forwarded_and_the_channel_comes_again() {
    let (mut redis, upstream) = (Redis::start(), Upstream::acting(|_, _| success()));
    let onceward =
        build(&redis, &upstream).set("REDIS_DOWN", "bypass").set("REDIS_TIMEOUT", "1s").start();
    redis.kill();
    let reply = paid("1").send(onceward.address);
    check_refused(&reply, 503, "store-unavailable");
    assert!(reply.header("retry-after").is_some());
    assert_eq!((upstream.calls(), callbacks(&onceward, "undecided")), (0, 1.0));
    redis.restart();
    until("Redis is found again", || paid("1").send(onceward.address).status == 200);
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn an_accept_whose_answer_is_lost_is_asked_again_and_forwarded_once() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| success()));
    let toxic = Toxic::before(redis.port);
    let onceward = build(&redis, &upstream).set("REDIS_URL", &toxic.url()).start();
    paid("warm").send(onceward.address);
    // Its `forward` argument is the only `yes` in a call about a callback.
    toxic.lose_reply_to("yes", Harm::Cut);
    check(&paid("1").send(onceward.address), 200, "success", false);
    assert!(toxic.sprung());
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn no_acknowledgement_is_stored_before_its_order_is_known_to_be_settled() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(forgetful));
    let toxic = Toxic::before(redis.port);
    let build = build(&redis, &upstream);
    let quick = build.clone().set("REDIS_TIMEOUT", "2s").set("REDIS_URL", &toxic.url());
    let (a, b) = (quick.start(), build.start());
    Call::pay("warm").send(a.address);
    paid("warm").send(a.address);
    Call::pay("1").send(a.address);
    toxic.lose_reply_to("a callback said so", Harm::Swallow);
    let first = paid("1").spawn(a.address);
    until("the order is settled", || state(&b, "1") == "succeeded");
    assert!(toxic.sprung());
    check_refused(&paid("1").send(b.address), 409, "in-progress");
    first.join().unwrap();
    // Asked again, it is settled already; then the acknowledgement is stored.
    until("it is", || paid("1").send(b.address).is_replay());
    assert_eq!(upstream.calls(), 4);
}

#[test]
fn the_channel_is_told_only_what_is_stored_and_settled() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, request| match request.target.as_str() {
        "/pay" => Act::Reset,
        _ => success().behind(&held),
    });
    let onceward = build(&redis, &upstream).set("REDIS_TIMEOUT", "1s").start();
    Call::pay("1").send(onceward.address);
    let first = paid("1").spawn(onceward.address);
    upstream.heard(2);
    redis.pause();
    gate.open();
    // Redis is away between the acknowledgement and its storing: the channel hears none.
    check_refused(&first.join().unwrap(), 409, "in-progress");
    redis.resume();
    until("the acknowledgement is stored", || paid("1").send(onceward.address).is_replay());
    assert_eq!((state(&onceward, "1").as_str(), upstream.calls()), ("succeeded", 2));
}
