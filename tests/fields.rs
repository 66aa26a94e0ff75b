//! callback-once where a notification's fields are JSON of any kind, not only strings and integers.

use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Sidecar, sidecar};
use crate::support::upstream::{Act, Request, Upstream};

/// A payment route, and a channel that says `true` where others say `"PAID"`.
const ROUTES: &str = r#"[
    {"name": "pay", "path": "/pay", "duplicate_wait": "0s"},
    {"name": "notify", "path": "/notify", "kind": "callback", "key": ["json:/orderId"],
     "event": ["json:/paid"], "unchanged": ["json:/amount"],
     "ack": {"at": "json:/ok", "in": [true]}, "settles": "pay",
     "outcome": [{"at": "json:/paid", "in": [true], "means": "succeeded"},
                 {"at": "json:/paid", "in": [false], "means": "failed"}]}
]"#;

/// Loses the answers to payments, and acknowledges callbacks.
fn forgetful(_: usize, request: &Request) -> Act {
    match request.target.as_str() {
        "/pay" => Act::Reset,
        _ => Act::ok(r#"{"ok":true}"#).with("Content-Type", "application/json"),
    }
}

fn start(redis: &Redis, upstream: &Upstream) -> Sidecar {
    sidecar(redis, upstream).set("ROUTES", ROUTES).start()
}

fn notice(key: &str, paid: &str, amount: &str) -> Call {
    let body = format!(r#"{{"orderId":"{key}","paid":{paid}{amount}}}"#);
    Call::post("/notify").json(&body)
}

fn saying(amount: &str) -> String {
    format!(r#","amount":{amount}"#)
}

fn check(reply: &Reply, replayed: bool) {
    let got = (reply.status, reply.text(), reply.is_replay());
    assert_eq!(got, (200, r#"{"ok":true}"#.to_owned(), replayed));
}

fn state(onceward: &Sidecar, key: &str) -> String {
    let document = Call::get(&format!("/admin/orders/pay/{key}")).send(onceward.admin).json();
    document["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_amount_of_any_kind_is_heard_once_and_settles_its_order() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(forgetful));
    let onceward = start(&redis, &upstream);
    let amounts =
        ["9.9", "9.90", "1e2", "true", "null", "{\"total\": 100, \"in\": [\"CNY\"]}", "[9.9, 1]"];
    for (n, amount) in amounts.iter().enumerate() {
        let key = n.to_string();
        assert_eq!(Call::post("/pay").key(&key).send(onceward.address).status, 502);
        check(&notice(&key, "true", &saying(amount)).send(onceward.address), false);
        check(&notice(&key, "true", &saying(amount)).send(onceward.address), true);
        assert_eq!(state(&onceward, &key), "succeeded", "{amount}");
    }
    assert_eq!(upstream.calls(), 2 * amounts.len());
}

#[test]
fn a_rule_may_say_false() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(forgetful));
    let onceward = start(&redis, &upstream);
    assert_eq!(Call::post("/pay").key("1").send(onceward.address).status, 502);
    check(&notice("1", "false", "").send(onceward.address), false);
    assert_eq!(state(&onceward, "1"), "failed");
}

#[test]
fn two_values_are_one_only_where_they_mean_the_same() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(forgetful));
    let onceward = start(&redis, &upstream);
    let pairs = [
        (saying("100"), saying("\"100\""), true),
        (saying("null"), String::new(), true),
        (saying(r#"{"a":1,"b":[2]}"#), saying(r#" { "b" : [ 2 ], "\u0061" : 1 } "#), true),
        (saying("9.9"), saying("9.90"), false),
        (saying("9.9"), saying("\"9.9\""), false),
        (saying("true"), saying("\"true\""), false),
        (saying("null"), saying("\"null\""), false),
        (saying("null"), saying("\"\""), false),
        (saying(r#"{"a":1}"#), saying(r#""{\"a\":1}""#), false),
        (saying(r#"{"a":1}"#), saying(r#"{"a":"1"}"#), false),
        (saying("[1,2]"), saying("[2,1]"), false),
        (saying("9007199254740992.0"), saying("9007199254740993.0"), false),
    ];
    for (n, (one, other, same)) in pairs.iter().enumerate() {
        let key = n.to_string();
        check(&notice(&key, "true", one).send(onceward.address), false);
        let reply = notice(&key, "true", other).send(onceward.address);
        match same {
            true => check(&reply, true),
            false => assert_eq!(reply.problem(), "callback-contradiction", "{one} {other}"),
        }
        check(&notice(&key, "true", one).send(onceward.address), true);
    }
    assert_eq!(upstream.calls(), pairs.len());
}

#[test]
fn events_are_told_apart_by_kind_as_well() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(forgetful));
    let onceward = start(&redis, &upstream);
    for paid in ["true", "\"true\"", "false", "1", "1.0", "null", "{}", "[]"] {
        check(&notice("1", paid, "").send(onceward.address), false);
        check(&notice("1", paid, "").send(onceward.address), true);
    }
    assert_eq!(upstream.calls(), 8);
}

/// What a sidecar wrote before other kinds were read is found by one that reads them.
#[test]
fn strings_and_integers_are_kept_as_they_ever_were() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(forgetful));
    let routes = r#"[{"name": "json", "path": "/notify/json", "kind": "callback",
        "key": ["json:/orderId"], "event": ["json:/status", "json:/kind"],
        "unchanged": ["json:/amount", "json:/seller"]}]"#;
    let onceward = sidecar(&redis, &upstream).set("ROUTES", routes).start();
    let body = r#"{"orderId":"1","status":"PAID","kind":7,"amount":100}"#;
    let reply = Call::post("/notify/json").json(body).send(onceward.address);
    assert_eq!(reply.status, 200);
    let name = "onceward:{p19}:callback:FpFj5l4YDbHdpE_nNNYKOg";
    let unchanged = redis.command(&["HGET", name, "unchanged"]);
    assert_eq!(unchanged, "7bNR02McEJYOEUCvb2B3b8O0PJ_rFj1HxdT7_sCrB7M");
}
