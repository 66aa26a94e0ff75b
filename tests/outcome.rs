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

/// Read before what is known by its status alone.
const RULES: &str = r#"[{"name": "pay", "path": "/pay", "outcome": [
    {"status": [402], "means": "succeeded"},
    {"at": "header:retry-after", "in": ["7"], "means": "failed"},
    {"at": "json:/s", "in": ["P"], "means": "unknown"}]},
    {"name": "plain", "path": "/plain"}]"#;

/// An answer over the cap of what is stored.
fn large() -> String {
    format!(r#"{{"s":"P","receipt":"{}"}}"#, "r".repeat(10_000))
}

#[test]
fn an_answer_too_large_for_its_rules_to_read_is_relayed_and_its_outcome_unknown() {
    let (_redis, upstream, onceward) = start(RULES);
    for status in ["200", "404", "409", "429", "500", "503"] {
        let call = pay(status, &large()).header("X-Status", status).header("X-Retry", "1");
        let first = send(&onceward, &call);
        assert_eq!((first.status.to_string(), first.state()), (status.to_owned(), "unknown"));
        assert_eq!(first.text(), large());
        let again = send(&onceward, &call);
        let told = (again.status, again.problem(), again.state().to_owned());
        assert_eq!(told, (409, "outcome-unknown".into(), "unknown".into()), "{status}");
    }
    assert_eq!(upstream.calls(), 6);
    let shown = Call::get("/admin/orders/pay/429").send(onceward.admin).json();
    assert_eq!((&shown["state"], &shown["attempts"]), (&"unknown".into(), &1.into()));
}

#[test]
fn rules_that_read_no_body_and_routes_without_rules_tell_of_an_answer_of_any_size() {
    let (_redis, upstream, onceward) = start(RULES);
    let cases = [
        (pay("1", &large()).header("X-Status", "402"), 402, "succeeded"),
        (pay("2", &large()).header("X-Retry", "7"), 200, "failed"),
        (Call::post("/plain").key("3").body(large().as_bytes()), 200, "succeeded"),
    ];
    for (call, status, state) in &cases {
        let first = send(&onceward, call);
        assert_eq!((first.status, first.state(), first.text()), (*status, *state, large()));
        let again = send(&onceward, call);
        assert_eq!((again.problem().as_str(), again.state()), ("response-not-stored", *state));
    }
    let busy = Call::post("/plain").key("4").body(large().as_bytes()).header("X-Status", "429");
    for _ in 0..2 {
        let reply = send(&onceward, &busy);
        assert_eq!((reply.status, reply.state(), reply.text()), (429, "none", large()));
    }
    assert_eq!(upstream.calls(), 5);
}

#[test]
fn an_order_whose_answer_was_too_large_to_read_is_asked_about_and_replays_the_query() {
    let routes = r#"[{"name": "pay", "path": "/pay", "query_interval": "100ms",
        "outcome": [{"at": "json:/s", "in": ["P"], "means": "unknown"}],
        "query": {"method": "GET", "path": "/result?id={key}", "outcome": [
            {"at": "json:/paid", "in": [true], "means": "succeeded"}]}}]"#;
    let (_redis, upstream, onceward) = start(routes);
    let call = pay("1", &large()).header("X-Status", "429");
    assert_eq!(send(&onceward, &call).state(), "unknown");
    until_state(&onceward, "1", "succeeded");
    let again = send(&onceward, &call);
    assert_eq!((again.status, again.is_replay()), (200, true));
    assert_eq!(again.text(), r#"{"paid":true}"#);
    assert_eq!(to(&upstream, "/pay").len(), 1);
}

