//! The proxy: what is protected and how it is recognised, what goes upstream, what comes back, and
//! what streams through untouched.

use crate::support::PATIENCE;
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Sidecar, sidecar};
use crate::support::upstream::{Act, Upstream};
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

/// A sidecar with these variables over the defaults, before an upstream that tells its calls apart.
fn with(variables: &[(&str, &str)]) -> (Redis, Upstream, Sidecar) {
    before(Upstream::start(), variables)
}

fn before(upstream: Upstream, variables: &[(&str, &str)]) -> (Redis, Upstream, Sidecar) {
    let redis = Redis::start();
    let mut build = sidecar(&redis, &upstream).set("DUPLICATE_WAIT", "0s");
    for (name, value) in variables {
        build = build.set(name, value);
    }
    let onceward = build.start();
    (redis, upstream, onceward)
}

/// The second call is a duplicate of the first.
fn check_same(onceward: &Sidecar, first: &Call, second: &Call) {
    let (a, b) = (first.send(onceward.address), second.send(onceward.address));
    assert_eq!((a.status, b.status), (200, 200), "{} {}", a.text(), b.text());
    assert!(b.is_replay() && a.body == b.body, "{} {}", a.text(), b.text());
}

/// The second call is an order of its own.
fn check_other(onceward: &Sidecar, first: &Call, second: &Call) {
    let (a, b) = (first.send(onceward.address), second.send(onceward.address));
    assert_eq!((a.status, b.status, b.is_replay()), (200, 200, false), "{} {}", a.text(), b.text());
    assert_ne!(a.body, b.body);
}

fn problem(onceward: &Sidecar, call: &Call) -> (u16, String) {
    let reply = call.send(onceward.address);
    (reply.status, reply.problem())
}

#[test]
fn quoted_and_bare_are_the_same_key() {
    let (_redis, upstream, onceward) = with(&[]);
    check_same(&onceward, &Call::pay("order-1"), &Call::pay("\"order-1\""));
    assert_eq!(upstream.requests()[0].header("idempotency-key"), Some("order-1"));
}

