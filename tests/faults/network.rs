//! The same accidents on a real network, where bytes are late, held, cut and reset between two
//! processes: what rules play inside the sidecar is what it makes of the real ones.

use super::playing;
use crate::support::client::{Call, Reply};
use crate::support::liar::{Liar, Lie};
use crate::support::redis::Redis;
use crate::support::sidecar::Sidecar;
use crate::support::toxic::{End, Harm, Toxic, Way};
use crate::support::until;
use crate::support::upstream::Upstream;
use std::time::Duration;

/// A sidecar with a bad network between it and its Redis, where it has one connection.
fn far_from_redis(timeout: &str) -> (Redis, Upstream, Toxic, Sidecar) {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let network = Toxic::before(redis.port);
    let onceward = playing(&redis, &upstream)
        .set("REDIS_URL", &network.url())
        .set("REDIS_TIMEOUT", timeout)
        .set("REDIS_POOL_SIZE", "1")
        .start();
    (redis, upstream, network, onceward)
}

/// Sends it until it is paid.
fn until_paid(onceward: &Sidecar, key: &str) -> Reply {
    let mut reply = Call::pay(key).send(onceward.address);
    until("it is paid", || {
        if reply.status != 200 {
            reply = Call::pay(key).send(onceward.address);
        }
        reply.status == 200
    });
    reply
}

#[test]
fn a_slow_network_is_only_slow() {
    let (_redis, upstream, network, onceward) = far_from_redis("5s");
    network.latency(Duration::from_millis(60));
    assert_eq!(Call::pay("1").send(onceward.address).state(), "succeeded");
    assert!(Call::pay("1").send(onceward.address).is_replay());
    assert_eq!(upstream.calls(), 1);
}

#[test]
fn while_nothing_passes_nothing_is_sent() {
    let (_redis, upstream, network, onceward) = far_from_redis("1s");
    until_paid(&onceward, "0");
    network.hold();
    let refused = Call::pay("1").send(onceward.address);
    assert_eq!((refused.status, refused.problem().as_str()), (503, "store-unavailable"));
    network.release();
    // The claim that was held arrives now, and finds itself void.
    until_paid(&onceward, "1");
    assert_eq!(upstream.calls(), 2);
}

#[test]
fn a_connection_that_is_reset_is_made_again() {
    let (_redis, upstream, network, onceward) = far_from_redis("5s");
    for key in ["1", "2", "3"] {
        until_paid(&onceward, key);
        network.reset();
    }
    assert_eq!(upstream.calls(), 3);
}

#[test]
fn a_connection_that_breaks_while_it_is_made_is_made_again() {
    for (way, end) in [(Way::There, End::Close), (Way::There, End::Reset), (Way::Back, End::Reset)]
    {
        for at in [0, 1, 20, 200] {
            let (_redis, upstream, network, onceward) = far_from_redis("5s");
            network.cut_next(way, at, end);
            network.reset();
            until_paid(&onceward, "1");
            assert_eq!(upstream.calls(), 1, "{way:?} {at} {end:?}");
        }
    }
}

#[test]
fn a_claim_whose_answer_meets_a_reset_is_asked_for_again() {
    for harm in [Harm::Cut, Harm::Reset] {
        let (_redis, upstream, network, onceward) = far_from_redis("5s");
        until_paid(&onceward, "0");
        network.lose_reply_to("order-that-is-claimed", harm);
        let paid = Call::pay("order-that-is-claimed").send(onceward.address);
        assert!(network.sprung(), "the claim did not pass here");
        assert_eq!(
            (paid.status, paid.state(), upstream.calls()),
            (200, "succeeded", 2),
            "{harm:?}"
        );
    }
}

/// A payment whose answer comes in that way, and another after it; what each caller gets.
fn lied_to(lie: Lie, timeout: &str) -> (Reply, Reply, Upstream) {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let liar = Liar::before(upstream.address.port());
    let onceward = playing(&redis, &upstream)
        .set("UPSTREAM", &liar.url())
        .set("UPSTREAM_TIMEOUT", timeout)
        .start();
    let telling = liar.tell(lie, 1);
    let first = Call::pay("1").send(onceward.address);
    assert_eq!(telling.told(), 1);
    drop(telling);
    (first, until_paid(&onceward, "2"), upstream)
}

#[test]
fn an_answer_that_comes_in_drips_is_an_answer() {
    let (first, next, upstream) = lied_to(Lie::Drip(40, Duration::from_millis(10)), "30s");
    assert_eq!((first.state(), first.text().as_str()), ("succeeded", r#"{"paid":true,"call":1}"#));
    assert_eq!((next.state(), upstream.calls()), ("succeeded", 2));
}

#[test]
fn an_answer_that_promises_more_than_comes_is_none() {
    let (first, next, upstream) = lied_to(Lie::Longer(1), "2s");
    assert_eq!((first.problem().as_str(), first.state()), ("upstream-timeout", "unknown"));
    assert_eq!((next.state(), upstream.calls()), ("succeeded", 2));
}

#[test]
fn what_follows_an_answer_that_is_longer_than_it_says_is_nobodys_answer() {
    let (first, next, upstream) = lied_to(Lie::Shorter(5), "30s");
    // All that it says is there.
    assert_eq!((first.state(), first.text().as_str()), ("succeeded", r#"{"paid":true,"cal"#));
    assert_eq!((next.text().as_str(), upstream.calls()), (r#"{"paid":true,"call":2}"#, 2));
}
