//! The admin plane: how we are, what is counted, which orders there are, and who may ask.

use crate::support::client::{Call, Reply};
use crate::support::openmetrics::{families, page};
use crate::support::redis::Redis;
use crate::support::sidecar::{Sidecar, sidecar};
use crate::support::until;
use crate::support::upstream::{Act, Gate, Upstream};
use onceward::config::vars::VARS;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};

fn get(path: &str, onceward: &Sidecar) -> Reply {
    Call::get(path).send(onceward.admin)
}

#[test]
fn liveness_does_not_hang_on_redis() {
    let (mut redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    assert_eq!(get("/livez", &onceward).status, 200);
    redis.pause();
    assert_eq!(get("/livez", &onceward).status, 200);
    redis.kill();
    assert_eq!(get("/livez", &onceward).status, 200);
    assert_eq!(Call::new("HEAD", "/livez").send(onceward.admin).status, 200);
}

#[test]
fn readiness_follows_redis_and_says_why() {
    let (mut redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    let ready = get("/readyz", &onceward);
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert_eq!(ready.text(), r#"{"ready":true,"reasons":[]}"#);

    redis.kill();
    let away = get("/readyz", &onceward);
    assert_eq!(away.status, 503);
    let document = away.json();
    assert_eq!(document["ready"], false);
    let reasons = document["reasons"].as_array().expect("a list");
    assert!(
        reasons.len() == 1 && reasons[0].as_str().is_some_and(|why| why.contains("Redis")),
        "{document}"
    );

    redis.restart();
    until("it is ready again", || get("/readyz", &onceward).status == 200);
}

#[test]
fn a_redis_that_takes_no_writes_is_no_reason_to_send_payments_here() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    let server = format!("127.0.0.1:{}: ", redis.port);
    let everything = "ACL SETUSER default ~* +@all";
    let accidents = [
        ("REPLICAOF 127.0.0.1 1", "READONLY", "REPLICAOF NO ONE"),
        ("CONFIG SET maxmemory 1", "OOM", "CONFIG SET maxmemory 0"),
        ("CONFIG SET min-replicas-to-write 1", "NOREPLICAS", "CONFIG SET min-replicas-to-write 0"),
        ("ACL SETUSER default -evalsha -eval", "NOPERM", everything),
        ("ACL SETUSER default resetkeys ~other:*", "NOPERM", everything),
    ];
    let tell = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        assert_eq!(redis.command(&words), "OK", "{words:?}");
    };
    for (n, (accident, word, cure)) in accidents.iter().enumerate() {
        tell(accident);
        let refused = Call::pay(&n.to_string()).send(onceward.address);
        assert_eq!(refused.problem(), "store-unavailable", "{accident}");
        let away = get("/readyz", &onceward);
        let reasons = away.json()["reasons"].clone();
        let why = reasons[0].as_str().unwrap_or_default();
        assert_eq!((away.status, reasons.as_array().map(Vec::len)), (503, Some(1)), "{reasons}");
        assert!(why.starts_with(&server) && why.ends_with(word), "{accident}: {why}");
        tell(cure);
        until("it is ready again", || get("/readyz", &onceward).status == 200);
    }
    assert_eq!(upstream.calls(), 0);
    // What it wrote goes by itself, and is nobody's order.
    let left: Vec<_> = redis.command(&["KEYS", "*:ping:*"]).lines().map(str::to_owned).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let ttl: i64 = redis.command(&["PTTL", &left[0]]).parse().expect("a number");
    assert!((1..=10_000).contains(&ttl), "{ttl}");
}

#[test]
fn readiness_does_not_ask_for_a_redis_that_no_route_insists_on() {
    let (mut redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).set("REDIS_DOWN", "bypass").start();
    redis.kill();
    assert_eq!(get("/readyz", &onceward).status, 200);
}

#[test]
fn a_draining_sidecar_is_alive_but_not_ready_and_finishes_its_work() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| Act::ok("{}").behind(&held));
    let mut onceward = sidecar(&redis, &upstream).start();
    let paying = Call::pay("1").spawn(onceward.address);
    upstream.heard(1);

    onceward.terminate();
    until("it is not ready any more", || get("/readyz", &onceward).status == 503);
    let document = get("/readyz", &onceward).json();
    assert_eq!(document["reasons"], serde_json::json!(["draining"]));
    assert_eq!(get("/livez", &onceward).status, 200);
    assert_eq!(page(&onceward).status, 200);

    gate.open();
    let paid = paying.join().expect("an answer");
    assert_eq!((paid.status, paid.state()), (200, "succeeded"));
    assert!(onceward.ended().success());
}

