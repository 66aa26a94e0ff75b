//! What the console asks of the admin plane: how things stand, what needs a person, one order; and
//! what a reader's token may not.

use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, Sidecar, sidecar};
use crate::support::until;
use crate::support::upstream::{Act, Upstream};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};

fn get(path: &str, onceward: &Sidecar) -> Reply {
    Call::get(path).send(onceward.admin)
}

fn guarded(redis: &Redis, upstream: &Upstream) -> Builder {
    sidecar(redis, upstream).set("ADMIN_TOKEN", "may-act").set("ADMIN_READ_TOKEN", "may-look")
}

fn as_reader(call: Call, onceward: &Sidecar) -> Reply {
    call.header("Authorization", "Bearer may-look").send(onceward.admin)
}

fn as_operator(call: Call, onceward: &Sidecar) -> Reply {
    call.header("Authorization", "Bearer may-act").send(onceward.admin)
}

#[test]
fn a_readers_token_sees_and_cannot_act() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Reset));
    let onceward = guarded(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);

    for path in [
        "/admin/console",
        "/admin/overview",
        "/admin/posture",
        "/admin/config",
        "/admin/orders",
        "/admin/orders/default/1",
        "/admin/attention/unknown",
        "/admin/attention/alarms",
    ] {
        assert_eq!(get(path, &onceward).status, 401, "{path} without a token");
        let seen = as_reader(Call::get(path), &onceward);
        assert_eq!(seen.status, 200, "{path}: {}", seen.text());
    }
    let acts = [
        Call::post("/admin/orders/default/1/resolve").json(r#"{"state":"succeeded"}"#),
        Call::post("/admin/orders/default/1/release"),
        Call::post("/admin/orders/default/2/cancel"),
        Call::new("DELETE", "/admin/faults"),
        Call::new("PUT", "/admin/faults/1").json("{}"),
    ];
    for act in acts {
        let refused = as_reader(act, &onceward);
        assert_eq!((refused.status, refused.problem().as_str()), (403, "forbidden"));
    }
    let order = as_reader(Call::get("/admin/orders/default/1"), &onceward).json();
    assert_eq!(order["state"], "unknown", "nothing happened");
    until("it is logged", || onceward.log().contains("a reader's token may not act"));

    let role = |reply: Reply| reply.json()["role"].as_str().map(str::to_owned);
    let looked = as_reader(Call::get("/admin/console"), &onceward);
    assert_eq!(role(looked).as_deref(), Some("reader"));
    let looked = as_operator(Call::get("/admin/console"), &onceward);
    assert_eq!(role(looked).as_deref(), Some("operator"));
    for secret in ["may-act", "may-look"] {
        assert!(!onceward.log().contains(secret), "{}", onceward.log());
    }
}

#[test]
fn who_acted_stands_in_the_log_and_in_the_history() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Reset));
    let onceward = guarded(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);
    let call = Call::post("/admin/orders/default/1/resolve")
        .header("Onceward-Actor", "Ann Example\tin_flight")
        .json(r#"{"state":"succeeded","why":"seen at the bank"}"#);
    let resolved = as_operator(call, &onceward);
    assert_eq!(resolved.status, 200, "{}", resolved.text());
    let history = resolved.json()["history"].as_array().cloned().unwrap_or_default();
    let last = history.last().expect("a line");
    assert_eq!(last["by"], "admin/Ann-Example-in_flight");
    assert_eq!(last["why"], "seen at the bank");
    assert_eq!(last["fence"], 1);
    let id = resolved.json()["id"].as_str().expect("an id").to_owned();
    until("it is logged", || {
        let log = onceward.log();
        let line = log.lines().find(|line| line.contains("an operator acts on an order"));
        line.is_some_and(|line| {
            line.contains("operator admin/Ann-Example-in_flight from 127.0.0.1")
                && line.contains(&id)
                && line.contains("seen at the bank")
                && line.contains(r#""to":"succeeded""#)
        })
    });
}

#[test]
fn who_played_an_accident_stands_in_the_log() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream).set("FAULTS", "on").start();
    let rule = r#"{"at":"response","do":{"lose":true}}"#;
    let put = Call::new("PUT", "/admin/faults/mine").header("Onceward-Actor", "bea").json(rule);
    assert_eq!(as_operator(put, &onceward).status, 201);
    for path in ["/admin/faults/mine", "/admin/faults"] {
        let off = Call::new("DELETE", path).header("Onceward-Actor", "bea");
        assert_eq!(as_operator(off, &onceward).status, 204);
    }
    for what in
        ["a fault rule was put", "a fault rule was taken off", "all fault rules were taken off"]
    {
        until("it is logged", || {
            let log = onceward.log();
            let line = log.lines().find(|line| line.contains(what)).unwrap_or_default();
            line.contains("operator admin/bea from 127.0.0.1")
        });
    }
}

