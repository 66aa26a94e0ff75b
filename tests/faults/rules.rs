//! The board: put, replaced, listed, removed; whom rules are about, and how often.

use super::{play, playing};
use crate::support::client::Call;
use crate::support::redis::Redis;
use crate::support::sidecar::sidecar;
use crate::support::until;
use crate::support::upstream::{Act, Upstream};
use serde_json::json;

#[test]
fn while_faults_are_off_there_is_no_board() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    let put = onceward.try_fault("x", &json!({"at": "response", "do": {"lose": true}}));
    assert_eq!((put.status, put.problem().as_str()), (409, "faults-off"));
    for call in [Call::get("/admin/faults"), Call::new("DELETE", "/admin/faults")] {
        assert_eq!(call.send(onceward.admin).status, 409);
    }
    assert_eq!(onceward.metric("onceward_faults_on"), 0.0);
    assert!(Call::get("/readyz").send(onceward.admin).json().get("faults").is_none());
}

#[test]
fn that_faults_are_on_can_be_seen_from_everywhere() {
    let (_redis, _upstream, onceward) = play();
    assert_eq!(onceward.metric("onceward_faults_on"), 1.0);
    onceward.logs("never in front of real money");
    onceward.fault("one", json!({"at": "response", "do": {"status": 418}, "times": 1}));
    let ready = Call::get("/readyz").send(onceward.admin);
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["faults"], "fault simulation is on, 1 rules");
    assert_eq!(onceward.metric("onceward_faults_active"), 1.0);

    let touched = Call::pay("1").header("Onceward-Fault", "made-up").send(onceward.address);
    assert_eq!((touched.status, touched.header("onceward-fault")), (418, Some("one")));
    assert_eq!(onceward.metric(r#"onceward_faults_fired_total{at="response",do="status"}"#), 1.0);
    until("the firing is logged", || {
        onceward
            .log()
            .lines()
            .any(|line| line.contains("a fault fires") && line.contains(r#""id":"one""#))
    });
    let again = Call::pay("1").send(onceward.address);
    assert_eq!((again.status, again.header("onceward-fault")), (200, None));
}

#[test]
fn rules_are_put_replaced_listed_and_removed() {
    let (_redis, _upstream, onceward) = play();
    let rule = json!({"at": "response", "do": {"status": 418}, "header": "x-test: 1"});
    let put = onceward.try_fault("a", &rule);
    assert_eq!((put.status, put.json()["fired"].as_u64()), (201, Some(0)));
    assert_eq!(onceward.try_fault("b", &rule).status, 201);
    Call::pay("1").header("X-Test", "1").send(onceward.address);
    assert_eq!(onceward.fired("a"), 1);
    let twice = Call::pay("1").header("X-Test", "1").send(onceward.address);
    assert_eq!(twice.headers.iter().filter(|(name, _)| name == "onceward-fault").count(), 2);
    // In its place: counted anew.
    assert_eq!(onceward.try_fault("a", &rule).status, 200);
    assert_eq!((onceward.fired("a"), onceward.fired("b")), (0, 2));
    onceward.heal("a");
    assert_eq!(Call::new("DELETE", "/admin/faults/a").send(onceward.admin).status, 404);
    assert_eq!(Call::new("DELETE", "/admin/faults").send(onceward.admin).status, 204);
    let list = Call::get("/admin/faults").send(onceward.admin);
    assert_eq!(list.json(), json!({"faults": []}));
    assert_eq!(onceward.metric("onceward_faults_active"), 0.0);
}

#[test]
fn what_makes_no_sense_is_refused_with_a_sentence() {
    let (_redis, _upstream, onceward) = play();
    let cases = [
        (json!({"at": "redis_after", "do": {"cut": 1}}), "do.cut: means nothing at redis_after"),
        (
            json!({"at": "redis_after", "do": {"lose": true}, "command": "clam"}),
            "command: expected",
        ),
        (json!({"at": "response", "do": {"lose": true}, "time": 1}), "time: no such field"),
    ];
    for (rule, begins) in cases {
        let reply = onceward.try_fault("x", &rule);
        assert_eq!((reply.status, reply.problem().as_str()), (400, "bad-request"));
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(begins), "{detail}");
    }
    for number in 0..64 {
        let rule = json!({"at": "query", "do": {"lose": true}});
        assert_eq!(onceward.try_fault(&number.to_string(), &rule).status, 201);
    }
    let more = onceward.try_fault("more", &json!({"at": "query", "do": {"lose": true}}));
    assert!(more.json()["detail"].as_str().unwrap().contains("64 rules already"));
}

#[test]
fn rules_need_the_admin_token_where_there_is_one() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = playing(&redis, &upstream).set("ADMIN_TOKEN", "secret").start();
    let rule = json!({"at": "response", "do": {"lose": true}});
    assert_eq!(onceward.try_fault("x", &rule).status, 401);
    let put = Call::new("PUT", "/admin/faults/x").header("Authorization", "Bearer secret");
    assert_eq!(put.json(&rule.to_string()).send(onceward.admin).status, 201);
}

#[test]
fn a_rule_is_about_whom_it_names() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let routes = r#"[{"name":"a","path":"/a"},{"name":"b","path":"/pay"}]"#;
    let onceward = playing(&redis, &upstream).set("ROUTES", routes).start();
    let struck = |call: &Call| call.send(onceward.address).status == 418;
    let pay = |path: &str, key: &str| Call::post(path).key(key).json("{}");
    for (at, do_) in [
        ("request", json!({"status": 418})),
        ("upstream_request", json!({"status": 418})),
        ("upstream_response", json!({"status": 418})),
        ("response", json!({"status": 418})),
    ] {
        let whom = json!({"route": "a", "key": format!("{at}-1"), "header": "x-test: 1"});
        let mut rule = json!({"at": at, "do": do_});
        rule.as_object_mut().unwrap().extend(whom.as_object().unwrap().clone());
        onceward.fault("x", rule);
        let key = format!("{at}-1");
        assert!(!struck(&pay("/a", &format!("{at}-2")).header("X-Test", "1")), "{at}: another key");
        assert!(!struck(&pay("/pay", &key).header("X-Test", "1")), "{at}: another route");
        assert!(!struck(&pay("/a", &format!("{at}-3"))), "{at}: no header");
        assert!(struck(&pay("/a", &key).header("X-Test", "1")), "{at}");
    }
}

