//! Orders of unknown outcome are due when they should be asked about, are taken for one turn at a
//! time, and end once, on one word.

use super::bench::{ASK, Bench, DEADLINE, FINAL, HOLD, PAYLOAD, answer, found, granted, spent};
use onceward::model::order::State::{self, Cancelling, Failed, InFlight, None, Succeeded, Unknown};
use onceward::model::response::Kept;
use onceward::store::orders::{Abandon, Claim, Settle};
use onceward::store::resolve::{Adopt, Hold, Release, Resolve, Word};
use std::time::Duration;

/// An order that is due to be asked about, with a response that left it open.
async fn unknown() -> Bench {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle_with("A", 1, Unknown, &answer(200, b"still paying")).await;
    bench.make_due();
    bench
}

/// For how long the order is not due yet, in s.
fn due_in(bench: &Bench) -> f64 {
    let at = bench.redis.command(&["ZSCORE", &bench.due(), &bench.order.id]);
    let now = bench.redis.command(&["TIME"]);
    let now: f64 = now.lines().next().unwrap().parse().unwrap();
    at.parse::<f64>().expect("it is in the index") / 1000.0 - now
}

fn about(seconds: f64, expected: Duration) -> bool {
    (expected.as_secs_f64() - 20.0..=expected.as_secs_f64() + 1.0).contains(&seconds)
}

#[tokio::test]
async fn an_unknown_order_is_due_a_query_interval_after_it_became_so() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle("A", 1, Unknown).await;
    assert!(about(due_in(&bench), ASK));
    let bench = Bench::new();
    bench.claim("A").await;
    bench.lose_lease();
    bench.lapse(Some(1)).await;
    assert!(about(due_in(&bench), ASK));
    // A rerun takes its place, and gives it back.
    bench.retry("B").await;
    assert!(bench.indexed(&bench.unknown()).is_empty());
    bench.abandon("B").await;
    assert!(about(due_in(&bench), ASK));
}

#[tokio::test]
async fn an_unknown_order_nobody_can_ask_about_is_held() {
    let bench = Bench::new();
    bench.ask("A").held().claim().await;
    bench.settle("A", 1, Unknown).await;
    assert!(bench.indexed(&bench.due()).is_empty());
    let record = bench.look().await;
    assert_eq!(bench.adopt("T", &record).await, Adopt::Moved(Unknown));
}

#[tokio::test]
async fn of_two_replicas_one_gets_the_turn_and_the_next_comes_in_time() {
    let bench = unknown().await;
    let seen = bench.look().await;
    let first = bench.adopt("T", &seen).await;
    assert!(matches!(first, Adopt::Adopted { state: Unknown, turn: ASK, .. }), "{first:?}");
    assert_eq!(bench.adopt("U", &seen).await, Adopt::Moved(Unknown));
    let seen = bench.look().await;
    assert!(matches!(bench.adopt("U", &seen).await, Adopt::Early(left) if left <= ASK));
    // Whoever took it may have died: it is due again all the same.
    bench.make_due();
    assert!(matches!(bench.adopt("U", &seen).await, Adopt::Adopted { state: Unknown, .. }));
    assert_eq!(bench.look().await.asks, 2);
}

