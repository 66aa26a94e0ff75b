//! Tokens: a right to start one payment, for one caller, once.

use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, Sidecar, sidecar};
use crate::support::upstream::Upstream;
use crate::support::{Refusing, until};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::time::SystemTime;

fn ask(wish: &str) -> Call {
    Call::post("/_onceward/tokens").json(wish)
}

/// The text of a token that was wished for.
fn fetch(wish: &Call, onceward: &Sidecar) -> String {
    let reply = wish.send(onceward.address);
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["token"].as_str().expect("a text").to_owned()
}

fn paying(key: &str, token: &str) -> Call {
    Call::pay(key).header("Payment-Token", token)
}

/// Where every payment must bring a token.
fn strict(redis: &Redis, upstream: &Upstream) -> Builder {
    sidecar(redis, upstream).set("TOKEN", "required")
}

fn refused(reply: &Reply) {
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (403, "token-invalid"),
        "{}",
        reply.text()
    );
}

#[test]
fn a_token_for_a_quoted_key_is_for_the_order_of_that_key() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).start();
    for key in ["abc", "\"abc\""] {
        let token = fetch(&ask(r#"{"key":"\"abc\""}"#), &onceward);
        let paid = paying(key, &token).send(onceward.address);
        assert_eq!((paid.status, upstream.calls()), (200, 1), "{}", paid.text());
    }
    let asked = ask(r#"{"key":"\"abc"}"#).send(onceward.address);
    assert_eq!((asked.status, asked.problem().as_str()), (400, "key-invalid"));
}

#[test]
fn a_token_says_what_it_is_good_for_and_until_when() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).start();

    let reply = ask(r#"{"route":"default","key":"2024-0001","ttl":"10m"}"#).send(onceward.address);
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let token = reply.json();
    assert_eq!(token["route"], "default");
    assert_eq!(token["key"], "2024-0001");
    let end = humantime::parse_rfc3339(token["expires_at"].as_str().expect("a time"));
    let left = end.expect("RFC 3339").duration_since(SystemTime::now());
    let left = left.expect("a time to come").as_secs();
    assert!((540..=600).contains(&left), "{left} s");

    // Without a wish: the first route, any order, TOKEN_TTL.
    let other = Call::post("/_onceward/tokens").send(onceward.address);
    assert_eq!(other.status, 201, "{}", other.text());
    let other = other.json();
    assert_eq!(other["route"], "default");
    assert_eq!(other.get("key"), None);
    let end = humantime::parse_rfc3339(other["expires_at"].as_str().expect("a time"));
    let left = end.expect("RFC 3339").duration_since(SystemTime::now());
    assert!(left.expect("a time to come").as_secs() > 800);

    // As in a payment's body, a key may be a number.
    let number = ask(r#"{"key":20240001}"#).send(onceward.address).json();
    assert_eq!(number["key"], "20240001");
    assert_eq!(upstream.calls(), 0);
}

#[test]
fn a_token_is_256_random_bits_that_need_no_escaping() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).start();

    let tokens: Vec<String> = (0..8).map(|_| fetch(&ask("{}"), &onceward)).collect();
    for (index, token) in tokens.iter().enumerate() {
        let bytes = URL_SAFE_NO_PAD.decode(token).expect("URL-safe");
        assert!(bytes.len() >= 32, "{} bytes", bytes.len());
        assert!(!tokens[..index].contains(token));
    }
}

#[test]
fn a_token_asked_for_without_a_route_is_for_the_first_that_takes_tokens() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let routes = r#"[{"name": "notes", "path": "/notes"},
                     {"name": "pay", "path": "/pay", "token": "required", "token_ttl": "1h"}]"#;
    let onceward = sidecar(&redis, &upstream).set("ROUTES", routes).start();

    let reply = ask("{}").send(onceward.address).json();
    assert_eq!(reply["route"], "pay");
    let token = reply["token"].as_str().expect("a text");
    assert_eq!(paying("1", token).send(onceward.address).status, 200);
}

