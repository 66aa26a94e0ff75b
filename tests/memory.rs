//! Responses of finished orders in a sidecar's own memory: the same answers, without asking Redis,
//! and never one that Redis would not give.

use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Sidecar, sidecar};
use crate::support::until;
use crate::support::upstream::{Act, Upstream};

fn hits(onceward: &Sidecar) -> f64 {
    onceward.metric("onceward_local_cache_hits_total")
}

fn bytes(onceward: &Sidecar) -> f64 {
    onceward.metric("onceward_local_cache_bytes")
}

/// Sends a duplicate until it is answered from memory.
fn from_memory(onceward: &Sidecar, duplicate: &Call) -> Reply {
    let mut reply = None;
    until("a duplicate is answered from memory", || {
        let before = hits(onceward);
        reply = Some(duplicate.send(onceward.address));
        hits(onceward) > before
    });
    reply.unwrap()
}

/// The name of the only record there is.
fn record(redis: &Redis) -> String {
    let names = redis.command(&["KEYS", "onceward:*:order:*"]);
    assert_eq!(names.lines().count(), 1, "{names}");
    names
}

#[test]
fn an_answer_from_memory_is_the_same_to_the_byte_even_while_redis_is_silent() {
    let redis = Redis::start();
    let body = b"\xff\x00 not text \r\n\xfe";
    let upstream = Upstream::acting(|call, _| {
        Act::Answer(200, vec![("X-Call", call.to_string())], body.to_vec())
    });
    let onceward = sidecar(&redis, &upstream).start();
    let first = Call::pay("1").send(onceward.address);
    let stored = Call::pay("1").send(onceward.address);
    let remembered = from_memory(&onceward, &Call::pay("1"));
    redis.pause();
    let alone = Call::pay("1").send(onceward.address);
    redis.resume();
    for reply in [stored, remembered, alone] {
        assert_eq!((reply.status, reply.state(), reply.is_replay()), (200, "succeeded", true));
        assert_eq!(reply.body, first.body);
        for header in ["x-call", "content-length"] {
            assert_eq!(reply.header(header), first.header(header), "{header}");
        }
    }
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn nothing_is_remembered_for_longer_than_its_record_lives() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).set("RECORD_TTL", "20s").start();
    assert!(!Call::pay("1").send(onceward.address).is_replay());
    // Some of its life is over when it is read.
    redis.command(&["PEXPIRE", &record(&redis), "5000"]);
    from_memory(&onceward, &Call::pay("1"));
    until("the record is gone", || redis.command(&["KEYS", "onceward:*:order:*"]).is_empty());
    assert!(!Call::pay("1").send(onceward.address).is_replay());
}

#[test]
fn what_is_remembered_is_given_to_nobody_who_asks_anything_else() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();
    let post = || Call::post("/pay").key("1");
    let pay = |caller: &str, body: &str| post().header("authorization", caller).json(body);
    let mine = pay("me", r#"{"amount":1}"#);
    assert_eq!(mine.send(onceward.address).status, 200);
    from_memory(&onceward, &mine);
    for other in [pay("me", r#"{"amount":2}"#), pay("somebody", r#"{"amount":1}"#)] {
        let reply = other.send(onceward.address);
        assert_eq!((reply.status, reply.problem().as_str()), (422, "payload-mismatch"));
    }
    assert!(from_memory(&onceward, &mine).is_replay());
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn a_token_is_remembered_only_when_it_is_known_to_be_the_orders() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).set("TOKEN", "optional").start();
    let token = |key: &str| {
        let ask = Call::post("/_onceward/tokens").json(&format!(r#"{{"key":"{key}"}}"#));
        ask.send(onceward.address).json()["token"].as_str().unwrap().to_owned()
    };
    let pay = |token: &str| Call::pay("1").header("payment-token", token);
    let (spent, spare, others) = (token("1"), token("1"), token("2"));
    assert_eq!(pay(&spent).send(onceward.address).status, 200);
    from_memory(&onceward, &pay(&spent));
    from_memory(&onceward, &Call::pay("1"));

    // Good for the order, but not spent on it: that may change, so only Redis can tell.
    let before = hits(&onceward);
    for _ in 0..3 {
        assert!(pay(&spare).send(onceward.address).is_replay());
    }
    assert_eq!(hits(&onceward), before);
    for name in redis.command(&["KEYS", "onceward:*:token:*"]).lines() {
        redis.command(&["DEL", name]);
    }
    for token in [spare.as_str(), &others, "made-up"] {
        let reply = pay(token).send(onceward.address);
        assert_eq!((reply.status, reply.problem().as_str()), (403, "token-invalid"));
    }
    assert!(pay(&spent).send(onceward.address).is_replay());
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn every_replica_forgets_what_is_announced_and_all_of_it_when_it_hears_no_more() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let build = sidecar(&redis, &upstream);
    let replicas = [build.start(), build.start()];
    assert_eq!(Call::pay("1").send(replicas[0].address).status, 200);
    let id = record(&redis).rsplit(':').next().unwrap().to_owned();
    let hushed: [fn(&Redis, &str); 2] = [
        |redis, id| drop(redis.command(&["PUBLISH", "onceward:settled", id])),
        |redis, _| drop(redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"])),
    ];
    for forget in hushed {
        for replica in &replicas {
            from_memory(replica, &Call::pay("1"));
            assert!(bytes(replica) > 0.0);
        }
        forget(&redis, &id);
        for replica in &replicas {
            until("it is forgotten", || bytes(replica) == 0.0);
            assert!(Call::pay("1").send(replica.address).is_replay());
        }
    }
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn memory_stays_below_its_cap() {
    const CAP: f64 = 1024.0 * 1024.0;
    let redis = Redis::start();
    let large = "x".repeat(64 * 1024);
    let upstream = Upstream::acting(move |_, _| Act::ok(&large));
    let onceward = sidecar(&redis, &upstream).set("LOCAL_CACHE", "1MiB").start();
    Call::pay("warm").send(onceward.address);
    from_memory(&onceward, &Call::pay("warm"));
    let before = resident(&onceward);
    // 32 MB of responses.
    for order in 0..500 {
        for _ in 0..2 {
            Call::pay(&order.to_string()).send(onceward.address);
        }
        assert!(bytes(&onceward) <= CAP);
    }
    assert!(bytes(&onceward) > CAP / 4.0, "{}", bytes(&onceward));
    let grown = resident(&onceward) - before;
    assert!(grown < 16.0 * CAP, "{grown} bytes more");
}

/// Bytes of memory a sidecar holds.
fn resident(onceward: &Sidecar) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", onceward.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}

#[test]
fn with_no_memory_every_duplicate_asks_redis() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).set("LOCAL_CACHE", "0").start();
    for replayed in [false, true, true, true] {
        assert_eq!(Call::pay("1").send(onceward.address).is_replay(), replayed);
    }
    assert_eq!((hits(&onceward), bytes(&onceward)), (0.0, 0.0));
    redis.command(&["DEL", &record(&redis)]);
    assert!(!Call::pay("1").send(onceward.address).is_replay());
}
