//! A claim under which nothing was sent is given back, wherever its copies are.

use super::bench::{Bench, FINAL, IDLE, KEEP, granted, spent};
use onceward::model::order::State::{InFlight, None, Queued, Succeeded, Unknown};
use onceward::store::orders::{Abandon, Claim, Settle};

#[tokio::test]
async fn abandon_gives_the_order_back() {
    let bench = Bench::new();
    bench.claim("A").await;
    assert_eq!(bench.abandon("A").await, Abandon::Abandoned(None));
    assert!(!bench.has(&bench.lease()));
    assert!(bench.indexed(&bench.due()).is_empty());
    bench.assert_kept(&bench.record(), FINAL);
    assert_eq!(bench.look().await.caller, "");
    assert_eq!(bench.claim("B").await, granted(2, None));
}

#[tokio::test]
async fn an_abandoned_attempt_whose_claim_arrives_late_is_refused() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.abandon("A").await;
    assert_eq!(bench.claim("A").await, Claim::Voided);
    bench.claim("B").await;
    bench.settle("B", 2, Succeeded).await;
    assert_eq!(bench.claim("A").await, Claim::Voided);
}

#[tokio::test]
async fn a_claim_that_arrives_after_its_abandon_is_refused() {
    let bench = Bench::new();
    assert_eq!(bench.abandon("A").await, Abandon::Voided(None));
    bench.assert_kept(&bench.record(), FINAL);
    let before = bench.writes();
    assert_eq!(bench.claim("A").await, Claim::Voided);
    assert_eq!(bench.writes(), before);
    // Nobody else is kept from it, and there is no order to be seen yet.
    assert_eq!(bench.store.look(&bench.order).await.unwrap(), Option::None);
    assert_eq!(bench.claim("B").await, granted(1, None));
    bench.assert_kept(&bench.record(), KEEP);
}

#[tokio::test]
async fn an_abandon_whose_answer_was_lost_is_repeated_without_effect() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.abandon("A").await;
    let before = bench.writes();
    assert_eq!(bench.abandon("A").await, Abandon::Abandoned(None));
    assert_eq!(bench.writes(), before);

    bench.abandon("held up").await;
    let before = bench.writes();
    assert_eq!(bench.abandon("held up").await, Abandon::Voided(None));
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn a_late_abandon_takes_nothing_from_the_attempt_that_came_after() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.abandon("A").await;
    bench.claim("B").await;
    assert_eq!(bench.abandon("A").await, Abandon::Voided(InFlight));
    assert_eq!(bench.abandon("stranger").await, Abandon::Voided(InFlight));
    assert_eq!(bench.look().await.state, InFlight);
    bench.assert_kept(&bench.record(), KEEP);
    assert_eq!(bench.settle("B", 2, Succeeded).await, Settle::Settled);
}

#[tokio::test]
async fn what_has_an_outcome_cannot_be_given_back() {
    let bench = Bench::new();
    bench.claim("A").await;
    for to in [Unknown, Succeeded] {
        bench.settle("A", 1, to).await;
        let before = bench.writes();
        assert_eq!(bench.abandon("A").await, Abandon::Refused(to));
        assert_eq!(bench.writes(), before);
    }
}

#[tokio::test]
async fn an_attempt_that_lost_its_lease_unseen_can_still_be_given_back() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.lose_lease();
    assert_eq!(bench.abandon("A").await, Abandon::Abandoned(None));
}

/// Nobody but the attempt knows that nothing was sent; the lease that ran out says only that nobody
/// knew.
#[tokio::test]
async fn an_attempt_that_sent_nothing_is_believed_after_its_order_lapsed() {
    let bench = Bench::new();
    let token = bench.token().await;
    bench.ask("A").token(spent(&token, 0)).claim().await;
    bench.lose_lease();
    bench.lapse(Some(1)).await;
    assert_eq!(bench.abandon_with("A", Some(&spent(&token, 0))).await, Abandon::Abandoned(None));
    assert!(bench.indexed(&bench.unknown()).is_empty() && bench.indexed(&bench.due()).is_empty());
    bench.assert_kept(&bench.record(), FINAL);
    assert_eq!(bench.claim("A").await, Claim::Voided);
    assert_eq!(bench.ask("B").token(spent(&token, 0)).claim().await, granted(2, None));
}

#[tokio::test]
async fn an_order_that_might_run_again_before_it_lapsed_still_may() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle("A", 1, Unknown).await;
    bench.release("P", Some(1)).await;
    bench.claim("B").await;
    bench.lose_lease();
    bench.lapse(Some(2)).await;
    assert_eq!(bench.abandon("B").await, Abandon::Abandoned(None));
    assert_eq!(bench.ask("C").payload("other").claim().await, Claim::Mismatch(None));
    assert_eq!(bench.claim("C").await, granted(3, None));
}

#[tokio::test]
async fn what_came_to_be_known_after_a_lapse_stands() {
    for to in [Unknown, Succeeded] {
        let bench = Bench::new();
        bench.claim("A").await;
        bench.lose_lease();
        bench.lapse(Some(1)).await;
        bench.settle("A", 1, to).await;
        assert_eq!(bench.abandon("A").await, Abandon::Refused(to));
    }
    // Another attempt began.
    let bench = Bench::new();
    bench.claim("A").await;
    bench.lose_lease();
    bench.lapse(Some(1)).await;
    bench.retry("B").await;
    assert_eq!(bench.abandon("A").await, Abandon::Voided(InFlight));
    // Out of the queue: the entry is gone.
    let bench = Bench::new();
    bench.enqueue("Q").await;
    let entry = bench.take(IDLE).await.remove(0);
    bench.ask("A").from(&[Queued]).claim().await;
    bench.lose_lease();
    bench.lapse(Some(1)).await;
    bench.dequeue(&entry, "T").await;
    assert_eq!(bench.abandon("A").await, Abandon::Refused(Unknown));
}
