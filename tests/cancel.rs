//! Cancelling: by the caller that made the order, and by operators.

use crate::resolve::{answering, asking, routes, state, to, until_state};
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{ONCEWARD, Sidecar};
use crate::support::upstream::{Act, Gate, Upstream};
use crate::support::{Refusing, until};
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn cancel(onceward: &Sidecar, key: &str) -> Reply {
    Call::post(&format!("/_onceward/orders/pay/{key}/cancel")).send(onceward.address)
}

fn admin(onceward: &Sidecar, key: &str, verb: &str, wish: &str) -> Reply {
    Call::post(&format!("/admin/orders/pay/{key}/{verb}")).json(wish).send(onceward.admin)
}

fn check(reply: &Reply, status: u16, problem: &str) {
    assert_eq!((reply.status, reply.problem().as_str()), (status, problem), "{}", reply.text());
}

/// Leaves every payment open, whatever it is asked.
fn open() -> Upstream {
    answering(|| Act::Reset, |_| Act::ok(r#"{"status":"paying"}"#))
}

#[test]
fn a_payment_cancelled_before_it_arrives_never_reaches_upstream() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = asking(&redis, &upstream).start();
    for _ in 0..2 {
        let cancelled = cancel(&onceward, "1");
        assert_eq!((cancelled.status, cancelled.state()), (200, "cancelled"));
        assert_eq!(cancelled.json()["state"], "cancelled");
    }
    let late = Call::pay("1").send(onceward.address);
    check(&late, 409, "order-cancelled");
    assert_eq!(late.state(), "cancelled");
    assert_eq!(upstream.calls(), 0);
}

#[test]
fn a_quoted_key_names_the_same_order_to_those_who_look_at_it_cancel_it_and_pay_it() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = asking(&redis, &upstream).start();
    let cancelled = cancel(&onceward, "%221%22");
    assert_eq!((cancelled.status, cancelled.json()["key"].as_str()), (200, Some("1")));
    for key in ["\"1\"", "1"] {
        check(&Call::pay(key).send(onceward.address), 409, "order-cancelled");
    }
    assert_eq!(upstream.calls(), 0);
    let shown = Call::get("/_onceward/orders/pay/%221%22").send(onceward.address);
    assert_eq!((shown.status, shown.state()), (200, "cancelled"));
    assert_eq!(state(&onceward, "%221%22"), "cancelled");
    assert_eq!(admin(&onceward, "%222%22", "cancel", "{}").status, 200);
    check(&Call::pay("2").send(onceward.address), 409, "order-cancelled");
    check(&cancel(&onceward, "%221"), 404, "not-found");
}

#[test]
fn only_the_caller_that_made_an_order_cancels_it() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = asking(&redis, &upstream).start();
    let as_ann = |call: Call| call.header("Authorization", "ann").send(onceward.address);
    cancel_as(&onceward, "1", "ann");
    check(&cancel_as(&onceward, "1", "bob"), 404, "not-found");
    as_ann(Call::pay("2"));
    check(&cancel_as(&onceward, "2", "bob"), 404, "not-found");
    check(&cancel_as(&onceward, "2", "ann"), 409, "already-final");
    check(&Call::post("/_onceward/orders/none/1/cancel").send(onceward.address), 404, "not-found");
}

fn cancel_as(onceward: &Sidecar, key: &str, who: &str) -> Reply {
    let call = Call::post(&format!("/_onceward/orders/pay/{key}/cancel"));
    call.header("Authorization", who).send(onceward.address)
}

#[test]
fn a_route_may_leave_cancelling_to_operators() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let closed = routes(|route| route["client_cancel"] = false.into());
    let onceward = asking(&redis, &upstream).set("ROUTES", &closed).start();
    check(&cancel(&onceward, "1"), 403, "forbidden");
    assert_eq!(Call::pay("1").send(onceward.address).status, 200);
    assert_eq!(admin(&onceward, "2", "cancel", "").status, 200);
    check(&Call::pay("2").send(onceward.address), 409, "order-cancelled");
}