#[test]
fn metrics_are_open_metrics_with_every_name_explained() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    Call::pay("1").send(onceward.address);

    let page = page(&onceward);
    assert_eq!(
        page.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = page.text();
    assert_eq!(text.matches("# EOF").count(), 1);
    let families = families(&text);
    let mut names = BTreeSet::new();
    for family in &families {
        assert!(family.name.starts_with("onceward_"), "{family:?}");
        assert!(family.help.len() > 10, "{family:?}");
        assert!(["counter", "gauge", "histogram"].contains(&family.kind.as_str()), "{family:?}");
        assert!(names.insert(&family.name), "{family:?} stands there twice");
        // What is measured in something says so in its name and its unit; the rest are counts.
        let units = ["seconds", "bytes"].map(str::to_owned);
        let told = units.into_iter().find(|unit| family.name.ends_with(&format!("_{unit}")));
        assert_eq!(family.unit, told, "{family:?}");
        assert!(family.kind != "histogram" || family.unit.is_some(), "{family:?}");
        assert!(family.samples > 0, "{family:?}");
    }
    for sample in [
        r#"onceward_requests_total{route="default",outcome="first"} 1"#,
        "onceward_bypassed_total 0",
        r#"onceward_alarms_total{kind=""#,
        r#"onceward_orders{state="in_flight"} 0"#,
        r#"onceward_orders{state="unknown"} 0"#,
        "onceward_unknown_oldest_age_seconds 0",
    ] {
        assert!(text.contains(&format!("\n{sample}")), "{sample}\n{text}");
    }
}

/// An increase from nothing is none: what alarms must be there at zero.
#[test]
fn what_one_alerts_on_is_there_before_it_happens() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    let text = page(&onceward).text();
    for name in ["alarms", "bypassed", "lost_leases", "fenced_writes", "permitted_reruns"] {
        let samples: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with(&format!("onceward_{name}_total")))
            .collect();
        assert!(!samples.is_empty(), "{name}\n{text}");
        assert!(samples.iter().all(|line| line.ends_with(" 0")), "{samples:?}");
    }
}

#[test]
fn a_redis_that_may_drop_claims_is_told_of() {
    for (policy, is_unsafe) in [("noeviction", 0.0), ("allkeys-lru", 1.0), ("volatile-ttl", 1.0)] {
        let redis = Redis::start_with(&["--maxmemory-policy", policy]);
        let upstream = Upstream::start();
        let onceward = sidecar(&redis, &upstream).start();
        until("it has looked and told", || {
            let looks = r#"onceward_redis_duration_seconds_count{command="info"}"#;
            let told = onceward.metric("onceward_redis_eviction_unsafe");
            onceward.metric(looks) > 0.0 && told == is_unsafe
        });
        until("the log follows", || {
            onceward.log().contains("may drop claims") == (is_unsafe > 0.0)
        });
    }
}

