//! What happens to Redis commands: never sent, sent and unheard, sent late, sent twice.

use super::{play, playing};
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::Sidecar;
use crate::support::until;
use crate::support::upstream::{Act, Upstream};
use serde_json::{Value, json};

fn errors(onceward: &Sidecar, kind: &str) -> f64 {
    onceward.metric(&format!(r#"onceward_redis_errors_total{{kind="{kind}"}}"#))
}

fn told(reply: &Reply) -> (u16, String, String) {
    (reply.status, reply.problem(), reply.state().to_owned())
}

/// A payment whose claim meets a fault once: what is told, the kind of error that is counted.
#[track_caller]
fn check_claim(at: &str, deed: Value, first: (u16, &str, &str), kind: &str, calls: usize) {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    // Only what is lost or late has to wait for the timeout.
    let waits = deed.get("lose").or(deed.get("delay")).is_some();
    let timeout = if waits { "1s" } else { "5s" };
    let onceward = playing(&redis, &upstream).set("REDIS_TIMEOUT", timeout).start();
    // Its scripts are loaded, and both threads are connected.
    for key in 0..8 {
        Call::pay(&format!("warm-{key}")).send(onceward.address);
    }
    let before = upstream.calls();
    let rule = json!({"at": at, "do": deed, "command": "claim", "key": "1", "times": 1});
    onceward.fault("f", rule);
    let reply = Call::pay("1").send(onceward.address);
    let first = (first.0, first.1.to_owned(), first.2.to_owned());
    assert_eq!(told(&reply), first, "{at} {deed}");
    assert_eq!(reply.header("onceward-fault"), Some("f"));
    assert_eq!(upstream.calls() - before, calls, "{at} {deed}");
    if !kind.is_empty() {
        assert!(errors(&onceward, kind) >= 1.0, "{at} {deed}: {kind}");
    }
    let mut again = Call::pay("1").send(onceward.address);
    until("the claim is taken back", || {
        again = Call::pay("1").send(onceward.address);
        again.status == 200
    });
    assert_eq!(upstream.calls() - before, 1, "{at} {deed}");
}

const PAID: (u16, &str, &str) = (200, "", "succeeded");
const AWAY: (u16, &str, &str) = (503, "store-unavailable", "unknown");

#[test]
fn a_claim_that_is_never_sent() {
    check_claim("redis_before", json!({"reset": true}), AWAY, "unreached", 0);
    check_claim("redis_before", json!({"error": "OOM"}), AWAY, "declined", 0);
    check_claim("redis_before", json!({"lose": true}), AWAY, "lost", 0);
}

#[test]
fn a_claim_whose_answer_is_lost_at_once_is_asked_for_again() {
    check_claim("redis_after", json!({"reset": true}), PAID, "lost", 1);
}

#[test]
fn a_claim_whose_answer_is_lost_in_silence_is_taken_back() {
    check_claim("redis_after", json!({"lose": true}), AWAY, "lost", 0);
}

#[test]
fn a_claim_that_comes_late_finds_itself_void() {
    check_claim("redis_before", json!({"delay": "1500ms"}), AWAY, "lost", 0);
}

#[test]
fn a_claim_that_comes_twice_is_one() {
    check_claim("redis_before", json!({"duplicate": true}), PAID, "", 1);
}

/// A sidecar whose claims a replica confirms; its Redis, which writes down every command, and the
/// replica.
fn confirmed(upstream: &Upstream, timeout: &str) -> (Sidecar, [Redis; 2]) {
    let all = ["--slowlog-log-slower-than", "0", "--slowlog-max-len", "10000"];
    let redis = Redis::start_with(&all);
    let port = redis.port.to_string();
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &port]);
    until("the replica follows", || redis.replication("slave0").contains("state=online"));
    let onceward = playing(&redis, upstream)
        .set("REDIS_TIMEOUT", timeout)
        .set("REDIS_WAIT_REPLICAS", "1")
        .set("REDIS_WAIT_TIMEOUT", timeout)
        .start();
    // A replica that is online may still be loading what it was sent.
    until("it is paid", || Call::pay("warm").send(onceward.address).status == 200);
    (onceward, [redis, replica])
}

