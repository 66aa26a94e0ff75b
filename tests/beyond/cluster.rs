//! A Cluster: load on all primaries, slots that move under it, a primary that dies.

use super::load::{Load, check_once, partition};
use super::login::{README, nowhere, refusals, set_up};
use crate::support::client::Call;
use crate::support::cluster::Cluster;
use crate::support::measured::measured;
use crate::support::redis::Redis;
use crate::support::sidecar::Builder;
use crate::support::until;
use crate::support::upstream::Upstream;
use std::thread::sleep;
use std::time::{Duration, Instant};

fn build(cluster: &Cluster, upstream: &Upstream) -> Builder {
    nowhere(upstream)
        .set("REDIS_MODE", "cluster")
        .set("REDIS_URL", &cluster.urls())
        .set("REDIS_TIMEOUT", "1s")
        .set("DUPLICATE_WAIT", "0s")
}

/// Scripts each node ran.
fn scripts(cluster: &Cluster) -> Vec<u64> {
    cluster.nodes[..3].iter().map(|node| node.calls("evalsha") + node.calls("eval")).collect()
}

#[test]
fn load_spreads_over_all_primaries_and_everything_works_there() {
    let (cluster, upstream) = (Cluster::start(), Upstream::start());
    const MORE: [&str; 2] = ["+cluster|slots", "+asking"];
    assert!(README.contains(&format!("In a Cluster add `{}`", MORE.join(" "))));
    for node in &cluster.nodes {
        set_up(node, "onceward", "s3cret");
        node.command(&["ACL", "SETUSER", "onceward", MORE[0], MORE[1]]);
    }
    let urls = cluster.urls().replace("redis://", "redis://onceward:s3cret@");
    let build = build(&cluster, &upstream).set("REDIS_URL", &urls);
    let (a, b) = (build.start(), build.clone().set("REDIS_WAIT_REPLICAS", "1").start());
    let load = Load::begin("c", &[&a, &b]);
    until("load", || load.paid() > 300);
    let paid = load.end();
    let scripts = scripts(&cluster);
    let figure = format!("{scripts:?} for {} orders", paid.len());
    measured("Cluster, scripts on each of three primaries", &figure);
    let all: u64 = scripts.iter().sum();
    for (n, count) in scripts.iter().enumerate() {
        assert!(*count > all / 6, "primary {n} ran {count} of {all} scripts");
        assert!(cluster.nodes[n].calls("wait") > 0, "primary {n} confirmed nothing");
    }
    for paid in &paid {
        assert!(Call::pay(&paid.key).send(b.address).is_replay());
    }
    check_once(&upstream);

    // A list of all orders goes over all nodes.
    let (mut listed, mut cursor) = (0, String::from("0"));
    loop {
        let path = format!("/admin/orders?limit=100&cursor={cursor}");
        let page = Call::get(&path).send(a.admin).json();
        let shown = page["orders"].as_array().unwrap().len();
        assert!(shown <= 100, "{shown}");
        listed += shown;
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(listed, paid.len());
    assert_eq!(Call::get("/readyz").send(a.admin).json()["reasons"], serde_json::json!([]));

    for node in &cluster.nodes {
        assert_eq!(refusals(node), "");
    }

    let doctor = build.command().arg("doctor").output().unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert_eq!(said.matches("ok    connection").count(), 3, "{said}");
    assert_eq!(said.matches("ok    permissions").count(), 3, "{said}");
    assert_eq!(said.matches("a lease was taken").count(), 3, "{said}");
}

#[test]
fn a_waiting_duplicate_is_told_whichever_node_its_order_is_on() {
    let gate = crate::support::upstream::Gate::default();
    let held = gate.clone();
    let cluster = Cluster::start();
    let upstream =
        Upstream::acting(move |_, _| crate::support::upstream::Act::ok("paid").behind(&held));
    let build = build(&cluster, &upstream).set("DUPLICATE_WAIT", "20s");
    let (a, b) = (build.start(), build.start());
    until("both listen", || {
        let listening = cluster
            .nodes
            .iter()
            .map(|node| node.command(&["CLIENT", "LIST"]).matches(" sub=2 ").count());
        listening.sum::<usize>() == 2
    });
    let keys: Vec<String> = (0..12).map(|n| n.to_string()).collect();
    let firsts: Vec<_> = keys.iter().map(|key| Call::pay(key).spawn(a.address)).collect();
    upstream.heard(keys.len());
    let seconds: Vec<_> = keys.iter().map(|key| Call::pay(key).spawn(b.address)).collect();
    until("they wait", || b.metric("onceward_waiters") as usize == keys.len());
    gate.open();
    for (first, second) in firsts.into_iter().zip(seconds) {
        assert_eq!(first.join().unwrap().status, 200);
        assert!(second.join().unwrap().is_replay());
    }
    check_once(&upstream);
}

#[test]
fn slots_move_under_load_and_every_order_is_paid_once() {
    let (cluster, upstream) = (Cluster::start(), Upstream::start());
    let build = build(&cluster, &upstream).set("REDIS_TIMEOUT", "5s");
    let (a, b) = (build.start(), build.start());
    let load = Load::begin("m", &[&a, &b]);
    until("load", || load.paid() > 50);
    let begun = Instant::now();
    for number in 0..24 {
        let slot = cluster.slot(number);
        let from = (slot * 3 / 16384) as usize;
        cluster.move_slot(slot, from, (from + 1) % 3, || sleep(Duration::from_millis(15)));
    }
    let took = begun.elapsed();
    let before = load.paid();
    until("load", || load.paid() > before + 50);
    let paid = load.end();
    let said = |word: &str| (0..3).map(|n| cluster.said(n, word)).sum::<u64>();
    let (moved, ask, again) = (said("MOVED"), said("ASK"), said("TRYAGAIN"));
    let figure = format!(
        "24 slots moved in {took:.1?} under {} orders: {moved} MOVED, {ask} ASK, {again} TRYAGAIN",
        paid.len()
    );
    measured("Cluster, slots moving under load", &figure);
    assert!(moved > 0 && ask > 0 && again > 0);
    for paid in &paid {
        let again = Call::pay(&paid.key).send(b.address);
        assert!(again.is_replay(), "{}: {} {}", paid.key, again.status, again.text());
    }
    check_once(&upstream);
}

#[test]
fn a_primary_killed_under_load_is_replaced_and_no_order_is_sent_twice() {
    let (mut cluster, upstream) = (Cluster::start(), Upstream::start());
    let build = build(&cluster, &upstream);
    let (a, b) = (build.start(), build.start());
    let first = Load::begin("before", &[&a, &b]);
    until("load", || first.paid() > 100);
    let first = first.end();
    until("the replicas have all of it", || {
        (0..3).all(|n| {
            cluster.nodes[n].replication("master_repl_offset")
                == cluster.nodes[n + 3].replication("slave_repl_offset")
        })
    });
    let load = Load::begin("during", &[&a, &b]);
    until("load", || load.paid() > 50);
    cluster.nodes[0].kill();
    let killed = Instant::now();
    until("its replica is promoted", || cluster.nodes[3].replication("role") == "master");
    let promotion = Instant::now();
    let before = load.paid();
    until("service resumes", || load.paid() > before + 50);
    let slots = 0..16384 / 3;
    let paid = load.end();
    let there = |key: &str| slots.contains(&cluster.slot(partition(key).number()));
    let resumed = paid.iter().filter(|paid| paid.told > promotion && there(&paid.key));
    let resumed = resumed.map(|paid| paid.told).min().map_or_else(
        || "was not asked for anything".to_owned(),
        |first| format!("resumed {:.2?} after that", first - promotion),
    );
    let figure = format!(
        "promoted {:.1?} after the kill; its part {resumed}; {} orders paid",
        promotion - killed,
        paid.len()
    );
    measured("Cluster, a primary killed under load", &figure);
    check_once(&upstream);
    for paid in &first {
        until("it is replayed", || Call::pay(&paid.key).send(a.address).is_replay());
    }
    check_once(&upstream);
}

#[test]
fn an_idle_sidecar_leaves_a_cluster_alone_and_part_of_one_is_no_reason_not_to_be_ready() {
    const WINDOW: Duration = Duration::from_secs(3);
    let (cluster, upstream) = (Cluster::start(), Upstream::start());
    let onceward = build(&cluster, &upstream).start();
    let looked = || cluster.nodes[..3].iter().map(|node| node.calls("exists")).sum::<u64>();
    until("it has settled down", || looked() > 64);
    let monitors: Vec<_> = cluster.nodes[..3].iter().map(|node| node.monitor()).collect();
    sleep(WINDOW);
    let mut commands: Vec<String> = monitors.into_iter().flat_map(|one| one.stop()).collect();
    // Replicas and nodes have their own business.
    let ours = |line: &String| line.contains('"') && !line.contains("REPLCONF");
    commands.retain(ours);
    let most = 20 * WINDOW.as_secs() as usize;
    assert!(!commands.is_empty() && commands.len() < most, "{commands:#?}");

    let says = |node: &Redis, why: &str| {
        let server = format!("127.0.0.1:{}", node.port);
        until("it is ready and says what is missing", || {
            let ready = Call::get("/readyz").send(onceward.admin);
            let reasons = ready.json()["reasons"].to_string();
            ready.status == 200 && reasons.contains(&server) && reasons.contains(why)
        });
    };
    let lonely = &cluster.nodes[1];
    lonely.command(&["CONFIG", "SET", "min-replicas-to-write", "9"]);
    says(lonely, "NOREPLICAS");
    cluster.nodes[2].pause();
    says(&cluster.nodes[2], "");
}

#[test]
fn a_primary_that_may_drop_claims_is_told_of_whichever_it_is() {
    let (cluster, upstream) = (Cluster::start(), Upstream::start());
    let policy = |node: &Redis, policy: &str| {
        assert_eq!(node.command(&["CONFIG", "SET", "maxmemory-policy", policy]), "OK");
    };
    for primary in &cluster.nodes[..3] {
        policy(primary, "allkeys-lru");
        let onceward = build(&cluster, &upstream).set("REDIS_TIMEOUT", "5s").start();
        onceward.counts("onceward_redis_eviction_unsafe", 1.0);
        onceward.logs("may drop claims");
        let log = onceward.log();
        let line = log.lines().find(|line| line.contains("may drop claims")).unwrap();
        assert!(line.contains(&format!("127.0.0.1:{}", primary.port)), "{line}");
        policy(primary, "noeviction");
    }
    // Nor does one that does not answer hide another.
    policy(&cluster.nodes[2], "volatile-ttl");
    cluster.nodes[0].pause();
    let onceward = build(&cluster, &upstream).start();
    onceward.counts("onceward_redis_eviction_unsafe", 1.0);
    cluster.nodes[0].resume();
}