#[test]
fn a_rule_ends_by_its_count_and_by_its_time() {
    let (_redis, _upstream, onceward) = play();
    onceward.fault("count", json!({"at": "response", "do": {"status": 418}, "times": 3}));
    let struck = (0..8).filter(|_| Call::get("/x").send(onceward.address).status == 418).count();
    assert_eq!((struck, onceward.fired("count")), (3, 3));
    onceward.heal("count");
    onceward.fault("time", json!({"at": "response", "do": {"status": 418}, "for": "300ms"}));
    until("its time is over", || Call::get("/x").send(onceward.address).status == 200);
}

#[test]
fn rules_are_put_listed_and_removed_from_the_command_line() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let builder = playing(&redis, &upstream).set("ADMIN_TOKEN", "secret");
    let onceward = builder.start();
    let run = |arguments: &str| {
        let admin = onceward.admin.to_string();
        let mut command = builder.clone().set("ADMIN_LISTEN", &admin).command();
        let ran = command.arg("fault").args(arguments.split(' ')).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (ran.status.code(), text(ran.stdout), text(ran.stderr))
    };
    let add = "add a-rule upstream_response status=500 --route default --times 1 --for 60s";
    assert_eq!(run(add).0, Some(0));
    assert_eq!(Call::pay("1").send(onceward.address).status, 500);
    let (code, listed, _) = run("list");
    let words: Vec<_> = listed.split_whitespace().collect();
    let expected =
        "a-rule upstream_response status=500 route=default times=1 for=60s fired 1, over";
    assert_eq!((code, words.join(" ").as_str()), (Some(0), expected));
    let (code, _, why) = run("add other redis_after cut=5");
    assert!(code == Some(64) && why.contains("do.cut: means nothing at redis_after"), "{why}");
    assert_eq!((run("add").0, run("remove nothing").0), (Some(64), Some(1)));
    assert_eq!((run("remove a-rule").0, run("reset").0), (Some(0), Some(0)));
    assert_eq!(run("list").1, "");
}

#[test]
fn every_command_that_is_measured_may_be_named() {
    let (redis, upstream) = (Redis::start(), Upstream::acting(|_, _| Act::Reset));
    let onceward = playing(&redis, &upstream).start();
    assert_eq!(Call::pay("1").send(onceward.address).state(), "unknown");
    for path in ["/readyz", "/admin/orders", "/admin/attention/unknown"] {
        assert_eq!(Call::get(path).send(onceward.admin).status, 200, "{path}");
    }
    let measured = || -> Vec<String> {
        let text = Call::get("/metrics").send(onceward.admin).text();
        let head = r#"onceward_redis_duration_seconds_count{command=""#;
        let names = text.lines().filter_map(|line| line.strip_prefix(head)?.split('"').next());
        names.map(str::to_owned).collect()
    };
    // The last of these is sent when the survey comes by.
    let plain = ["ping", "scan", "list", "info", "exists", "pttl"];
    until("all were sent", || plain.iter().all(|name| measured().iter().any(|it| it == name)));
    for command in measured() {
        let rule = json!({"at": "redis_before", "do": {"delay": "1ms"}, "command": command});
        let put = onceward.try_fault("f", &rule);
        assert!(matches!(put.status, 200 | 201), "{command}: {}", put.text());
    }
}
