//! The table of states, row by row: an order is brought into a state, and everything that could move
//! it is tried; where it went is all there is.

use super::bench::{Bench, CALLER, IDLE, KEEP, answer, order};
use onceward::model::order::State::{
    self, Cancelled, Cancelling, Failed, InFlight, None, Queued, Succeeded, Unknown,
};
use onceward::store::queue::Entry;
use onceward::store::resolve::Word;
use std::collections::BTreeSet;

/// What may be tried on an order, whoever would. An attempt that has it is A's, under fence 1.
#[derive(Clone, Copy, Debug)]
enum Try {
    Pay,
    PayAgain,
    Accept,
    Dispatch,
    Settle(State),
    Abandon,
    Lapse,
    Cancel,
    Resolve(State),
    GiveUpInTime,
    Release,
    Conclude(State),
    Bury,
}

const TRIES: [Try; 18] = [
    Try::Pay,
    Try::PayAgain,
    Try::Accept,
    Try::Dispatch,
    Try::Settle(Succeeded),
    Try::Settle(Failed),
    Try::Settle(Unknown),
    Try::Abandon,
    Try::Lapse,
    Try::Cancel,
    Try::Resolve(Succeeded),
    Try::Resolve(Failed),
    Try::Resolve(Cancelled),
    Try::GiveUpInTime,
    Try::Release,
    Try::Conclude(Succeeded),
    Try::Conclude(Failed),
    Try::Bury,
];

/// Brings the order there; its entry, where it has been in the buffer.
async fn bring(bench: &Bench, state: State, from_queue: bool) -> Option<Entry> {
    let mut entry = Option::None;
    if state == None {
        return entry;
    }
    if state == Queued || from_queue {
        bench.enqueue("A").await;
        entry = bench.take(IDLE).await.pop();
    }
    if state == Queued {
        return entry;
    }
    bench.ask("A").from(&[None, Queued]).claim().await;
    match state {
        Succeeded | Failed | Unknown => {
            bench.settle("A", 1, state).await;
        }
        Cancelling | Cancelled => {
            bench.cancel(Some(CALLER), true).await;
            bench.lose_lease();
        }
        _ => {}
    }
    if state == Cancelled {
        bench.resolve_with("T", Some(1), Cancelled, Word::Keep).await;
    }
    entry
}

async fn attempt(bench: &Bench, what: Try, entry: Option<&Entry>) {
    match what {
        Try::Pay => {
            bench.claim("B").await;
        }
        Try::PayAgain => {
            bench.retry("B").await;
        }
        Try::Accept => {
            bench.enqueue("B").await;
        }
        Try::Dispatch => {
            bench.ask("B").from(&[Queued]).claim().await;
        }
        Try::Settle(to) => {
            bench.settle_with("A", 1, to, &answer(200, b"late")).await;
        }
        Try::Abandon => {
            bench.abandon("A").await;
        }
        Try::Lapse => {
            bench.lose_lease();
            bench.lapse(Option::None).await;
        }
        Try::Cancel => {
            bench.cancel(Some(CALLER), true).await;
        }
        Try::Resolve(to) => {
            bench.lose_lease();
            bench.resolve_with("R", Option::None, to, Word::IfTold).await;
        }
        Try::GiveUpInTime => {
            bench.make_due();
            bench.redis.command(&["ZADD", &bench.unknown(), "XX", "1", &bench.order.id]);
            if let Some(seen) = bench.store.look(&bench.order).await.unwrap() {
                bench.adopt("G", &seen).await;
            }
        }
        Try::Release => {
            bench.release("P", Option::None).await;
        }
        Try::Conclude(to) => {
            bench.conclude(to).await;
        }
        Try::Bury => {
            if let Some(entry) = entry {
                bench.store.dead_letter(entry, KEEP, "no way").await.unwrap();
            }
        }
    }
}

/// Where everything there is leads an order that stands in that state.
async fn leaves(state: State, from_queue: bool, to: &[State]) {
    let mut bench = Bench::new();
    let mut left = BTreeSet::new();
    for (n, what) in TRIES.into_iter().enumerate() {
        bench.order = order(&format!("{state}-{n}"));
        let entry = bring(&bench, state, from_queue).await;
        let stands = |bench: &Bench| State::from_word(&bench.field("state")).unwrap_or(None);
        assert_eq!(stands(&bench), state, "before {what:?}");
        attempt(&bench, what, entry.as_ref()).await;
        let now = stands(&bench);
        if now != state {
            left.insert(now.word());
        }
    }
    let expected: BTreeSet<_> = to.iter().map(|state| state.word()).collect();
    assert_eq!(left, expected, "{state}");
}

#[tokio::test]
async fn none_leaves_to_queued_in_flight_or_cancelled() {
    leaves(None, false, &[Queued, InFlight, Cancelled]).await;
}

#[tokio::test]
async fn queued_leaves_to_in_flight_or_cancelled_and_as_a_dead_letter_to_unknown() {
    leaves(Queued, false, &[InFlight, Cancelled, Unknown]).await;
}

#[tokio::test]
async fn in_flight_leaves_to_an_end_unknown_or_cancelling_and_back_only_by_abandon() {
    leaves(InFlight, false, &[Succeeded, Failed, Unknown, Cancelling, None]).await;
    leaves(InFlight, true, &[Succeeded, Failed, Unknown, Cancelling, Queued]).await;
}

#[tokio::test]
async fn unknown_leaves_to_an_end_or_cancelling_and_runs_again_only_when_permitted() {
    leaves(Unknown, false, &[Succeeded, Failed, Cancelling, InFlight, None]).await;
    leaves(Unknown, true, &[Succeeded, Failed, Cancelling, InFlight, Queued]).await;
}

#[tokio::test]
async fn cancelling_leaves_to_cancelled_or_to_succeeded() {
    leaves(Cancelling, false, &[Cancelled, Succeeded]).await;
}

#[tokio::test]
async fn succeeded_and_failed_are_left_by_nothing() {
    for end in [Succeeded, Failed] {
        leaves(end, false, &[]).await;
        leaves(end, true, &[]).await;
    }
}

#[tokio::test]
async fn cancelled_is_left_by_nothing() {
    leaves(Cancelled, false, &[]).await;
}
