//! The order document: where an order stands, told to the caller that made it.

use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Sidecar, sidecar};
use crate::support::until;
use crate::support::upstream::{Act, Gate, Upstream};
use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};

/// The place of an order on the route there is without ROUTES.
fn place(key: &str) -> String {
    let key = utf8_percent_encode(key, NON_ALPHANUMERIC);
    format!("/_onceward/orders/default/{key}")
}

fn look(key: &str, onceward: &Sidecar) -> Reply {
    Call::get(&place(key)).send(onceward.address)
}

fn absent(reply: &Reply) {
    assert_eq!((reply.status, reply.problem().as_str()), (404, "not-found"), "{}", reply.text());
}

/// Seconds from now to a time in a document, in either direction.
fn seconds_away(time: &Value) -> u64 {
    let time = humantime::parse_rfc3339(time.as_str().expect("a time")).expect("RFC 3339");
    let now = SystemTime::now();
    time.duration_since(now).or_else(|_| now.duration_since(time)).expect("one is later").as_secs()
}

#[test]
fn the_document_tells_all_there_is_about_an_order() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, _| {
        Act::status(201, r#"{"paid":"是"}"#)
            .with("X-Trace", "a")
            .with("X-Trace", "b")
            .with("Set-Cookie", "session=1")
    });
    let onceward = sidecar(&redis, &upstream).start();
    assert_eq!(Call::pay("1").send(onceward.address).status, 201);

    let reply = look("1", &onceward);
    assert_eq!((reply.status, reply.state()), (200, "succeeded"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let mut document = reply.json();
    for (field, away) in [("created_at", 0), ("updated_at", 0), ("expires_at", 86_400)] {
        let time = document[field].take();
        assert!(seconds_away(&time).abs_diff(away) <= 60, "{field}: {time}");
    }
    let expected = json!({
        "route": "default", "key": "1", "state": "succeeded", "attempts": 1, "fence": 1,
        "created_at": null, "updated_at": null, "expires_at": null,
        "response": {
            "status": 201,
            "headers": {"content-type": "application/json", "x-trace": ["a", "b"]},
            "body": "{\"paid\":\"是\"}",
            "body_encoding": "utf8",
        },
    });
    assert_eq!(document, expected);
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn a_body_that_is_no_text_is_told_in_base64() {
    let bytes = [0, 159, 146, 150, 255];
    let redis = Redis::start();
    let upstream = Upstream::acting(move |_, _| Act::Answer(200, vec![], bytes.to_vec()));
    let onceward = sidecar(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);

    let response = look("1", &onceward).json()["response"].take();
    assert_eq!(response["body_encoding"], "base64");
    assert_eq!(response["body"], STANDARD.encode(bytes));
}

#[test]
fn an_order_under_way_has_no_response_yet() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| Act::ok("{}").behind(&held));
    let onceward = sidecar(&redis, &upstream).start();
    let paying = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);

    let reply = look("1", &onceward);
    assert_eq!((reply.status, reply.state()), (200, "in_flight"));
    let document = reply.json();
    assert_eq!(document["state"], "in_flight");
    assert_eq!((&document["attempts"], &document["fence"]), (&json!(1), &json!(1)));
    assert_eq!(document.get("response"), None);
    gate.open();
    assert_eq!(paying.join().expect("an answer").status, 200);
}

#[test]
fn a_caller_who_prefers_to_wait_is_told_as_soon_as_the_order_is_final() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| Act::ok("{}").behind(&held));
    let onceward = sidecar(&redis, &upstream).start();
    let paying = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);

    let looks = redis.calls("pexpiretime");
    let waiting = Call::get(&place("1")).header("Prefer", "wait=29").spawn(onceward.address);
    until("the order was looked at twice", || redis.calls("pexpiretime") >= looks + 2);
    assert!(!waiting.is_finished());
    gate.open();
    let told = waiting.join().expect("an answer");
    assert_eq!((told.status, told.state()), (200, "succeeded"));
    assert_eq!(told.json()["response"]["body"], "{}");
    paying.join().expect("an answer");
}

#[test]
fn a_wait_is_over_when_its_time_is() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| Act::ok("{}").behind(&held));
    let onceward = sidecar(&redis, &upstream).start();
    let paying = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);

    for (prefer, at_least) in [
        ("wait=1", 1),
        ("Wait=1", 1),
        ("respond-async, wait=\"1\"", 1),
        ("wait = 1; x=2", 1),
        ("wait=0", 0),
        ("wait=soon", 0),
        ("handling=lenient", 0),
    ] {
        let since = Instant::now();
        let reply = Call::get(&place("1")).header("Prefer", prefer).send(onceward.address);
        assert_eq!((reply.status, reply.state()), (200, "in_flight"), "{prefer}");
        assert!(since.elapsed() >= Duration::from_secs(at_least), "{prefer}");
    }
    gate.open();
    paying.join().expect("an answer");
}

