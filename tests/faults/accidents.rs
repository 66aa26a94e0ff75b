//! Every accident the README tells of can be played by the line it gives for it, and leads to what
//! it promises. The lines are run as they stand there.

use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, ONCEWARD, Sidecar, sidecar};
use crate::support::until;
use crate::support::upstream::{Act, Upstream};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// The rows of the table under a heading, cell by cell.
fn table(heading: &str) -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(README).unwrap();
    let section = readme.lines().skip_while(|line| *line != heading).skip(1);
    let rows = section.take_while(|line| !line.starts_with("## ") && !line.starts_with("### "));
    let rows: Vec<Vec<String>> = rows
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|line| {
            line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "{heading}");
    rows
}

/// A service, and sidecars before it.
struct Stage {
    redis: Redis,
    upstream: Upstream,
    onceward: Sidecar,
    builder: Builder,
    lines: String,
}

/// The commands among a cell's words.
fn commands(cell: &str) -> Vec<&str> {
    cell.split('`').filter(|span| span.starts_with("onceward fault add ")).collect()
}

fn routes() -> serde_json::Value {
    let asked = json!({"method": "GET", "path": "/result?id={key}", "outcome": [
        {"status": [200], "at": "json:/status", "in": ["paid"], "means": "succeeded"}]});
    let cancelled = json!({"method": "POST", "path": "/cancel", "json": {"id": "{key}"}, "outcome": [
        {"status": [200], "means": "cancelled"}, {"status": [409], "means": "succeeded"}]});
    json!([
        {"name": "pay", "path": "/pay", "token": "optional", "query": asked, "cancel": cancelled,
         "outcome": [{"at": "json:/status", "in": ["paying"], "means": "unknown"}]},
        {"name": "plain", "path": "/plain"},
        {"name": "later", "path": "/later", "mode": "async"},
        {"name": "notify", "path": "/notify", "kind": "callback", "key": ["json:/id"],
         "settles": "pay", "event": ["json:/status"], "unchanged": ["json:/amount"],
         "upstream_timeout": "20s", "ack": {"body": "success"}}
    ])
}