#[test]
fn without_a_token_no_other_page_is_answered() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    let own = format!("http://localhost:{}", onceward.admin.port());
    let cancel = || {
        let call = Call::post("/admin/orders/default/1/cancel");
        // The page's own host, port and all.
        call.instead("Host", own.trim_start_matches("http://"))
    };
    for origin in ["http://evil.example", "null", "http://localhost:1"] {
        let refused = cancel().header("Origin", origin).send(onceward.admin);
        assert_eq!((refused.status, refused.problem().as_str()), (403, "forbidden"), "{origin}");
    }
    let refused = cancel().header("Sec-Fetch-Site", "cross-site").send(onceward.admin);
    assert_eq!(refused.status, 403);
    let rebound = Call::get("/admin/orders").instead("Host", "evil.example:9090");
    assert_eq!(rebound.send(onceward.admin).status, 403, "a name that was made to point here");
    assert_eq!(get("/admin/orders/default/1", &onceward).status, 404, "nothing was done");

    let done = cancel().header("Origin", &own).header("Sec-Fetch-Site", "same-origin");
    assert_eq!(done.send(onceward.admin).status, 200);
}

/// The data of the next event of that name.
fn event(stream: &mut impl BufRead, name: &str) -> Value {
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).expect("an event") > 0, "the stream ended");
        if line.trim_end() == format!("event: {name}") {
            let mut data = String::new();
            stream.read_line(&mut data).expect("its data");
            let data = data.strip_prefix("data: ").expect("data").trim_end();
            return serde_json::from_str(data).expect("JSON");
        }
    }
}

#[test]
fn the_overview_streams_what_happens_and_ends_with_the_process() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let mut onceward = sidecar(&redis, &upstream).start();
    let stream = Call::get("/admin/overview/stream").begin(onceward.admin);
    stream.set_read_timeout(Some(crate::support::PATIENCE)).expect("a socket");
    let mut stream = BufReader::new(stream);
    let first = event(&mut stream, "overview");
    assert_eq!((&first["step"], &first["kept"]), (&5.into(), &180.into()));
    assert_eq!(first["now"]["first"], 0.0);

    Call::pay("1").send(onceward.address);
    Call::pay("1").send(onceward.address);
    Call::pay("1").json(r#"{"amount":2}"#).send(onceward.address);
    let moves = |now: &Value, what: &str| now[what].as_f64().is_some_and(|rate| rate > 0.0);
    let (mut unseen, mut now) = (vec!["first", "replay", "refused"], Value::Null);
    until("all of it was told", || {
        now = event(&mut stream, "news")["now"].take();
        unseen.retain(|what| !moves(&now, what));
        unseen.is_empty()
    });
    assert_eq!(now["settled"]["succeeded"], 1.0);
    let lease = &now["leases"][0];
    assert_eq!(lease["route"], "default");
    let counts = lease["counts"].as_array().expect("counts");
    assert_eq!(counts.iter().filter_map(Value::as_f64).sum::<f64>(), 1.0);
    assert_eq!(counts.len(), lease["bounds"].as_array().expect("bounds").len());
    // The sample that saw them is kept.
    until("a sample was kept", || {
        let kept = get("/admin/overview", &onceward).json()["samples"].take();
        kept.as_array().is_some_and(|samples| samples.iter().any(|one| moves(one, "first")))
    });

    onceward.terminate();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the stream ends");
    assert!(onceward.ended().success());
}

