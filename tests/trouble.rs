//! Redis in trouble: nothing is sent that cannot be protected, nobody waits long, and service
//! resumes by itself.

use crate::resolve::{asking, routes};
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, Sidecar, sidecar};
use crate::support::until;
use crate::support::upstream::{Act, Gate, Upstream};
use onceward::model::identity::Order;
use onceward::model::key::Key;
use onceward::store::names::Names;
use serde_json::Value;
use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_millis(1500);

/// What REDIS_TIMEOUT plus a little may be on a busy machine; without a bound it would be for ever.
const A_LITTLE: Duration = Duration::from_secs(20);

fn build(redis: &Redis, upstream: &Upstream) -> Builder {
    sidecar(redis, upstream).set("REDIS_TIMEOUT", "1500ms").set("DUPLICATE_WAIT", "0s")
}

fn check_unavailable(onceward: &Sidecar, key: &str) {
    let started = Instant::now();
    let reply = Call::pay(key).send(onceward.address);
    assert_eq!((reply.status, reply.problem().as_str()), (503, "store-unavailable"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(started.elapsed() < TIMEOUT + A_LITTLE, "{:?}", started.elapsed());
}

fn until_paid(onceward: &Sidecar, key: &str) -> Reply {
    let mut reply = None;
    until("service resumes", || {
        let answer = Call::pay(key).send(onceward.address);
        let paid = answer.status == 200;
        reply = Some(answer);
        paid
    });
    reply.unwrap()
}

/// Trouble comes, payments are refused and not sent; trouble goes, the same payment goes through.
fn check_trouble(begin: impl FnOnce(&mut Redis), end: impl FnOnce(&mut Redis)) {
    let (mut redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = build(&redis, &upstream).start();
    assert_eq!(Call::pay("before").send(onceward.address).status, 200);
    begin(&mut redis);
    for key in ["during", "during", "another"] {
        check_unavailable(&onceward, key);
    }
    assert_eq!(upstream.calls(), 1);
    end(&mut redis);
    assert!(!until_paid(&onceward, "during").is_replay());
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn redis_down_and_back() {
    check_trouble(Redis::kill, Redis::restart);
}

#[test]
fn redis_paused_and_resumed() {
    check_trouble(|redis| redis.pause(), |redis| redis.resume());
}

#[test]
fn redis_out_of_memory_and_relieved() {
    let limit = |bytes: &'static str| {
        move |redis: &mut Redis| {
            redis.command(&["CONFIG", "SET", "maxmemory", bytes]);
        }
    };
    check_trouble(limit("1"), limit("0"));
}

#[test]
fn redis_read_only_and_promoted() {
    let replicate = |host: &'static str, port: &'static str| {
        move |redis: &mut Redis| {
            redis.command(&["REPLICAOF", host, port]);
        }
    };
    check_trouble(replicate("127.0.0.1", "1"), replicate("NO", "ONE"));
}

#[test]
fn redis_restarted_between_two_payments_is_not_noticed() {
    // With `everysec` Redis may answer before it writes, while an fsync is under way.
    let mut redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let upstream = Upstream::start();
    let onceward = build(&redis, &upstream).start();
    // A disk that others keep busy may take longer over the first fsync than REDIS_TIMEOUT.
    let first = until_paid(&onceward, "1");
    redis.restart();
    let again = until_paid(&onceward, "1");
    assert_eq!((again.body, upstream.calls()), (first.body, 1));
}

#[test]
fn flushed_scripts_are_loaded_again_without_a_refusal() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = build(&redis, &upstream).start();
    for key in ["1", "2", "3"] {
        redis.command(&["SCRIPT", "FLUSH"]);
        assert_eq!(Call::pay(key).send(onceward.address).status, 200);
        assert!(Call::pay(key).send(onceward.address).is_replay());
    }
    assert_eq!(upstream.calls(), 3);
}

#[test]
fn a_start_without_redis_waits_for_it() {
    let (mut redis, upstream) = (Redis::start(), Upstream::start());
    redis.kill();
    let onceward = build(&redis, &upstream).start();
    check_unavailable(&onceward, "1");
    redis.restart();
    until_paid(&onceward, "1");
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn an_answer_that_cannot_be_stored_reaches_its_caller_and_is_stored_later() {
    let gate = Gate::default();
    let held = gate.clone();
    let redis = Redis::start();
    let upstream = Upstream::acting(move |_, _| Act::ok("charged").behind(&held));
    let onceward = build(&redis, &upstream).start();
    let first = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);
    redis.pause();
    gate.open();
    let first = first.join().unwrap();
    assert_eq!((first.status, first.text().as_str(), first.state()), (200, "charged", "unknown"));
    redis.resume();
    let again = until_paid(&onceward, "1");
    assert_eq!(
        (again.text().as_str(), again.is_replay(), again.state()),
        ("charged", true, "succeeded")
    );
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn an_outcome_is_stored_though_memory_is_full() {
    let gate = Gate::default();
    let held = gate.clone();
    let redis = Redis::start();
    let upstream = Upstream::acting(move |_, _| Act::ok("charged").behind(&held));
    let onceward = build(&redis, &upstream).start();
    let first = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    gate.open();
    assert_eq!(first.join().unwrap().state(), "succeeded");
}

#[test]
fn bypass_forwards_unprotected_and_counts() {
    let (mut redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = build(&redis, &upstream).set("REDIS_DOWN", "bypass").start();
    assert_eq!(Call::pay("1").send(onceward.address).state(), "succeeded");
    redis.kill();
    for call in 2..=3 {
        let reply = Call::pay("1").send(onceward.address);
        assert_eq!((reply.status, reply.state(), reply.is_replay()), (200, "unknown", false));
        assert_eq!(reply.json()["call"], call);
    }
    let last = upstream.requests().pop().unwrap();
    assert_eq!((last.header("idempotency-key"), last.header("onceward-fence")), (Some("1"), None));
    assert_eq!(onceward.metric("onceward_bypassed_total"), 2.0);
    assert_eq!(
        onceward.metric(r#"onceward_requests_total{route="default",outcome="bypassed"}"#),
        2.0
    );
    // Where every payment would be let through, being without Redis is no reason to get none.
    assert_eq!(Call::get("/readyz").send(onceward.admin).status, 200);
}

/// Nothing keeps such a request from being acted upon once more, and nobody says otherwise.
#[test]
fn bypassed_without_an_answer_its_caller_is_told_that_it_may_act_again() {
    let (mut redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Reset));
    let onceward = build(&redis, &upstream).set("REDIS_DOWN", "bypass").start();
    redis.kill();
    for call in 1..=2 {
        let reply = Call::pay("1").send(onceward.address);
        assert_eq!((reply.status, reply.problem().as_str()), (502, "upstream-broken"));
        assert!(reply.text().contains("may act once more"), "{}", reply.text());
        assert_eq!(upstream.calls(), call);
    }
}

#[test]
fn a_first_request_costs_two_scripts_and_a_duplicate_one() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = build(&redis, &upstream).start();
    // Both threads connect, and every script is loaded.
    for key in 0..20 {
        Call::pay(&format!("warm-{key}")).send(onceward.address);
    }
    let commands = |call: &dyn Fn()| {
        let monitor = redis.monitor();
        call();
        let seen = monitor.stop();
        // The survey looks at partitions, never at one order.
        let is_ours = |line: &&String| line.contains(":order:") && !line.contains(" lua]");
        seen.iter().filter(is_ours).cloned().collect::<Vec<_>>()
    };
    let first = commands(&|| assert!(!Call::pay("counted").send(onceward.address).is_replay()));
    assert_eq!(first.len(), 2, "{first:?}");
    assert!(first.iter().all(|line| line.contains("\"EVALSHA\"")), "{first:?}");
    let duplicate = commands(&|| assert!(Call::pay("counted").send(onceward.address).is_replay()));
    assert_eq!(duplicate.len(), 1, "{duplicate:?}");
}

#[test]
fn a_claim_waits_for_replicas_and_is_given_back_without_them() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let port = redis.port.to_string();
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &port]);
    until("the replica follows", || {
        redis.command(&["INFO", "replication"]).contains("state=online")
    });
    let onceward = build(&redis, &upstream)
        .set("REDIS_WAIT_REPLICAS", "1")
        // Longer than the library would wait by itself.
        .set("REDIS_WAIT_TIMEOUT", "800ms")
        .start();
    // A replica that is online may still be loading what it was sent.
    until_paid(&onceward, "1");
    assert!(redis.calls("wait") >= 1);
    replica.pause();
    until("it is told that a replica is missing", || {
        check_unavailable(&onceward, "2");
        onceward.metric(r#"onceward_redis_errors_total{kind="unconfirmed"}"#) >= 1.0
    });
    assert_eq!(upstream.calls(), 1);
    replica.resume();
    // The claim that was not confirmed is taken back, so that the order is not stuck.
    until_paid(&onceward, "2");
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn an_order_being_cancelled_is_not_forgotten_without_an_alarm() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, request| match request.target.as_str() {
        "/cancel" => Act::status(500, "{}"),
        _ => Act::Reset,
    });
    let soon = routes(|route| {
        route["cancel_interval"] = "10ms".into();
    });
    let onceward = asking(&redis, &upstream).set("ROUTES", &soon).start();
    Call::pay("1").send(onceward.address);
    let cancel = Call::post("/_onceward/orders/pay/1/cancel").send(onceward.address);
    assert_eq!((cancel.status, cancel.state()), (202, "cancelling"));
    // As if nearly all of UNKNOWN_TTL were over.
    let record = redis.command(&["KEYS", "*:order:*"]);
    redis.command(&["PEXPIRE", record.trim(), "4000"]);
    until("somebody is called", || {
        onceward.metric(r#"onceward_alarms_total{kind="cancelling-expiring"}"#) >= 1.0
    });
    until("it is told", || onceward.log().contains("is about to be forgotten"));
    // And what was forgotten is not counted for ever.
    until("it is gone", || {
        redis.command(&["KEYS", "*"]).is_empty()
            && onceward.metric(r#"onceward_orders{state="cancelling"}"#) == 0.0
    });
}

#[test]
fn an_unknown_order_is_not_forgotten_without_an_alarm() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Reset));
    let onceward = sidecar(&redis, &upstream).set("UNKNOWN_TTL", "2s").start();
    onceward.logs("ONCEWARD_UNKNOWN_TTL");
    assert_eq!(Call::pay("1").send(onceward.address).state(), "unknown");
    until("somebody is called", || {
        onceward.metric(r#"onceward_alarms_total{kind="unknown-expiring"}"#) >= 1.0
    });
    // And what was forgotten is not counted for ever.
    until("it is gone", || {
        redis.command(&["KEYS", "*"]).is_empty()
            && onceward.metric(r#"onceward_orders{state="unknown"}"#) == 0.0
    });
}

#[test]
fn an_unknown_order_that_is_forgotten_before_older_ones_is_not_without_an_alarm() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Reset));
    let routes = r#"[{"name": "pay", "path": "/pay"}, {"name": "refund", "path": "/refund"}]"#;
    let onceward = sidecar(&redis, &upstream).set("ROUTES", routes).start();
    let order = |route: &str, key: &str| Order::new(route.into(), "", Key::from_text(key).unwrap());
    let soon = order("refund", "1");
    // More than one look asks about, and all of one partition.
    let older = (2..)
        .map(|n: u32| order("pay", &n.to_string()))
        .filter(|order| order.partition == soon.partition)
        .take(25);
    let names = Names::new("onceward");
    let unknown_for = |order: &Order, call: Call, ms: &str| {
        assert_eq!(call.send(onceward.address).state(), "unknown");
        redis.command(&["ZINCRBY", names.unknown(soon.partition), ms, &order.id]);
    };
    // Of the week these are kept more than four days are over; and of this one all but a minute.
    for order in older {
        unknown_for(&order, Call::pay(order.key.as_str()), "-400000000");
    }
    unknown_for(&soon, Call::post("/refund").key("1").json("{}"), "-300000000");
    redis.command(&["PEXPIRE", &names.record(&soon), "60000"]);
    until("somebody is called", || {
        onceward.metric(r#"onceward_alarms_total{kind="unknown-expiring"}"#) >= 1.0
    });
    let alarms = Call::get("/admin/attention/alarms").send(onceward.admin).json();
    let alarms = alarms["alarms"].as_array().unwrap();
    let about_it = |alarm: &Value| alarm["route"] == "refund" && alarm["key"] == "1";
    assert!(!alarms.is_empty() && alarms.iter().all(about_it), "{alarms:?}");
    onceward.logs("is about to be forgotten");
    assert!(onceward.log().contains(&*soon.id));
}