#[test]
fn an_order_is_nobody_elses_business() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    let paid = Call::pay("1").header("Authorization", "Bearer mine").send(onceward.address);
    assert_eq!(paid.status, 200);

    let ask = |key: &str, who: &str| {
        let mut reply = Call::get(&place(key)).header("Authorization", who).send(onceward.address);
        reply.headers.retain(|(name, _)| name != "date");
        reply
    };
    assert_eq!(ask("1", "Bearer mine").status, 200);
    let theirs = ask("1", "Bearer theirs");
    absent(&theirs);
    absent(&look("1", &onceward));
    // That it exists is not told either.
    assert_eq!(theirs, ask("never-seen", "Bearer mine"));
    assert_eq!(theirs.header("onceward-state"), None);
}

#[test]
fn an_order_nobody_made_is_not_found() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    for path in [
        "/_onceward/orders/default/never-seen",
        "/_onceward/orders/refund/1",
        "/_onceward/orders/default/%20",
        "/_onceward/orders/default/",
        "/_onceward/orders/default",
        "/_onceward/nothing",
        "/_onceward",
    ] {
        absent(&Call::get(path).send(onceward.address));
    }
    for (method, path, allowed) in [
        ("DELETE", place("1"), "GET"),
        ("GET", place("1") + "/cancel", "POST"),
        ("GET", "/_onceward/tokens".into(), "POST"),
    ] {
        let reply = Call::new(method, &path).send(onceward.address);
        assert_eq!((reply.status, reply.problem().as_str()), (405, "method-not-allowed"));
        assert_eq!(reply.header("allow"), Some(allowed));
    }
    assert_eq!(upstream.calls(), 0);
}

#[test]
fn an_order_given_back_is_in_no_state() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, _| Act::status(429, "{}"));
    let onceward = sidecar(&redis, &upstream).start();
    let declined = Call::pay("1").send(onceward.address);
    assert_eq!((declined.status, declined.state()), (429, "none"));
    absent(&look("1", &onceward));
}

#[test]
fn each_scope_has_its_own_order_of_a_key() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).set("SCOPE", "x-tenant-id").start();
    for (tenant, body) in [("a", r#"{"paid":true,"call":1}"#), ("b", r#"{"paid":true,"call":2}"#)] {
        let paid = Call::pay("1").header("X-Tenant-Id", tenant).send(onceward.address);
        assert_eq!((paid.is_replay(), paid.text().as_str()), (false, body));
    }
    for (tenant, body) in [("a", r#"{"paid":true,"call":1}"#), ("b", r#"{"paid":true,"call":2}"#)] {
        let reply = Call::get(&place("1")).header("X-Tenant-Id", tenant).send(onceward.address);
        assert_eq!(reply.json()["response"]["body"], body);
    }
    absent(&look("1", &onceward));
}

#[test]
fn keys_that_need_escaping_in_a_path_are_found() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    let keys = [
        "a/b",
        "/",
        "a//b",
        "a/../b",
        "a?b=c&d",
        "a#b",
        "100%",
        "%41",
        "A",
        "%2F",
        "a;b",
        "a",
        "a+b",
        "a:b@c",
        "x,y",
        "[x]",
        "a\\b\"c",
        "~!$'()*_-.^`{|}<>",
    ];
    for key in keys {
        let quoted = key.replace('\\', "\\\\").replace('"', "\\\"");
        let paid = Call::pay(&format!("\"{quoted}\"")).send(onceward.address);
        assert_eq!((paid.status, paid.is_replay()), (200, false), "{key}");
        let found = look(key, &onceward);
        assert_eq!(found.status, 200, "{key}: {}", found.text());
        let document = found.json();
        assert_eq!(document["key"], key);
        assert_eq!(document["response"]["body"], paid.text(), "{key}");
    }
    assert_eq!(upstream.calls(), keys.len());
}

#[test]
fn without_redis_it_cannot_be_told() {
    let (mut redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    redis.kill();
    let reply = look("1", &onceward);
    assert_eq!((reply.status, reply.problem().as_str()), (503, "store-unavailable"));
    assert!(reply.header("retry-after").is_some());
}