impl Stage {
    fn set(line: &str, variables: &[(&str, &str)]) -> Stage {
        let redis = Redis::start();
        let upstream = Upstream::acting(|_, request| match request.target.split('?').next() {
            Some("/notify") => Act::ok("success"),
            _ => Act::ok(r#"{"status":"paid"}"#),
        });
        let mut builder = sidecar(&redis, &upstream)
            .set("FAULTS", "on")
            .set("DUPLICATE_WAIT", "0s")
            .set("QUERY_INTERVAL", "10m")
            .set("SETTLE_DELAY", "0s")
            .set("CANCEL_INTERVAL", "300ms")
            .set("QUEUE_RETRY", "1ms")
            .set("ROUTES", &routes().to_string());
        for (name, value) in variables {
            builder = builder.set(name, value);
        }
        let onceward = builder.start();
        Stage { redis, upstream, onceward, builder, lines: line.to_owned() }
    }

    /// Runs the README's lines, as an operator does.
    fn play(&self) {
        let binaries = Path::new(ONCEWARD).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        for line in commands(&self.lines) {
            let ran = Command::new("sh")
                .args(["-ec", line])
                .env_clear()
                .env("PATH", format!("{}:{path}", binaries.display()))
                .env("ONCEWARD_ADMIN_LISTEN", self.onceward.admin.to_string())
                .output()
                .unwrap();
            assert!(ran.status.success(), "{line}: {ran:?}");
        }
    }

    fn call(&self, call: &Call) -> Reply {
        call.send(self.onceward.address)
    }

    fn pay(&self) -> Reply {
        self.call(&Call::pay("1"))
    }

    /// A payment, and what its duplicate is told: status, problem or nothing.
    fn pays(&self, first: (u16, &str), again: (u16, &str)) {
        for expected in [first, again] {
            let reply = self.pay();
            assert_eq!((reply.status, reply.problem().as_str()), expected);
        }
    }

    /// Another replica, once this one ended.
    fn next(&mut self) -> Sidecar {
        self.onceward.ended();
        self.builder.start()
    }

    fn state(&self, state: &str) {
        let order = Call::get("/admin/orders/pay/1");
        until(&format!("the order is {state}"), || {
            let order = order.send(self.onceward.admin);
            order.status == 200 && order.json()["state"] == state
        });
    }

    fn notify(&self) -> Reply {
        let body = r#"{"id":"1","status":"PAID","amount":100}"#;
        self.call(&Call::post("/notify").json(body))
    }

    fn alarm(&self, kind: &str) {
        until(&format!("an alarm: {kind}"), || {
            self.onceward.metric(&format!(r#"onceward_alarms_total{{kind="{kind}"}}"#)) >= 1.0
        });
    }

    /// Requests that reached a path of the service.
    fn heard(&self, path: &str) -> usize {
        let is = |target: &str| target.split('?').next() == Some(path);
        self.upstream.requests().iter().filter(|request| is(&request.target)).count()
    }
}

/// How an accident is staged: variables, and what is done and seen.
type Scene = (&'static [(&'static str, &'static str)], fn(&mut Stage));

/// For those who wait until a lease is gone: long enough for a claim and what follows it at once.
const BRIEFLY: &[(&str, &str)] = &[("LOCK_TTL", "3s")];

const ASKED: &[(&str, &str)] = &[("QUERY_INTERVAL", "200ms"), ("UPSTREAM_TIMEOUT", "700ms")];
const HURRIED: &[(&str, &str)] =
    &[("QUERY_INTERVAL", "200ms"), ("UPSTREAM_TIMEOUT", "700ms"), ("RESOLVE_DEADLINE", "1s")];

fn scenes() -> BTreeMap<&'static str, Scene> {
    let mut scenes: BTreeMap<&'static str, Scene> = BTreeMap::new();
    let mut add = |what, variables, scene| scenes.insert(what, (variables, scene)).is_none();
    add("double-click", &[("DUPLICATE_WAIT", "30s")], |stage| {
        stage.play();
        let reply = stage.pay();
        assert_eq!((reply.status, reply.is_replay(), stage.heard("/pay")), (200, true, 1));
    });
    add("slow", &[], |stage| {
        stage.play();
        let first = Call::pay("1").spawn(stage.onceward.address);
        until("it is sent", || stage.heard("/pay") == 1);
        assert_eq!(stage.pay().problem(), "in-progress");
        stage.onceward.heal("slow");
        assert_eq!(first.join().unwrap().status, 200);
    });
    add("other-amount", &[], |stage| {
        assert_eq!(stage.pay().status, 200);
        stage.play();
        assert_eq!((stage.pay().problem().as_str(), stage.heard("/pay")), ("payload-mismatch", 1));
    });
    add("other-token", &[], |stage| {
        stage.play();
        // A token without a digit is not changed: it happens to one in a thousand.
        let mut refused = Reply { status: 0, headers: Vec::new(), body: Vec::new() };
        until("a changed token is presented", || {
            let ask =
                Call::post("/_onceward/tokens").header("X-Test", "1").json(r#"{"route":"pay"}"#);
            let token = stage.call(&ask).json()["token"].as_str().unwrap_or_default().to_owned();
            refused = stage.call(&Call::pay("1").header("Payment-Token", &token));
            refused.status != 200
        });
        assert_eq!((refused.status, refused.problem().as_str()), (403, "token-invalid"));
    });
    add("refused", &[], |stage| {
        stage.play();
        stage.pays((502, "upstream-unreachable"), (200, ""));
        assert_eq!(stage.heard("/pay"), 1);
    });
    add("busy", &[], |stage| {
        stage.play();
        stage.pays((429, ""), (200, ""));
    });
    add("declined", &[], |stage| {
        stage.play();
        stage.pays((402, ""), (402, ""));
        assert_eq!(stage.heard("/pay"), 0);
    });
    add("charged-then-500", &[("DUPLICATE_WAIT", "1ms")], |stage| {
        stage.play();
        stage.pays((500, ""), (500, ""));
        assert_eq!((stage.heard("/pay"), stage.pay().state()), (1, "unknown"));
    });
    add("hung", &[("UPSTREAM_TIMEOUT", "700ms")], |stage| {
        stage.play();
        stage.pays((504, "upstream-timeout"), (409, "outcome-unknown"));
        assert_eq!(stage.heard("/pay"), 1);
    });
    add("large", &[("QUERY_INTERVAL", "200ms")], |stage| {
        stage.play();
        let plain = Call::post("/plain").key("2");
        assert_eq!(
            (stage.call(&plain).state(), stage.call(&plain).problem().as_str()),
            ("succeeded", "response-not-stored")
        );
        // A rule of this route would have to read it.
        stage.play();
        let first = stage.pay();
        assert_eq!((first.status, first.state()), (200, "unknown"));
        stage.state("succeeded");
        assert_eq!((stage.pay().text().as_str(), stage.heard("/pay")), (r#"{"status":"paid"}"#, 1));
    });
    add("killed", BRIEFLY, |stage| {
        stage.play();
        assert_eq!(Call::pay("1").try_send(stage.onceward.address), None);
        let next = stage.next();
        let pay = || Call::pay("1").send(next.address).problem();
        until("its lease is gone", || pay() == "outcome-unknown");
        assert_eq!(stage.heard("/pay"), 1);
    });
    add("still-paying", ASKED, |stage| {
        stage.play();
        let first = stage.pay();
        assert_eq!((first.text().as_str(), first.state()), (r#"{"status":"paying"}"#, "unknown"));
        stage.state("succeeded");
        assert_eq!(stage.pay().text(), r#"{"status":"paid"}"#);
    });
    add("garbage", ASKED, |stage| {
        stage.play();
        assert_eq!(stage.pay().problem(), "upstream-timeout");
        stage.state("succeeded");
        assert!(stage.heard("/result") >= 3);
        assert_eq!(stage.heard("/pay"), 1);
    });
    let nobody: fn(&mut Stage) = |stage| {
        stage.play();
        assert_eq!(stage.pay().problem(), "upstream-timeout");
        stage.state("cancelled");
        assert_eq!((stage.pay().problem().as_str(), stage.heard("/pay")), ("order-cancelled", 1));
    };
    add("nobody-knows", HURRIED, nobody);
    let paid_after_all: fn(&mut Stage) = |stage| {
        stage.play();
        assert_eq!(stage.pay().problem(), "upstream-timeout");
        stage.state("cancelled");
        assert_eq!(stage.notify().text(), "success");
        stage.alarm("success-on-cancelled");
    };
    add("paid-after-all", HURRIED, paid_after_all);
    add("paid-after-cancel", HURRIED, paid_after_all);
    add("never-confirmed", HURRIED, |stage| {
        stage.play();
        assert_eq!(stage.pay().problem(), "upstream-timeout");
        until("the cancel was repeated", || stage.heard("/cancel") >= 2);
        assert_eq!(stage.pay().problem(), "outcome-unknown");
        // As if nearly all of UNKNOWN_TTL were over.
        let record = stage.redis.command(&["KEYS", "*:order:*"]);
        stage.redis.command(&["PEXPIRE", record.trim(), "20000"]);
        stage.alarm("cancelling-expiring");
    });
    add("not-cancellable", HURRIED, |stage| {
        stage.play();
        assert_eq!(stage.pay().problem(), "upstream-timeout");
        stage.state("succeeded");
        stage.alarm("not-cancellable");
    });
    add("late", &[], |stage| {
        stage.play();
        let payment = Call::pay("1").spawn(stage.onceward.address);
        until("it is held", || stage.onceward.fired("late") == 1);
        let cancel = Call::post("/_onceward/orders/pay/1/cancel");
        assert_eq!(stage.call(&cancel).status, 200);
        stage.onceward.heal("late");
        assert_eq!(payment.join().unwrap().problem(), "order-cancelled");
        assert_eq!(stage.heard("/pay"), 0);
    });
    add("asleep", BRIEFLY, |stage| {
        stage.play();
        let first = Call::pay("1").spawn(stage.onceward.address);
        until("it is sent", || stage.heard("/pay") == 1);
        until("another says unknown", || stage.pay().state() == "unknown");
        stage.onceward.heal("slow");
        assert_eq!(first.join().unwrap().state(), "succeeded");
        assert!(stage.pay().is_replay());
    });
    add("stopped", &[], |stage| {
        stage.play();
        assert_eq!(stage.pay().status, 200);
        assert!(stage.onceward.ended().success());
    });
    add("read-only", &[], |stage| {
        stage.play();
        assert_eq!((stage.pay().problem().as_str(), stage.heard("/pay")), ("store-unavailable", 0));
    });
    add("forgotten", &[("HISTORY_WINDOW", "1s")], |stage| {
        // An empty Redis is one that may have forgotten: at first upstream is asked about all.
        let mut key = 0;
        until("that is over", || {
            key += 1;
            stage.call(&Call::pay(&key.to_string()));
            stage.heard("/pay") == 1
        });
        let before = stage.heard("/result");
        stage.play();
        let asked = stage.call(&Call::pay(&key.to_string()));
        assert_eq!((asked.status, asked.state()), (200, "succeeded"));
        assert_eq!((stage.heard("/pay"), stage.heard("/result")), (1, before + 1));
    });
    add("amnesia", &[], |stage| {
        stage.play();
        let first = stage.pay();
        assert_eq!((first.status, first.state()), (200, "succeeded"));
        let again = stage.pay();
        assert_eq!((again.is_replay(), stage.heard("/pay")), (true, 1));
    });
    add("promoting", &[], |stage| {
        stage.play();
        assert_eq!((stage.pay().problem().as_str(), stage.heard("/pay")), ("store-unavailable", 0));
        assert_eq!((stage.pay().status, stage.heard("/pay")), (200, 1));
    });
    add("away", &[("REDIS_TIMEOUT", "1s")], |stage| {
        stage.play();
        let first = stage.pay();
        assert_eq!((first.status, first.state()), (200, "unknown"));
        stage.onceward.heal("away");
        until("it is stored", || stage.pay().state() == "succeeded");
        assert_eq!(stage.heard("/pay"), 1);
    });
    let unnoticed: fn(&mut Stage) = |stage| {
        stage.play();
        let reply = stage.pay();
        assert_eq!((reply.status, reply.header("onceward-fault").is_some()), (200, true));
        assert_eq!(stage.heard("/pay"), 1);
    };
    add("claim-lost", &[], unnoticed);
    add("flushed", &[], unnoticed);
    add("crowded", &[("MAX_IN_FLIGHT", "1")], |stage| {
        stage.play();
        let first = Call::pay("1").spawn(stage.onceward.address);
        until("it is sent", || stage.heard("/pay") == 1);
        assert_eq!(stage.call(&Call::pay("2")).problem(), "overloaded");
        stage.onceward.heal("crowded");
        assert_eq!(first.join().unwrap().status, 200);
    });
    add("worker-dies", BRIEFLY, |stage| {
        stage.play();
        let accepted = Call::post("/later")
            .key("1")
            .json(r#"{"amount":100}"#)
            .try_send(stage.onceward.address);
        assert!(accepted.is_none_or(|reply| reply.status == 202));
        let _next = stage.next();
        until("another sends it", || stage.heard("/later") == 1);
    });
    add("worker-died", BRIEFLY, |stage| {
        stage.play();
        let call = Call::post("/later").key("1").json(r#"{"amount":100}"#);
        let _ = call.try_send(stage.onceward.address);
        let next = stage.next();
        until("its lease is gone", || call.send(next.address).state() == "unknown");
        assert_eq!((call.send(next.address).status, stage.heard("/later")), (202, 0));
    });
    add("ten-times", &[], |stage| {
        stage.play();
        let call = Call::post("/later").key("1").json(r#"{"amount":100}"#);
        assert_eq!(stage.call(&call).status, 202);
        stage.alarm("dead-letter");
        assert_eq!((stage.call(&call).state(), stage.heard("/later")), ("unknown", 0));
    });
    add("stuck", &[("MAX_QUEUED", "64")], |stage| {
        stage.play();
        let mut number = 0;
        // 64 partitions take one order each.
        until("one is full", || {
            number += 1;
            let call = Call::post("/later").key(&number.to_string()).json("{}");
            stage.call(&call).problem() == "overloaded"
        });
        assert!(number <= 65);
    });
    add("accepted-lost", &[], |stage| {
        stage.play();
        let call = Call::post("/later").key("1").json(r#"{"amount":100}"#);
        // 200 where a worker has sent it before the acceptance is asked for again.
        let status = stage.call(&call).status;
        assert!([200, 202].contains(&status), "{status}");
        assert_eq!(stage.onceward.fired("accepted-lost"), 1);
        until("it is sent", || stage.heard("/later") == 1);
    });
    add("hung-up", &[], |stage| {
        stage.play();
        assert_eq!(Call::pay("1").try_send(stage.onceward.address), None);
        until("it is stored", || stage.pay().is_replay());
        assert_eq!(stage.heard("/pay"), 1);
    });
    add("repeated", &[], |stage| {
        stage.play();
        let body = r#"{"id":"1","status":"PAID","amount":100}"#;
        assert_eq!(Call::post("/notify").json(body).try_send(stage.onceward.address), None);
        let again = stage.notify();
        assert_eq!((again.text().as_str(), again.is_replay()), ("success", true));
        assert_eq!(stage.heard("/notify"), 1);
    });
    add("two-copies", &[], |stage| {
        stage.play();
        let second = stage.notify();
        assert_eq!((second.text().as_str(), stage.heard("/notify")), ("success", 1));
    });
    add("unacknowledged", &[], |stage| {
        stage.play();
        assert_eq!(stage.notify().status, 500);
        assert_eq!((stage.notify().text().as_str(), stage.heard("/notify")), ("success", 2));
    });
    add("slow-callback", &[], |stage| {
        stage.play();
        assert_eq!(stage.notify().problem(), "in-progress");
        until("its acknowledgement came", || stage.notify().text() == "success");
        assert_eq!(stage.heard("/notify"), 1);
    });
    add("callback-killed", &[("REDIS_TIMEOUT", "3s")], |stage| {
        let mut routes = routes();
        routes[2]["upstream_timeout"] = "4s".into();
        stage.builder = stage.builder.clone().set("ROUTES", &routes.to_string());
        stage.onceward = stage.builder.start();
        stage.play();
        let body = r#"{"id":"1","status":"PAID","amount":100}"#;
        let call = Call::post("/notify").json(body);
        assert_eq!(call.try_send(stage.onceward.address), None);
        let next = stage.next();
        assert_eq!(call.send(next.address).problem(), "in-progress");
        until("its lease is gone", || call.send(next.address).text() == "success");
        assert_eq!(stage.heard("/notify"), 2);
    });
    add("contradiction", &[], |stage| {
        assert_eq!(stage.notify().text(), "success");
        stage.play();
        assert_eq!(stage.notify().problem(), "callback-contradiction");
        stage.alarm("callback-contradiction");
        assert_eq!(stage.heard("/notify"), 1);
    });
    add("callback-away", &[], |stage| {
        stage.play();
        assert_eq!(
            (stage.notify().problem().as_str(), stage.heard("/notify")),
            ("store-unavailable", 0)
        );
    });
    scenes
}

fn check(part: usize, of: usize) {
    let told = table("## What you get when X fails");
    let played: BTreeMap<_, _> = table("### Each accident, played")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let scenes = scenes();
    for row in told.iter().skip(part).step_by(of) {
        let line = played.get(&row[0]);
        let line = line.unwrap_or_else(|| panic!("README.md: no line plays {:?}", row[0]));
        let id = commands(line)[0].split(' ').nth(3).unwrap();
        let scene = scenes.get(id);
        let (variables, scene) = scene.unwrap_or_else(|| panic!("no scene here for {id}"));
        println!("{}: {line}", row[0]);
        let mut stage = Stage::set(line, variables);
        scene(&mut stage);
        drop(stage.redis);
    }
    assert_eq!(told.len(), played.len(), "a line in README.md plays what it does not tell of");
}

// In four parts, for they mostly wait.

#[test]
fn every_accident_has_a_line_that_plays_it_1() {
    check(0, 4);
}

#[test]
fn every_accident_has_a_line_that_plays_it_2() {
    check(1, 4);
}

#[test]
fn every_accident_has_a_line_that_plays_it_3() {
    check(2, 4);
}

#[test]
fn every_accident_has_a_line_that_plays_it_4() {
    check(3, 4);
}