/// Redis forgets while a payment runs: whoever runs it knows, and says so.
#[test]
fn an_order_that_redis_forgot_while_it_ran_is_not_sent_again() {
    for answers in [Act::ok("charged"), Act::status(500, "oops"), Act::Reset] {
        let gate = Gate::default();
        let (held, answers) = (gate.clone(), Mutex::new(Some(answers)));
        let redis = Redis::start();
        let upstream = Upstream::acting(move |_, _| {
            let act = answers.lock().unwrap().take();
            act.map_or(Act::ok("charged twice"), |act| act.behind(&held))
        });
        let onceward = build(&redis, &upstream).start();
        let first = Call::pay("1").spawn(onceward.address);
        upstream.heard(1);
        redis.command(&["FLUSHALL"]);
        gate.open();
        let first = first.join().unwrap();
        let again = Call::pay("1").send(onceward.address);
        assert_eq!(upstream.calls(), 1);
        let unknown = if first.status == 200 { "succeeded" } else { "unknown" };
        assert_eq!((first.state(), again.state()), (unknown, unknown));
        if first.status != 502 {
            assert_eq!((again.status, again.text()), (first.status, first.text()));
        }
        onceward.logs("its outcome is written anew");
    }
}

#[test]
fn an_order_in_flight_that_redis_forgot_is_claimed_anew() {
    let gate = Gate::default();
    let held = gate.clone();
    let mut redis = Redis::start();
    let upstream = Upstream::acting(move |_, _| Act::ok("charged").behind(&held));
    let onceward = build(&redis, &upstream).set("LOCK_TTL", "9s").start();
    let first = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);
    redis.restart_empty();
    onceward.logs("it is claimed anew");
    let meanwhile = Call::pay("1").send(onceward.address);
    assert_eq!((meanwhile.status, meanwhile.problem().as_str()), (409, "in-progress"));
    gate.open();
    assert_eq!(first.join().unwrap().state(), "succeeded");
    assert!(Call::pay("1").send(onceward.address).is_replay());
    assert_eq!(upstream.calls(), 1);
}