#[test]
fn open_orders_are_counted_and_the_oldest_unknown_ages() {
    let (redis, gate) = (Redis::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |call, _| match call {
        1 => Act::Reset,
        _ => Act::ok("{}").behind(&held),
    });
    let first = sidecar(&redis, &upstream).start();
    assert_eq!(Call::pay("1").send(first.address).problem(), "upstream-broken");
    let paying = Call::pay("2").spawn(first.address);
    upstream.heard(2);

    // A replica that starts afterwards knows as much, and at once.
    let second = sidecar(&redis, &upstream).start();
    for onceward in [&second, &first] {
        until("both orders are counted", || {
            onceward.metric(r#"onceward_orders{state="unknown"}"#) == 1.0
                && onceward.metric(r#"onceward_orders{state="in_flight"}"#) == 1.0
        });
    }
    until("the unknown one ages", || second.metric("onceward_unknown_oldest_age_seconds") >= 1.0);
    gate.open();
    paying.join().expect("an answer");
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let redis = Redis::start_with(&["--requirepass", "s3cret-of-redis"]);
    let upstream = Upstream::start();
    let url = format!("redis://:s3cret-of-redis@127.0.0.1:{}", redis.port);
    let secret = "s3cret-s3cret-s3cret-s3cret-s3cret";
    let onceward = sidecar(&redis, &upstream)
        .set("REDIS_URL", &url)
        .set("ADMIN_TOKEN", "s3cret-of-admin")
        .set("SECRET", secret)
        .set("LOCK_TTL", "7s")
        .set("REDIS_DOWN", "bypass")
        .set("ROUTES", CONFIGURED)
        .start();
    let reply = Call::get("/admin/config")
        .header("Authorization", "Bearer s3cret-of-admin")
        .send(onceward.admin);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!reply.text().contains("s3cret"), "{}", reply.text());
    let document = reply.json();
    let variables = document["variables"].as_object().expect("an object");
    for var in VARS {
        let name = var.whole_name();
        assert!(variables.contains_key(&name), "{name}");
    }
    assert_eq!(variables["ONCEWARD_LOCK_TTL"], "7s");
    assert_eq!(variables["ONCEWARD_RECORD_TTL"], "24h");
    assert_eq!(variables["ONCEWARD_ADMIN_TOKEN"], "********");
    let masked = format!("redis://********@127.0.0.1:{}", redis.port);
    assert_eq!(variables["ONCEWARD_REDIS_URL"], masked.as_str());
    let routes = document["routes"].as_array().expect("a list");
    let of = |field: &str| -> Vec<&Value> { routes.iter().map(|route| &route[field]).collect() };
    assert_eq!(of("name"), ["pay", "cb"]);
    assert_eq!(of("path"), ["/pay", "/cb"]);
    assert_eq!(of("kind"), ["order", "callback"]);
    assert_eq!(of("lock_ttl"), [&json!("7s"), &Value::Null], "callbacks have none");
    assert_eq!(of("redis_down"), [&json!("bypass"), &Value::Null]);
    assert_eq!(of("callback_ttl"), [&Value::Null, &json!("2days")]);
    assert_eq!(of("query"), [&json!("GET /q?********"), &Value::Null]);
    assert_eq!(routes[0]["key"], json!(["header:idempotency-key"]));
    onceward.logs("ONCEWARD_REDIS_DOWN");
}

const CONFIGURED: &str = r#"[
    {"name": "pay", "path": "/pay",
     "query": {"method": "GET", "path": "/q?id={key}", "outcome": []}},
    {"name": "cb", "path": "/cb", "kind": "callback", "key": ["json:/id"], "callback_ttl": "48h"}]"#;

/// Every page of a list, and the keys on all of them.
fn walk(query: &str, onceward: &Sidecar) -> (usize, Vec<String>) {
    let (mut pages, mut keys, mut cursor) = (0, Vec::new(), "0".to_owned());
    let most = query.split("limit=").nth(1).map_or(50, |limit| limit.parse().expect("a number"));
    loop {
        let path = format!("/admin/orders?cursor={cursor}&{query}");
        let reply = get(&path, onceward);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let document = reply.json();
        pages += 1;
        let orders = document["orders"].as_array().expect("a list");
        assert!(orders.len() <= most, "{query}: {} on one page", orders.len());
        // What ends a page, and the largest order there is.
        assert!(reply.body.len() < 10 << 20, "{query}: {} bytes on one page", reply.body.len());
        keys.extend(orders.iter().map(|order| order["key"].to_string()));
        if document["next"].is_null() {
            return (pages, keys);
        }
        cursor = document["next"].to_string().replace('"', "");
    }
}

#[test]
fn orders_are_listed_a_page_at_a_time_and_by_state() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|_, request| match request.header("x-act") {
        Some("fail") => Act::status(402, "{}"),
        Some("break") => Act::Reset,
        _ => Act::ok("{}"),
    });
    let onceward = sidecar(&redis, &upstream).start();
    for n in 0..120 {
        let act = match n % 40 {
            0 => "fail",
            1 => "break",
            _ => "pay",
        };
        Call::pay(&format!("order-{n}")).header("X-Act", act).send(onceward.address);
    }
    for (query, expected) in [
        ("limit=10", 120),
        ("limit=1", 120),
        ("limit=3", 120),
        ("state=unknown&limit=1", 3),
        ("", 120),
        ("limit=1000", 120),
        ("state=succeeded&limit=10", 114),
        ("state=failed", 3),
        ("state=unknown", 3),
        ("state=in_flight", 0),
        ("scope=nobody", 0),
    ] {
        let (pages, keys) = walk(query, &onceward);
        let different: BTreeSet<&String> = keys.iter().collect();
        assert_eq!((different.len(), keys.len()), (expected, expected), "{query}");
        assert!(pages > 1 || query != "limit=10", "{query}: one page");
        assert!(pages <= 130, "{query}: {pages} pages");
    }
    let one = get("/admin/orders?limit=1000&state=failed", &onceward).json();
    let order = &one["orders"][0];
    assert_eq!(order["state"], "failed");
    assert_eq!(order["route"], "default");
    assert_eq!(order["response"]["status"], 402);
}

