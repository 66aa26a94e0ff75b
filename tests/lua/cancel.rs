//! A cancel works in every state, once, and holds.

use super::bench::{Bench, CALLER, KEEP, answer, found};
use onceward::model::order::State::{
    self, Cancelled, Cancelling, Failed, InFlight, Succeeded, Unknown,
};
use onceward::model::response::Kept;
use onceward::store::cancel::Cancel;
use onceward::store::conclude::Conclude;
use onceward::store::orders::{Abandon, Renewal, Settle};
use onceward::store::resolve::{Adopt, Resolve, Word};

const ME: Option<&str> = Some(CALLER);

#[tokio::test]
async fn an_order_nobody_has_seen_gets_a_tombstone_and_its_payment_is_refused() {
    let bench = Bench::new();
    assert_eq!(bench.cancel(ME, false).await, Cancel::Cancelled);
    bench.assert_kept(&bench.record(), KEEP);
    let before = bench.writes();
    assert_eq!(bench.cancel(ME, false).await, Cancel::Cancelled);
    assert_eq!(found(bench.claim("A").await), (Cancelled, Kept::Nothing));
    // It has no fingerprint: whatever payment it is.
    assert_eq!(found(bench.ask("B").payload("other").claim().await).0, Cancelled);
    assert_eq!(bench.retry("C").await, bench.claim("D").await);
    assert_eq!(bench.writes(), before);
    assert_eq!(bench.look().await.key, bench.order.key.as_str());
}

#[tokio::test]
async fn a_tombstone_belongs_to_whoever_wrote_it() {
    let bench = Bench::new();
    bench.cancel(ME, false).await;
    assert_eq!(bench.cancel(Some("stranger"), false).await, Cancel::Absent);
    assert_eq!(bench.cancel(Option::None, false).await, Cancel::Cancelled);
}

#[tokio::test]
async fn nobody_cancels_an_order_of_somebody_elses() {
    let bench = Bench::new();
    bench.claim("A").await;
    let before = bench.writes();
    assert_eq!(bench.cancel(Some("stranger"), true).await, Cancel::Absent);
    assert_eq!(bench.writes(), before);
    assert_eq!(bench.cancel(Some("new-secret,caller"), true).await, Cancel::Cancelling);
}

#[tokio::test]
async fn what_may_have_been_sent_is_being_cancelled_until_upstream_confirms() {
    for lost in [false, true] {
        let bench = Bench::new();
        bench.claim("A").await;
        if lost {
            bench.settle_with("A", 1, Unknown, &Kept::Nothing).await;
        }
        let stands = if lost { Unknown } else { InFlight };
        assert_eq!(bench.cancel(ME, false).await, Cancel::Refused(stands));
        assert_eq!(bench.cancel(ME, true).await, Cancel::Cancelling);
        let before = bench.writes();
        assert_eq!(bench.cancel(ME, true).await, Cancel::Cancelling);
        assert_eq!(bench.writes(), before);
        assert_eq!(bench.indexed(&bench.cancelling()), [&*bench.order.id]);
        let adopted = bench.adopt("T", &bench.look().await).await;
        assert!(matches!(adopted, Adopt::Adopted { state: Cancelling, .. }), "{adopted:?}");
        bench.lose_lease();
        let resolved = bench.resolve_with("T", Some(1), Cancelled, Word::Keep).await;
        assert_eq!(resolved, Resolve::Resolved);
        assert!(bench.indexed(&bench.due()).is_empty());
        assert!(bench.indexed(&bench.cancelling()).is_empty());
        assert_eq!(bench.cancel(ME, true).await, Cancel::Cancelled);
        // A success that surfaces now is refused, and told as such.
        assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Refused(Cancelled));
    }
}

#[tokio::test]
async fn a_queued_order_is_cancelled_at_once() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.abandon("A").await;
    bench.redis.change_record(&bench.record(), &["state", "queued"]);
    assert_eq!(bench.cancel(ME, false).await, Cancel::Cancelled);
    assert_eq!(found(bench.claim("B").await).0, Cancelled);
}

#[tokio::test]
async fn a_final_order_cannot_be_cancelled() {
    for to in [Succeeded, Failed] {
        let bench = Bench::new();
        bench.claim("A").await;
        bench.settle("A", 1, to).await;
        let before = bench.writes();
        assert_eq!(bench.cancel(ME, true).await, Cancel::Final(to));
        assert_eq!(bench.writes(), before);
    }
}

#[tokio::test]
async fn an_attempt_goes_on_while_its_order_is_being_cancelled_and_its_end_is_waited_for() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.cancel(ME, true).await;
    assert_eq!(bench.renew("A", 1).await, Renewal::Renewed);
    // A cancel confirmed before the payment ended may have been quicker than the payment.
    let early = bench.resolve_with("T", Some(1), Cancelled, Word::Keep).await;
    assert!(matches!(early, Resolve::Held(_)), "{early:?}");
    bench.adopt("T", &bench.look().await).await;
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Kept);
    let before = bench.writes();
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Kept);
    assert_eq!(bench.writes(), before);
    assert_eq!(found(bench.claim("B").await), (Cancelling, answer(200, b"paid")));
    // It is due at once.
    let adopted = bench.adopt("U", &bench.look().await).await;
    assert!(matches!(adopted, Adopt::Adopted { state: Cancelling, .. }), "{adopted:?}");
}

