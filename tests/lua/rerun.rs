//! ON_UNKNOWN=retry: an order of unknown outcome runs again under a higher fence, and the attempt
//! before can no longer do anything.

use super::bench::{Bench, KEEP, answer, found, granted, spent};
use onceward::model::order::State::{self, InFlight, None, Succeeded, Unknown};
use onceward::model::response::Kept;
use onceward::store::orders::{Abandon, Claim, Renewal, Settle};

/// An order whose first attempt ended unknown, with a response.
async fn unknown() -> Bench {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle_with("A", 1, Unknown, &answer(500, b"oops")).await;
    bench
}

#[tokio::test]
async fn an_unknown_order_runs_again_where_its_route_allows_it() {
    let bench = unknown().await;
    assert_eq!(found(bench.claim("B").await).0, Unknown);
    assert_eq!(bench.retry("B").await, granted(2, Unknown));
    assert!(bench.indexed(&bench.unknown()).is_empty());
    assert_eq!(bench.settle("B", 2, Succeeded).await, Settle::Settled);
    assert_eq!(found(bench.claim("C").await), (Succeeded, answer(200, b"paid")));
}

#[tokio::test]
async fn a_repeated_rerun_still_says_that_it_is_one() {
    let bench = unknown().await;
    bench.retry("B").await;
    assert_eq!(bench.retry("B").await, granted(2, Unknown));
}

#[tokio::test]
async fn a_late_outcome_of_the_attempt_before_is_fenced() {
    let bench = unknown().await;
    bench.retry("B").await;
    for to in [Succeeded, Unknown, State::Failed] {
        assert_eq!(bench.settle("A", 1, to).await, Settle::Fenced(2, InFlight));
    }
    assert_eq!(bench.renew("A", 1).await, Renewal::Lost(InFlight));
    bench.settle("B", 2, Unknown).await;
    assert_eq!(bench.settle("A", 1, Unknown).await, Settle::Fenced(2, Unknown));
}

#[tokio::test]
async fn a_rerun_that_ends_unknown_too_is_written_as_its_own_end() {
    let bench = unknown().await;
    bench.retry("B").await;
    let oops = answer(502, b"oops again");
    assert_eq!(bench.settle_with("B", 2, Unknown, &oops).await, Settle::Settled);
    assert_eq!(found(bench.claim("C").await), (Unknown, oops));
}

#[tokio::test]
async fn a_late_copy_of_a_claim_does_not_run_an_unknown_order_again() {
    let bench = unknown().await;
    let before = bench.look().await;
    assert_eq!(found(bench.retry("A").await).0, Unknown);
    assert_eq!(bench.look().await, before);
    // Nor after others had their turn.
    bench.retry("B").await;
    bench.settle("B", 2, Unknown).await;
    assert_eq!(bench.retry("A").await, Claim::Voided);
    assert_eq!(found(bench.retry("B").await).0, Unknown);
}

#[tokio::test]
async fn an_abandoned_rerun_leaves_the_order_unknown_and_bound_to_its_payload() {
    let bench = unknown().await;
    bench.retry("B").await;
    assert_eq!(bench.abandon("B").await, Abandon::Abandoned(Unknown));
    assert!(!bench.has(&bench.lease()));
    assert_eq!(bench.indexed(&bench.unknown()), [&*bench.order.id]);
    assert_eq!(bench.indexed(&bench.due()), [&*bench.order.id]);
    bench.assert_kept(&bench.record(), KEEP);
    // Another payload is no more welcome than before, and its first response is still there.
    let other = bench.ask("C").payload("other").claim().await;
    assert_eq!(other, Claim::Mismatch(Unknown));
    assert_eq!(found(bench.claim("C").await), (Unknown, answer(500, b"oops")));
    assert_eq!(bench.abandon("B").await, Abandon::Abandoned(Unknown));
    assert_eq!(bench.retry("B").await, Claim::Voided);
    assert_eq!(bench.retry("C").await, granted(3, Unknown));
}

#[tokio::test]
async fn a_running_order_shows_no_response_of_the_attempt_before() {
    let bench = unknown().await;
    bench.retry("B").await;
    assert_eq!(found(bench.claim("C").await), (InFlight, Kept::Nothing));
    assert_eq!(bench.look().await.kept, Kept::Nothing);
    // Lost, it is as it was before.
    bench.lose_lease();
    bench.lapse(Some(2)).await;
    let before = (Unknown, answer(500, b"oops"));
    assert_eq!(found(bench.claim("C").await), before);
}

#[tokio::test]
async fn a_rerun_that_lost_its_lease_is_unknown_again() {
    let bench = unknown().await;
    bench.retry("B").await;
    bench.lose_lease();
    assert_eq!(bench.retry("C").await, Claim::Lapsed { fence: 2 });
    bench.lapse(Some(2)).await;
    assert_eq!(bench.retry("C").await, granted(3, Unknown));
}

#[tokio::test]
async fn the_same_token_starts_the_rerun_of_its_order() {
    let bench = Bench::new();
    let token = spent(&bench.token().await, 0);
    bench.ask("A").token(token.clone()).claim().await;
    bench.settle("A", 1, Unknown).await;
    let rerun = bench.ask("B").token(token.clone());
    let rerun = rerun.from(&[None, Unknown]).claim().await;
    assert_eq!(rerun, granted(2, Unknown));
    bench.abandon_with("B", Some(&token)).await;
    let rerun = bench.ask("C").token(token).from(&[None, Unknown]);
    assert_eq!(rerun.claim().await, granted(3, Unknown));
}

#[tokio::test]
async fn every_token_that_started_an_order_replays_it_and_starts_nothing_else() {
    let bench = Bench::new();
    let mut tokens = Vec::new();
    for (who, fence) in [("A", 1), ("B", 2)] {
        let token = spent(&bench.token().await, 0);
        let ask = bench.ask(who).token(token.clone());
        ask.from(&[None, Unknown]).claim().await;
        bench.settle(who, fence, Unknown).await;
        tokens.push(token);
    }
    for token in &tokens {
        let duplicate = bench.ask("C").token(token.clone()).claim().await;
        assert_eq!(found(duplicate).0, Unknown);
    }
    bench.lose_record();
    for token in tokens {
        let again = bench.ask("C").token(token).claim().await;
        assert_eq!(again, Claim::TokenInvalid);
    }
}
