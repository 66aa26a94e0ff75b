//! What an attempt meets on its way to the payment service and back: the README's table, line by
//! line. The scripted service tells what it saw.

use super::{play, playing};
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::upstream::Upstream;
use serde_json::{Value, json};

/// What a caller is told: status, problem, state.
fn told(reply: &Reply) -> (u16, String, String) {
    (reply.status, reply.problem(), reply.state().to_owned())
}

/// A payment that meets a fault, and its duplicate; what was told, and how often upstream was
/// called.
#[track_caller]
fn check(at: &str, deed: Value, first: (u16, &str, &str), again: (u16, &str, &str), calls: usize) {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    // Only what is never answered has to wait for the timeout.
    let timeout = if first == SILENT { "1s" } else { "30s" };
    let onceward = playing(&redis, &upstream).set("UPSTREAM_TIMEOUT", timeout).start();
    onceward.fault("f", json!({"at": at, "do": deed, "times": 1}));
    let reply = Call::pay("1").send(onceward.address);
    let words = |told: (u16, &str, &str)| (told.0, told.1.to_owned(), told.2.to_owned());
    assert_eq!(told(&reply), words(first), "{at} {deed}");
    assert_eq!(reply.header("onceward-fault"), Some("f"), "{at} {deed}");
    assert_eq!(onceward.fired("f"), 1);
    let duplicate = Call::pay("1").send(onceward.address);
    assert_eq!(told(&duplicate), words(again), "the duplicate after {at} {deed}");
    assert_eq!(duplicate.header("onceward-fault"), None);
    assert_eq!(upstream.calls(), calls, "{at} {deed}");
}

const PAID: (u16, &str, &str) = (200, "", "succeeded");
const UNKNOWN: (u16, &str, &str) = (409, "outcome-unknown", "unknown");
const SILENT: (u16, &str, &str) = (504, "upstream-timeout", "unknown");
const BROKEN: (u16, &str, &str) = (502, "upstream-broken", "unknown");

#[test]
fn lost_on_the_way_there() {
    check("upstream_request", json!({"lose": true}), SILENT, UNKNOWN, 0);
}

#[test]
fn delayed_past_all_patience_on_the_way_there() {
    check("upstream_request", json!({"delay": "5m"}), SILENT, UNKNOWN, 0);
}

#[test]
fn delayed_a_little() {
    for at in ["upstream_request", "upstream_response"] {
        check(at, json!({"delay": "10ms"}), PAID, PAID, 1);
    }
}

#[test]
fn refused() {
    let refused = (502, "upstream-unreachable", "none");
    check("upstream_request", json!({"reset": true}), refused, PAID, 1);
}

#[test]
fn answered_by_somebody_in_between() {
    check("upstream_request", json!({"status": 429}), (429, "", "none"), PAID, 1);
    check("upstream_request", json!({"status": 402}), (402, "", "failed"), (402, "", "failed"), 0);
    let unknown = (500, "", "unknown");
    check("upstream_request", json!({"status": 500}), unknown, unknown, 0);
}

#[test]
fn cut_on_the_way_there() {
    check("upstream_request", json!({"cut": 3}), BROKEN, UNKNOWN, 0);
}

#[test]
fn sent_twice_by_the_network() {
    let (_redis, upstream, onceward) = play();
    onceward.fault("f", json!({"at": "upstream_request", "do": {"duplicate": true}, "times": 1}));
    let reply = Call::pay("1").send(onceward.address);
    assert_eq!(told(&reply), (200, String::new(), "succeeded".into()));
    let seen = upstream.requests();
    let marks = |at: usize| {
        let request = &seen[at];
        let header = |name| request.header(name).map(str::to_owned);
        (header("idempotency-key"), header("onceward-fence"), request.body.clone())
    };
    assert_eq!((seen.len(), marks(0)), (2, marks(1)));
    assert_eq!(marks(0).1.as_deref(), Some("1"));
}

#[test]
fn changed_on_the_way_there() {
    let (_redis, upstream, onceward) = play();
    onceward.fault("f", json!({"at": "upstream_request", "do": {"corrupt": true}, "times": 1}));
    assert_eq!(Call::pay("1").send(onceward.address).status, 200);
    assert_eq!(upstream.requests()[0].body, br#"{"amount":101}"#);
    // It is the request that was asked for that duplicates are held against.
    assert!(Call::pay("1").send(onceward.address).is_replay());
}

#[test]
fn lost_on_the_way_back() {
    check("upstream_response", json!({"lose": true}), SILENT, UNKNOWN, 1);
}

#[test]
fn broken_on_the_way_back() {
    check("upstream_response", json!({"reset": true}), BROKEN, UNKNOWN, 1);
    check("upstream_response", json!({"cut": 5}), BROKEN, UNKNOWN, 1);
    check("upstream_response", json!({"cut": 0}), BROKEN, UNKNOWN, 1);
    // A body that is no longer than that is whole.
    check("upstream_response", json!({"cut": 500}), PAID, PAID, 1);
}

#[test]
fn charged_and_then_another_answer() {
    let unknown = (500, "", "unknown");
    check("upstream_response", json!({"status": 500}), unknown, unknown, 1);
    check("upstream_response", json!({"body": "other"}), PAID, PAID, 1);
    check("upstream_response", json!({"corrupt": true}), PAID, PAID, 1);
}

#[test]
fn an_answer_that_is_too_large() {
    let large = json!({"pad": 2_000_000});
    check("upstream_response", large, PAID, (409, "response-not-stored", "succeeded"), 1);
}

#[test]
fn the_duplicate_gets_the_bytes_the_first_got() {
    let (_redis, _upstream, onceward) = play();
    for (key, deed) in
        [("1", json!({"body": "other"})), ("2", json!({"corrupt": true})), ("3", json!({"pad": 7}))]
    {
        onceward.fault("f", json!({"at": "upstream_response", "do": deed, "times": 1}));
        let first = Call::pay(key).send(onceward.address);
        let again = Call::pay(key).send(onceward.address);
        assert!(again.is_replay());
        assert_eq!(first.body, again.body, "{deed}");
    }
}

#[test]
fn what_is_held_goes_on_when_its_rule_goes() {
    for at in ["request", "upstream_request", "upstream_response", "response"] {
        for deed in [json!({"delay": "10m"}), json!({"lose": true})] {
            let (_redis, upstream, onceward) = play();
            onceward.fault("f", json!({"at": at, "do": deed}));
            let held = Call::pay("1").spawn(onceward.address);
            until("it is held", || onceward.fired("f") == 1);
            assert!(!held.is_finished());
            onceward.heal("f");
            let reply = held.join().unwrap();
            assert_eq!((reply.status, upstream.calls()), (200, 1), "{at} {deed}");
            assert_eq!(reply.header("onceward-fault"), Some("f"));
        }
    }
}

#[test]
fn the_second_overtakes_the_first() {
    let (_redis, upstream, onceward) = play();
    onceward.fault("f", json!({"at": "upstream_request", "do": {"reorder": true}, "times": 1}));
    let first = Call::pay("first").spawn(onceward.address);
    until("it is held", || onceward.fired("f") == 1);
    assert_eq!(Call::pay("second").send(onceward.address).status, 200);
    assert_eq!(first.join().unwrap().status, 200);
    let keys: Vec<_> = upstream
        .requests()
        .iter()
        .map(|request| request.header("idempotency-key").unwrap().to_owned())
        .collect();
    assert_eq!(keys, ["second", "first"]);
}