#[test]
fn a_page_of_orders_with_large_responses_ends_early_and_nothing_is_lost() {
    const MIB: usize = 1024 * 1024;
    let redis = Redis::start();
    // One of them alone is more than a page is to hold.
    let upstream = Upstream::acting(|_, request| {
        let bytes = request.header("x-bytes").and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        Act::Answer(200, vec![], vec![b'x'; bytes])
    });
    let onceward = sidecar(&redis, &upstream)
        .set("MAX_RESPONSE_BODY", "6MiB")
        .set("REDIS_TIMEOUT", "20s")
        .start();
    let pay = |key: &str, bytes: usize| {
        let call = Call::pay(key).header("X-Bytes", &bytes.to_string());
        assert_eq!(call.send(onceward.address).status, 200);
    };
    (0..24).for_each(|n| pay(&format!("large-{n}"), MIB / 2));
    (0..150).for_each(|n| pay(&format!("small-{n}"), 10));
    pay("huge", 5 * MIB);
    for (query, fewest) in [("limit=1000", 3), ("limit=20", 9), ("state=succeeded", 4)] {
        let (pages, keys) = walk(query, &onceward);
        let different: BTreeSet<&String> = keys.iter().collect();
        assert_eq!((different.len(), keys.len()), (175, 175), "{query}");
        assert!(pages >= fewest, "{query}: {pages} pages");
    }
}

#[test]
fn a_list_that_cannot_be_made_says_what_is_wrong() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    for (query, says) in [
        ("state=paid", "state"),
        ("state=none", "state"),
        ("limit=many", "limit"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("cursor=next", "cursor"),
        ("state=failed&state=unknown", "state"),
        ("stat=failed", "state"),
    ] {
        let reply = get(&format!("/admin/orders?{query}"), &onceward);
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (400, "bad-request"),
            "{query}: {}",
            reply.text()
        );
        let detail = reply.json()["detail"].to_string();
        assert!(detail.contains(says), "{query}: {detail}");
    }
}