#[tokio::test]
async fn a_turn_whose_answer_was_lost_is_had_again() {
    let bench = unknown().await;
    let seen = bench.look().await;
    bench.adopt("T", &seen).await;
    let before = bench.writes();
    assert!(matches!(bench.adopt("T", &seen).await, Adopt::Adopted { state: Unknown, .. }));
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn a_turn_is_held_for_as_long_as_its_call_takes_and_ends_when_that_is_over() {
    let bench = unknown().await;
    let seen = bench.look().await;
    // Its interval ends with the deadline, but it is held for the time of a call.
    let soon = Some(Duration::from_secs(2));
    let adopted = bench.adopt_within("T", &seen, soon).await;
    assert!(
        matches!(adopted, Adopt::Adopted { state: Unknown, turn, .. } if Some(turn) <= soon),
        "{adopted:?}"
    );
    let held = due_in(&bench);
    assert!(held > 2.0 && held <= HOLD.as_secs_f64() + 1.0, "{held}");
    assert_eq!(bench.hold("U", ASK).await, Hold::Moved, "another's");
    assert_eq!(bench.hold("T", ASK).await, Hold::Held);
    assert!(about(due_in(&bench), ASK));
    assert_eq!(bench.adopt("U", &seen).await, Adopt::Moved(Unknown));
    assert_eq!(bench.hold("T", Duration::ZERO).await, Hold::Held);
    let seen = bench.look().await;
    let next = bench.adopt("U", &seen).await;
    assert!(matches!(next, Adopt::Adopted { .. }), "{next:?}");
    let before = bench.writes();
    assert_eq!(bench.hold("T", ASK).await, Hold::Moved);
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn a_turn_does_not_hold_up_what_was_made_due_meanwhile() {
    let bench = unknown().await;
    bench.adopt("T", &bench.look().await).await;
    bench.cancel(Option::None, true).await;
    let before = bench.writes();
    assert_eq!(bench.hold("T", ASK).await, Hold::Moved);
    assert_eq!(bench.writes(), before);
    let bench = unknown().await;
    bench.adopt("T", &bench.look().await).await;
    bench.retry("B").await;
    let before = bench.writes();
    assert_eq!(bench.hold("T", ASK).await, Hold::Moved, "it is in flight again");
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn who_cannot_make_the_call_leaves_an_order_as_it_is_to_others() {
    let bench = unknown().await;
    let seen = bench.look().await;
    let before = bench.writes();
    let left = bench.adopt_unable("T", &seen).await;
    assert!(matches!(left, Adopt::Unable { state: Unknown, left: Option::None, .. }), "{left:?}");
    assert_eq!(bench.writes(), before);
    assert!(matches!(bench.adopt("U", &seen).await, Adopt::Adopted { state: Unknown, .. }));
    assert!(matches!(bench.adopt_unable("T", &bench.look().await).await, Adopt::Early(_)));
    bench.cancel(Option::None, true).await;
    let left = bench.adopt_unable("T", &bench.look().await).await;
    assert!(matches!(left, Adopt::Unable { state: Cancelling, .. }), "{left:?}");
}

#[tokio::test]
async fn an_order_not_resolved_in_time_is_cancelled_and_its_last_turn_ends_with_the_time() {
    let bench = unknown().await;
    let seen = bench.look().await;
    let soon = bench.adopt_within("T", &seen, Some(Duration::from_secs(25))).await;
    assert!(matches!(soon, Adopt::Adopted { turn, .. } if turn <= Duration::from_secs(25)));
    bench.make_due();
    let long_ago = format!("-{}", DEADLINE.as_millis());
    bench.redis.command(&["ZINCRBY", &bench.unknown(), &long_ago, &bench.order.id]);
    let seen = bench.look().await;
    // Without a cancel call it is asked about for ever.
    assert!(matches!(
        bench.adopt_within("U", &seen, Option::None).await,
        Adopt::Adopted { state: Unknown, .. }
    ));
    bench.make_due();
    let adopted = bench.adopt("V", &bench.look().await).await;
    assert!(matches!(adopted, Adopt::Adopted { state: Cancelling, .. }), "{adopted:?}");
    assert!(bench.indexed(&bench.unknown()).is_empty());
    assert_eq!(bench.indexed(&bench.cancelling()), [&*bench.order.id]);
    assert!(about(due_in(&bench), ASK * 2));
}

#[tokio::test]
async fn a_word_ends_an_unknown_order_once() {
    for to in [Succeeded, Failed] {
        let bench = unknown().await;
        assert_eq!(bench.resolve("T", Some(1), to).await, Resolve::Resolved);
        let before = bench.writes();
        assert_eq!(bench.resolve("T", Some(1), to).await, Resolve::Resolved);
        assert_eq!(bench.resolve("U", Some(1), Failed).await, Resolve::Refused(to));
        assert_eq!(bench.settle("A", 1, Unknown).await, Settle::Refused(to));
        assert_eq!(bench.writes(), before);
        assert_eq!(found(bench.claim("B").await), (to, answer(200, b"paid")));
        assert!(bench.indexed(&bench.due()).is_empty());
        assert!(bench.indexed(&bench.unknown()).is_empty());
        bench.assert_kept(&bench.record(), FINAL);
    }
}

#[tokio::test]
async fn a_word_about_an_older_attempt_or_a_running_one_writes_nothing() {
    let bench = unknown().await;
    bench.retry("B").await;
    let before = bench.writes();
    assert_eq!(bench.resolve("T", Some(1), Succeeded).await, Resolve::Fenced(2));
    assert!(matches!(bench.resolve("T", Some(2), Succeeded).await, Resolve::Held(_)));
    assert_eq!(bench.release("P", Some(2)).await, Release::Refused(InFlight));
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn a_still_paying_response_is_not_replayed_as_a_success() {
    let bench = unknown().await;
    bench.resolve_with("T", Option::None, Succeeded, Word::IfTold).await;
    assert_eq!(found(bench.claim("B").await), (Succeeded, Kept::Nothing));
}

#[tokio::test]
async fn a_released_order_runs_again_under_a_higher_fence_and_bound_as_before() {
    let bench = Bench::new();
    let token = bench.token().await;
    bench.ask("A").token(spent(&token, 0)).claim().await;
    bench.settle("A", 1, Unknown).await;
    assert_eq!(bench.release("P", Some(1)).await, Release::Released);
    let before = bench.writes();
    assert_eq!(bench.release("P", Some(1)).await, Release::Released, "a copy of the same call");
    assert_eq!(bench.release("Q", Some(1)).await, Release::Again);
    assert_eq!(bench.writes(), before);
    assert!(bench.indexed(&bench.due()).is_empty() && bench.indexed(&bench.unknown()).is_empty());
    assert_eq!(bench.ask("B").payload("other").claim().await, Claim::Mismatch(None));
    let again = bench.ask("B").payload(PAYLOAD).token(spent(&token, 0));
    assert_eq!(again.claim().await, granted(2, None));
    let before = bench.writes();
    assert_eq!(bench.release("P", Some(1)).await, Release::Released, "whatever came of it");
    assert_eq!(bench.release("Q", Some(1)).await, Release::Fenced(2));
    assert_eq!(bench.writes(), before);
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Fenced(2, InFlight));
    assert_eq!(bench.claim("A").await, Claim::Voided);
    assert_eq!(bench.abandon("B").await, Abandon::Abandoned(None));
}

#[tokio::test]
async fn an_attempt_that_tells_after_its_release_is_believed_while_nothing_else_ran() {
    let bench = unknown().await;
    bench.release("P", Some(1)).await;
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Settled);
    assert_eq!(found(bench.claim("B").await), (Succeeded, answer(200, b"paid")));
    let bench = unknown().await;
    bench.release("P", Some(1)).await;
    assert_eq!(bench.settle("A", 1, Unknown).await, Settle::Settled);
    assert_eq!(found(bench.claim("B").await).0, Unknown);
}

#[tokio::test]
async fn what_was_given_back_is_not_settled_by_its_old_attempt() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.abandon("A").await;
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Refused(State::None));
}