/// How many claims Redis ran that came by their text: those that replicas confirm.
fn claims(redis: &Redis) -> usize {
    redis.command(&["SLOWLOG", "GET", "-1"]).matches("-- claim: spend the token").count()
}

#[test]
fn a_claim_that_comes_twice_is_one_where_replicas_confirm_it() {
    let upstream = Upstream::start();
    let (onceward, [redis, _replica]) = confirmed(&upstream, "10s");
    let before = (upstream.calls(), claims(&redis));
    let rule = json!({"at": "redis_before", "do": {"duplicate": true}, "command": "claim"});
    onceward.fault("f", rule);
    let reply = Call::pay("1").send(onceward.address);
    assert_eq!(told(&reply), (200, String::new(), "succeeded".to_owned()));
    assert_eq!(reply.header("onceward-fault"), Some("f"));
    assert_eq!((upstream.calls(), claims(&redis)), (before.0 + 1, before.1 + 2));
}

#[test]
fn a_claim_that_comes_late_finds_itself_void_where_replicas_confirm_it() {
    let upstream = Upstream::start();
    let (onceward, [redis, _replica]) = confirmed(&upstream, "1s");
    let before = (upstream.calls(), claims(&redis));
    let rule =
        json!({"at": "redis_before", "do": {"delay": "10m"}, "command": "claim", "times": 1});
    onceward.fault("f", rule);
    let reply = Call::pay("1").send(onceward.address);
    assert_eq!(told(&reply), (503, "store-unavailable".to_owned(), "unknown".to_owned()));
    assert_eq!(claims(&redis), before.1);
    onceward.heal("f");
    until("it arrives after all", || claims(&redis) == before.1 + 1);
    assert_eq!(upstream.calls(), before.0);
    until("it is paid", || Call::pay("1").send(onceward.address).status == 200);
    assert_eq!(upstream.calls(), before.0 + 1);
}

#[test]
fn forgotten_scripts_are_loaded_again() {
    check_claim("redis_before", json!({"error": "NOSCRIPT"}), PAID, "", 1);
}

/// Whatever way the claim goes to Redis. Here nobody asks first (HISTORY_WINDOW is 0s), so the lost
/// claim is seen by what it leads to.
#[test]
fn an_order_that_redis_forgot_begins_anew() {
    for replicas in ["0", "1"] {
        let (redis, upstream) = (Redis::start(), Upstream::start());
        let port = redis.port.to_string();
        let _replica = Redis::start_with(&["--replicaof", "127.0.0.1", &port]);
        until("the replica follows", || redis.replication("slave0").contains("state=online"));
        let onceward = playing(&redis, &upstream)
            .set("REDIS_WAIT_REPLICAS", replicas)
            .set("REDIS_WAIT_TIMEOUT", "10s")
            .start();
        let mut paid = Call::pay("1").send(onceward.address);
        // A replica that is online may still be loading what it was sent.
        until("it is paid", || {
            paid = Call::pay("1").send(onceward.address);
            paid.status == 200
        });
        assert!(Call::pay("1").send(onceward.address).is_replay());
        onceward.fault(
            "f",
            json!({"at": "redis_before", "do": {"forget": true}, "command": "claim", "key": "2"}),
        );
        for key in ["2", "2"] {
            assert!(!Call::pay(key).send(onceward.address).is_replay(), "{replicas} replicas");
        }
        assert_eq!(upstream.calls(), 3, "{replicas} replicas");
    }
}