#[test]
fn those_who_look_are_bounded_and_the_next_may_ask_now_and_then() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    let looking: Vec<_> = (0..16)
        .map(|_| {
            let mut stream =
                BufReader::new(Call::get("/admin/overview/stream").begin(onceward.admin));
            event(&mut stream, "overview");
            stream
        })
        .collect();
    let refused = get("/admin/overview/stream", &onceward);
    assert_eq!((refused.status, refused.problem().as_str()), (503, "overloaded"));
    assert_eq!(get("/admin/overview", &onceward).status, 200);
    drop(looking);
    until("there is room again", || {
        let again = Call::get("/admin/overview/stream").begin(onceward.admin);
        again.set_read_timeout(Some(crate::support::PATIENCE)).expect("a socket");
        let mut line = String::new();
        BufReader::new(again).read_line(&mut line).expect("a status");
        line.contains("200")
    });
}

#[test]
fn what_needs_a_person_comes_oldest_first_page_by_page() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Reset));
    let onceward = sidecar(&redis, &upstream).start();
    for key in 0..12 {
        Call::pay(&format!("k{key:02}")).send(onceward.address);
    }
    // One that is resolved waits no more.
    let act = Call::post("/admin/orders/default/k03/resolve").json(r#"{"state":"failed"}"#);
    assert_eq!(act.send(onceward.admin).status, 200);

    let (mut keys, mut after) = (Vec::new(), String::new());
    for _ in 0..10 {
        let page = get(&format!("/admin/attention/unknown?limit=4{after}"), &onceward).json();
        let orders = page["orders"].as_array().expect("orders").clone();
        assert!(orders.len() <= 4);
        keys.extend(orders.iter().map(|order| order["key"].as_str().expect("key").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let expected: Vec<String> =
        (0..12).filter(|key| *key != 3).map(|key| format!("k{key:02}")).collect();
    assert_eq!(keys, expected);
    let none = get("/admin/attention/cancelling", &onceward).json();
    assert_eq!((&none["orders"], &none["next"]), (&Value::Array(vec![]), &Value::Null));
    for bad in ["unknown?limit=0", "unknown?limit=101", "unknown?after=x", "unknown?page=2"] {
        assert_eq!(get(&format!("/admin/attention/{bad}"), &onceward).status, 400, "{bad}");
    }
    assert_eq!(get("/admin/attention/lost", &onceward).status, 404);
}

#[test]
fn a_dead_letter_waits_until_its_order_ends_and_its_alarm_is_told_of() {
    let redis = Redis::start();
    let nobody = crate::support::Refusing::bind();
    let onceward = sidecar(&redis, &Upstream::start())
        .set("UPSTREAM", &nobody.url())
        .set("QUEUE_RETRY", "1ms")
        .set("ROUTES", r#"[{"name":"pay","path":"/pay","mode":"async"}]"#)
        .start();
    assert_eq!(Call::pay("1").send(onceward.address).status, 202);
    let dead = || get("/admin/attention/dead", &onceward).json()["orders"].take();
    until("it is a dead letter", || dead().as_array().is_some_and(|dead| dead.len() == 1));
    assert_eq!((&dead()[0]["route"], &dead()[0]["key"]), (&"pay".into(), &"1".into()));
    assert!(dead()[0]["why"].as_str().is_some_and(|why| why.contains("dead letter")));
    until("its alarm is told of", || {
        let alarms = get("/admin/attention/alarms", &onceward).json();
        alarms["alarms"][0]["kind"] == "dead-letter"
    });

    let act = Call::post("/admin/orders/pay/1/resolve").json(r#"{"state":"failed"}"#);
    assert_eq!(act.send(onceward.admin).status, 200);
    assert_eq!(dead(), Value::Array(vec![]));
}

#[test]
fn a_stored_response_is_shown_without_its_secrets() {
    let (redis, upstream) = (
        Redis::start(),
        Upstream::acting(|_, _| {
            Act::ok(r#"{"paid":true,"card":"4111 1111 1111 1111","access_token":"s3cret"}"#)
                .with("X-Api-Key", "s3cret")
        }),
    );
    let onceward = guarded(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);
    Call::pay("1").send(onceward.address);
    Call::pay("1").send(onceward.address);
    let path = "/admin/orders/default/1";
    let masked = r#"{"access_token":"********","card":"************1111","paid":true}"#;
    for reply in [
        as_operator(Call::get(&format!("{path}?masked=true")), &onceward),
        as_reader(Call::get(path), &onceward),
        as_reader(Call::get(&format!("{path}?masked=false")), &onceward),
    ] {
        let order = reply.json();
        assert_eq!(order["response"]["body"], masked, "{order}");
        assert_eq!(order["response"]["masked"], true);
        assert!(!reply.text().contains("s3cret") && !reply.text().contains("4111 1111"));
        assert_eq!(order["duplicates_here"]["times"], 2);
    }
    let list = as_reader(Call::get("/admin/orders"), &onceward).text();
    assert!(!list.contains("s3cret") && list.contains("masked"), "{list}");
    let whole = as_operator(Call::get(path), &onceward).json();
    assert!(whole["response"]["body"].as_str().is_some_and(|body| body.contains("s3cret")));
    assert_eq!(get("/admin/orders/default/1?masked=maybe", &onceward).status, 401);
}

#[test]
fn redis_is_examined_rarely_however_often_somebody_asks() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    let first = get("/admin/posture", &onceward).json();
    // Of what it asks, only this is asked by nobody else.
    let asked = redis.calls("config|get");
    assert!(asked > 0);
    let findings = first["findings"].as_array().expect("findings");
    let verdict = |check: &str| {
        let finding = findings.iter().find(|finding| finding["check"] == check);
        finding.map(|finding| finding["verdict"].clone()).unwrap_or_default()
    };
    assert_eq!((verdict("connection"), verdict("secret")), ("ok".into(), "warn".into()));
    for _ in 0..20 {
        assert_eq!(get("/admin/posture", &onceward).json(), first);
    }
    assert_eq!(redis.calls("config|get"), asked);
}

/// The page's own folder: what is served must be what lies there.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/console");

/// Every file of the page, by where it is served, and its text.
fn page_files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(PAGE).expect("the page's folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let place = match name.as_str() {
            "index.html" => "/console".to_owned(),
            rust if rust.ends_with(".rs") => continue,
            name => format!("/console/{name}"),
        };
        files.push((place, std::fs::read_to_string(path).expect("a text")));
    }
    files
}

#[test]
fn the_page_is_open_and_may_do_nothing_but_ask_this_server() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream).start();
    let files = page_files();
    assert!(files.len() > 10);
    for (place, text) in files {
        let reply = get(&place, &onceward);
        assert_eq!((reply.status, reply.text()), (200, text), "{place}");
        let policy = reply.header("content-security-policy").expect("a policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.contains(rule), "{place}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(Call::new("HEAD", &place).send(onceward.admin).status, 200);
        assert_eq!(Call::post(&place).send(onceward.admin).status, 405);
    }
    assert_eq!(get("/console/", &onceward).status, 200);
    for nothing in ["/console/mod.rs", "/console/../mod.rs", "/console/nothing.js"] {
        assert_eq!(get(nothing, &onceward).status, 404, "{nothing}");
    }
}

#[test]
fn the_page_holds_nothing_that_could_become_markup_or_come_from_elsewhere() {
    for (place, text) in page_files() {
        // What turns texts into markup or code, and what the policy would refuse anyway.
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "javascript:",
            "onclick=",
            "onerror=",
            "style=\"",
            "localStorage",
            "document.cookie",
        ] {
            assert!(!text.contains(word), "{place} holds {word}");
        }
        let elsewhere = text
            .match_indices("://")
            .map(|(at, _)| &text[at.saturating_sub(5)..(at + 20).min(text.len())])
            .filter(|around| !around.contains("www.w3.org"));
        assert_eq!(elsewhere.collect::<Vec<_>>(), Vec::<&str>::new(), "{place}");
    }
}