#[test]
fn wishes_that_cannot_be_granted_say_what_is_wrong() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).start();

    let long = format!(r#"{{"key":"{}"}}"#, "k".repeat(256));
    for (wish, problem, says) in [
        ("nonsense", "bad-request", "JSON object"),
        ("[]", "bad-request", "JSON object"),
        (r#"["default","1","10m"]"#, "bad-request", "JSON object"),
        (r#"{"colour":"red"}"#, "bad-request", "route, key and ttl"),
        (r#"{"ttl":600}"#, "bad-request", "JSON object"),
        (r#"{"ttl":"1m","ttl":"2m"}"#, "bad-request", "JSON object"),
        (r#"{"route":"refund"}"#, "bad-request", "no such route"),
        (r#"{"ttl":"soon"}"#, "bad-request", "ttl"),
        (r#"{"ttl":"0s"}"#, "bad-request", "ttl"),
        (r#"{"ttl":"25h"}"#, "bad-request", "24h"),
        (r#"{"key":""}"#, "key-invalid", "empty"),
        (r#"{"key":"a b"}"#, "key-invalid", "visible ASCII"),
        (r#"{"key":1.5}"#, "key-invalid", "integer"),
        (r#"{"key":1e3}"#, "key-invalid", "integer"),
        (r#"{"key":true}"#, "key-invalid", "integer"),
        (r#"{"key":"\ud800"}"#, "key-invalid", "malformed"),
        (r#"{"key":"1","key":"2"}"#, "bad-request", "JSON object"),
        (r#"{"key":["1"]}"#, "key-invalid", "integer"),
        (long.as_str(), "key-invalid", "255"),
    ] {
        let reply = ask(wish).send(onceward.address);
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (400, problem),
            "{wish}: {}",
            reply.text()
        );
        let document = reply.json();
        let detail = document["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(says), "{wish}: {detail}");
    }
    assert_eq!(redis.command(&["KEYS", "*token*"]), "");
}

#[test]
fn any_integer_that_is_an_order_number_may_have_a_token() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).set("KEY", "json:/orderId").start();
    let sizes = ["0", "-0", "18446744073709551616", "-9223372036854775809"];
    for digits in sizes.iter().chain(&["12345678901234567890123", "\"9007199254740993\""]) {
        let wish = ask(&format!(r#"{{"key":{digits}}}"#));
        let reply = wish.send(onceward.address).json();
        assert_eq!(reply["key"], digits.trim_matches('"'), "{reply}");
        let token = reply["token"].as_str().expect("a text");
        let pay = |digits: &str| {
            let body = format!(r#"{{"orderId":{digits}}}"#);
            Call::post("/pay").header("Payment-Token", token).json(&body).send(onceward.address)
        };
        refused(&pay("7"));
        assert_eq!(pay(digits).status, 200, "{digits}");
    }
    // null is no wish: a token for any order.
    let reply = ask(r#"{"key":null}"#).send(onceward.address);
    assert_eq!((reply.status, reply.json().get("key")), (201, None), "{}", reply.text());
}

#[test]
fn a_route_needs_tokens_takes_them_or_does_not_look() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let routes = r#"[{"name": "strict", "path": "/strict", "token": "required"},
                     {"name": "either", "path": "/either", "token": "optional"},
                     {"name": "blind", "path": "/blind", "token": "off"}]"#;
    let onceward = sidecar(&redis, &upstream).set("ROUTES", routes).start();
    let send = |path: &str, key: &str, token: Option<&str>| {
        let call = Call::post(path).key(key);
        let call = match token {
            Some(token) => call.header("Payment-Token", token),
            None => call,
        };
        call.send(onceward.address)
    };
    let fresh = |route: &str| fetch(&ask(&format!(r#"{{"route":"{route}"}}"#)), &onceward);

    let missing = send("/strict", "1", None);
    assert_eq!((missing.status, missing.problem().as_str()), (400, "token-missing"));
    refused(&send("/strict", "1", Some("nonsense")));
    assert_eq!(upstream.calls(), 0);
    assert_eq!(send("/strict", "1", Some(&fresh("strict"))).status, 200);

    assert_eq!(send("/either", "1", None).status, 200);
    assert_eq!(send("/either", "2", Some(&fresh("either"))).status, 200);
    refused(&send("/either", "3", Some("nonsense")));

    assert_eq!(send("/blind", "1", Some("nonsense")).status, 200);
    assert_eq!(upstream.calls(), 4);

    let two = Call::post("/strict")
        .key("9")
        .header("Payment-Token", "a")
        .header("Payment-Token", "b")
        .send(onceward.address);
    assert_eq!((two.status, two.problem().as_str()), (400, "bad-request"), "{}", two.text());
}

/// Unknown, expired, another order's, another caller's: whoever tries tokens learns nothing.
#[test]
fn one_bad_token_cannot_be_told_from_another() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let routes = r#"[{"name": "pay", "path": "/pay"}, {"name": "refund", "path": "/refund"}]"#;
    let onceward = strict(&redis, &upstream).set("ROUTES", routes).start();
    let mine = |wish: &str| fetch(&ask(wish).header("Authorization", "me"), &onceward);
    let theirs = |wish: &str| fetch(&ask(wish).header("Authorization", "them"), &onceward);
    let pay = |key: &str, token: &str| {
        paying(key, token).header("Authorization", "me").send(onceward.address)
    };

    let late = mine(r#"{"key":"1","ttl":"20ms"}"#);
    let late_for_any = mine(r#"{"ttl":"20ms"}"#);
    until("both tokens are gone", || redis.command(&["KEYS", "*token*"]).is_empty());
    let spent = mine("{}");
    assert_eq!(pay("2", &spent).status, 200);
    let spent_on_its_order = mine(r#"{"key":"3"}"#);
    assert_eq!(pay("3", &spent_on_its_order).status, 200);

    let unknown = URL_SAFE_NO_PAD.encode([[0].as_slice(), &[7; 32]].concat());
    let unknown_for_any = URL_SAFE_NO_PAD.encode([[1].as_slice(), &[7; 32]].concat());
    let bad = [
        ("never issued", unknown),
        ("never issued, for any order", unknown_for_any),
        ("no token at all", "nonsense".to_owned()),
        ("nothing", String::new()),
        ("far too long", "A".repeat(4000)),
        ("expired", late),
        ("expired, for any order", late_for_any),
        ("of another order", mine(r#"{"key":"4"}"#)),
        ("spent on another order", spent),
        ("spent on the order it was for", spent_on_its_order),
        ("of another route", mine(r#"{"route":"refund","key":"1"}"#)),
        ("of another route, for any order", mine(r#"{"route":"refund"}"#)),
        ("of another caller", theirs(r#"{"key":"1"}"#)),
        ("of another caller, for any order", theirs("{}")),
    ];
    let calls = upstream.calls();
    let mut first: Option<Reply> = None;
    for (which, token) in &bad {
        let mut reply = pay("1", token);
        reply.headers.retain(|(name, _)| name != "date");
        refused(&reply);
        let first = first.get_or_insert_with(|| reply.clone());
        assert_eq!(reply.text(), first.text(), "{which}");
        assert_eq!(reply.headers, first.headers, "{which}");
    }
    assert_eq!(upstream.calls(), calls);
    // And the order is none the worse for it.
    assert_eq!(pay("1", &mine(r#"{"key":"1"}"#)).status, 200);
}

#[test]
fn a_bad_token_opens_no_finished_order() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).start();
    let token = fetch(&ask("{}"), &onceward);
    assert_eq!(paying("1", &token).send(onceward.address).status, 200);

    refused(&paying("1", "nonsense").send(onceward.address));
    let elsewhere = fetch(&ask(r#"{"key":"2"}"#), &onceward);
    refused(&paying("1", &elsewhere).send(onceward.address));
    // A client that fetched anew for its retry gets the answer, and pays no second time.
    let anew = fetch(&ask(r#"{"key":"1"}"#), &onceward);
    assert!(paying("1", &anew).send(onceward.address).is_replay());
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn a_token_for_any_order_starts_one_order_of_many_at_once() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).start();
    let token = fetch(&ask("{}"), &onceward);

    let calls: Vec<_> =
        (0..32).map(|n| paying(&format!("order-{n}"), &token).spawn(onceward.address)).collect();
    let replies: Vec<Reply> =
        calls.into_iter().map(|call| call.join().expect("an answer")).collect();
    let (paid, others): (Vec<&Reply>, Vec<&Reply>) =
        replies.iter().partition(|reply| reply.status == 200);
    assert_eq!(paid.len(), 1);
    for reply in others {
        refused(reply);
    }
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn duplicates_with_one_token_are_one_payment_and_one_answer() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).start();
    for wish in ["{}", r#"{"key":"1"}"#] {
        let calls = upstream.calls();
        redis.command(&["FLUSHALL"]);
        let token = fetch(&ask(wish), &onceward);
        let calls_made: Vec<_> =
            (0..32).map(|_| paying("1", &token).spawn(onceward.address)).collect();
        let replies: Vec<Reply> =
            calls_made.into_iter().map(|call| call.join().expect("an answer")).collect();
        for reply in &replies {
            assert_eq!(reply.status, 200, "{wish}: {}", reply.text());
            assert_eq!(reply.body, replies[0].body);
        }
        let firsts = replies.iter().filter(|reply| !reply.is_replay()).count();
        assert_eq!((firsts, upstream.calls() - calls), (1, 1), "{wish}");
    }
}

#[test]
fn the_spent_token_of_a_payment_replays_it_anywhere() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let (here, there) = (strict(&redis, &upstream).start(), strict(&redis, &upstream).start());
    for (key, wish) in [("1", "{}"), ("2", r#"{"key":"2"}"#)] {
        let token = fetch(&ask(wish), &here);
        let first = paying(key, &token).send(there.address);
        assert_eq!((first.status, first.is_replay()), (200, false));
        for onceward in [&here, &there, &here] {
            let again = paying(key, &token).send(onceward.address);
            assert!(again.is_replay(), "{}", again.text());
            assert_eq!(again.body, first.body);
        }
    }
    assert_eq!(upstream.calls(), 2);
}

/// Nothing was sent, so nothing was used up.
#[test]
fn a_token_comes_back_when_upstream_was_not_reached() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).start();
    let nobody = Refusing::bind();
    let astray = strict(&redis, &upstream).set("UPSTREAM", &nobody.url()).start();

    for (key, wish) in [("1", "{}"), ("2", r#"{"key":"2"}"#)] {
        let token = fetch(&ask(wish), &onceward);
        let lost = paying(key, &token).send(astray.address);
        assert_eq!((lost.status, lost.problem().as_str()), (502, "upstream-unreachable"));
        // Given back to the order it has become bound to, and to no other.
        refused(&paying("other", &token).send(onceward.address));
        let paid = paying(key, &token).send(onceward.address);
        assert_eq!((paid.status, paid.is_replay()), (200, false));
        refused(&paying("other", &token).send(onceward.address));
    }
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn a_token_is_neither_passed_on_nor_written_down() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).set("LOG", "trace").start();
    let free = fetch(&ask("{}"), &onceward);
    let bound = fetch(&ask(r#"{"key":"2"}"#), &onceward);
    let unspent = fetch(&ask("{}"), &onceward);
    assert_eq!(paying("1", &free).send(onceward.address).status, 200);
    assert_eq!(paying("2", &bound).send(onceward.address).status, 200);

    for request in upstream.requests() {
        assert_eq!(request.header("payment-token"), None);
    }
    let stored = everything(&redis);
    assert!(stored.contains(" succeeded done "), "{stored}");
    let log = onceward.log();
    for token in [&free, &bound, &unspent] {
        assert!(!stored.contains(token.as_str()), "{stored}");
        assert!(!log.contains(token.as_str()), "{log}");
        // Nor its bytes in another dress.
        let bytes = URL_SAFE_NO_PAD.decode(token).expect("base64");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!stored.contains(&hex));
    }
}

#[test]
fn without_redis_no_token_is_promised() {
    let (mut redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).start();
    redis.kill();
    let reply = ask("{}").send(onceward.address);
    assert_eq!((reply.status, reply.problem().as_str()), (503, "store-unavailable"));
    assert!(reply.header("retry-after").is_some());
}

#[test]
fn a_payment_outlives_its_token() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).start();
    for (key, wish) in [("1", r#"{"key":"1"}"#), ("2", "{}")] {
        let token = fetch(&ask(wish), &onceward);
        let first = paying(key, &token).send(onceward.address);
        assert_eq!(first.status, 200, "{}", first.text());
        // As if it had expired.
        for name in redis.command(&["KEYS", "*token*"]).lines() {
            redis.command(&["DEL", name]);
        }
        let again = paying(key, &token).send(onceward.address);
        assert!(again.is_replay(), "{}", again.text());
        assert_eq!(again.body, first.body);
    }
}

#[test]
fn a_stolen_spent_token_is_as_good_as_none() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = strict(&redis, &upstream).start();
    let token = fetch(&ask("{}").header("Authorization", "me"), &onceward);
    let pay = |token: &str, who: &str| {
        paying("1", token).header("Authorization", who).send(onceward.address)
    };
    assert_eq!(pay(&token, "me").status, 200);
    let (stolen, nonsense) = (pay(&token, "them"), pay("nonsense", "them"));
    refused(&stolen);
    assert_eq!(stolen.text(), nonsense.text());
}

/// Names and values, whatever their kind.
fn everything(redis: &Redis) -> String {
    let mut all = String::new();
    for name in redis.command(&["KEYS", "*"]).lines() {
        let value = match redis.command(&["TYPE", name]).as_str() {
            "string" => redis.command(&["GET", name]),
            "hash" => redis.command(&["HGETALL", name]),
            "zset" => redis.command(&["ZRANGE", name, "0", "-1"]),
            other => panic!("{name} is a {other}: teach this function to read it"),
        };
        all += &format!("{name}\n{value}\n");
    }
    all
}