#[test]
fn an_outcome_that_cannot_be_written_is_written_later() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = playing(&redis, &upstream).set("REDIS_TIMEOUT", "1s").start();
    let rule = |at: &str| json!({"at": at, "do": {"reset": true}, "command": "settle"});
    for (key, at) in [("1", "redis_before"), ("2", "redis_after")] {
        onceward.fault("f", rule(at));
        let first = Call::pay(key).send(onceward.address);
        assert_eq!((first.status, first.state()), (200, "unknown"), "{at}");
        onceward.heal("f");
        let mut again = Call::pay(key).send(onceward.address);
        until("it is stored", || {
            again = Call::pay(key).send(onceward.address);
            again.state() == "succeeded"
        });
        assert_eq!(again.body, first.body);
    }
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn a_lease_that_cannot_be_renewed_is_lost_and_the_sleeper_tells_when_it_wakes() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = playing(&redis, &upstream).set("LOCK_TTL", "2s").start();
    onceward
        .fault("renew", json!({"at": "redis_before", "do": {"reset": true}, "command": "renew"}));
    onceward.fault("slow", json!({"at": "upstream_response", "do": {"lose": true}}));
    let first = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);
    until("somebody says unknown", || Call::pay("1").send(onceward.address).state() == "unknown");
    onceward.heal("slow");
    assert_eq!(told(&first.join().unwrap()), (200, String::new(), "succeeded".into()));
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn a_crash_at_a_named_step_leaves_what_that_step_leaves() {
    for (at, calls, state) in [("redis_before", 0, "none"), ("redis_after", 0, "unknown")] {
        let (redis, upstream) = (Redis::start(), Upstream::start());
        let mut onceward = playing(&redis, &upstream).set("LOCK_TTL", "1s").start();
        onceward.fault("f", json!({"at": at, "do": {"crash": true}, "command": "claim"}));
        assert_eq!(Call::pay("1").try_send(onceward.address), None);
        onceward.ended();
        let next = playing(&redis, &upstream).set("LOCK_TTL", "1s").start();
        let order = || Call::get("/admin/orders/default/1").send(next.admin);
        assert_eq!(upstream.calls(), calls);
        match state {
            "none" => assert_eq!(order().status, 404),
            state => until("its lease is gone", || order().json()["state"] == state),
        }
    }
}

#[test]
fn what_serves_nobody_in_particular_is_met_by_rules_for_everybody() {
    let (_redis, _upstream, onceward) = play();
    onceward.fault("f", json!({"at": "redis_before", "do": {"reset": true}, "command": "ping"}));
    let ready = Call::get("/readyz").send(onceward.admin);
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("refused (fault f)"), "{}", ready.text());
    onceward.heal("f");
    assert_eq!(Call::get("/readyz").send(onceward.admin).status, 200);
}

/// A permission to run again is counted once, whatever became of the answer that it stands.
#[test]
fn a_permission_whose_answer_is_lost_is_counted_once() {
    let permitted = |onceward: &Sidecar| onceward.metric("onceward_permitted_reruns_total");
    let lost = |times: Value| {
        let rule = json!({"at": "redis_after", "do": {"reset": true}, "command": "release"});
        let mut rule = rule.as_object().unwrap().clone();
        rule.extend(times.as_object().unwrap().clone());
        Value::Object(rule)
    };
    let release = |onceward: &Sidecar, key: &str| {
        Call::post(&format!("/admin/orders/pay/{key}/release")).send(onceward.admin).status
    };
    let upstream = Upstream::acting(|_, request| match request.target.as_str() {
        "/pay" => Act::Reset,
        _ => Act::status(404, "{}"),
    });
    let redis = Redis::start();
    let routes = r#"[{"name": "pay", "path": "/pay"}]"#;
    let operated = playing(&redis, &upstream).set("ROUTES", routes).set("REDIS_TIMEOUT", "1s");
    let operated = operated.start();
    for key in ["1", "2"] {
        assert_eq!(Call::pay(key).send(operated.address).state(), "unknown");
    }
    // One lost answer is asked for again; while all are lost, it is taken to stand.
    operated.fault("f", lost(json!({"times": 1})));
    assert_eq!(release(&operated, "1"), 200);
    assert_eq!(permitted(&operated), 1.0);
    operated.fault("f", lost(json!({})));
    assert_eq!(release(&operated, "2"), 503);
    assert_eq!(permitted(&operated), 2.0);
    operated.heal("f");
    assert_eq!(release(&operated, "2"), 200);
    assert_eq!(permitted(&operated), 2.0);
    drop(operated);

    // Upstream's word that there is no such order.
    let redis = Redis::start();
    let asking = crate::resolve::asking(&redis, &upstream).set("FAULTS", "on").start();
    asking.fault("f", lost(json!({"times": 1})));
    assert_eq!(Call::pay("1").send(asking.address).state(), "unknown");
    asking.counts("onceward_permitted_reruns_total", 1.0);
    assert_eq!(asking.fired("f"), 1);
}