#[test]
fn quoted_and_bare_are_the_same_key_wherever_they_stand() {
    let routes = r#"[
        {"name": "all", "path": "/all", "fingerprint": "off", "key_required": true,
         "key": ["json:/id", "form:id", "query:id", "xml:id", "header:Idempotency-Key"]},
        {"name": "path", "path": "/orders/{id}/pay", "key": ["path:id"], "fingerprint": "off"},
        {"name": "later", "path": "/later", "key": ["json:/id"], "mode": "async"}]"#;
    let (_redis, upstream, onceward) = with(&[("ROUTES", routes)]);
    let call = || Call::post("/all");
    let form = "application/x-www-form-urlencoded";
    let bare = call().json(r#"{"id":"A1"}"#);
    for quoted in [
        call().json(r#"{"id":"\"A1\""}"#),
        call().header("Content-Type", form).body(b"id=%22A1%22"),
        Call::post("/all?id=%22A1%22"),
        call().header("Content-Type", "text/xml").body(b"<x><id>\"A1\"</id></x>"),
        call().key("\"A1\""),
    ] {
        check_same(&onceward, &bare, &quoted);
    }
    check_same(&onceward, &Call::post("/orders/B1/pay"), &Call::post("/orders/%22B1%22/pay"));
    for none in [r#"{"id":"\"A1"}"#, r#"{"id":"\"\\\"A1\\\"\""}"#] {
        assert_eq!(problem(&onceward, &call().json(none)), (400, "key-invalid".into()), "{none}");
    }
    let accepted = Call::post("/later").json(r#"{"id":"\"C\"1\""}"#).send(onceward.address);
    assert_eq!(accepted.problem(), "key-invalid");
    let accepted = Call::post("/later").json(r#"{"id":"\"C\\\"1\""}"#).send(onceward.address);
    let place = accepted.header("location").unwrap();
    let shown = Call::get(place).send(onceward.address);
    assert_eq!((shown.status, shown.json()["key"].as_str()), (200, Some("C\"1")));
    upstream.heard(3);
    let keys = upstream.requests();
    let keys: Vec<_> = keys.iter().map(|heard| heard.header("idempotency-key").unwrap()).collect();
    assert_eq!(keys, ["A1", "B1", "C\"1"]);
}

#[test]
fn keys_that_are_none_are_refused_and_nothing_is_sent() {
    let (_redis, upstream, onceward) = with(&[]);
    let long = "x".repeat(256);
    let quoted = "\"\\\"a\\\"\"";
    for key in ["", "a, b", "\"a\", \"b\"", "\"a", "\"a\";x=1", "a b", &long, "\"\"", quoted] {
        let got = problem(&onceward, &Call::pay(key));
        assert_eq!(got, (400, "key-invalid".into()), "{key:?}");
    }
    let twice = Call::pay("a").key("a");
    assert_eq!(problem(&onceward, &twice), (400, "key-invalid".into()));
    assert_eq!(upstream.calls(), 0);
}

#[test]
fn every_source_of_a_key_is_read() {
    let routes = r#"[
        {"name": "json", "path": "/json", "key": ["json:/order/id"], "key_required": true},
        {"name": "form", "path": "/form", "key": ["form:out_trade_no"], "key_required": true},
        {"name": "query", "path": "/query", "key": ["query:id"], "key_required": true},
        {"name": "path", "path": "/orders/{id}/pay", "key": ["path:id"], "key_required": true},
        {"name": "xml", "path": "/xml", "key": ["xml:out_trade_no"], "key_required": true}]"#;
    let (_redis, upstream, onceward) = with(&[("ROUTES", routes)]);
    let json = |body: &str| Call::post("/json").json(body);
    let form = |body: &str| {
        Call::post("/form")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body.as_bytes())
    };
    let xml =
        |body: &str| Call::post("/xml").header("Content-Type", "text/xml").body(body.as_bytes());

    check_same(&onceward, &json(r#"{"order":{"id":"A1"}}"#), &json(r#"{"order":{"id":"A1"}}"#));
    check_same(
        &onceward,
        &json(r#"{"order":{"id":20240001}}"#),
        &json(r#"{"order":{"id":20240001}}"#),
    );
    check_same(&onceward, &form("a=1&out_trade_no=B1"), &form("a=1&out_trade_no=B1"));
    check_same(&onceward, &Call::post("/query?id=C1"), &Call::post("/query?id=C1"));
    check_same(&onceward, &Call::post("/orders/D1/pay"), &Call::post("/orders/D1/pay"));
    let paid = "<xml><out_trade_no><![CDATA[E1]]></out_trade_no></xml>";
    check_same(&onceward, &xml(paid), &xml(paid));
    let keys: Vec<_> = upstream
        .requests()
        .iter()
        .map(|request| request.header("idempotency-key").unwrap().to_owned())
        .collect();
    assert_eq!(keys, ["A1", "20240001", "B1", "C1", "D1", "E1"]);

    for missing in [json(r#"{"order":{}}"#), form("a=1"), Call::post("/query"), xml("<xml/>")] {
        assert_eq!(problem(&onceward, &missing), (400, "key-missing".into()));
    }
    for invalid in [
        json(r#"{"order":{"id":1.5}}"#),
        json(r#"{"order":{"id":null}}"#),
        json(r#"{"order":{"id":"A","id":"A"}}"#),
        form("out_trade_no=B&out_trade_no=B"),
        Call::post("/query?id=C&id=C"),
        xml("<xml><out_trade_no>E</out_trade_no><out_trade_no>E</out_trade_no></xml>"),
    ] {
        assert_eq!(problem(&onceward, &invalid), (400, "key-invalid".into()));
    }
    for unreadable in [json("{\"order\":"), xml("<xml><out_trade_no>E</xml>")] {
        assert_eq!(problem(&onceward, &unreadable), (400, "bad-request".into()));
    }
    assert_eq!(upstream.calls(), 6);
}

#[test]
fn a_body_that_may_hold_a_key_nobody_here_can_read_is_not_forwarded_unprotected() {
    let (_redis, upstream, onceward) = with(&[("KEY", "json:/orderId,xml:order")]);
    let typed =
        |kind: &str, body: &[u8]| Call::post("/pay").header("Content-Type", kind).body(body);
    for (kind, body) in [
        ("text/plain; charset=gbk", &b"{\"orderId\":\"1\",\"m\":\"\xb2\xe2\"}"[..]),
        ("text/plain", b"{\"orderId\":\"1\",}"),
        ("text/plain", b"<x><order>1</order>"),
    ] {
        let unread = typed(kind, body);
        assert_eq!(problem(&onceward, &unread), (400, "bad-request".into()), "{kind}");
    }
    let encoded = typed("application/octet-stream", b"\x1f\x8b").header("Content-Encoding", "gzip");
    assert_eq!(problem(&onceward, &encoded), (400, "bad-request".into()));
    assert_eq!(upstream.calls(), 0);
    // What is neither is not protected, and passes as it came.
    let upload = typed("application/octet-stream", b"\x1f\x8b");
    check_other(&onceward, &upload, &upload);
    let marked = typed("text/plain", b"\xef\xbb\xbf{\"orderId\":\"1\"}");
    check_same(&onceward, &marked, &marked);
    assert_eq!(upstream.calls(), 3);
}

#[test]
fn sources_are_tried_in_order_and_the_order_number_beats_a_fresh_key() {
    let (_redis, upstream, onceward) =
        with(&[("KEY", "json:/orderId,header:Idempotency-Key"), ("KEY_REQUIRED", "true")]);
    let body = r#"{"orderId":"2024-0001"}"#;
    let with_fresh_key = |key: &str| Call::post("/pay").key(key).json(body);
    check_same(&onceward, &with_fresh_key("fresh-1"), &with_fresh_key("fresh-2"));
    check_other(&onceward, &Call::pay("h-1"), &Call::pay("h-2"));
    assert_eq!(upstream.calls(), 3);
}

#[test]
fn a_scope_partitions_keys_and_a_caller_does_not() {
    let (_redis, _upstream, onceward) = with(&[("SCOPE", "x-tenant-id")]);
    let tenant = |name: &str| Call::pay("1").header("X-Tenant-Id", name);
    check_other(&onceward, &tenant("a"), &tenant("b"));
    assert!(tenant("a").send(onceward.address).is_replay());
    let other = tenant("a").header("Authorization", "Bearer other");
    assert_eq!(problem(&onceward, &other), (422, "payload-mismatch".into()));
}

#[test]
fn json_fingerprints_see_through_spelling_but_not_through_amounts() {
    let (_redis, _upstream, onceward) =
        with(&[("FINGERPRINT", "json"), ("FINGERPRINT_IGNORE", "/nonce,/meta/at")]);
    let pay = |body: &str| Call::post("/pay").key("1").json(body);
    check_same(
        &onceward,
        &pay(r#"{"amount":100,"note":"é","nonce":1,"meta":{"at":"now","x":[1,2]}}"#),
        &pay("{ \"note\": \"\\u00e9\", \"meta\":{\"x\":[1, 2]},\n\"amount\": 100, \"nonce\":2 }"),
    );
    for other in [
        r#"{"amount":100.0,"note":"é","meta":{"x":[1,2]}}"#,
        r#"{"amount":100,"note":"é","meta":{"x":[2,1]}}"#,
        r#"{"amount":"100","note":"é","meta":{"x":[1,2]}}"#,
        "{}",
    ] {
        assert_eq!(problem(&onceward, &pay(other)), (422, "payload-mismatch".into()), "{other}");
    }
    let precise = |amount: &str| Call::post("/pay").key("2").json(&format!(r#"{{"a":{amount}}}"#));
    precise("9007199254740993").send(onceward.address);
    let rounded = precise("9007199254740992");
    assert_eq!(problem(&onceward, &rounded), (422, "payload-mismatch".into()));
}

#[test]
fn ignored_fields_of_forms_and_queries_may_differ() {
    let (_redis, _upstream, onceward) = with(&[("FINGERPRINT_IGNORE", "sign,timestamp")]);
    let pay = |query: &str, body: &str| {
        Call::post(&format!("/pay?{query}"))
            .key("1")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body.as_bytes())
    };
    check_same(
        &onceward,
        &pay("v=1&timestamp=1", "a=1&sign=x"),
        &pay("v=1&timestamp=2", "a=1&sign=y"),
    );
    assert_eq!(problem(&onceward, &pay("v=2", "a=1")), (422, "payload-mismatch".into()));
    assert_eq!(problem(&onceward, &pay("v=1", "a=2")), (422, "payload-mismatch".into()));
}

/// A payment as WeChat Pay v2 is asked for one, and one in JSON.
fn signed(kind: &str, nonce: &str, sign: &str, amount: u32) -> Call {
    let call = Call::post("/pay").key(kind);
    match kind {
        "xml" => call.header("Content-Type", "text/xml").body(
            format!(
                "<xml><nonce_str>{nonce}</nonce_str><total_fee>{amount}</total_fee>\
                 <detail><sign>kept</sign></detail><sign><![CDATA[{sign}]]></sign></xml>"
            )
            .as_bytes(),
        ),
        _ => call.json(&format!(
            r#"{{"nonce_str":"{nonce}","total_fee":{amount},"detail":{{"sign":1}},"sign":"{sign}"}}"#
        )),
    }
}

#[test]
fn ignored_fields_of_xml_and_json_bodies_may_differ() {
    let (_redis, _upstream, onceward) = with(&[("FINGERPRINT_IGNORE", "nonce_str,sign")]);
    for kind in ["xml", "json"] {
        check_same(&onceward, &signed(kind, "a", "x", 100), &signed(kind, "b", "y", 100));
        let other = signed(kind, "a", "x", 101);
        assert_eq!(problem(&onceward, &other), (422, "payload-mismatch".into()), "{kind}");
    }
    let inner = signed("xml", "a", "x", 100).body(
        b"<xml><nonce_str>a</nonce_str><total_fee>100</total_fee>\
          <detail><sign>other</sign></detail><sign><![CDATA[x]]></sign></xml>",
    );
    assert_eq!(problem(&onceward, &inner), (422, "payload-mismatch".into()));
}

#[test]
fn what_was_paid_before_a_field_was_ignored_is_still_found() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let builder = sidecar(&redis, &upstream).set("FINGERPRINT", "json");
    // As releases did that looked for fields in forms and queries only.
    let before = builder.start();
    let after = builder.set("FINGERPRINT_IGNORE", "nonce_str,sign").start();
    for kind in ["xml", "json"] {
        let first = signed(kind, "a", "x", 100).send(before.address);
        let again = signed(kind, "a", "x", 100).send(after.address);
        assert_eq!((again.is_replay(), again.body), (true, first.body), "{kind}");
        let other = signed(kind, "a", "x", 101);
        assert_eq!(problem(&after, &other), (422, "payload-mismatch".into()), "{kind}");
    }
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn without_a_fingerprint_the_caller_still_counts() {
    let (_redis, _upstream, onceward) = with(&[("FINGERPRINT", "off")]);
    let pay = |amount: u32| Call::post("/pay").key("1").json(&format!(r#"{{"amount":{amount}}}"#));
    check_same(&onceward, &pay(1), &pay(2));
    let other = pay(1).header("Authorization", "Bearer x");
    assert_eq!(problem(&onceward, &other), (422, "payload-mismatch".into()));
}

#[test]
fn under_a_rotated_secret_a_duplicate_is_still_one() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let with_secret = |secret: &str| sidecar(&redis, &upstream).set("SECRET", secret).start();
    let (old, new) = ("an-old-secret-of-some-length", "a-new-secret-of-some-length");
    let before = with_secret(old);
    let first = Call::pay("1").send(before.address);
    let after = with_secret(&format!("{new},{old}"));
    let again = Call::pay("1").send(after.address);
    assert_eq!((again.is_replay(), again.body), (true, first.body));
    let tampered = Call::post("/pay").key("1").json(r#"{"amount":1}"#);
    assert_eq!(problem(&after, &tampered), (422, "payload-mismatch".into()));
}

#[test]
fn upstream_sees_the_key_the_fence_and_where_it_came_from_and_no_forgery() {
    let (_redis, upstream, onceward) = with(&[]);
    let call = Call::pay("\"1\"")
        .header("Onceward-Fence", "999")
        .header("Onceward-State", "succeeded")
        .header("Idempotent-Replayed", "true")
        .header("Connection", "keep-alive, X-Hop")
        .header("X-Hop", "1")
        .header("Keep-Alive", "timeout=5")
        .header("TE", "trailers")
        .header("Proxy-Authorization", "Basic x")
        .header("X-Forwarded-For", "203.0.113.7")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("X-Custom", "kept");
    assert_eq!(call.send(onceward.address).status, 200);
    let seen = upstream.requests().remove(0);
    let header = |name: &str| seen.header(name).unwrap_or("absent").to_owned();
    assert_eq!(header("idempotency-key"), "1");
    assert_eq!(header("onceward-fence"), "1");
    assert_eq!(header("x-forwarded-for"), "203.0.113.7, 127.0.0.1");
    assert_eq!(
        (header("x-forwarded-proto"), header("x-forwarded-host")),
        ("http".into(), "pay.test".into())
    );
    assert_eq!((header("host"), header("x-custom")), ("pay.test".into(), "kept".into()));
    assert!(header("traceparent").starts_with("00-0af7"));
    for gone in [
        "onceward-state",
        "idempotent-replayed",
        "x-hop",
        "keep-alive",
        "te",
        "proxy-authorization",
    ] {
        assert_eq!(header(gone), "absent", "{gone}");
    }
    assert_eq!(seen.body, br#"{"amount":100}"#);
}

#[test]
fn bodies_of_every_kind_replay_byte_for_byte() {
    let bodies: [(u16, &[u8]); 6] = [
        (200, b""),
        (204, b""),
        (200, b"\x00\xff\xfe\x80 binary"),
        (200, b"\xfe sealed?"),
        (
            201,
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x04\x00\x43\xbe\xb7\xe8\x01\x00\x00\x00",
        ),
        (302, b"moved"),
    ];
    for secret in ["", "a-secret-of-some-length"] {
        let upstream = Upstream::acting(move |_, request| {
            let index: usize = request.header("idempotency-key").unwrap().parse().unwrap();
            let (status, body) = bodies[index];
            let headers =
                vec![("Content-Encoding", "gzip".to_owned()), ("X-Index", index.to_string())];
            Act::Answer(status, headers, body.to_vec())
        });
        let (_redis, upstream, onceward) = before(upstream, &[("SECRET", secret)]);
        for (index, (status, body)) in bodies.iter().enumerate() {
            let call = Call::pay(&index.to_string());
            let (first, again) = (call.send(onceward.address), call.send(onceward.address));
            assert_eq!((first.status, &*first.body), (*status, *body));
            assert_eq!((again.status, &*again.body, again.is_replay()), (*status, *body, true));
            assert_eq!(again.header("content-encoding"), Some("gzip"));
            assert_eq!(again.header("x-index"), first.header("x-index"));
        }
        assert_eq!(upstream.calls(), bodies.len());
    }
}

#[test]
fn what_identifies_a_caller_is_not_stored() {
    let upstream = Upstream::acting(|_, _| {
        Act::ok("paid")
            .with("Set-Cookie", "session=secret")
            .with("WWW-Authenticate", "Basic")
            .with("X-Auth-Token", "secret")
            .with("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
            .with("Onceward-State", "forged")
            .with("X-Kept", "1")
            .with("X-Kept", "2")
    });
    let (redis, _upstream, onceward) = before(upstream, &[]);
    let first = Call::pay("1").send(onceward.address);
    assert_eq!(first.header("set-cookie"), Some("session=secret"));
    assert_eq!(first.state(), "succeeded");
    let again = Call::pay("1").send(onceward.address);
    for gone in ["set-cookie", "www-authenticate", "x-auth-token"] {
        assert_eq!(again.header(gone), None, "{gone}");
    }
    assert_ne!(again.header("date"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    let kept: Vec<_> = again.headers.iter().filter(|(name, _)| name == "x-kept").collect();
    assert_eq!(kept.len(), 2);
    let names = redis.command(&["KEYS", "*:order:*"]);
    assert!(!redis.command(&["HGETALL", names.trim()]).contains("secret"));
}

#[test]
fn a_response_too_large_to_store_is_relayed_in_full_and_never_run_again() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    let sent = body.clone();
    let upstream = Upstream::acting(move |_, _| Act::Answer(200, vec![], sent.clone()));
    let (_redis, upstream, onceward) = before(upstream, &[("MAX_RESPONSE_BODY", "64KiB")]);
    let first = Call::pay("1").send(onceward.address);
    assert_eq!((first.status, first.state(), first.body == body), (200, "succeeded", true));
    let again = Call::pay("1").send(onceward.address);
    assert_eq!((again.status, again.problem().as_str()), (409, "response-not-stored"));
    assert_eq!(upstream.calls(), 1);
}

/// Slower than UPSTREAM_TIMEOUT, and far more than sockets hold: the sidecar has to wait for the caller.
#[test]
fn a_response_too_large_to_store_is_relayed_as_slowly_as_its_caller_reads() {
    const SIZE: usize = 64 << 20;
    let upstream = Upstream::acting(|_, _| Act::Answer(200, vec![], vec![7; SIZE]));
    let (_redis, upstream, onceward) = before(upstream, &[("UPSTREAM_TIMEOUT", "3s")]);
    let mut stream = Call::pay("1").begin(onceward.address);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut read, mut piece) = (0, vec![0; 64 << 10]);
    for _ in 0..12 {
        std::thread::sleep(Duration::from_millis(300));
        read += stream.read(&mut piece).unwrap();
    }
    while read < SIZE {
        match stream.read(&mut piece).unwrap() {
            0 => panic!("cut after {read} of {SIZE}"),
            more => read += more,
        }
    }
    assert_eq!(Call::pay("1").send(onceward.address).problem(), "response-not-stored");
    assert_eq!(upstream.calls(), 1);
}

/// What it means was told by its status, and that was relayed.
#[test]
fn a_response_too_large_to_store_counts_by_its_head_even_where_it_is_cut() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n".to_vec();
    let bytes = [head, vec![7; 100_000]].concat();
    let upstream = Upstream::acting(move |_, _| Act::Bytes(bytes.clone()));
    let (_redis, upstream, onceward) = before(upstream, &[("MAX_RESPONSE_BODY", "64KiB")]);
    // Nobody takes the part for the whole.
    assert_eq!(Call::pay("1").try_send(onceward.address), None);
    let again = Call::pay("1").send(onceward.address);
    assert_eq!((again.problem().as_str(), again.state()), ("response-not-stored", "succeeded"));
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn upstreams_own_mark_of_a_repetition_is_not_taken_for_ours() {
    let upstream = Upstream::acting(|_, _| Act::ok("paid").with("Idempotent-Replayed", "true"));
    let (_redis, _upstream, onceward) = before(upstream, &[]);
    assert!(!Call::pay("1").send(onceward.address).is_replay());
    assert!(Call::pay("1").send(onceward.address).is_replay());
}

#[test]
fn whoever_may_have_paid_is_told_what_sending_it_again_does() {
    let routes = r#"[{"name": "pay", "path": "/pay"},
        {"name": "retry", "path": "/retry", "on_unknown": "retry"}]"#;
    let upstream = Upstream::acting(|_, _| Act::Reset);
    let (_redis, upstream, onceward) = before(upstream, &[("ROUTES", routes)]);
    let (kept, again) = ("it is not run again", "may act once more");
    let calls = [
        (Call::pay("1"), kept),
        (Call::post("/retry").key("2"), again),
        (Call::post("/pay"), again),
        (Call::post("/elsewhere").key("3"), again),
    ];
    for (call, words) in &calls {
        let before = upstream.calls();
        let reply = call.send(onceward.address);
        assert_eq!((reply.status, reply.problem().as_str()), (502, "upstream-broken"));
        assert!(reply.text().contains(words), "{}", reply.text());
        // As it was told.
        call.send(onceward.address);
        assert_eq!(upstream.calls() - before == 2, *words == again, "{}", reply.text());
    }
}

#[test]
fn a_request_body_over_the_cap_is_refused() {
    let (_redis, upstream, onceward) = with(&[("MAX_REQUEST_BODY", "1KiB")]);
    let pay = |size| Call::post("/pay").key("1").body(&vec![b'x'; size]);
    assert_eq!(problem(&onceward, &pay(1025)), (413, "body-too-large".into()));
    assert_eq!(upstream.calls(), 0);
    assert_eq!(pay(1024).send(onceward.address).status, 200);
}

#[test]
fn outcome_rules_speak_before_the_status() {
    let routes = r#"[{"name": "pay", "path": "/pay", "outcome": [
        {"at": "json:/status", "in": ["USERPAYING"], "means": "unknown"},
        {"at": "json:/status", "in": ["NOTENOUGH"], "means": "failed"},
        {"status": [500], "at": "json:/status", "in": ["PAID"], "means": "succeeded"}]}]"#;
    let upstream = Upstream::acting(|_, request| match request.header("idempotency-key") {
        Some("paying") => Act::ok(r#"{"status":"USERPAYING"}"#),
        Some("poor") => Act::ok(r#"{"status":"NOTENOUGH"}"#),
        Some("clumsy") => Act::status(500, r#"{"status":"PAID"}"#),
        _ => Act::ok(r#"{"status":"PAID"}"#),
    });
    let (_redis, upstream, onceward) = before(upstream, &[("ROUTES", routes)]);
    for (key, state) in
        [("paying", "unknown"), ("poor", "failed"), ("clumsy", "succeeded"), ("rich", "succeeded")]
    {
        let (first, again) =
            (Call::pay(key).send(onceward.address), Call::pay(key).send(onceward.address));
        assert_eq!(
            (first.state(), again.state(), again.is_replay()),
            (state, state, true),
            "{key}"
        );
        assert_eq!(first.body, again.body);
    }
    assert_eq!(upstream.calls(), 4);
}

#[test]
fn the_first_matching_route_wins_and_its_orders_are_its_own() {
    let routes = r#"[
        {"name": "pay", "path": "/order/pay", "methods": ["POST"]},
        {"name": "refund", "path": "/order/{x}", "methods": ["PUT"]},
        {"name": "rest", "path": "/*", "key_required": true}]"#;
    let (_redis, upstream, onceward) = with(&[("ROUTES", routes)]);
    let body = r#"{"amount":100}"#;
    check_other(
        &onceward,
        &Call::post("/order/pay").key("1").json(body),
        &Call::new("PUT", "/order/pay").key("1").json(body),
    );
    let elsewhere = Call::post("/elsewhere").json(body);
    assert_eq!(problem(&onceward, &elsewhere), (400, "key-missing".into()));
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn other_spellings_of_a_protected_path_are_protected_too() {
    let routes = r#"[{"name": "pay", "path": "/order/pay", "key_required": true}]"#;
    let (_redis, upstream, onceward) = with(&[("ROUTES", routes)]);
    for path in [
        "//order/pay",
        "/order/./pay",
        "/x/../order/pay",
        "/order/%70ay",
        "/order/pay/",
        "/order/pay;v=1",
    ] {
        assert_eq!(problem(&onceward, &Call::post(path)), (400, "key-missing".into()), "{path}");
    }
    assert_eq!(upstream.calls(), 0);
}

#[test]
fn what_is_not_protected_passes_untouched_and_without_redis() {
    let (mut redis, upstream, onceward) = with(&[]);
    redis.kill();
    for call in [
        Call::get("/orders?b=2&a=1").key("1"),
        Call::post("/pay").json("{}"),
        Call::new("DELETE", "/orders/1"),
        Call::new("PUT", "/orders/1").key("\"quoted, list\", \"x\"").json("{}"),
    ] {
        let reply = call.send(onceward.address);
        assert_eq!((reply.status, reply.state(), reply.is_replay()), (200, "", false));
    }
    let seen = upstream.requests();
    let methods: Vec<_> = seen.iter().map(|request| request.method.as_str()).collect();
    assert_eq!(methods, ["GET", "POST", "DELETE", "PUT"]);
    assert_eq!(seen[0].target, "/orders?b=2&a=1");
    assert_eq!(seen[3].header("idempotency-key"), Some("\"quoted, list\", \"x\""));
    assert!(seen.iter().all(|request| request.header("onceward-fence").is_none()));
}

#[test]
fn connections_are_kept_alive_on_both_sides() {
    let (_redis, upstream, onceward) = with(&[]);
    let mut stream = TcpStream::connect(onceward.address).unwrap();
    for n in 0..20 {
        stream.write_all(&Call::pay(&n.to_string()).bytes()).unwrap();
        let reply = Reply::read(&mut BufReader::new(&stream), false).unwrap();
        assert_eq!(reply.status, 200);
        // A replay leaves nothing unread behind on the connection.
        stream.write_all(&Call::pay(&n.to_string()).bytes()).unwrap();
        assert!(Reply::read(&mut BufReader::new(&stream), false).unwrap().is_replay());
    }
    assert_eq!(upstream.calls(), 20);
    // A connection nobody used for a second is given up: a machine that stalls costs one.
    assert!(upstream.connections() < 5, "{}", upstream.connections());
}

#[test]
fn an_upgrade_is_tunnelled_where_nothing_is_protected_and_refused_where_it_is() {
    let upstream = Upstream::acting(|_, request| {
        assert_eq!(request.header("upgrade"), Some("echo"));
        Act::Echo
    });
    let (_redis, upstream, onceward) = before(upstream, &[]);
    let upgrade = |call: Call| call.header("Connection", "upgrade").header("Upgrade", "echo");
    let mut stream = TcpStream::connect(onceward.address).unwrap();
    stream.write_all(&upgrade(Call::get("/ws")).bytes()).unwrap();
    let switched = Reply::read(&mut BufReader::new(&stream), false).unwrap();
    assert_eq!((switched.status, switched.header("upgrade")), (101, Some("echo")));
    for word in ["hello", "once", "more"] {
        stream.write_all(word.as_bytes()).unwrap();
        let mut back = vec![0; word.len()];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, word.as_bytes());
    }
    assert_eq!(problem(&onceward, &upgrade(Call::pay("1"))), (400, "bad-request".into()));
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn unprotected_requests_tell_upstream_trouble_without_an_order() {
    let (_redis, _upstream, onceward) = with(&[("UPSTREAM", "http://127.0.0.1:1")]);
    let reply = Call::get("/").send(onceward.address);
    assert_eq!(
        (reply.status, reply.problem().as_str(), reply.state()),
        (502, "upstream-unreachable", "")
    );
    let silent = Upstream::acting(|_, _| Act::Silence);
    let (_redis, _upstream, onceward) = before(silent, &[("UPSTREAM_TIMEOUT", "1s")]);
    assert_eq!(problem(&onceward, &Call::get("/")), (504, "upstream-timeout".into()));
    assert_eq!(problem(&onceward, &Call::post("/").body(b"x")), (504, "upstream-timeout".into()));
}

/// Answers each request that ends in trailers with these bytes, and tells what it read.
fn with_trailers(answer: &'static str) -> (TcpListener, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (tell, told) = mpsc::channel();
    let heard = listener.try_clone().unwrap();
    std::thread::spawn(move || {
        for mut stream in heard.incoming().flatten() {
            let text = until_trailers(&mut stream);
            let _ = stream.write_all(answer.as_bytes());
            if tell.send(text).is_err() {
                return;
            }
        }
    });
    (listener, told)
}

/// Reads a chunked message to the end of its trailers.
fn until_trailers(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut text, mut byte) = (String::new(), [0]);
    while !(text.contains("\r\n0\r\n") && text.ends_with("\r\n\r\n")) {
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error}: {text}"));
        text.push(char::from(byte[0]));
    }
    text
}

#[test]
fn trailers_of_what_is_not_protected_pass_where_they_are_announced_and_asked_for() {
    let (listener, told) = with_trailers(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Onceward-State\r\nConnection: close\r\n\r\n\
         2\r\nhi\r\n0\r\nX-Sum: 2\r\nOnceward-State: succeeded\r\n\r\n",
    );
    let redis = Redis::start();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let onceward = sidecar(&redis, &Upstream::start()).set("UPSTREAM", &upstream).start();
    for (te, passes) in [("Connection: te\r\nTE: trailers\r\n", true), ("", false)] {
        let mut caller = TcpStream::connect(onceward.address).unwrap();
        let head = "POST /x HTTP/1.1\r\nHost: pay.test\r\nTransfer-Encoding: chunked\r\n";
        let body = "2\r\nab\r\n0\r\nX-Sum: 1\r\nOnceward-Fence: 9\r\nX-Other: 3\r\n\r\n";
        let request = format!("{head}Trailer: X-Sum, Onceward-Fence\r\n{te}\r\n{body}");
        caller.write_all(request.as_bytes()).unwrap();
        let answer = until_trailers(&mut caller).to_ascii_lowercase();
        let heard = told.recv_timeout(PATIENCE).unwrap().to_ascii_lowercase();
        assert!(heard.ends_with("\r\n0\r\nx-sum: 1\r\n\r\n"), "{heard}");
        assert!(heard.contains("\r\ntrailer: x-sum\r\n"), "{heard}");
        assert_eq!(heard.contains("\r\nte: trailers\r\n"), passes, "{heard}");
        assert_eq!(answer.contains("\r\ntrailer: x-sum\r\n"), passes, "{answer}");
        assert_eq!(answer.ends_with("\r\n0\r\nx-sum: 2\r\n\r\n"), passes, "{answer}");
        assert!(passes || answer.ends_with("hi\r\n0\r\n\r\n"), "{answer}");
    }
}

#[test]
fn upstreams_time_begins_behind_trailers_too() {
    let upstream = Upstream::acting(|_, _| Act::Silence);
    let (_redis, _upstream, onceward) = before(upstream, &[("UPSTREAM_TIMEOUT", "200ms")]);
    let mut caller = TcpStream::connect(onceward.address).unwrap();
    caller.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "POST /x HTTP/1.1\r\nHost: pay.test\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n";
    caller.write_all(request.as_bytes()).unwrap();
    let reply = Reply::read(&mut BufReader::new(caller), false).expect("an answer");
    assert_eq!((reply.status, reply.problem().as_str()), (504, "upstream-timeout"));
}
