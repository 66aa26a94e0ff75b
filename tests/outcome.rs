//! What a route's rules make of answers, queries and callbacks: of every kind of value, and of what
//! they cannot read.

use crate::resolve::{state, to, until_state};
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Sidecar, sidecar};
use crate::support::upstream::{Act, Request, Upstream};

/// Answers a payment as it asks: its body is that of the answer, its headers say the rest.
fn as_asked(_: usize, request: &Request) -> Act {
    if request.target.starts_with("/result") {
        return Act::ok(r#"{"paid":true}"#);
    }
    if request.header("x-lose").is_some() {
        return Act::Reset;
    }
    let status = request.header("x-status").map_or(200, |status| status.parse().unwrap());
    let kind = request.header("x-type").unwrap_or("application/json").to_owned();
    let mut headers = vec![("Content-Type", kind)];
    headers.extend(request.header("x-retry").map(|after| ("Retry-After", after.to_owned())));
    Act::Answer(status, headers, request.body.clone())
}

fn start(routes: &str) -> (Redis, Upstream, Sidecar) {
    let (redis, upstream) = (Redis::start(), Upstream::acting(as_asked));
    let build = sidecar(&redis, &upstream).set("ROUTES", routes).set("DUPLICATE_WAIT", "0s");
    let onceward = build.set("MAX_RESPONSE_BODY", "4KiB").start();
    (redis, upstream, onceward)
}

/// A payment that is answered by this body.
fn pay(key: &str, body: &str) -> Call {
    Call::post("/pay").key(key).body(body.as_bytes())
}

fn send(onceward: &Sidecar, call: &Call) -> Reply {
    call.send(onceward.address)
}

#[test]
fn outcome_rules_match_true_false_null_and_decimals() {
    let routes = r#"[{"name": "pay", "path": "/pay", "outcome": [
        {"at": "json:/pending", "in": [true], "means": "unknown"},
        {"at": "json:/ok", "in": [false], "means": "failed"},
        {"at": "json:/receipt", "in": [null], "means": "unknown"},
        {"at": "json:/left", "in": [0.5], "means": "unknown"}]}]"#;
    let (_redis, upstream, onceward) = start(routes);
    let cases = [
        (r#"{"pending":true}"#, "unknown"),
        (r#"{"pending":"true"}"#, "unknown"),
        (r#"{"pending":false}"#, "succeeded"),
        (r#"{"ok":false}"#, "failed"),
        (r#"{"ok":true}"#, "succeeded"),
        (r#"{"receipt":null}"#, "unknown"),
        (r#"{"receipt":{}}"#, "succeeded"),
        (r#"{"left":0.50}"#, "unknown"),
        (r#"{"left":0.05}"#, "succeeded"),
    ];
    for (n, (body, state)) in cases.into_iter().enumerate() {
        let call = pay(&n.to_string(), body);
        let (first, again) = (send(&onceward, &call), send(&onceward, &call));
        assert_eq!((first.state(), again.state()), (state, state), "{body}");
        assert_eq!((again.is_replay(), again.text()), (true, body.to_owned()));
    }
    assert_eq!(upstream.calls(), cases.len());
}

#[test]
fn a_query_that_answers_true_settles_its_order_and_nothing_is_cancelled() {
    let routes = r#"[{"name": "pay", "path": "/pay", "query_interval": "100ms",
        "query": {"method": "GET", "path": "/result?id={key}", "outcome": [
            {"at": "json:/paid", "in": [true], "means": "succeeded"}]},
        "cancel": {"method": "POST", "path": "/cancel?id={key}", "outcome": [
            {"status": [200], "means": "cancelled"}]}}]"#;
    let (_redis, upstream, onceward) = start(routes);
    assert_eq!(send(&onceward, &pay("1", "1").header("X-Lose", "1")).state(), "unknown");
    until_state(&onceward, "1", "succeeded");
    assert_eq!(to(&upstream, "/cancel").len(), 0);
}

#[test]
fn a_callback_that_says_true_settles_once_it_is_acknowledged_by_true() {
    let routes = r#"[{"name": "pay", "path": "/pay"},
        {"name": "told", "path": "/told", "kind": "callback", "key": ["json:/id"], "settles": "pay",
         "event": ["json:/event"], "ack": {"at": "json:/heard", "in": [true]},
         "outcome": [{"at": "json:/paid", "in": [true], "means": "succeeded"},
                     {"at": "json:/paid", "in": [false], "means": "failed"}]}]"#;
    let (_redis, _upstream, onceward) = start(routes);
    let cases = [
        (r#""heard":false,"paid":true"#, "unknown"),
        (r#""heard":true,"paid":null"#, "unknown"),
        (r#""heard":true,"paid":true,"paid":true"#, "unknown"),
        (r#""heard":true,"paid":true"#, "succeeded"),
        (r#""heard":true,"paid":false"#, "failed"),
    ];
    for (n, (says, ends)) in cases.into_iter().enumerate() {
        let key = n.to_string();
        assert_eq!(send(&onceward, &pay(&key, "1").header("X-Lose", "1")).state(), "unknown");
        let told = format!(r#"{{"id":"{key}","event":1,{says}}}"#);
        assert_eq!(send(&onceward, &Call::post("/told").json(&told)).status, 200, "{told}");
        assert_eq!(state(&onceward, &key), ends, "{told}");
    }
}

#[test]
fn what_a_rule_reads_and_stands_there_twice_leaves_the_outcome_unknown() {
    let routes = r#"[{"name": "pay", "path": "/pay", "outcome": [
        {"at": "json:/s", "in": ["P"], "means": "unknown"}]}]"#;
    let (_redis, upstream, onceward) = start(routes);
    let call = pay("1", r#"{"s":"Q","s":"P"}"#);
    assert_eq!(send(&onceward, &call).state(), "unknown");
    assert_eq!((send(&onceward, &call).state(), upstream.calls()), ("unknown", 1));
    let elsewhere = pay("2", r#"{"s":"Q","t":1,"t":2}"#);
    assert_eq!(send(&onceward, &elsewhere).state(), "succeeded");
}

/// An order number is a text or a whole number; nothing else that a rule may compare is one.
#[test]
fn keys_are_texts_and_whole_numbers_only() {
    let routes = r#"[{"name": "pay", "path": "/pay", "key": ["json:/id"]}]"#;
    let (_redis, upstream, onceward) = start(routes);
    for id in ["true", "false", "null", "1.5", "1.0", "1e3", "{}", "[1]"] {
        let reply = send(&onceward, &Call::post("/pay").json(&format!(r#"{{"id":{id}}}"#)));
        assert_eq!((reply.status, reply.problem().as_str()), (400, "key-invalid"), "{id}");
    }
    assert_eq!(upstream.calls(), 0);
}