#[test]
fn an_unknown_order_is_cancelling_until_upstream_confirms() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, request| match request.target.as_str() {
        "/pay" => Act::Reset,
        "/cancel" => Act::ok("{}").behind(&held),
        _ => Act::ok(r#"{"status":"paying"}"#),
    });
    let patient = routes(|route| route["cancel_interval"] = "20s".into());
    let onceward = asking(&redis, &upstream).set("ROUTES", &patient).start();
    Call::pay("1").send(onceward.address);
    for _ in 0..2 {
        let cancelling = cancel(&onceward, "1");
        assert_eq!((cancelling.status, cancelling.state()), (202, "cancelling"));
    }
    check(&Call::pay("1").send(onceward.address), 409, "outcome-unknown");
    until("upstream is asked to cancel", || to(&upstream, "/cancel").len() == 1);
    gate.open();
    until_state(&onceward, "1", "cancelled");
    assert_eq!(cancel(&onceward, "1").status, 200);
    check(&Call::pay("1").send(onceward.address), 409, "order-cancelled");
    assert_eq!(to(&upstream, "/pay").len(), 1);
}

#[test]
fn without_a_cancel_call_what_may_have_been_sent_is_not_cancelled() {
    let (redis, upstream) = (Redis::start(), open());
    let never = routes(|route| drop(route.as_object_mut().unwrap().remove("cancel")));
    let onceward = asking(&redis, &upstream).set("ROUTES", &never).start();
    Call::pay("1").send(onceward.address);
    let refused = cancel(&onceward, "1");
    check(&refused, 409, "outcome-unknown");
    assert_eq!(state(&onceward, "1"), "unknown");
    let refused = admin(&onceward, "1", "cancel", "");
    check(&refused, 409, "illegal-transition");
    assert!(refused.text().contains("then resolve it as failed"), "{}", refused.text());
    let refused = admin(&onceward, "1", "resolve", r#"{"state":"cancelled"}"#);
    check(&refused, 409, "illegal-transition");
    assert!(refused.text().contains("resolve it as failed"), "{}", refused.text());
    // What both of them say can be done.
    let failed = admin(&onceward, "1", "resolve", r#"{"state":"failed"}"#);
    assert_eq!((failed.status, failed.json()["state"].as_str()), (200, Some("failed")));
}

#[test]
fn a_payment_that_succeeds_while_it_is_cancelled_is_cancelled_after_its_end() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, request| match request.target.as_str() {
        "/pay" => Act::ok(r#"{"status":"paid"}"#).behind(&held),
        _ => Act::ok("{}"),
    });
    let onceward = asking(&redis, &upstream).start();
    let paying = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);
    assert_eq!(cancel(&onceward, "1").status, 202);
    // Confirmed at once, and not believed: the payment is still on its way.
    until("a confirmation was too early", || {
        onceward.metric(r#"onceward_cancels_total{result="held"}"#) >= 1.0
    });
    assert_eq!(state(&onceward, "1"), "cancelling");
    gate.open();
    let paid = paying.join().unwrap();
    assert_eq!((paid.status, paid.state()), (200, "cancelling"));
    until_state(&onceward, "1", "cancelled");
    // The last cancel came after the payment's end: it gave the money back.
    assert!(to(&upstream, "/cancel").len() >= 2);
}

/// The route of these tests, whose cancel call may say that it knows no such order; and the channel's.
fn with_channel() -> String {
    let pay = routes(|route| {
        let rules = route["cancel"]["outcome"].as_array_mut().unwrap();
        rules.push(json!({"status": [404], "means": "absent"}));
    });
    let mut all: Value = serde_json::from_str(&pay).unwrap();
    let notify = json!({"name": "notify", "path": "/notify", "kind": "callback",
        "key": ["json:/orderId"], "settles": "pay"});
    all.as_array_mut().unwrap().push(notify);
    all.to_string()
}

fn not_cancellable(onceward: &Sidecar) -> f64 {
    onceward.metric(r#"onceward_alarms_total{kind="not-cancellable"}"#)
}

fn last_line(onceward: &Sidecar, key: &str) -> String {
    let order = Call::get(&format!("/admin/orders/pay/{key}")).send(onceward.admin).json();
    order["history"].as_array().unwrap().last().unwrap()["why"].as_str().unwrap().to_owned()
}

#[test]
fn a_payment_that_succeeded_is_not_cancelled_by_a_call_that_knows_no_such_order() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, request| match request.target.as_str() {
        "/pay" if request.header("idempotency-key") == Some("2") => Act::Reset,
        "/pay" => Act::ok(r#"{"status":"paid"}"#).behind(&held),
        "/cancel" => Act::status(404, "{}"),
        _ => Act::ok(r#"{"status":"paying"}"#),
    });
    let onceward = asking(&redis, &upstream).set("ROUTES", &with_channel()).start();
    let paying = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);
    assert_eq!(cancel(&onceward, "1").status, 202);
    gate.open();
    assert_eq!(paying.join().unwrap().text(), r#"{"status":"paid"}"#);
    until_state(&onceward, "1", "succeeded");
    assert_eq!(last_line(&onceward, "1"), "it was paid, and its cancel call knows no such order");
    onceward.counts(r#"onceward_alarms_total{kind="not-cancellable"}"#, 1.0);
    onceward.logs("is paid and cannot be: pay it back");
    let again = Call::pay("1").send(onceward.address);
    assert_eq!((again.text().as_str(), again.is_replay()), (r#"{"status":"paid"}"#, true));

    // One that nobody knows to be paid is cancelled, and its history does not say that upstream did.
    Call::pay("2").send(onceward.address);
    assert_eq!(cancel(&onceward, "2").status, 202);
    until_state(&onceward, "2", "cancelled");
    assert_eq!(last_line(&onceward, "2"), "its cancel call knows no such order");
    assert_eq!(not_cancellable(&onceward), 1.0);
}

#[test]
fn a_callback_that_an_order_was_paid_is_kept_while_it_is_cancelled() {
    let redis = Redis::start();
    let says = Arc::new(AtomicUsize::new(500));
    let status = says.clone();
    let upstream = Upstream::acting(move |_, request| match request.target.as_str() {
        "/pay" => Act::Reset,
        "/cancel" => {
            let status = status.load(Ordering::SeqCst);
            Act::status(u16::try_from(status).unwrap(), "{}")
        }
        _ => Act::ok("{}"),
    });
    let onceward = asking(&redis, &upstream).set("ROUTES", &with_channel()).start();
    let cancel_says = |key: &str, status: usize| {
        says.store(500, Ordering::SeqCst);
        Call::pay(key).send(onceward.address);
        assert_eq!(cancel(&onceward, key).status, 202);
        let paid = Call::post("/notify").json(&format!(r#"{{"orderId":"{key}"}}"#));
        assert_eq!(paid.send(onceward.address).status, 200);
        assert_eq!(last_line(&onceward, key), "it was paid: a callback said so");
        assert_eq!(state(&onceward, key), "cancelling");
        says.store(status, Ordering::SeqCst);
    };
    cancel_says("1", 404);
    until_state(&onceward, "1", "succeeded");
    onceward.counts(r#"onceward_alarms_total{kind="not-cancellable"}"#, 1.0);
    let again = Call::pay("1").send(onceward.address);
    assert_eq!((again.status, again.json()["state"].as_str()), (200, Some("succeeded")));
    // Where it is cancelled after all, that was paid back.
    cancel_says("2", 200);
    until_state(&onceward, "2", "cancelled");
    assert_eq!(last_line(&onceward, "2"), "upstream confirmed the cancel");
    assert_eq!(not_cancellable(&onceward), 1.0);
    assert_eq!(onceward.metric(r#"onceward_callback_settles_total{result="kept"}"#), 2.0);
}

#[test]
fn a_success_that_surfaces_on_a_cancelled_order_is_an_alarm() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, request| match request.target.as_str() {
        "/pay" => Act::ok(r#"{"status":"paid"}"#).behind(&held),
        _ => Act::ok("{}"),
    });
    let build = asking(&redis, &upstream);
    let (a, b) = (build.start(), build.start());
    let paying = Call::pay("1").spawn(a.address);
    upstream.heard(1);
    // It sleeps past its lease; meanwhile the order is cancelled for good.
    a.pause();
    assert_eq!(cancel(&b, "1").status, 202);
    until_state(&b, "1", "cancelled");
    a.resume();
    gate.open();
    paying.join().unwrap();
    until("somebody is called", || {
        a.metric(r#"onceward_alarms_total{kind="success-on-cancelled"}"#) == 1.0
    });
    a.logs("a cancelled order was paid after all");
    assert_eq!(state(&b, "1"), "cancelled");
}

#[test]
fn an_operator_resolves_releases_and_cancels_and_the_history_says_why() {
    let (redis, upstream) = (Redis::start(), open());
    let onceward = asking(&redis, &upstream).start();
    for key in ["1", "2", "3"] {
        Call::pay(key).send(onceward.address);
    }
    check(&admin(&onceward, "1", "resolve", r#"{"state":"unknown"}"#), 400, "bad-request");
    let wish = r#"{"state":"succeeded","why":"seen on\nthe statement"}"#;
    let resolved = admin(&onceward, "1", "resolve", wish);
    assert_eq!((resolved.status, resolved.json()["state"].as_str()), (200, Some("succeeded")));
    let line = resolved.json()["history"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (line["by"].as_str(), line["why"].as_str()),
        (Some("admin"), Some("seen on the statement"))
    );
    assert_eq!(admin(&onceward, "1", "resolve", wish).status, 200);
    check(&admin(&onceward, "1", "resolve", r#"{"state":"failed"}"#), 409, "already-final");
    check(&admin(&onceward, "1", "release", ""), 409, "already-final");
    check(&admin(&onceward, "1", "cancel", ""), 409, "already-final");
    assert_eq!(Call::pay("1").send(onceward.address).json()["state"], "succeeded");

    // However often it is permitted, it is permitted once.
    for _ in 0..2 {
        assert_eq!(admin(&onceward, "2", "release", r#"{"why":"not there"}"#).status, 200);
    }
    let never_paid = admin(&onceward, "2", "resolve", r#"{"state":"cancelled"}"#);
    check(&never_paid, 409, "illegal-transition");
    assert_eq!(onceward.metric("onceward_permitted_reruns_total"), 1.0);
    assert_eq!(Call::pay("2").send(onceward.address).status, 502);
    assert_eq!(to(&upstream, "/pay").len(), 4);

    assert_eq!(admin(&onceward, "3", "cancel", "").status, 202);
    until_state(&onceward, "3", "cancelled");
    check(&admin(&onceward, "never", "resolve", wish), 404, "not-found");
}

fn order(onceward: &Sidecar, token: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(ONCEWARD);
    command.arg("order").args(arguments).env_clear();
    command.env("ONCEWARD_ADMIN_LISTEN", onceward.admin.to_string());
    command.env("ONCEWARD_ADMIN_TOKEN", token).output().unwrap()
}

#[test]
fn the_order_command_shows_cancels_and_resolves() {
    let (redis, upstream) = (Redis::start(), open());
    let onceward = asking(&redis, &upstream).set("ADMIN_TOKEN", "s3cret").start();
    let run = |arguments: &[&str]| {
        let output = order(&onceward, "s3cret", arguments);
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), said)
    };
    Call::pay("a/1").send(onceward.address);
    let (code, shown) = run(&["show", "pay", "a/1"]);
    assert!(code == 0 && shown.contains(r#""state": "unknown""#), "{shown}");
    let told = ["resolve", "pay", "a/1", "--state", "failed", "--why", "the bank says no"];
    let (code, shown) = run(&told);
    assert!(code == 0 && shown.contains("the bank says no"), "{shown}");
    assert_eq!(run(&["cancel", "pay", "a/1"]).0, 1);
    assert_eq!(run(&["cancel", "pay", "b"]).0, 0);
    assert_eq!(run(&["show", "pay", "nobody"]).0, 1);
    assert_eq!(run(&["resolve", "pay", "a/1"]).0, 64);
    assert_eq!(order(&onceward, "wrong", &["show", "pay", "b"]).status.code(), Some(1));
}

#[test]
fn an_order_is_found_however_its_address_is_encoded() {
    let (redis, upstream) = (Redis::start(), open());
    for name in ["pay-order", "pay_order", "pay.v2"] {
        let named = routes(|route| route["name"] = name.into());
        let onceward = asking(&redis, &upstream).set("ROUTES", &named).start();
        Call::pay("K-1").send(onceward.address);
        let all: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for (route, key) in [(name, "K-1"), (name, "K%2D1"), (&*all, "%4B-1")] {
            let own = Call::get(&format!("/_onceward/orders/{route}/{key}"));
            let seen = own.send(onceward.address).json();
            assert_eq!((&seen["route"], &seen["key"]), (&name.into(), &"K-1".into()), "{route}");
            let seen = Call::get(&format!("/admin/orders/{route}/{key}")).send(onceward.admin);
            assert_eq!(seen.json()["route"], name, "{route}");
        }
        let cancel = Call::post(&format!("/_onceward/orders/{all}/new-1/cancel"));
        assert_eq!(cancel.send(onceward.address).status, 200);
        let cancel = Call::post(&format!("/admin/orders/{all}/new-2/cancel"));
        assert_eq!(cancel.send(onceward.admin).status, 200);
        for arguments in [
            &["show", name, "K-1"][..],
            &["resolve", name, "K-1", "--state", "failed"],
            &["cancel", name, "new-3"],
        ] {
            let output = order(&onceward, "", arguments);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
    }
}

#[test]
fn cancelling_twice_answers_the_same() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, request| match request.target.as_str() {
        "/cancel" => Act::status(500, "{}"),
        "/pay" if request.header("idempotency-key") == Some("paid") => Act::ok("{}"),
        _ => Act::Reset,
    });
    let onceward = asking(&redis, &upstream).start();
    Call::pay("paid").send(onceward.address);
    Call::pay("open").send(onceward.address);
    for (key, status, state) in
        [("never", 200, "cancelled"), ("open", 202, "cancelling"), ("paid", 409, "succeeded")]
    {
        for _ in 0..3 {
            let reply = cancel(&onceward, key);
            assert_eq!((reply.status, reply.state()), (status, state), "{key}");
        }
    }
}

#[test]
fn a_queued_order_that_is_cancelled_is_never_sent() {
    let (redis, upstream, port) = (Redis::start(), Upstream::start(), Refusing::bind());
    let queueing = routes(|route| route["mode"] = "async".into());
    let build = asking(&redis, &upstream).set("ROUTES", &queueing);
    let away = build.clone().set("UPSTREAM", &port.url()).set("QUEUE_RETRY", "1h").start();
    assert_eq!(Call::pay("1").send(away.address).status, 202);
    until("it was tried and is queued again", || {
        away.metric(r#"onceward_dispatched_total{result="retried"}"#) == 1.0
    });
    let cancelled = cancel(&away, "1");
    assert_eq!((cancelled.status, cancelled.state()), (200, "cancelled"));
    // Another replica takes the entry over, and finds nothing to send.
    let other = build.start();
    drop(away);
    until("its entry is gone", || redis.command(&["KEYS", "*:stream:*"]).is_empty());
    check(&Call::pay("1").send(other.address), 409, "order-cancelled");
    assert_eq!(upstream.calls(), 0);
}

#[test]
fn a_cancel_call_whose_reply_is_lost_is_repeated_until_it_is_confirmed() {
    let redis = Redis::start();
    let tried = AtomicUsize::new(0);
    let upstream = Upstream::acting(move |_, request| match request.target.as_str() {
        "/pay" => Act::Reset,
        "/cancel" => match tried.fetch_add(1, Ordering::SeqCst) {
            0 => Act::Reset,
            1 => Act::Silence,
            2 => Act::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec()),
            3 => Act::status(500, "{}"),
            _ => Act::ok("{}"),
        },
        _ => Act::ok(r#"{"status":"paying"}"#),
    });
    let patient = routes(|route| {
        route["upstream_timeout"] = "300ms".into();
        route["cancel_interval"] = "20ms".into();
    });
    let onceward = asking(&redis, &upstream).set("ROUTES", &patient).start();
    Call::pay("1").send(onceward.address);
    assert_eq!(cancel(&onceward, "1").status, 202);
    until_state(&onceward, "1", "cancelled");
    // More where the machine stalls, and an answer comes too late.
    assert!(to(&upstream, "/cancel").len() >= 5);
    onceward.counts(r#"onceward_cancels_total{result="cancelled"}"#, 1.0);
    assert!(onceward.metric(r#"onceward_cancels_total{result="unanswered"}"#) >= 3.0);
}

#[test]
fn money_that_moved_by_mistake_is_paid_back_and_nobody_is_called() {
    let redis = Redis::start();
    let (charged, refunded) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (charges, refunds) = (charged.clone(), refunded.clone());
    let upstream = Upstream::acting(move |_, request| match request.target.as_str() {
        "/pay" => {
            charges.fetch_add(1, Ordering::SeqCst);
            Act::Reset
        }
        "/cancel" => {
            refunds.fetch_add(1, Ordering::SeqCst);
            Act::ok("{}")
        }
        _ => Act::ok(r#"{"status":"paying"}"#),
    });
    let soon = routes(|route| route["resolve_deadline"] = "700ms".into());
    let onceward = asking(&redis, &upstream).set("ROUTES", &soon).start();
    Call::pay("1").send(onceward.address);
    until_state(&onceward, "1", "cancelled");
    let moved = (charged.load(Ordering::SeqCst), refunded.load(Ordering::SeqCst));
    assert_eq!(moved, (1, 1));
    let metrics = Call::get("/metrics").send(onceward.admin).text();
    let alarms = metrics.lines().filter(|line| line.starts_with("onceward_alarms_total{"));
    assert!(alarms.clone().count() > 0);
    assert!(alarms.clone().all(|line| line.ends_with(" 0")), "{metrics}");
}
