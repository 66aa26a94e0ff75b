//! What a container runtime asks of a sidecar: how it is, and to leave before it is ended.

use crate::support::client::Call;
use crate::support::redis::Redis;
use crate::support::sidecar::{Sidecar, sidecar};
use crate::support::upstream::Upstream;
use serde_json::json;
use std::process::Output;
use std::time::{Duration, Instant};

/// Runs a command of the binary against a running sidecar, in surroundings that are otherwise bad:
/// neither the routes nor the Redis that the sidecar once read need be there any more.
fn ask(onceward: &Sidecar, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(crate::support::sidecar::ONCEWARD);
    command
        .env_clear()
        .env("ONCEWARD_ADMIN_LISTEN", format!("0.0.0.0:{}", onceward.admin.port()))
        .env("ONCEWARD_ROUTES", "/nowhere/routes.json")
        .env("ONCEWARD_SECRET_FILE", "/nowhere/secret")
        .env("ONCEWARD_LOCK_TTL", "soon")
        .args(arguments);
    for (name, value) in variables {
        command.env(name, value);
    }
    command.output().expect("onceward runs")
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn health_tells_alive_from_ready() {
    let (mut redis, upstream) = (Redis::start(), Upstream::start());
    let mut onceward = sidecar(&redis, &upstream).start();
    for arguments in [&["health"][..], &["health", "--ready"]] {
        let said = ask(&onceward, &[], arguments);
        assert_eq!(code(&said), Some(0), "{said:?}");
    }

    redis.kill();
    assert_eq!(code(&ask(&onceward, &[], &["health"])), Some(0));
    let said = ask(&onceward, &[], &["health", "--ready"]);
    assert_eq!(code(&said), Some(1));
    let error = String::from_utf8(said.stderr).expect("UTF-8");
    assert!(error.contains("503") && error.contains("reasons"), "{error}");

    onceward.kill();
    assert_eq!(code(&ask(&onceward, &[], &["health"])), Some(1));
}

#[test]
fn a_sidecar_that_leaves_is_not_ready_and_still_pays() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let mut onceward = sidecar(&redis, &upstream).start();
    let begun = Instant::now();
    let said = ask(&onceward, &[], &["leave", "--for", "300ms"]);
    assert_eq!(code(&said), Some(0), "{said:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300), "it waits");

    let ready = Call::get("/readyz").send(onceward.admin);
    assert_eq!((ready.status, &ready.json()["reasons"]), (503, &json!(["leaving"])));
    assert_eq!(Call::get("/livez").send(onceward.admin).status, 200);
    let paid = Call::pay("1").send(onceward.address);
    assert_eq!((paid.status, paid.state()), (200, "succeeded"));

    onceward.terminate();
    assert!(onceward.ended().success());
}

#[test]
fn leaving_is_for_those_with_the_token_and_waits_without_it() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).set("ADMIN_TOKEN", "open-sesame").start();
    let begun = Instant::now();
    let said = ask(&onceward, &[], &["leave", "--for", "300ms"]);
    assert_eq!(code(&said), Some(1), "{said:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300), "it waits all the same");
    assert_eq!(Call::get("/readyz").send(onceward.admin).status, 200);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "open-sesame\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    let token = [("ONCEWARD_ADMIN_TOKEN_FILE", file)];
    assert_eq!(code(&ask(&onceward, &token, &["leave"])), Some(0));
    assert_eq!(Call::get("/readyz").send(onceward.admin).status, 503);

    let missing = [("ONCEWARD_ADMIN_TOKEN_FILE", "/nowhere/token")];
    assert_eq!(code(&ask(&onceward, &missing, &["health"])), Some(64));
}
