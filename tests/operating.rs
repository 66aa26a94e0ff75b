//! Running it: what the commands say, what the log holds and what it must not, what it costs.

use crate::support::client::{Call, Reply};
use crate::support::openmetrics::page;
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, Sidecar, sidecar};
use crate::support::upstream::{Act, Upstream};
use crate::support::{PATIENCE, until};
use onceward::config::vars::{VARS, Var};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What a command said, and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// All of it.
    fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

fn run(builder: &Builder, arguments: &[&str]) -> Said {
    let output = builder.command().args(arguments).output();
    let output = output.expect("onceward runs");
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn nothing_set() -> Builder {
    Builder::default()
}

#[test]
fn check_prints_what_is_in_force_and_no_secret() {
    let said = run(
        &nothing_set()
            .set("LOCK_TTL", "7s")
            .set("ADMIN_TOKEN", "s3cret-of-admin")
            .set("SECRET", "s3cret-s3cret-s3cret-s3cret-s3cret")
            .set("REDIS_URL", "redis://me:s3cret@10.0.0.1:6379/1")
            .set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:s3cret@collector:4318")
            .set("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret"),
        &["check"],
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    let lines: Vec<&str> = said.out.lines().collect();
    let names: Vec<&str> =
        lines.iter().map(|line| line.split('=').next().unwrap_or_default()).collect();
    let expected: Vec<String> = VARS.iter().map(Var::whole_name).collect();
    assert_eq!(names, expected);
    for line in [
        "ONCEWARD_LOCK_TTL=7s",
        "ONCEWARD_RECORD_TTL=24h",
        "ONCEWARD_ADMIN_TOKEN=********",
        "ONCEWARD_SECRET=********",
        "ONCEWARD_REDIS_URL=redis://********@10.0.0.1:6379/1",
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://********@collector:4318",
        "OTEL_EXPORTER_OTLP_HEADERS=********",
        "ONCEWARD_ROUTES=",
    ] {
        assert!(lines.contains(&line), "{line}\n{}", said.out);
    }
    assert!(!said.all().contains("s3cret"), "{}", said.all());
    // No address of a collector's: told of, and payments run without.
    assert!(said.err.contains("warning: OTEL_EXPORTER_OTLP_ENDPOINT: expected"), "{}", said.err);
}

const MANY_ROUTES: &str = r#"{"lifecycles": {"o": {"start": "a", "moves": [["a", "b"]]}}, "routes": [
    {"name": "pay", "path": "/order/pay", "redis_down": "bypass", "lock_ttl": "10s", "token": "off",
     "key": ["header:Idempotency-Key", "json:/orderId"], "max_request_body": "64KiB",
     "query": {"method": "GET", "path": "/result?apikey=s3cret&id={key}", "outcome": []},
     "lifecycle": {"name": "o", "from": ["a"], "to": "b"}},
    {"name": "alipay", "path": "/notify", "preset": "alipay-notify", "settles": "rest"},
    {"name": "rest", "path": "/*", "key": ["form:out_trade_no"]}]}"#;

