//! What happens to queries, cancels and callbacks on their way.

use super::playing;
use crate::resolve::{answering, routes, state, to, until_state};
use crate::support::client::Call;
use crate::support::redis::Redis;
use crate::support::sidecar::Sidecar;
use crate::support::until;
use crate::support::upstream::{Act, Upstream};
use serde_json::{Value, json};

/// A service that charges and never answers, and is asked about it.
fn asked(deadline: &str) -> (Redis, Upstream, Sidecar) {
    let redis = Redis::start();
    let upstream = answering(|| Act::Reset, |_| Act::ok(r#"{"status":"paid"}"#));
    let deadline = deadline.to_owned();
    let routes = routes(|route| route["resolve_deadline"] = deadline.into());
    let onceward = playing(&redis, &upstream).set("ROUTES", &routes).start();
    (redis, upstream, onceward)
}

/// Puts a rule, pays, and waits until it fired so often.
fn strike(onceward: &Sidecar, rule: Value, times: u64) {
    onceward.fault("f", rule);
    assert_eq!(Call::pay("1").send(onceward.address).state(), "unknown");
    until("it struck", || onceward.fired("f") >= times);
}

#[test]
fn a_query_that_meets_an_accident_settles_nothing_and_is_made_again() {
    for (deed, heard) in [
        (json!({"reset": true}), 0),
        (json!({"lose": true}), 1),
        (json!({"status": 503}), 1),
        (json!({"body": "garbage"}), 1),
        (json!({"cut": 3}), 1),
        (json!({"delay": "10m"}), 0),
        (json!({"duplicate": true}), 2),
    ] {
        let (_redis, upstream, onceward) = asked("60s");
        strike(&onceward, json!({"at": "query", "do": deed, "times": 1, "key": "1"}), 1);
        until_state(&onceward, "1", "succeeded");
        let more = usize::from(deed.get("duplicate").is_none());
        // More where the machine stalls: an answer that comes after its turn is none.
        assert!(to(&upstream, "/result").len() >= heard + more, "{deed}");
        assert_eq!(to(&upstream, "/pay").len(), 1);
    }
}

#[test]
fn an_order_nobody_can_be_asked_about_is_cancelled() {
    let (_redis, upstream, onceward) = asked("1s");
    strike(&onceward, json!({"at": "query", "do": {"lose": true}}), 1);
    until_state(&onceward, "1", "cancelled");
    assert!(!to(&upstream, "/cancel").is_empty());
    let refused = Call::pay("1").send(onceward.address);
    assert_eq!(refused.problem(), "order-cancelled");
}

#[test]
fn a_cancel_whose_answer_is_lost_is_made_again() {
    let (_redis, upstream, onceward) = asked("1s");
    onceward.fault("mute", json!({"at": "query", "do": {"reset": true}}));
    strike(&onceward, json!({"at": "cancel", "do": {"lose": true}, "times": 1}), 1);
    until_state(&onceward, "1", "cancelled");
    assert!(to(&upstream, "/cancel").len() >= 2);
}

#[test]
fn a_cancel_that_is_answered_otherwise_is_what_it_is_answered() {
    let (_redis, upstream, onceward) = asked("1s");
    onceward.fault("mute", json!({"at": "query", "do": {"reset": true}}));
    strike(&onceward, json!({"at": "cancel", "do": {"status": 409}}), 1);
    until_state(&onceward, "1", "succeeded");
    assert!(!to(&upstream, "/cancel").is_empty());
    onceward.counts(r#"onceward_alarms_total{kind="not-cancellable"}"#, 1.0);
}

#[test]
fn a_sidecar_that_crashes_at_a_query_leaves_it_to_the_next() {
    let (redis, upstream, mut onceward) = asked("60s");
    onceward.fault("f", json!({"at": "query", "do": {"crash": true}}));
    assert_eq!(Call::pay("1").send(onceward.address).state(), "unknown");
    onceward.ended();
    let next = playing(&redis, &upstream).set("ROUTES", &routes(|_| {})).start();
    until_state(&next, "1", "succeeded");
    assert_eq!((state(&next, "1").as_str(), to(&upstream, "/pay").len()), ("succeeded", 1));
}

/// A service with a callback route, that acknowledges.
fn called() -> (Redis, Upstream, Sidecar) {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, _| Act::ok("success"));
    let routes = json!([{"name": "notify", "path": "/notify", "kind": "callback",
        "key": ["json:/id"], "event": ["json:/status"], "unchanged": ["json:/amount"],
        "upstream_timeout": "2s", "ack": {"body": "success"}}]);
    let onceward = playing(&redis, &upstream).set("ROUTES", &routes.to_string()).start();
    (redis, upstream, onceward)
}

fn notify(onceward: &Sidecar) -> crate::support::client::Reply {
    let body = r#"{"id":"n1","status":"PAID","amount":100}"#;
    Call::post("/notify").json(body).send(onceward.address)
}

#[test]
fn a_callback_that_meets_an_accident_is_not_acknowledged_and_its_next_try_is_forwarded() {
    for (deed, status, heard) in [
        (json!({"reset": true}), 502, 0),
        (json!({"status": 500}), 500, 1),
        (json!({"body": "fail"}), 200, 1),
        (json!({"cut": 2}), 502, 1),
        (json!({"lose": true}), 504, 1),
        (json!({"delay": "10m"}), 504, 0),
    ] {
        let (_redis, upstream, onceward) = called();
        onceward.fault("f", json!({"at": "callback", "do": deed, "key": "n1", "times": 1}));
        let first = notify(&onceward);
        assert_eq!((first.status, upstream.calls()), (status, heard), "{deed}");
        assert_eq!(first.header("onceward-fault"), Some("f"));
        let next = notify(&onceward);
        assert_eq!((next.text().as_str(), next.is_replay()), ("success", false), "{deed}");
        assert!(notify(&onceward).is_replay());
        assert_eq!(upstream.calls(), heard + 1, "{deed}");
    }
}

#[test]
fn a_callback_that_comes_twice_is_forwarded_once() {
    let (_redis, upstream, onceward) = called();
    onceward.fault("f", json!({"at": "request", "do": {"duplicate": true}, "route": "notify"}));
    let reply = notify(&onceward);
    assert_eq!((reply.text().as_str(), reply.is_replay(), upstream.calls()), ("success", true, 1));
    onceward.heal("f");
    // And one that the network sends twice to the service is heard twice there.
    onceward.fault("g", json!({"at": "callback", "do": {"duplicate": true}}));
    let body = r#"{"id":"n2","status":"PAID","amount":100}"#;
    assert_eq!(Call::post("/notify").json(body).send(onceward.address).text(), "success");
    assert_eq!(upstream.calls(), 3);
}

#[test]
fn a_repeat_that_comes_changed_is_a_contradiction() {
    let (_redis, upstream, onceward) = called();
    assert_eq!(notify(&onceward).status, 200);
    onceward.fault("f", json!({"at": "request", "do": {"corrupt": true}}));
    let changed = notify(&onceward);
    assert_eq!((changed.problem().as_str(), upstream.calls()), ("callback-contradiction", 1));
}