#[tokio::test]
async fn what_was_never_sent_or_is_still_queued_is_nobodys_to_resolve() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.abandon("A").await;
    let before = bench.writes();
    for to in [State::Cancelled, Succeeded, Failed] {
        assert_eq!(bench.resolve("T", Option::None, to).await, Resolve::Refused(None));
    }
    assert_eq!(bench.writes(), before);
    let bench = Bench::new();
    bench.enqueue("A").await;
    let before = bench.writes();
    for to in [State::Cancelled, Succeeded, Failed] {
        assert_eq!(bench.resolve("T", Option::None, to).await, Resolve::Refused(State::Queued));
    }
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn a_survey_tells_states_apart_though_one_index_holds_them() {
    let bench = unknown().await;
    let survey = async || bench.store.survey(bench.order.partition, 9, 0..=9).await.unwrap();
    let seen = survey().await;
    assert_eq!((seen.in_flight, seen.unknown, seen.cancelling), (0, 1, 0));
    bench.cancel(Option::None, true).await;
    let seen = survey().await;
    assert_eq!((seen.in_flight, seen.unknown, seen.cancelling), (0, 0, 1));
    assert_eq!(seen.due, [&*bench.order.id]);
    // One whose record expired leaves every index.
    bench.lose_record();
    bench.lapse(Option::None).await;
    let seen = survey().await;
    assert_eq!((seen.in_flight, seen.cancelling), (0, 0));
}