#[test]
fn check_prints_what_each_route_has_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("routes.json");
    std::fs::write(&file, MANY_ROUTES).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let plain = nothing_set().set("LOCK_TTL", "10s").set("CALLBACK_TTL", "80h");
    let said = run(&plain.set("ROUTES", file), &["check"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let routes: Vec<&str> = said.out.lines().skip(VARS.len()).collect();
    let of_query = "/result?********";
    assert_eq!(
        routes,
        [
            "ONCEWARD_ROUTES[0] (pay).path=/order/pay",
            "ONCEWARD_ROUTES[0] (pay).key=header:idempotency-key,json:/orderId",
            "ONCEWARD_ROUTES[0] (pay).key_required=true",
            "ONCEWARD_ROUTES[0] (pay).redis_down=bypass",
            "ONCEWARD_ROUTES[0] (pay).max_request_body=64KiB",
            &format!("ONCEWARD_ROUTES[0] (pay).query=GET {of_query}"),
            r#"ONCEWARD_ROUTES[0] (pay).lifecycle={"from":["a"],"name":"o","to":"b"}"#,
            "ONCEWARD_ROUTES[1] (alipay).path=/notify",
            "ONCEWARD_ROUTES[1] (alipay).kind=callback",
            "ONCEWARD_ROUTES[1] (alipay).key=form:out_trade_no",
            "ONCEWARD_ROUTES[1] (alipay).event=form:trade_status,form:refund_fee,form:out_biz_no",
            "ONCEWARD_ROUTES[1] (alipay).unchanged=form:total_amount,form:seller_id",
            "ONCEWARD_ROUTES[1] (alipay).settles=rest",
            "ONCEWARD_ROUTES[2] (rest).key=form:out_trade_no",
        ]
    );
    let warning = "warning: ONCEWARD_ROUTES[0] (pay).redis_down: bypass: ";
    assert!(said.err.contains(warning), "{}", said.err);
    assert!(!said.all().contains("s3cret"), "{}", said.all());
}

#[test]
fn a_password_behind_a_socket_is_masked_as_well() {
    let url = "unix:///run/redis.sock?db=1&pass=s3cret&user=me";
    let said = run(&nothing_set().set("REDIS_URL", url), &["check"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let line = "\nONCEWARD_REDIS_URL=unix:///run/redis.sock?********\n";
    assert!(said.out.contains(line), "{}", said.out);
}

#[test]
fn every_problem_of_a_configuration_is_told_at_once() {
    let bad = nothing_set()
        .set("LISTEN", "nowhere")
        .set("LOCK_TTL", "soon")
        .set("TOKEN", "maybe")
        .set("MAX_REQUEST_BODY", "1MB")
        .set("REDIS_URL", "redis://:s3cret@[")
        .set("LOG", "onceward=loud=")
        .set("ROUTES", r#"[{"name":"pay","path":"pay","colour":"red"}]"#)
        .set("SECRET_FILE", "/no/such/file");
    for command in [&["check"][..], &["serve"], &[], &["doctor"]] {
        let said = run(&bad, command);
        assert_eq!(said.code, Some(64), "{command:?}");
        for name in [
            "LISTEN",
            "LOCK_TTL",
            "TOKEN",
            "MAX_REQUEST_BODY",
            "REDIS_URL",
            "LOG",
            "ROUTES[0] (pay)",
            "SECRET_FILE",
        ] {
            let told = said
                .err
                .lines()
                .filter(|line| line.trim_start().starts_with(&format!("ONCEWARD_{name}")))
                .count();
            assert!(told >= 1, "{command:?}: {name}\n{}", said.err);
        }
        assert_eq!(said.out, "", "{command:?}");
        assert!(!said.err.contains("s3cret"), "{}", said.err);
    }
}

#[test]
fn a_value_that_is_no_text_is_not_taken_for_the_default() {
    use std::os::unix::ffi::OsStrExt;
    for (name, value) in [("LOCK_TTL", &b"7s\xff"[..]), ("SECRET", b"s3cret-s3cret-s3cret\xff")] {
        let (name, value) = (format!("ONCEWARD_{name}"), std::ffi::OsStr::from_bytes(value));
        let mut command = nothing_set().command();
        let output = command.env(&name, value).arg("check").output().expect("onceward runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(&format!("  {name}: is not UTF-8 text\n")), "{said}");
    }
}

#[test]
fn bad_usage_is_told_from_good() {
    for arguments in [&["pay"][..], &["--colour"], &["check", "twice"], &["serve", "--port", "80"]]
    {
        let said = run(&nothing_set(), arguments);
        assert_eq!(said.code, Some(64), "{arguments:?}");
        assert!(said.err.contains("Usage"), "{}", said.err);
    }
    for arguments in [&["--help"][..], &["--version"], &["help", "check"]] {
        let said = run(&nothing_set(), arguments);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn an_address_in_use_is_told_and_no_bad_usage() {
    let redis = Redis::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let builder = nothing_set().set("REDIS_URL", &redis.url()).set("LISTEN", &address);
    let said = run(&builder, &["serve"]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert!(said.out.contains(&address), "{}", said.out);
}

/// How a sidecar ended that should not have started; by us, where it started after all.
fn refused(builder: &Builder) -> (Option<i32>, String) {
    let command = &mut builder.command();
    let mut child = command.arg("serve").stdout(Stdio::piped()).spawn().expect("onceward runs");
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("a child").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let output = child.wait_with_output().expect("its output");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

#[test]
fn a_second_sidecar_does_not_share_the_ports_of_the_first() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let builder = sidecar(&redis, &upstream);
    let mut first = builder.start();
    let (data, admin) = (first.address.to_string(), first.admin.to_string());
    for (name, address) in [("LISTEN", &data), ("ADMIN_LISTEN", &admin)] {
        let (code, said) = refused(&builder.clone().set(name, address));
        assert_eq!(code, Some(1), "{said}");
        let told = format!("ONCEWARD_{name}: {address} is taken");
        assert!(said.contains(&told), "{told}\n{said}");
    }
    // Its place is free as soon as it is gone, whatever is left of its connections.
    let mut kept = TcpStream::connect(first.address).expect("a connection");
    kept.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").expect("written");
    assert!(kept.read(&mut [0; 1]).expect("an answer") == 1);
    first.kill();
    let second = builder.set("LISTEN", &data).set("ADMIN_LISTEN", &admin).start();
    assert_eq!((second.address, second.admin), (first.address, first.admin));
    assert_eq!(Call::get("/livez").send(second.admin).status, 200);
}

#[test]
fn the_doctor_says_whether_money_may_rest_on_this_redis() {
    let careless = Redis::start_with(&["--requirepass", "s3cret-of-redis"]);
    let careful = Redis::start_with(&["--requirepass", "s3cret-of-redis", "--appendonly", "yes"]);
    let url = |redis: &Redis| format!("redis://:s3cret-of-redis@127.0.0.1:{}", redis.port);

    let said = run(&nothing_set().set("REDIS_URL", &url(&careless)), &["doctor"]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    let failed: Vec<&str> = lines_of(&said, "fail");
    assert!(failed.len() == 1 && failed[0].contains("persistence"), "{}", said.out);
    assert!(!said.all().contains("s3cret"), "{}", said.all());

    let said = run(&nothing_set().set("REDIS_URL", &url(&careful)), &["doctor"]);
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(lines_of(&said, "fail").is_empty());
    assert!(lines_of(&said, "ok").len() > 5, "{}", said.out);
    assert!(!said.all().contains("s3cret"), "{}", said.all());

    let wrong = format!("redis://:s3cret-but-wrong@127.0.0.1:{}", careful.port);
    let said = run(&nothing_set().set("REDIS_URL", &wrong), &["doctor"]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert!(!said.all().contains("s3cret"), "{}", said.all());
}

#[test]
fn the_doctor_fails_without_a_redis() {
    let mut redis = Redis::start();
    redis.kill();
    let said = run(&nothing_set().set("REDIS_URL", &redis.url()), &["doctor"]);
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert_eq!(lines_of(&said, "fail").len(), 1, "{}", said.out);
}

fn lines_of<'a>(said: &'a Said, verdict: &str) -> Vec<&'a str> {
    let verdict = format!("{verdict} ");
    said.out.lines().filter(|line| line.starts_with(&verdict)).collect()
}

#[test]
fn variables_that_mean_nothing_are_warned_of() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let strange = sidecar(&redis, &upstream).set("LOCKTTL", "1s").set("SERVICE_HOST", "10.0.0.1");
    let said = run(&strange, &["check"]);
    assert_eq!(said.code, Some(0));
    for name in ["ONCEWARD_LOCKTTL", "ONCEWARD_SERVICE_HOST"] {
        assert!(said.err.contains(name), "{}", said.err);
        assert!(!said.out.contains(name), "{}", said.out);
    }
    let onceward = strange.start();
    for name in ["ONCEWARD_LOCKTTL", "ONCEWARD_SERVICE_HOST"] {
        until("it is told of", || {
            lines(&onceward).iter().any(|line| line["level"] == "WARN" && line["name"] == name)
        });
    }
}

/// Every line of a log that is JSON; fails on one that is not an object.
fn lines(onceward: &Sidecar) -> Vec<Value> {
    let log = onceward.log();
    log.lines()
        .map(|line| match serde_json::from_str(line) {
            Ok(Value::Object(object)) => Value::Object(object),
            _ => panic!("not an object: {line}"),
        })
        .collect()
}

fn one_route(file: &Path, path: &str) {
    let routes = format!(r#"[{{"name":"pay","path":"{path}","key_required":true}}]"#);
    std::fs::write(file, routes).expect("a file");
}

/// Whether what the routes' file says is not what is in force.
const STALE: &str = r#"onceward_config_stale{variable="ROUTES"}"#;

#[test]
fn changed_routes_come_into_force_and_bad_ones_do_not() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("routes.json");
    one_route(&file, "/a");
    let onceward = sidecar(&redis, &upstream).set("ROUTES", file.to_str().expect("UTF-8")).start();
    // A protected path asks for a key; others pass.
    let protected = |path: &str| Call::post(path).send(onceward.address).status == 400;
    assert!(protected("/a") && !protected("/b"));

    one_route(&file, "/b");
    until("the new routes are in force", || protected("/b"));
    assert!(!protected("/a"));
    let shown = Call::get("/admin/config").send(onceward.admin).json();
    assert_eq!(shown["routes"][0]["path"], "/b");
    assert_eq!(shown["routes"][0]["lock_ttl"], "30s");

    std::fs::write(&file, r#"[{"name":"pay","path":"b","lock_ttl":"soon"}]"#).expect("a file");
    until("the bad routes are told of", || {
        lines(&onceward).iter().any(|line| {
            let problems = line["problems"].as_str().unwrap_or_default();
            line["level"] == "ERROR"
                && problems.contains("ROUTES[0] (pay).lock_ttl")
                && problems.contains("ROUTES[0] (pay).path")
        })
    });
    assert!(protected("/b") && !protected("/a"));
    onceward.counts(STALE, 1.0);

    std::fs::remove_file(&file).expect("it was there");
    until("the missing file is told of", || onceward.log().contains("cannot be read"));
    assert!(protected("/b") && !protected("/a"));

    one_route(&file, "/c");
    until("the file is back", || protected("/c"));
    assert!(!protected("/b"));
    onceward.counts(STALE, 0.0);
}

const CARD: &str = "4111111111111111";
const BEARER: &str = "bearer-s3cret-bearer";
const KEY: &str = "order-number-77";

/// A service that puts what it was told into every kind of answer.
fn talkative() -> Upstream {
    Upstream::acting(|_, request| match request.header("x-act") {
        Some("reset") => Act::Reset,
        Some("garbage") => Act::Bytes(format!("HTTP/1.1 {CARD}\r\n\r\n").into_bytes()),
        Some("cut") => {
            Act::Bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{CARD}").into_bytes())
        }
        Some("fail") => Act::status(500, &format!(r#"{{"card":"{CARD}"}}"#)),
        Some("decline") => Act::status(429, CARD).with("X-Card", CARD),
        _ => Act::ok(&format!(r#"{{"card":"{CARD}"}}"#)).with("X-Card", CARD),
    })
}

fn sensitive(path: &str, token: &str) -> Call {
    Call::post(path)
        .header("Authorization", &format!("Bearer {BEARER}"))
        .header("Payment-Token", token)
        .header("X-Card", CARD)
        .header("Cookie", &format!("card={CARD}"))
}

/// redacted: what must not be seen is in no log line, no metric and no problem.
#[test]
fn nothing_a_payment_carries_is_ever_written_down() {
    let (mut redis, upstream) = (Redis::start(), talkative());
    let routes = r#"[
        {"name": "json", "path": "/json/*", "key": ["header:Idempotency-Key", "json:/order"],
         "token": "required", "fingerprint": "json", "max_request_body": "1KiB"},
        {"name": "form", "path": "/form/{card}", "key": ["form:order", "query:order"], "token": "optional"},
        {"name": "xml", "path": "/xml/*", "key": ["xml:order"], "key_required": true}]"#;
    let onceward = sidecar(&redis, &upstream)
        .set("ROUTES", routes)
        .set("LOG", "trace")
        .set("DUPLICATE_WAIT", "0s")
        // What it remembers it answers without Redis, which is to be missed here.
        .set("LOCAL_CACHE", "0")
        .start();
    let fetched = Call::post("/_onceward/tokens")
        .header("Authorization", &format!("Bearer {BEARER}"))
        .json(r#"{"route":"json"}"#)
        .send(onceward.address)
        .json();
    let token = fetched["token"].as_str().expect("a text").to_owned();
    let path = format!("/json/{CARD}?card={CARD}&token={token}");
    let body = format!(r#"{{"order":"{KEY}","card":"{CARD}"}}"#);
    let json = || sensitive(&path, &token).json(&body);
    let form = |act: &str, order: &str| {
        sensitive(&format!("/form/{CARD}?order={order}"), "")
            .header("X-Act", act)
            .body(format!("card={CARD}").as_bytes())
    };
    let mut replies: Vec<Reply> = Vec::new();
    let mut send = |call: Call| {
        let reply = call.send(onceward.address);
        let status = reply.status;
        replies.push(reply);
        status
    };

    assert_eq!(send(json()), 200);
    assert_eq!(send(json()), 200);
    assert_eq!(send(json().header("X-Act", "other").key(CARD)), 403);
    assert_eq!(send(sensitive(&path, "").json(&body)), 403);
    assert_eq!(send(sensitive(&path, CARD).json(&body)), 403);
    // Bodies that cannot be read, each broken where the card is.
    for broken in [
        format!(r#"{{"order":{KEY}, "card": {CARD}x}}"#),
        format!(r#"{{"order":"{KEY}","order":"{CARD}"}}"#),
        format!(r#"{{"order":["{CARD}"]}}"#),
        format!(r#"{{"order":"{CARD} {CARD}"}}"#),
        format!(r#"{{"order":"{KEY}","{CARD}":{CARD}"#),
        format!("{CARD}{}", " ".repeat(2000)),
    ] {
        let status = send(sensitive(&path, &token).json(&broken));
        assert!((400..=413).contains(&status), "{broken}: {status}");
    }
    for broken in [
        format!("<order>{CARD} </{CARD}>"),
        format!("<a><order>{CARD} {CARD}</order></a>"),
        format!("<!DOCTYPE a [<!ENTITY b \"{CARD}\">]><order>&b;</order>"),
        CARD.to_owned(),
    ] {
        let call = sensitive(&format!("/xml/{CARD}"), &token).body(broken.as_bytes());
        assert_eq!(send(call), 400, "{broken}");
    }
    for bad in [format!("\"{CARD}"), format!("{CARD},{CARD}"), format!("{CARD} x")] {
        assert_eq!(send(sensitive(&path, &token).key(&bad)), 400);
    }
    assert_eq!(send(form("ok", "form-1").header("Payment-Token", CARD)), 400);
    let wish = format!(r#"{{"route":"{CARD}","key":"{token}"}}"#);
    assert_eq!(send(sensitive("/_onceward/tokens", &token).json(&wish)), 400);
    assert_eq!(send(sensitive(&format!("/_onceward/{CARD}"), &token)), 404);
    assert_eq!(send(sensitive(&format!("/a/%zz{CARD}"), &token)), 400);
    // Every end an attempt may have.
    let form = |act: &str| {
        let order = format!("order-{act}");
        Call::post(&format!("/form/{CARD}?order={order}&card={CARD}"))
            .header("Authorization", &format!("Bearer {BEARER}"))
            .header("X-Act", act)
            .header("X-Card", CARD)
            .body(format!("card={CARD}").as_bytes())
    };
    for (act, status, again) in [
        ("reset", 502, 409),
        ("garbage", 502, 409),
        ("cut", 502, 409),
        ("fail", 500, 500),
        ("decline", 429, 429),
    ] {
        assert_eq!(send(form(act)), status, "{act}");
        assert_eq!(send(form(act)), again, "{act}");
    }
    // Not protected.
    for act in ["ok", "reset", "garbage"] {
        send(sensitive(&format!("/open/{CARD}"), &token).header("X-Act", act));
    }
    assert_eq!(send(Call::get(&format!("/json/{CARD}")).header("Authorization", BEARER)), 200);
    redis.kill();
    assert_eq!(send(json().key(KEY)), 503);
    assert_eq!(send(form("late")), 503);

    let problems: Vec<String> = replies
        .iter()
        .filter(|reply| !reply.problem().is_empty())
        .map(|reply| {
            let mut document = reply.json();
            // The caller's own order number is told to it, and nothing else.
            document["order"].take();
            format!("{document}{:?}", reply.headers)
        })
        .collect();
    assert!(problems.len() > 20, "{}", problems.len());
    until("the log tells of Redis' end", || onceward.log().contains("no decision could be had"));
    assert!(lines(&onceward).len() > 30, "{}", onceward.log());
    let metrics = page(&onceward).text();
    for secret in [CARD, BEARER, &token, KEY] {
        for (place, text) in [
            ("the log", &onceward.log()),
            ("the metrics", &metrics),
            ("a problem", &problems.join("\n")),
        ] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret} in {place}");
        }
    }
}

#[test]
fn the_log_can_be_for_people() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    // The support code looks for the JSON line that tells the ports.
    let mut child = sidecar(&redis, &upstream)
        .set("LOG_FORMAT", "text")
        .command()
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("onceward starts");
    let mut line = String::new();
    let read = BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line);
    let _ = child.kill();
    let _ = child.wait();
    assert!(read.is_ok_and(|bytes| bytes > 0));
    assert!(line.contains("listening") && !line.starts_with('{'), "{line}");
    assert!(!line.contains('\u{1b}'), "no terminal, no colours: {line:?}");
}

/// KiB of memory a process holds.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
    let number = line.trim().trim_end_matches(" kB");
    number.parse().expect("a number")
}

#[test]
fn a_sidecar_is_small() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    assert_eq!(Call::pay("1").send(onceward.address).status, 200);
    // Builds without optimization are larger.
    let most = if cfg!(debug_assertions) { 40 } else { 20 };
    let size = resident(onceward.pid());
    assert!(size < most * 1024, "{size} KiB");
}

#[test]
fn an_idle_sidecar_leaves_redis_alone() {
    const WINDOW: Duration = Duration::from_secs(3);
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let _onceward = sidecar(&redis, &upstream).start();
    // The first look around all of Redis is over.
    until("it has settled down", || redis.calls("exists") > 64);

    let mut stream = TcpStream::connect(("127.0.0.1", redis.port)).expect("a connection");
    stream.write_all(b"MONITOR\r\n").expect("sent");
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let (since, mut reader) = (Instant::now(), BufReader::new(stream));
    let mut commands: Vec<String> = Vec::new();
    let mut line = String::new();
    while since.elapsed() < WINDOW {
        // A read that times out keeps what it has read so far.
        if reader.read_line(&mut line).is_ok() {
            commands.push(std::mem::take(&mut line));
        }
    }
    // What a script does inside counts as well: it costs Redis no less.
    commands.retain(|command| command.contains('"'));
    let most = 20 * WINDOW.as_secs() as usize;
    assert!(commands.len() < most, "{} commands in {WINDOW:?}: {commands:#?}", commands.len());
    assert!(!commands.is_empty(), "MONITOR shows nothing");
}
