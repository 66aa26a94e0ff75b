//! What a living attempt knows outlives a record that Redis lost, and takes nothing from anybody.

use super::bench::{Bench, FINAL, IDLE, KEEP, PAYLOAD, answer, found, granted, step};
use onceward::model::order::State::{Failed, InFlight, None, Queued, Succeeded, Unknown};
use onceward::store::orders::{Abandon, Claim, Settle};
use onceward::store::queue::{Dequeue, Enqueue};
use onceward::store::restore::Restore;

/// A bench whose order was claimed by A before Redis lost everything.
async fn lost() -> Bench {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.redis.command(&["FLUSHDB"]);
    bench
}

#[tokio::test]
async fn an_attempt_that_runs_holds_its_order_again() {
    let bench = lost().await;
    assert_eq!(bench.restore("A", 1, InFlight).await, Restore::Restored);
    assert_eq!(found(bench.claim("B").await).0, InFlight);
    assert_eq!(bench.indexed(&bench.due()), [&*bench.order.id]);
    bench.assert_kept(&bench.record(), KEEP);
    let before = bench.writes();
    assert_eq!(bench.restore("A", 1, InFlight).await, Restore::Restored, "a copy of the call");
    assert_eq!(bench.writes(), before);
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Settled);
    assert_eq!(bench.restore("A", 1, InFlight).await, Restore::Stands(Succeeded));
}

#[tokio::test]
async fn an_outcome_is_told_to_every_duplicate() {
    let bench = lost().await;
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Gone);
    assert_eq!(bench.restore("A", 1, Succeeded).await, Restore::Restored);
    assert_eq!(found(bench.claim("B").await), (Succeeded, answer(200, b"paid")));
    assert_eq!(bench.ask("B").payload("other").claim().await, Claim::Mismatch(Succeeded));
    bench.assert_kept(&bench.record(), FINAL);
    assert!(bench.indexed(&bench.due()).is_empty() && !bench.has(&bench.lease()));
    let before = bench.writes();
    assert_eq!(bench.restore("A", 1, Succeeded).await, Restore::Restored);
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Settled);
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn an_outcome_nobody_knows_is_asked_about() {
    let bench = lost().await;
    assert_eq!(bench.restore("A", 1, Unknown).await, Restore::Restored);
    assert_eq!(bench.indexed(&bench.unknown()), [&*bench.order.id]);
    assert_eq!(bench.indexed(&bench.due()), [&*bench.order.id]);
    assert_eq!(found(bench.claim("B").await).0, Unknown);
}

#[tokio::test]
async fn another_attempt_that_may_have_been_sent_keeps_the_order() {
    let bench = lost().await;
    assert_eq!(bench.claim("B").await, granted(1, None));
    for to in [InFlight, Succeeded, Unknown] {
        let before = bench.writes();
        assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Fenced(1, InFlight));
        assert_eq!(bench.restore("A", 1, to).await, Restore::Stands(InFlight));
        assert_eq!(bench.writes(), before);
    }
    assert_eq!(bench.settle("B", 1, Failed).await, Settle::Settled);
    assert_eq!(bench.restore("A", 1, Succeeded).await, Restore::Stands(Failed));
}

#[tokio::test]
async fn another_attempt_that_sent_nothing_gives_way_if_its_fence_is_no_higher() {
    let bench = lost().await;
    bench.claim("B").await;
    bench.abandon("B").await;
    assert_eq!(bench.restore("A", 1, Succeeded).await, Restore::Restored);
    assert_eq!(found(bench.claim("C").await), (Succeeded, answer(200, b"paid")));
    assert_eq!(bench.look().await.fence, 1);
    assert_eq!(bench.claim("B").await, Claim::Voided);

    // A higher one: nothing was lost, the first was given back.
    let bench = Bench::new();
    for who in ["A", "B"] {
        bench.claim(who).await;
        bench.abandon(who).await;
    }
    assert_eq!(bench.restore("A", 1, Succeeded).await, Restore::Stands(None));
}

#[tokio::test]
async fn a_lease_of_another_is_left_alone() {
    let bench = lost().await;
    bench.redis.command(&["SET", &bench.lease(), "another:7"]);
    let before = bench.writes();
    assert_eq!(bench.restore("A", 1, Succeeded).await, Restore::Stands(InFlight));
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn an_attempt_that_gave_its_claim_back_does_not_run_again() {
    let bench = lost().await;
    assert_eq!(bench.abandon("A").await, Abandon::Voided(None));
    assert_eq!(bench.restore("A", 1, InFlight).await, Restore::Stands(None));
    assert_eq!(bench.claim("B").await, granted(1, None));
}

#[tokio::test]
async fn an_order_that_was_accepted_anew_is_not_sent_once_more() {
    let bench = lost().await;
    assert!(matches!(bench.enqueue("B").await, Enqueue::Queued(_)));
    let entry = bench.take(IDLE).await.remove(0);
    assert_eq!(bench.restore("A", 1, Succeeded).await, Restore::Restored);
    let claim = bench.ask("B").from(&[Queued]).claim().await;
    assert_eq!(found(claim), (Succeeded, answer(200, b"paid")));
    assert_eq!(bench.dequeue(&entry, "T").await, Dequeue::Removed(Succeeded));
    bench.assert_kept(&bench.record(), FINAL);
}

#[tokio::test]
async fn a_lifecycle_that_was_lost_too_is_moved() {
    let mut bench = Bench::new();
    bench.order = bench.order.clone().moving(&step(&["paid"], "shipped"));
    bench.set_state("paid");
    assert_eq!(bench.ask("A").payload(PAYLOAD).claim().await, granted(1, None));
    bench.redis.command(&["FLUSHDB"]);
    assert_eq!(bench.restore("A", 1, InFlight).await, Restore::Restored);
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Settled);
    assert_eq!(bench.redis.command(&["HGET", &bench.lifecycle(), "state"]), "shipped");
}
