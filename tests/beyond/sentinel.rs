//! Sentinels: a primary dies under load, and service goes on with the one they promote.

use super::load::{Load, check_once};
use super::login::{README, nowhere};
use crate::support::client::Call;
use crate::support::measured::measured;
use crate::support::sentinels::{MASTER, Watched};
use crate::support::sidecar::Builder;
use crate::support::until;
use crate::support::upstream::Upstream;
use std::time::Instant;

fn build(watched: &Watched, upstream: &Upstream) -> Builder {
    nowhere(upstream)
        .set("REDIS_MODE", "sentinel")
        .set("REDIS_MASTER_NAME", MASTER)
        .set("REDIS_URL", &watched.urls())
        .set("REDIS_TIMEOUT", "1s")
        .set("DUPLICATE_WAIT", "0s")
}

#[test]
fn a_primary_killed_under_load_is_replaced_and_no_order_is_sent_twice() {
    let (mut watched, upstream) = (Watched::start(""), Upstream::start());
    let build = build(&watched, &upstream)
        // A claim that one replica has is on the one they promote: it has the most.
        .set("REDIS_WAIT_REPLICAS", "1")
        .set("REDIS_WAIT_TIMEOUT", "1s");
    let (a, b) = (build.start(), build.start());
    let load = Load::begin("s", &[&a, &b]);
    until("load", || load.paid() > 100);
    watched.servers[0].kill();
    let killed = Instant::now();
    let mut promoted = None;
    until("another is promoted", || {
        promoted = watched.promoted(0);
        promoted.is_some()
    });
    let promotion = Instant::now();
    let before = load.paid();
    until("service resumes", || load.paid() > before + 20);
    let paid = load.end();
    let first = paid.iter().filter(|paid| paid.told > promotion).map(|paid| paid.told).min();
    let figure = format!(
        "promoted {:.1?} after the kill; service resumed {:.2?} after that; {} orders paid",
        promotion - killed,
        first.expect("one at least") - promotion,
        paid.len()
    );
    measured("Sentinel, the primary killed under load", &figure);
    check_once(&upstream);

    // Nothing of what was paid before is paid again.
    for paid in paid.iter().step_by(7) {
        let again = Call::pay(&paid.key).send(b.address);
        let replayed = again.is_replay()
            || again.problem() == "outcome-unknown"
            || again.problem() == "in-progress";
        assert!(replayed, "{}: {} {}", paid.key, again.status, again.text());
    }
    check_once(&upstream);
    assert!(watched.servers[promoted.unwrap()].calls("wait") > 0);
    until("it listens there", || {
        watched.servers[promoted.unwrap()].command(&["CLIENT", "LIST"]).contains(" sub=2 ")
    });
    let ready = Call::get("/readyz").send(a.admin);
    assert_eq!(ready.status, 200, "{}", ready.text());
}

#[test]
fn a_primary_that_sentinels_replaced_while_it_stands_gets_no_more_claims() {
    let (watched, upstream) = (Watched::start(""), Upstream::start());
    let onceward = build(&watched, &upstream).start();
    until("a payment is sent", || Call::pay("1").send(onceward.address).status == 200);
    let asked = crate::support::redis::command(
        watched.sentinels[1].port,
        &["SENTINEL", "FAILOVER", MASTER],
    );
    assert_eq!(asked.as_deref(), Some("OK"));
    let mut promoted = None;
    until("another is promoted", || {
        promoted = watched.promoted(0);
        promoted.is_some()
    });
    let new = &watched.servers[promoted.unwrap()];
    until("payments go there", || {
        let before = new.calls("evalsha") + new.calls("eval");
        let key = format!("{:?}", Instant::now()).replace([' ', '{', '}', ':', ',', '"'], "");
        Call::pay(&key).send(onceward.address).status == 200
            && new.calls("evalsha") + new.calls("eval") > before
    });
    until("nobody thinks otherwise", || watched.servers[0].replication("role") == "slave");
    check_once(&upstream);
}

#[test]
fn sentinels_with_a_password_are_asked_with_it_and_one_that_is_down_does_not_matter() {
    let rule = "-@all +sentinel|get-master-addr-by-name +sentinel|master";
    assert!(README.contains(&format!("`{rule}`")));
    let more = format!(
        "requirepass of-each-other\nsentinel sentinel-pass of-each-other\n\
         user onceward on >of-the-sentinels {rule}"
    );
    let (mut watched, upstream) = (Watched::start(&more), Upstream::start());
    watched.servers[0].command(&["ACL", "SETUSER", "pay", "on", ">of-redis", "~*", "&*", "+@all"]);
    let urls: Vec<_> = watched.sentinels.iter().map(|s| format!("127.0.0.1:{}", s.port)).collect();
    let urls = format!(
        "redis://pay:of-redis@{}?sentinel_user=onceward&sentinel_password=of-the-sentinels,{},{}",
        urls[0], urls[1], urls[2]
    );
    watched.sentinels[0].kill();
    let build = build(&watched, &upstream).set("REDIS_URL", &urls);
    let onceward = build.start();
    until("a payment is sent", || Call::pay("1").send(onceward.address).status == 200);
    let doctor = build.command().arg("doctor").output().unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(said.starts_with("warn  sentinels    2 of 3 name 127.0.0.1:"), "{said}");
    assert!(said.contains("ok    connection"), "{said}");
    assert!(!said.contains("of-redis") && !said.contains("of-the-sentinels"), "{said}");
    let check = build.command().arg("check").output().unwrap();
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(!said.contains("of-redis") && !said.contains("of-the-sentinels"), "{said}");
}
