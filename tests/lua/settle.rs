//! An outcome is written once, by whoever holds the order's fence.

use super::bench::{Bench, FINAL, KEEP, answer, found, granted};
use onceward::model::order::State::{self, Failed, InFlight, None, Succeeded, Unknown};
use onceward::model::response::Kept;
use onceward::store::orders::Settle;

#[tokio::test]
async fn a_settle_writes_the_outcome_and_drops_the_lease() {
    let bench = Bench::new();
    bench.claim("A").await;
    assert_eq!(bench.settle("A", 1, Failed).await, Settle::Settled);
    assert_eq!(bench.look().await.state, Failed);
    assert!(!bench.has(&bench.lease()));
    assert!(bench.indexed(&bench.due()).is_empty());
    bench.assert_kept(&bench.record(), FINAL);
}

#[tokio::test]
async fn a_settle_whose_answer_was_lost_is_repeated_without_effect() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle("A", 1, Succeeded).await;
    let before = bench.writes();
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Settled);
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn a_stale_fence_writes_nothing() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.abandon("A").await;
    bench.claim("B").await;
    let before = bench.writes();
    for (who, fence) in [("A", 1), ("A", 2), ("B", 1), ("B", 3), ("stranger", 2)] {
        let settled = bench.settle(who, fence, Succeeded).await;
        assert_eq!(settled, Settle::Fenced(2, InFlight), "{who} {fence}");
    }
    assert_eq!(bench.writes(), before);
    assert_eq!(bench.look().await.state, InFlight);
}

#[tokio::test]
async fn a_final_order_never_changes() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle("A", 1, Succeeded).await;
    let before = bench.writes();
    for to in [Failed, Unknown, State::Cancelled] {
        assert_eq!(bench.settle("A", 1, to).await, Settle::Refused(Succeeded));
    }
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn what_was_never_claimed_cannot_be_settled() {
    let bench = Bench::new();
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Gone);
    // Nor where there is but a mark of an attempt that was given up.
    bench.abandon("A").await;
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Gone);
}

#[tokio::test]
async fn an_unknown_outcome_is_indexed_until_it_is_known() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle_with("A", 1, Unknown, &Kept::Nothing).await;
    assert_eq!(bench.indexed(&bench.unknown()), [&*bench.order.id]);
    assert_eq!(bench.indexed(&bench.due()), [&*bench.order.id]);
    bench.settle("A", 1, Succeeded).await;
    assert!(bench.indexed(&bench.unknown()).is_empty());
}

#[tokio::test]
async fn an_outcome_known_after_the_lease_was_lost_is_still_written() {
    for to in [Succeeded, Unknown] {
        let bench = Bench::new();
        bench.claim("A").await;
        bench.lose_lease();
        bench.lapse(Some(1)).await;
        assert_eq!(bench.settle("A", 1, to).await, Settle::Settled);
        assert_eq!(found(bench.claim("B").await), (to, answer(200, b"paid")));
    }
}

#[tokio::test]
async fn a_settle_without_a_response_stores_none() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle("A", 1, Unknown).await;
    bench.settle_with("A", 1, Succeeded, &Kept::Nothing).await;
    assert_eq!(found(bench.claim("B").await), (Succeeded, Kept::Nothing));
}

#[tokio::test]
async fn those_who_wait_are_told_and_nobody_else_is() {
    let bench = Bench::new();
    let client = redis::Client::open(bench.redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut ear = connection.as_pubsub();
    ear.subscribe(bench.store.names().settled_channel()).unwrap();
    ear.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let mut told = || ear.get_message().unwrap().get_payload::<String>().unwrap();
    let published = || bench.redis.calls("publish");

    // Nobody waits.
    bench.claim("A").await;
    bench.abandon("A").await;
    bench.claim("B").await;
    bench.lose_lease();
    bench.lapse(Some(2)).await;
    bench.settle("B", 2, Succeeded).await;
    assert_eq!(published(), 0);
    bench.lose_record();

    // Somebody does: told of the abandon,
    bench.claim("C").await;
    bench.claim("waiter").await;
    bench.abandon("C").await;
    assert_eq!((published(), told()), (1, bench.order.id.to_string()));
    // of the lapse, still waiting,
    bench.claim("D").await;
    bench.claim("waiter").await;
    bench.lose_lease();
    bench.lapse(Some(2)).await;
    assert_eq!((published(), told()), (2, bench.order.id.to_string()));
    // and of the end, but not of its repeat.
    bench.settle("D", 2, Succeeded).await;
    bench.settle("D", 2, Succeeded).await;
    assert_eq!((published(), told()), (3, bench.order.id.to_string()));
}

#[tokio::test]
async fn the_history_reads_as_it_happened() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.abandon("A").await;
    bench.claim("B").await;
    bench.lose_lease();
    bench.lapse(Option::None).await;
    bench.settle("B", 2, Succeeded).await;
    let record = bench.look().await;
    let lines: Vec<_> = record
        .history
        .iter()
        .map(|line| format!("{} {} {} {}", line.from, line.to, line.by, line.why))
        .collect();
    assert_eq!(
        lines,
        [
            "none in_flight replica-1 claimed",
            "in_flight none replica-1 nothing was sent",
            "none in_flight replica-1 claimed",
            "in_flight unknown replica-1 lease lost",
            "unknown succeeded replica-1 upstream said so",
        ]
    );
    assert!(record.history.is_sorted_by_key(|line| line.at));
    assert_eq!(record.created, Some(record.history[2].at));
    assert_eq!(record.updated, Some(record.history[4].at));
    assert!(record.expires.unwrap() > record.history[4].at + FINAL / 2);
    assert!(record.expires.unwrap() < record.history[4].at + KEEP);
}

#[tokio::test]
async fn the_history_keeps_the_newest_lines_and_is_bounded() {
    let bench = Bench::new();
    for fence in 1..=50 {
        let who = format!("attempt {fence}");
        bench.claim(&who).await;
        bench.abandon(&who).await;
    }
    assert_eq!(bench.claim("A").await, granted(51, None));
    bench.settle("A", 51, Succeeded).await;
    let length = bench.field("history").len();
    assert!((1900..=2048).contains(&length), "{length}");
    let history = bench.look().await.history;
    assert_eq!(history.last().unwrap().to, "succeeded");
    assert!(history.len() > 20 && history.iter().all(|line| line.by == "replica-1"));
    // So are the marks of attempts that were given up: 32 of 22 characters.
    assert_eq!(bench.field("void").len(), 735);
}
