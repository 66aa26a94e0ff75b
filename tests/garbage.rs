//! What cannot be meant is refused with the name of what is wrong with it, wherever it arrives; and
//! the order it named is as free afterwards as it was before.

use crate::resolve::until_state;
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Sidecar, sidecar};
use crate::support::upstream::{Act, Upstream};

/// Every kind of route on order number 1, wherever it may stand.
const ROUTES: &str = r#"[
  {"name": "pay", "path": "/pay", "key": "json:/orderId", "key_required": true,
   "query": {"method": "GET", "path": "/result?id={key}", "outcome": [{"status": [200], "means": "unknown"}]},
   "cancel": {"method": "POST", "path": "/undo?id={key}", "outcome": [{"status": [200], "means": "cancelled"}]}},
  {"name": "form", "path": "/form", "key": "form:trade", "key_required": true},
  {"name": "xml", "path": "/xml", "key": "xml:trade", "key_required": true},
  {"name": "later", "path": "/later", "key": "json:/orderId", "key_required": true, "mode": "async"},
  {"name": "told", "path": "/told", "kind": "callback", "key": ["json:/orderId"], "settles": "pay"},
  {"name": "told-xml", "path": "/told-xml", "preset": "wechat-v2-notify"},
  {"name": "token", "path": "/token", "key": "json:/orderId", "key_required": true, "token": "required"}
]"#;

const BOMB: &str = r#"<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
    <x><trade>&b;</trade><out_trade_no>&b;</out_trade_no></x>"#;

struct Plane {
    redis: Redis,
    upstream: Upstream,
    onceward: Sidecar,
}

impl Plane {
    fn start() -> Plane {
        let redis = Redis::start();
        let upstream = Upstream::acting(|_, request| match request.target.as_str() {
            "/told-xml" => Act::ok("<xml><return_code>SUCCESS</return_code></xml>"),
            "/pay" if request.header("x-lose").is_some() => Act::Reset,
            _ => Act::ok("{}"),
        });
        let onceward = sidecar(&redis, &upstream).set("ROUTES", ROUTES).start();
        Plane { redis, upstream, onceward }
    }