/// What proves that money may have moved twice is never only counted.
#[test]
fn a_success_in_whose_place_another_attempt_began_raises_an_alarm() {
    let (slow, quick) = (Gate::default(), Gate::default());
    let (held, other) = (slow.clone(), quick.clone());
    let redis = Redis::start();
    let upstream = Upstream::acting(move |call, _| {
        Act::ok(&format!("charge {call}")).behind(if call == 1 { &held } else { &other })
    });
    let build = build(&redis, &upstream).set("LOCK_TTL", "60s").set("DUPLICATE_WAIT", "60s");
    let (a, b) = (build.start(), build.start());
    let first = Call::pay("1").spawn(a.address);
    upstream.heard(1);
    redis.command(&["FLUSHALL"]);
    let second = Call::pay("1").spawn(b.address);
    upstream.heard(2);
    slow.open();
    let first = first.join().unwrap();
    assert_eq!(
        (first.status, first.text().as_str(), first.state()),
        (200, "charge 1", "in_flight")
    );
    assert_eq!(a.metric(r#"onceward_alarms_total{kind="success-fenced"}"#), 1.0);
    a.logs("pay one of the two back");
    let attention = Call::get("/admin/attention/alarms").send(a.admin).text();
    assert!(attention.contains("success-fenced"), "{attention}");
    quick.open();
    assert_eq!(second.join().unwrap().text(), "charge 2");
}

/// A balancer without a server behind it, or a Redis that has too many clients.
#[test]
fn a_redis_that_closes_every_connection_does_not_get_one_after_the_other() {
    for word in ["", "-ERR max number of clients reached\r\n"] {
        let upstream = Upstream::start();
        let closing = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = closing.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        std::thread::spawn(move || {
            for stream in closing.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = (&stream).write_all(word.as_bytes());
            }
        });
        let onceward = Builder::default()
            .set("REDIS_URL", &format!("redis://{address}"))
            .set("REDIS_TIMEOUT", "1500ms")
            .set("ROUTES", r#"[{"name": "pay", "path": "/pay", "mode": "either"}]"#)
            .set("UPSTREAM", &upstream.url())
            .start();
        let before = accepted.load(Ordering::SeqCst);
        assert_eq!(Call::pay("1").send(onceward.address).status, 503);
        let later = Call::pay("2").header("prefer", "respond-async").send(onceward.address);
        assert!([409, 503].contains(&later.status), "{}", later.text());
        // One command may take 1.5 s; unbounded it was ten thousand a second.
        let made = accepted.load(Ordering::SeqCst) - before;
        assert!(made < 300, "{made} connections for two payments");
        assert_eq!(upstream.calls(), 0);
    }
}
