//! A lease is held by one attempt; a lost one makes its order unknown and nothing else.

use super::bench::{Bench, KEEP, LEASE, found};
use crate::support::until;
use onceward::model::order::State::{InFlight, None, Succeeded, Unknown};
use onceward::store::orders::{Claim, Lapse, Renewal};
use std::time::Duration;

#[tokio::test]
async fn a_renewed_lease_holds_its_whole_time_again() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.redis.command(&["PEXPIRE", &bench.lease(), "9000"]);
    assert_eq!(bench.renew("A", 1).await, Renewal::Renewed);
    bench.assert_kept(&bench.lease(), LEASE);
    bench.assert_kept(&bench.record(), KEEP);
}

#[tokio::test]
async fn an_attempt_regains_a_lease_nobody_missed() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.lose_lease();
    assert_eq!(bench.renew("A", 1).await, Renewal::Regained);
    // Who saw it gone in between is told that it stands.
    assert!(matches!(bench.lapse(Some(1)).await, Lapse::Held(_)));
    assert_eq!(bench.look().await.state, InFlight);
}

#[tokio::test]
async fn an_attempt_renewed_for_longer_than_its_record_was_kept_keeps_it() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.redis.command(&["PEXPIRE", &bench.record(), "20000"]);
    bench.renew("A", 1).await;
    assert!(bench.ttl(&bench.record()) > bench.ttl(&bench.lease()));
}

#[tokio::test]
async fn nobody_renews_a_lease_that_is_not_theirs() {
    let bench = Bench::new();
    assert_eq!(bench.renew("A", 1).await, Renewal::Lost(None));
    bench.claim("A").await;
    bench.abandon("A").await;
    bench.claim("B").await;
    let before = bench.writes();
    for (who, fence) in [("A", 1), ("A", 2), ("B", 1), ("B", 3)] {
        assert_eq!(bench.renew(who, fence).await, Renewal::Lost(InFlight));
    }
    assert_eq!(bench.writes(), before);
    bench.settle("B", 2, Succeeded).await;
    assert_eq!(bench.renew("B", 2).await, Renewal::Lost(Succeeded));
    assert!(!bench.has(&bench.lease()));
}

#[tokio::test]
async fn a_lease_in_strange_hands_is_left_there() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.redis.command(&["SET", &bench.lease(), "stranger:1"]);
    assert_eq!(bench.renew("A", 1).await, Renewal::Lost(InFlight));
    assert_eq!(bench.redis.command(&["GET", &bench.lease()]), "stranger:1");
}

#[tokio::test]
async fn a_lost_lease_is_unknown_and_never_granted_again() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.lose_lease();
    // Whoever looks is told so before anybody wrote it down.
    assert_eq!(bench.look().await.state, Unknown);
    assert_eq!(bench.claim("B").await, Claim::Lapsed { fence: 1 });
    assert_eq!(bench.lapse(Some(1)).await, Lapse::Lapsed(1));
    assert_eq!(bench.look().await.state, Unknown);
    for who in ["A", "B", "C"] {
        assert_eq!(found(bench.claim(who).await).0, Unknown);
    }
    assert_eq!(bench.renew("A", 1).await, Renewal::Lost(Unknown));
    assert!(!bench.has(&bench.lease()));
}

#[tokio::test]
async fn a_lapsed_order_moves_from_one_index_to_the_other() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.lose_lease();
    bench.lapse(Option::None).await;
    assert_eq!(bench.indexed(&bench.due()), [&*bench.order.id]);
    assert_eq!(bench.indexed(&bench.unknown()), [&*bench.order.id]);
    bench.assert_kept(&bench.record(), KEEP);
}

#[tokio::test]
async fn a_lease_that_stands_does_not_lapse() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.redis.command(&["ZADD", &bench.due(), "0", &bench.order.id]);
    let Lapse::Held(held) = bench.lapse(Some(1)).await else {
        panic!("it stands");
    };
    assert!(held > LEASE / 2 && held <= LEASE);
    // It is due again when it would run out.
    let survey = bench.store.survey(bench.order.partition, 10, 0..=9).await.unwrap();
    assert_eq!((survey.in_flight, survey.due.len()), (1, 0));
}

#[tokio::test]
async fn only_the_attempt_that_was_seen_lapses() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.abandon("A").await;
    bench.claim("B").await;
    bench.lose_lease();
    let before = bench.writes();
    assert_eq!(bench.lapse(Some(1)).await, Lapse::Moved(InFlight));
    assert_eq!(bench.writes(), before);
    assert_eq!(bench.lapse(Some(2)).await, Lapse::Lapsed(2));
    assert_eq!(bench.lapse(Some(2)).await, Lapse::Moved(Unknown));
}

#[tokio::test]
async fn lapsing_never_shortens_how_long_a_record_is_kept() {
    let bench = Bench::new();
    bench.ask("A").keep(2 * KEEP).claim().await;
    bench.lose_lease();
    bench.lapse(Some(1)).await;
    bench.assert_kept(&bench.record(), 2 * KEEP);
}

#[tokio::test]
async fn leases_run_out_by_themselves() {
    let bench = Bench::new();
    bench.ask("A").lease(Duration::from_millis(20)).claim().await;
    until("the lease runs out", || !bench.has(&bench.lease()));
    assert_eq!(bench.lapse(Option::None).await, Lapse::Lapsed(1));
}