    /// Sends each, and fails with all that were answered otherwise.
    fn check(&self, admin: bool, bad: Vec<(&str, Call, u16, &str)>) {
        let to = if admin { self.onceward.admin } else { self.onceward.address };
        let wrong: Vec<String> = bad
            .into_iter()
            .filter_map(|(name, call, status, problem)| {
                let reply = call.send(to);
                let got = (reply.status, reply.problem());
                (got != (status, problem.into())).then(|| format!("{name}: {got:?}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn send(&self, call: &Call) -> Reply {
        call.send(self.onceward.address)
    }
}

fn typed(path: &str, kind: &str, body: &str) -> Call {
    Call::post(path).header("Content-Type", kind).body(body.as_bytes())
}

fn json(path: &str, body: &str) -> Call {
    Call::post(path).json(body)
}

fn form(path: &str, body: &str) -> Call {
    typed(path, "application/x-www-form-urlencoded", body)
}

fn xml(path: &str, body: &str) -> Call {
    typed(path, "text/xml", body)
}

const GOOD: &str = r#"{"orderId":"1"}"#;

#[test]
fn bad_input_on_the_data_plane_is_named_and_leaves_no_order_lost_or_stuck() {
    let plane = Plane::start();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let prefix = "/_onceward/orders";
    plane.check(
        false,
        vec![
            // A body that is not what its type says, or of the wrong type.
            ("order, no JSON", json("/pay", "orderId=1"), 400, "bad-request"),
            ("order, half of it", json("/pay", r#"{"orderId":"1""#), 400, "bad-request"),
            ("order, too deep", json("/pay", &deep), 400, "bad-request"),
            (
                "order, two keys",
                json("/pay", r#"{"orderId":"1","orderId":"2"}"#),
                400,
                "key-invalid",
            ),
            ("order, no key", json("/pay", "{}"), 400, "key-missing"),
            ("order, a list for a key", json("/pay", r#"{"orderId":["1"]}"#), 400, "key-invalid"),
            ("order, a form", form("/pay", "orderId=1"), 400, "key-missing"),
            ("order, XML", xml("/pay", "<x><orderId>1</orderId></x>"), 400, "key-missing"),
            ("order, empty", Call::post("/pay"), 400, "key-missing"),
            ("order, too large", json("/pay", &" ".repeat((1 << 20) + 1)), 413, "body-too-large"),
            ("form, JSON", json("/form", r#"{"trade":"1"}"#), 400, "key-missing"),
            ("form, without a type", Call::post("/form").body(b"trade=1"), 400, "key-missing"),
            ("form, bad escape", form("/form", "trade=%zz"), 400, "bad-request"),
            ("form, twice", form("/form", "trade=1&trade=1"), 400, "key-invalid"),
            ("XML, bomb", xml("/xml", BOMB), 400, "bad-request"),
            ("XML, JSON", xml("/xml", GOOD), 400, "bad-request"),
            ("XML, half of it", xml("/xml", "<x><trade>1</trade>"), 400, "bad-request"),
            // Accepted to be sent later, or not at all.
            ("async, no JSON", json("/later", "orderId=1"), 400, "bad-request"),
            ("async, a form", form("/later", "orderId=1"), 400, "key-missing"),
            ("async, no key", json("/later", "{}"), 400, "key-missing"),
            // Callbacks.
            ("callback, no JSON", json("/told", "<x/>"), 400, "bad-request"),
            ("callback, no key", json("/told", "{}"), 400, "key-missing"),
            ("callback, bomb", xml("/told-xml", BOMB), 400, "bad-request"),
            ("callback, a form for XML", form("/told-xml", "out_trade_no=1"), 400, "key-missing"),
            // Our own endpoints: unknown routes and orders, bad keys, bad wishes.
            ("order of no route", Call::get(&format!("{prefix}/none/1")), 404, "not-found"),
            ("order never seen", Call::get(&format!("{prefix}/pay/1")), 404, "not-found"),
            ("order, no UTF-8", Call::get(&format!("{prefix}/pay/%ff")), 404, "not-found"),
            ("order, a space", Call::get(&format!("{prefix}/pay/a%20b")), 404, "not-found"),
            (
                "cancel on no route",
                Call::post(&format!("{prefix}/none/1/cancel")),
                404,
                "not-found",
            ),
            ("cancel, no key", Call::post(&format!("{prefix}/pay/%20/cancel")), 404, "not-found"),
            (
                "cancel, of a callback",
                Call::post(&format!("{prefix}/told/1/cancel")),
                404,
                "not-found",
            ),
            ("another verb", Call::post(&format!("{prefix}/pay/1/refund")), 404, "not-found"),
            ("no endpoint", Call::get("/_onceward/nothing"), 404, "not-found"),
            ("token, no JSON", json("/_onceward/tokens", "route=pay"), 400, "bad-request"),
            ("token, a list", json("/_onceward/tokens", r#"["pay"]"#), 400, "bad-request"),
            (
                "token, no route",
                json("/_onceward/tokens", r#"{"route":"none"}"#),
                400,
                "bad-request",
            ),
            (
                "token, of a callback",
                json("/_onceward/tokens", r#"{"route":"told"}"#),
                400,
                "bad-request",
            ),
            ("token, no field", json("/_onceward/tokens", r#"{"order":"1"}"#), 400, "bad-request"),
            ("token, bad key", json("/_onceward/tokens", r#"{"key":1.5}"#), 400, "key-invalid"),
            ("token, bad time", json("/_onceward/tokens", r#"{"ttl":"soon"}"#), 400, "bad-request"),
            ("payment without its token", json("/token", GOOD), 400, "token-missing"),
            (
                "payment with no token",
                json("/token", GOOD).header("Payment-Token", "AKq"),
                403,
                "token-invalid",
            ),
        ],
    );
    assert_eq!(plane.upstream.calls(), 0, "{:?}", plane.upstream.requests());
    assert_eq!(plane.redis.command(&["KEYS", "*"]), "", "something was kept of it");

    // The order they named goes through on every route.
    for call in
        [json("/pay", GOOD), form("/form", "trade=1"), xml("/xml", "<x><trade>1</trade></x>")]
    {
        let paid = plane.send(&call);
        assert_eq!((paid.status, paid.state(), paid.is_replay()), (200, "succeeded", false));
    }
    assert_eq!(plane.send(&json("/later", GOOD)).status, 202);
    until_state_of(&plane, "later", "succeeded");
    let told = plane.send(&json("/told", GOOD));
    assert_eq!((told.status, told.is_replay()), (200, false));
    let told = xml("/told-xml", "<xml><out_trade_no>1</out_trade_no></xml>");
    assert_eq!(plane.send(&told).status, 200);
    let token = plane.send(&json("/_onceward/tokens", r#"{"route":"token","key":"1"}"#)).json();
    let token = token["token"].as_str().unwrap().to_owned();
    assert_eq!(plane.send(&json("/token", GOOD).header("Payment-Token", &token)).status, 200);
    let cancelled = plane.send(&Call::post(&format!("{prefix}/pay/2/cancel")));
    assert_eq!((cancelled.status, cancelled.state()), (200, "cancelled"));
}

fn until_state_of(plane: &Plane, route: &str, state: &str) {
    crate::support::until(&format!("{route} is {state}"), || {
        plane.send(&Call::get(&format!("/_onceward/orders/{route}/1"))).state() == state
    });
}

#[test]
fn bad_input_on_the_admin_plane_is_named_and_leaves_its_order_as_it_was() {
    let plane = Plane::start();
    assert_eq!(plane.send(&json("/pay", GOOD).header("X-Lose", "1")).state(), "unknown");
    let at = |path: &str| format!("/admin/orders{path}");
    let resolve = |body: &str| json("/admin/orders/pay/1/resolve", body);
    let why = format!(r#"{{"state":"failed","why":"{}"}}"#, "x".repeat(16 << 10));
    plane.check(
        true,
        vec![
            ("resolve, no JSON", resolve("state=failed"), 400, "bad-request"),
            ("resolve, half of it", resolve(r#"{"state":"failed""#), 400, "bad-request"),
            ("resolve, no field", resolve(r#"{"status":"failed"}"#), 400, "bad-request"),
            (
                "resolve, twice",
                resolve(r#"{"state":"failed","state":"succeeded"}"#),
                400,
                "bad-request",
            ),
            ("resolve, no state", resolve(""), 400, "bad-request"),
            ("resolve, not an end", resolve(r#"{"state":"unknown"}"#), 400, "bad-request"),
            ("resolve, a word of nobody's", resolve(r#"{"state":"paid"}"#), 400, "bad-request"),
            ("resolve, a number", resolve(r#"{"state":1}"#), 400, "bad-request"),
            ("resolve, XML", xml(&at("/pay/1/resolve"), BOMB), 400, "bad-request"),
            ("resolve, too long", resolve(&why), 400, "bad-request"),
            ("resolve, no parameter", json(&at("/pay/1/resolve?by=me"), "{}"), 400, "bad-request"),
            (
                "resolve on no route",
                json(&at("/none/1/resolve"), r#"{"state":"failed"}"#),
                404,
                "not-found",
            ),
            (
                "resolve, never seen",
                json(&at("/pay/2/resolve"), r#"{"state":"failed"}"#),
                404,
                "not-found",
            ),
            (
                "resolve, no key",
                json(&at("/pay/%ff/resolve"), r#"{"state":"failed"}"#),
                404,
                "not-found",
            ),
            ("release, no JSON", json(&at("/pay/1/release"), "now"), 400, "bad-request"),
            ("release, never seen", Call::post(&at("/pay/2/release")), 404, "not-found"),
            ("cancel, no JSON", json(&at("/pay/1/cancel"), "[]"), 400, "bad-request"),
            ("cancel on no route", Call::post(&at("/none/1/cancel")), 404, "not-found"),
            ("cancel of a callback", Call::post(&at("/told/1/cancel")), 404, "not-found"),
            ("another verb", Call::post(&at("/pay/1/refund")), 404, "not-found"),
            ("list, no state", Call::get(&at("?state=paid")), 400, "bad-request"),
            ("list, bad cursor", Call::get(&at("?cursor=-1")), 400, "bad-request"),
            ("list, too many", Call::get(&at("?limit=100000")), 400, "bad-request"),
            ("list, no parameter", Call::get(&at("?status=unknown")), 400, "bad-request"),
            ("show on no route", Call::get(&at("/none/1")), 404, "not-found"),
            ("no endpoint", Call::get("/admin/nothing"), 404, "not-found"),
        ],
    );
    let shown = Call::get(&at("/pay/1")).send(plane.onceward.admin).json();
    assert_eq!(
        (&shown["state"], shown["history"].as_array().unwrap().len()),
        (&"unknown".into(), 2)
    );
    let done = resolve(r#"{"state":"failed"}"#).send(plane.onceward.admin);
    assert_eq!(done.status, 200, "{}", done.text());
    until_state(&plane.onceward, "1", "failed");
}

#[test]
fn a_bad_template_is_told_before_anything_starts() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    for (call, says) in [
        (r#"{"method": "GET", "path": "result?id={key}"}"#, "query: path: expected a path"),
        (
            r#"{"method": "GET", "path": "/result?id={order}"}"#,
            "query: path: only {key} is filled in",
        ),
        (r#"{"method": "GET", "path": "/result?id={key"}"#, "query: path: only {key} is filled in"),
        (r#"{"method": "GET", "path": "/result?id={}"}"#, "query: path: only {key} is filled in"),
        (r#"{"method": "GET", "path": "/a b?id={key}"}"#, "query: path: expected a path"),
        (r#"{"method": "get", "path": "/result?id={key}"}"#, "no method"),
        (
            r#"{"method": "POST", "path": "/q", "json": {"id": "{orderId}"}}"#,
            "query: json: only {key}",
        ),
        (r#"{"method": "POST", "path": "/q", "json": {"id": "1"}}"#, "query: names no order"),
        (
            r#"{"method": "POST", "path": "/q?id={key}", "body": "{key}"}"#,
            "query.body: no such field; there are method, path, json",
        ),
        (r#"{"method": "GET", "path": "/q?id={key}", "outcome": [{"means": "absent"}]}"#, "needs"),
        (
            r#"{"method": "GET", "path": "/q?id={key}", "outcome": [{"status": [200], "means": "paid"}]}"#,
            "means: expected",
        ),
    ] {
        let routes = format!(r#"[{{"name": "pay", "path": "/pay", "query": {call}}}]"#);
        let mut command = sidecar(&redis, &upstream).set("ROUTES", &routes).command();
        let checked = command.arg("check").output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.code(), Some(64), "{call}");
        assert!(said.contains(says), "{call}\n{said}");
    }
}