#[test]
fn a_busy_answer_whose_body_cannot_be_read_is_not_sent_again() {
    let (_redis, upstream, onceward) = start(RULES);
    for (n, status) in ["429", "503"].into_iter().enumerate() {
        let call = pay(status, r#"{"s":"P"#).header("X-Status", status).header("X-Retry", "1");
        let (first, again) = (send(&onceward, &call), send(&onceward, &call));
        assert_eq!((first.state(), again.state()), ("unknown", "unknown"), "{status}");
        assert!(again.is_replay() && again.body == first.body);
        assert_eq!(upstream.calls(), n + 1);
    }
}

#[test]
fn a_busy_answer_that_is_empty_or_a_gateways_page_lets_a_retry_through() {
    let (_redis, upstream, onceward) = start(RULES);
    for status in ["429", "503"] {
        for (kind, body) in [("application/json", ""), ("text/html", "<h1>Busy</h1>")] {
            let call = pay(&format!("{status}{kind}"), body).header("X-Type", kind);
            let call = call.header("X-Status", status).header("X-Retry", "1");
            for _ in 0..2 {
                let reply = send(&onceward, &call);
                assert_eq!((reply.state(), reply.is_replay()), ("none", false), "{status} {kind}");
            }
        }
    }
    assert_eq!(upstream.calls(), 8);
}

/// Compresses for whoever asks for it.
fn compressing(_: usize, request: &Request) -> Act {
    match request.header("accept-encoding") {
        Some(_) => {
            let body = b"\x1f\x8b\x08 compressed".to_vec();
            let json = ("Content-Type", "application/json".to_owned());
            Act::Answer(200, vec![json, ("Content-Encoding", "gzip".to_owned())], body)
        }
        None => Act::ok(r#"{"s":"paid"}"#),
    }
}

#[test]
fn a_callers_wish_for_compression_keeps_no_rule_from_reading_an_answer() {
    let routes = r#"[
        {"name": "pay", "path": "/pay", "on_unknown": "retry", "mode": "either", "outcome": [
            {"at": "json:/s", "in": ["waiting"], "means": "unknown"}]},
        {"name": "plain", "path": "/plain"},
        {"name": "head", "path": "/head", "outcome": [
            {"at": "header:x-s", "in": ["waiting"], "means": "unknown"}]},
        {"name": "told", "path": "/told", "kind": "callback", "key": ["json:/id"], "ack": {
            "at": "json:/s", "in": ["paid"]}}]"#;
    let (redis, upstream) = (Redis::start(), Upstream::acting(compressing));
    let onceward = sidecar(&redis, &upstream).set("ROUTES", routes).start();
    let wish = |call: Call| call.header("Accept-Encoding", "gzip, deflate");
    let call = wish(Call::pay("1"));
    let (first, again) = (send(&onceward, &call), send(&onceward, &call));
    assert_eq!((first.state(), first.text()), ("succeeded", r#"{"s":"paid"}"#.to_owned()));
    assert_eq!((again.is_replay(), upstream.calls()), (true, 1));
    let later = wish(Call::pay("2").header("Prefer", "respond-async"));
    assert_eq!(send(&onceward, &later).status, 202);
    until_state(&onceward, "2", "succeeded");
    let told = wish(Call::post("/told").json(r#"{"id":"1"}"#));
    assert_eq!(send(&onceward, &told).text(), r#"{"s":"paid"}"#);
    // Where nobody here reads the body, it comes as it was asked for.
    for path in ["/plain", "/head"] {
        let reply = send(&onceward, &wish(Call::post(path).key("3").json("{}")));
        assert_eq!((reply.header("content-encoding"), reply.state()), (Some("gzip"), "succeeded"));
    }
}

#[test]
fn an_answer_of_another_kind_moves_nothing_and_is_asked_about() {
    let routes = r#"{"lifecycles": {"order": {"start": "unpaid", "moves": [["unpaid", "paid"], ["paid", "shipped"]]}},
        "routes": [
        {"name": "pay", "path": "/pay", "query_interval": "100ms",
         "lifecycle": {"name": "order", "from": ["unpaid"], "to": "paid"},
         "outcome": [{"at": "json:/s", "in": ["P"], "means": "unknown"}]},
        {"name": "ship", "path": "/ship", "lifecycle": {"name": "order", "from": ["paid"], "to": "shipped"}}]}"#;
    let (_redis, upstream, onceward) = start(routes);
    let pages = [("text/html", "<h1>Log in</h1>"), ("application/xml", "<R><s>P</s></R>")];
    for (kind, page) in pages {
        let call = pay(kind, page).header("X-Type", kind);
        let (first, again) = (send(&onceward, &call), send(&onceward, &call));
        assert_eq!((first.status, first.state()), (200, "unknown"), "{kind}");
        assert_eq!(
            (again.state(), again.is_replay(), again.text()),
            ("unknown", true, page.into())
        );
        let shipped = send(&onceward, &Call::post("/ship").key(kind));
        assert_eq!((shipped.status, shipped.problem().as_str()), (409, "in-progress"), "{kind}");
    }
    assert_eq!(upstream.calls(), pages.len());
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