#[tokio::test]
async fn an_attempt_that_has_ended_does_not_take_the_lease_again() {
    for sent in [true, false] {
        let bench = Bench::new();
        bench.claim("A").await;
        bench.cancel(ME, true).await;
        if sent {
            bench.settle("A", 1, Succeeded).await;
        } else {
            bench.abandon("A").await;
        }
        let before = bench.writes();
        assert_eq!(bench.renew("A", 1).await, Renewal::Lost(Cancelling));
        assert_eq!(bench.writes(), before);
        assert!(!bench.has(&bench.lease()));
        let resolved = bench.resolve_with("T", Some(1), Cancelled, Word::Keep).await;
        assert_eq!(resolved, Resolve::Resolved);
    }
}

#[tokio::test]
async fn of_two_outcomes_told_while_an_order_is_cancelled_the_known_one_is_kept() {
    // Told before the cancel or after it.
    for before in [true, false] {
        let bench = Bench::new();
        bench.claim("A").await;
        if before {
            bench.settle_with("A", 1, Unknown, &answer(504, b"nothing")).await;
            bench.cancel(ME, true).await;
        } else {
            bench.cancel(ME, true).await;
            bench.settle_with("A", 1, Unknown, &answer(504, b"nothing")).await;
        }
        assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Kept);
        let written = bench.writes();
        for to in [Unknown, Failed, Succeeded] {
            assert_eq!(bench.settle_with("A", 1, to, &Kept::Nothing).await, Settle::Kept);
        }
        assert_eq!(bench.writes(), written);
        bench.resolve_with("T", Some(1), Succeeded, Word::IfTold).await;
        assert_eq!(found(bench.claim("B").await), (Succeeded, answer(200, b"paid")));
    }
}

#[tokio::test]
async fn an_order_that_cannot_be_cancelled_succeeded_with_the_response_it_had() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.cancel(ME, true).await;
    bench.settle("A", 1, Succeeded).await;
    bench.resolve_with("T", Some(1), Succeeded, Word::IfTold).await;
    assert_eq!(found(bench.claim("B").await), (Succeeded, answer(200, b"paid")));
    // Unless that response did not say so.
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle("A", 1, Unknown).await;
    bench.cancel(ME, true).await;
    bench.resolve_with("T", Some(1), Succeeded, Word::IfTold).await;
    assert_eq!(found(bench.claim("B").await), (Succeeded, Kept::Nothing));
}

#[tokio::test]
async fn that_there_is_no_such_order_is_not_believed_of_one_that_was_paid() {
    for told_by in ["its attempt", "a callback", "a query", "nobody"] {
        for end in [Unknown, Failed] {
            let bench = Bench::new();
            bench.claim("A").await;
            bench.cancel(ME, true).await;
            match told_by {
                "its attempt" => assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Kept),
                "a callback" => assert_eq!(bench.conclude(Succeeded).await, Conclude::Kept),
                "a query" => {
                    assert_eq!(bench.resolve("Q", Some(1), Succeeded).await, Resolve::Kept)
                }
                _ => {}
            }
            // Whatever else its attempt tells.
            bench.settle_with("A", 1, end, &answer(500, b"oops")).await;
            let before = bench.writes();
            let absent = bench.resolve_with("T", Some(1), Cancelled, Word::Absent).await;
            if told_by == "nobody" {
                assert_eq!(absent, Resolve::Resolved);
                continue;
            }
            assert_eq!((absent, bench.writes()), (Resolve::Paid, before));
            bench.resolve_with("T", Some(1), Succeeded, Word::IfTold).await;
            let kept = match told_by {
                "its attempt" => answer(200, b"paid"),
                _ => Kept::Nothing,
            };
            assert_eq!(found(bench.claim("B").await), (Succeeded, kept), "{told_by}");
        }
    }
}

#[tokio::test]
async fn an_order_that_was_paid_and_is_cancelled_after_all_stays_so() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle("A", 1, Unknown).await;
    bench.cancel(ME, true).await;
    assert_eq!(bench.conclude(Succeeded).await, Conclude::Kept);
    let confirmed = bench.resolve_with("T", Some(1), Cancelled, Word::Keep).await;
    assert_eq!(confirmed, Resolve::Resolved);
    assert_eq!(found(bench.claim("B").await).0, Cancelled);
}

#[tokio::test]
async fn an_attempt_that_sent_nothing_ends_the_wait_of_its_cancel() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.cancel(ME, true).await;
    assert_eq!(bench.abandon("A").await, Abandon::Refused(Cancelling));
    assert!(!bench.has(&bench.lease()));
    let resolved = bench.resolve_with("T", Some(1), Cancelled, Word::Keep).await;
    assert_eq!(resolved, Resolve::Resolved);
}

#[tokio::test]
async fn an_order_whose_record_was_lost_but_not_its_lease_is_not_taken_for_unseen() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.lose_record();
    assert_eq!(bench.cancel(ME, true).await, Cancel::Refused(State::InFlight));
}
