//! A replay is a trace of its own, and says which one it repeats.

use super::{TRACE, below, pay, traced};
use crate::support::client::Call;
use crate::support::collector::{Collector, Span};
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::upstream::{Act, Gate, Upstream};

/// The span of the first, and those of all others.
fn apart(mut roots: Vec<Span>) -> (Span, Vec<Span>) {
    let first = roots.iter().position(|root| root.says("onceward.outcome") == "first");
    (roots.remove(first.expect("a first one")), roots)
}

fn original(first: &Span) -> Vec<(String, String)> {
    vec![(first.trace.clone(), first.id.clone())]
}

#[test]
fn a_replay_links_to_the_trace_of_the_original_whichever_replica_answers() {
    let (redis, upstream, collector) = (Redis::start(), Upstream::start(), Collector::start());
    let traced = traced(&redis, &upstream, &collector).set("LOCAL_CACHE", "0");
    let (one, other) = (traced.start(), traced.start());
    assert_eq!(pay("1").send(one.address).status, 200);
    assert!(Call::pay("1").send(other.address).is_replay());
    let (first, replays) = apart(collector.hears("POST default", 2));
    let replay = &replays[0];
    assert_eq!(replay.links, original(&first));
    assert_eq!((first.trace.as_str(), first.links.len()), (TRACE, 0));
    assert_ne!(replay.trace, TRACE);
    assert_eq!(replay.says("onceward.replay"), "true");
    assert_eq!(replay.says("onceward.order"), first.says("onceward.order"));
    assert_eq!(below(&collector.spans(), replay), ["claim"]);
}

#[test]
fn a_replay_from_memory_links_to_it_as_well() {
    let (redis, upstream, collector) = (Redis::start(), Upstream::start(), Collector::start());
    let onceward = traced(&redis, &upstream, &collector).start();
    assert_eq!(pay("1").send(onceward.address).status, 200);
    let mut sent = 1;
    until("a duplicate is answered from memory", || {
        sent += 1;
        assert!(Call::pay("1").send(onceward.address).is_replay());
        onceward.metric("onceward_local_cache_hits_total") > 0.0
    });
    let (first, replays) = apart(collector.hears("POST default", sent));
    assert!(replays.iter().all(|replay| replay.links == original(&first)), "{replays:?}");
    let spans = collector.spans();
    let remembered = replays.iter().filter(|replay| below(&spans, replay).is_empty()).count();
    assert_eq!(remembered, 1, "one of them asked nobody");
}

#[test]
fn a_duplicate_that_waits_links_to_what_it_waits_for() {
    let (redis, collector, gate) = (Redis::start(), Collector::start(), Gate::default());
    let held = gate.clone();
    let upstream = Upstream::acting(move |_, _| Act::ok("paid").behind(&held));
    let onceward = traced(&redis, &upstream, &collector).set("DUPLICATE_WAIT", "30s").start();
    let first = pay("1").spawn(onceward.address);
    upstream.heard(1);
    let duplicate = Call::pay("1").spawn(onceward.address);
    until("it waits", || onceward.metric("onceward_waiters") >= 1.0);
    gate.open();
    assert!(!first.join().unwrap().is_replay() && duplicate.join().unwrap().is_replay());
    let (first, replays) = apart(collector.hears("POST default", 2));
    assert_eq!(replays[0].links, original(&first), "once, however often it looked");
}

#[test]
fn a_duplicate_of_an_accepted_order_links_to_its_attempt() {
    let (redis, upstream, collector) = (Redis::start(), Upstream::start(), Collector::start());
    let routes = r#"[{"name": "pay", "path": "/pay", "mode": "async"}]"#;
    let onceward = traced(&redis, &upstream, &collector).set("ROUTES", routes).start();
    assert_eq!(pay("1").send(onceward.address).status, 202);
    let attempt = collector.hears("dispatch", 1).remove(0);
    assert!(Call::pay("1").send(onceward.address).is_replay());
    let roots = collector.hears("POST pay", 2);
    let replay = roots.iter().find(|root| root.says("onceward.replay") == "true").expect("one");
    assert_eq!(replay.links, original(&attempt));
}

#[test]
fn a_record_without_a_trace_is_replayed_without_a_link() {
    let (redis, upstream, collector) = (Redis::start(), Upstream::start(), Collector::start());
    let silent = crate::support::sidecar::sidecar(&redis, &upstream).start();
    assert_eq!(Call::pay("1").send(silent.address).status, 200);
    let onceward = traced(&redis, &upstream, &collector).start();
    assert!(pay("1").send(onceward.address).is_replay());
    let replay = collector.hears("POST default", 1).remove(0);
    assert_eq!(replay.links, []);
}