#[test]
fn an_orders_history_tells_when_what_by_whom_and_why() {
    let redis = Redis::start();
    let upstream = Upstream::acting(|call, _| match call {
        1 => Act::status(429, "{}"),
        _ => Act::ok("{}"),
    });
    let onceward = sidecar(&redis, &upstream).set("SCOPE", "x-tenant-id").start();
    let pay = Call::pay("a/b").header("X-Tenant-Id", "t 1");
    assert_eq!(pay.send(onceward.address).status, 429);
    assert_eq!(pay.send(onceward.address).status, 200);

    let reply = get("/admin/orders/default/a%2Fb?scope=t%201", &onceward);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let document = reply.json();
    assert_eq!(document["key"], "a/b");
    assert_eq!(document["scope"], "t 1");
    assert_eq!(document["state"], "succeeded");
    assert_eq!(document["attempts"], 2);
    assert_eq!(document["fence"], 2);
    let history = document["history"].as_array().expect("a list");
    let moves: Vec<(&str, &str)> = history
        .iter()
        .map(|line| (line["from"].as_str().unwrap_or(""), line["to"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(
        moves,
        [
            ("none", "in_flight"),
            ("in_flight", "none"),
            ("none", "in_flight"),
            ("in_flight", "succeeded"),
        ]
    );
    for line in history {
        let at = line["at"].as_str().expect("a time");
        assert!(humantime::parse_rfc3339(at).is_ok(), "{line}");
        let by = line["by"].as_str().expect("a replica");
        assert!(by.ends_with(&format!("/{}", onceward.pid())), "{line}");
        assert!(!line["why"].as_str().unwrap_or("").is_empty(), "{line}");
    }
    assert_eq!(history[1]["why"], "upstream declined to begin");

    assert_eq!(get("/admin/orders/default/a%2Fb", &onceward).status, 404);
    assert_eq!(get("/admin/orders/default/never", &onceward).status, 404);
    assert_eq!(get("/admin/orders/default/a%2Fb?tenant=1", &onceward).status, 400);
}

#[test]
fn the_admin_token_opens_admin_and_nothing_else_does() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).set("ADMIN_TOKEN", "open-sesame").start();
    for path in ["/admin/config", "/admin/orders", "/admin/orders/default/1", "/admin/nothing"] {
        for wrong in [
            None,
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer wrong"),
            Some("Bearer open-sesam"),
            Some("Bearer open-sesame2"),
            Some("Basic open-sesame"),
            Some("open-sesame"),
        ] {
            let call = Call::get(path);
            let call = match wrong {
                Some(wrong) => call.header("Authorization", wrong),
                None => call,
            };
            let reply = call.send(onceward.admin);
            assert_eq!(
                (reply.status, reply.problem().as_str()),
                (401, "unauthorized"),
                "{path} {wrong:?}"
            );
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
    }
    for right in ["Bearer open-sesame", "bearer open-sesame"] {
        let reply = Call::get("/admin/config").header("Authorization", right).send(onceward.admin);
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    for open in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(get(open, &onceward).status, 200, "{open}");
    }
}

#[test]
fn changed_token_files_come_into_force_and_bad_ones_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (acts, looks) = (file("acts"), file("looks"));
    let write = |file: &str, token: &str| std::fs::write(file, token).expect("written");
    write(&acts, "acts-1\n");
    write(&looks, "looks-1\n");
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let builder = sidecar(&redis, &upstream)
        .set("ADMIN_TOKEN_FILE", &acts)
        .set("ADMIN_READ_TOKEN_FILE", &looks);
    let onceward = builder.start();
    let opens = |token: &str| {
        let call = Call::get("/admin/config").header("Authorization", &format!("Bearer {token}"));
        call.send(onceward.admin).status == 200
    };
    let stale = |is: f64| onceward.counts(r#"onceward_config_stale{variable="ADMIN_TOKEN"}"#, is);
    assert!(opens("acts-1") && opens("looks-1"));
    stale(0.0);

    write(&acts, "acts-2\n");
    until("the new token opens", || opens("acts-2"));
    assert!(!opens("acts-1") && opens("looks-1"));
    write(&looks, "looks-2\n");
    until("the new reader's token opens", || opens("looks-2"));
    assert!(!opens("looks-1") && opens("acts-2"));

    // Commands read the file as it is now.
    let mut leave = builder.set("ADMIN_LISTEN", &onceward.admin.to_string()).command();
    assert!(leave.arg("leave").output().expect("onceward runs").status.success());

    // What is bad opens nothing, and closes nothing either.
    for bad in ["", "looks-2"] {
        write(&acts, bad);
        stale(1.0);
        assert!(opens("acts-2") && opens("looks-2") && !opens(""), "{bad:?}");
        write(&acts, "acts-2");
        stale(0.0);
    }
    std::fs::remove_file(&acts).expect("it was there");
    stale(1.0);
    assert!(opens("acts-2") && opens("looks-2"));
    write(&acts, "acts-3");
    until("the file is back", || opens("acts-3"));
    stale(0.0);
    assert!(!opens("acts-2"));
}

#[test]
fn without_a_token_only_this_machine_may_ask() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).set("ADMIN_LISTEN", "0.0.0.0:0").start();
    let port = onceward.admin.port();
    let near = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(Call::get("/admin/config").send(near).status, 200);

    // Asked by way of its own network address, a machine is a stranger to itself.
    let Some(address) = own_address() else {
        return;
    };
    let far = SocketAddr::from((address, port));
    let reply = Call::get("/admin/config").send(far);
    assert_eq!((reply.status, reply.problem().as_str()), (403, "forbidden"));
    assert_eq!(Call::get("/livez").send(far).status, 200);
}

/// This machine's address on its network; no packet is sent to learn it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[test]
fn what_is_not_there_is_not_found() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    for path in ["/", "/admin", "/admin/", "/admin/nothing", "/metrics/", "/_onceward/tokens"] {
        let reply = get(path, &onceward);
        assert_eq!((reply.status, reply.problem().as_str()), (404, "not-found"), "{path}");
    }
}

#[test]
fn without_redis_orders_cannot_be_told() {
    let (mut redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    redis.kill();
    for path in ["/admin/orders", "/admin/orders/default/1"] {
        let reply = get(path, &onceward);
        assert_eq!((reply.status, reply.problem().as_str()), (503, "store-unavailable"), "{path}");
    }
    assert_eq!(page(&onceward).status, 200);
    assert_eq!(get("/admin/config", &onceward).status, 200);
}
