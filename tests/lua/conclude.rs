//! An order is ended on a callback's word, and its own attempt can add its response.

use super::bench::{Bench, FINAL, answer, found};
use onceward::model::order::State::{self, Cancelled, Cancelling, Failed, Succeeded, Unknown};
use onceward::model::response::Kept;
use onceward::store::conclude::Conclude;
use onceward::store::orders::{Abandon, Claim, Lapse, Renewal, Settle};

/// As if somebody had brought the order there.
fn stands(bench: &Bench, state: State) {
    bench.redis.change_record(&bench.record(), &["state", state.word()]);
}

#[tokio::test]
async fn an_unknown_order_is_ended_and_what_it_said_before_is_gone() {
    for to in [Succeeded, Failed] {
        let bench = Bench::new();
        bench.claim("A").await;
        bench.settle_with("A", 1, Unknown, &answer(500, b"oops")).await;
        assert_eq!(bench.conclude(to).await, Conclude::Concluded(Unknown));
        assert_eq!(found(bench.claim("B").await), (to, Kept::Nothing));
        assert!(bench.indexed(&bench.unknown()).is_empty());
        bench.assert_kept(&bench.record(), FINAL);
        let history = bench.look().await.history;
        let last = history.last().unwrap();
        assert_eq!((last.to.as_str(), last.why.as_str()), (to.word(), "a callback said so"));
    }
}

#[tokio::test]
async fn a_conclude_whose_answer_was_lost_is_repeated_without_effect() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.conclude(Succeeded).await;
    let before = bench.writes();
    assert_eq!(bench.conclude(Succeeded).await, Conclude::Already);
    assert_eq!(bench.writes(), before);
}

/// What a duplicate is told while the response is still to come.
async fn is_awaited(bench: &Bench) -> bool {
    found(bench.claim("W").await) == (State::InFlight, Kept::Nothing)
}

#[tokio::test]
async fn an_order_ended_in_flight_has_duplicates_wait_for_its_attempts_response() {
    let bench = Bench::new();
    bench.claim("A").await;
    assert_eq!(bench.conclude(Succeeded).await, Conclude::Concluded(State::InFlight));
    assert!(bench.has(&bench.lease()) && bench.indexed(&bench.due()).is_empty());
    assert!(is_awaited(&bench).await);
    assert_eq!(bench.renew("A", 1).await, Renewal::Lost(Succeeded));
    assert_eq!(bench.lapse(Some(1)).await, Lapse::Moved(Succeeded));
    for _ in 0..2 {
        assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Settled);
        assert_eq!(found(bench.claim("B").await), (Succeeded, answer(200, b"paid")));
        assert!(!bench.has(&bench.lease()));
    }
}

#[tokio::test]
async fn a_response_is_not_added_once_duplicates_may_have_got_none() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.conclude(Succeeded).await;
    bench.redis.command(&["DEL", &bench.lease()]);
    assert_eq!(found(bench.claim("B").await), (Succeeded, Kept::Nothing));
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Settled);
    assert_eq!(found(bench.claim("B").await), (Succeeded, Kept::Nothing));
}

#[tokio::test]
async fn nobody_waits_for_an_attempt_that_ended_otherwise_or_sent_nothing() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.conclude(Succeeded).await;
    assert!(is_awaited(&bench).await);
    assert_eq!(bench.settle("A", 1, Failed).await, Settle::Refused(Succeeded));
    assert_eq!(found(bench.claim("B").await), (Succeeded, Kept::Nothing));

    let bench = Bench::new();
    bench.claim("A").await;
    bench.conclude(Succeeded).await;
    assert_eq!(bench.abandon("A").await, Abandon::Refused(Succeeded));
    assert_eq!(found(bench.claim("B").await), (Succeeded, Kept::Nothing));
}

#[tokio::test]
async fn an_attempt_that_ended_otherwise_than_its_order_stands_in_the_history() {
    for (stands_in, ended) in
        [(Succeeded, Failed), (Failed, Succeeded), (Cancelled, Succeeded), (Cancelled, Failed)]
    {
        let bench = Bench::new();
        bench.claim("A").await;
        stands(&bench, stands_in);
        let lines = bench.look().await.history.len();
        for _ in 0..2 {
            assert_eq!(bench.settle("A", 1, ended).await, Settle::Refused(stands_in));
            assert_eq!(bench.settle("A", 1, Unknown).await, Settle::Refused(stands_in));
        }
        let record = bench.look().await;
        assert_eq!((record.state, record.kept), (stands_in, Kept::Nothing));
        if (stands_in, ended) == (Cancelled, Failed) {
            assert_eq!(record.history.len(), lines);
            continue;
        }
        assert_eq!(record.history.len(), lines + 1);
        let last = record.history.last().unwrap();
        assert_eq!((last.from.as_str(), last.to.as_str()), (stands_in.word(), stands_in.word()));
        assert!(last.why.starts_with(&format!("attempt ended {ended}: ")), "{}", last.why);
    }
}

#[tokio::test]
async fn only_the_orders_own_attempt_adds_a_response_and_only_once() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.conclude(Succeeded).await;
    let before = bench.writes();
    assert_eq!(bench.settle("B", 1, Succeeded).await, Settle::Fenced(1, Succeeded));
    assert_eq!(bench.settle("A", 2, Succeeded).await, Settle::Fenced(1, Succeeded));
    assert_eq!(bench.writes(), before);
    bench.settle("A", 1, Succeeded).await;
    bench.settle_with("A", 1, Succeeded, &answer(200, b"other")).await;
    assert_eq!(found(bench.claim("B").await), (Succeeded, answer(200, b"paid")));
}

#[tokio::test]
async fn a_final_order_is_left_as_it_is() {
    for stands_in in [Succeeded, Failed, Cancelled] {
        for to in [Succeeded, Failed].into_iter().filter(|to| *to != stands_in) {
            let bench = Bench::new();
            bench.claim("A").await;
            stands(&bench, stands_in);
            let before = bench.writes();
            assert_eq!(bench.conclude(to).await, Conclude::Refused(stands_in));
            assert_eq!(bench.writes(), before);
        }
    }
}

#[tokio::test]
async fn an_order_being_cancelled_is_for_its_cancel_call_to_end() {
    let bench = Bench::new();
    bench.claim("A").await;
    stands(&bench, Cancelling);
    let before = bench.writes();
    assert_eq!(bench.conclude(Failed).await, Conclude::Refused(Cancelling));
    assert_eq!(bench.writes(), before);
    // That it was paid is kept, once.
    assert_eq!(bench.conclude(Succeeded).await, Conclude::Kept);
    let before = bench.writes();
    assert_eq!(bench.conclude(Succeeded).await, Conclude::Kept);
    assert_eq!(bench.writes(), before);
    let record = bench.look().await;
    assert_eq!(record.state, Cancelling);
    let last = record.history.last().unwrap();
    assert_eq!(
        (last.to.as_str(), last.why.as_str()),
        ("cancelling", "it was paid: a callback said so")
    );
}

#[tokio::test]
async fn an_order_nobody_has_seen_is_left_alone() {
    let bench = Bench::new();
    assert_eq!(bench.conclude(Succeeded).await, Conclude::Absent);
    assert!(bench.names().is_empty());
    // Nor is one whose claim was given back.
    bench.claim("A").await;
    bench.abandon("A").await;
    assert_eq!(bench.conclude(Succeeded).await, Conclude::Absent);
    assert!(matches!(bench.claim("B").await, Claim::Granted { .. }));
}
