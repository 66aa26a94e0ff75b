//! A channel's notification is forwarded by one copy at a time, and repeated once acknowledged.

use super::bench::{Bench, FINAL, KEEP, LEASE, answer};
use onceward::model::event::Event;
use onceward::store::callbacks::{Accept, Acknowledged, Dropped};

/// A bench, and one event of its order.
fn bench() -> (Bench, Event) {
    let bench = Bench::new();
    let event = bench.event("PAID");
    (bench, event)
}

fn lease(bench: &Bench, event: &Event) -> String {
    bench.store.names().callback_lease(event)
}

fn busy(accept: &Accept) -> bool {
    matches!(accept, Accept::Busy(left) if !left.is_zero() && *left <= LEASE)
}

#[tokio::test]
async fn one_copy_is_forwarded_and_the_others_are_told_so() {
    let (bench, event) = bench();
    assert_eq!(bench.accept(&event, "A").await, Accept::First(1));
    for who in ["B", "C"] {
        assert!(busy(&bench.accept(&event, who).await));
        assert!(busy(&bench.accept_waiting(&event, who).await));
        // Whatever a forged copy says: nothing is acknowledged yet that it could contradict.
        assert!(busy(&bench.accept_saying(&event, who, "other").await));
    }
    bench.assert_kept(&lease(&bench, &event), LEASE);
    bench.assert_kept(&bench.store.names().callback(&event), KEEP);
}

#[tokio::test]
async fn an_accept_whose_answer_was_lost_is_asked_again_and_gets_the_same() {
    let (bench, event) = bench();
    for _ in 0..3 {
        assert_eq!(bench.accept(&event, "A").await, Accept::First(1));
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_repeated_and_kept_as_long_as_asked() {
    let (bench, event) = bench();
    bench.accept(&event, "A").await;
    assert_eq!(bench.acknowledge(&event, "A", 1).await, Acknowledged::Stored);
    let repeat = Accept::Repeat(answer(200, b"paid"), None);
    assert_eq!(bench.accept(&event, "B").await, repeat);
    assert_eq!(bench.accept_waiting(&event, "C").await, repeat);
    assert_eq!(bench.accept(&event, "A").await, repeat);
    bench.assert_kept(&bench.store.names().callback(&event), FINAL);
    assert!(!bench.has(&lease(&bench, &event)));
    // Another event of the same order is not it.
    assert_eq!(bench.accept(&bench.event("CLOSED"), "B").await, Accept::First(1));
}

#[tokio::test]
async fn a_repeated_acknowledgement_writes_nothing() {
    let (bench, event) = bench();
    bench.accept(&event, "A").await;
    bench.acknowledge(&event, "A", 1).await;
    let before = bench.writes();
    assert_eq!(bench.acknowledge(&event, "A", 1).await, Acknowledged::Stored);
    assert_eq!(bench.drop_callback(&event, "A", 1).await, Dropped::Kept);
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn what_was_not_acknowledged_goes_through_again_under_a_higher_fence() {
    let (bench, event) = bench();
    bench.accept(&event, "A").await;
    assert_eq!(bench.drop_callback(&event, "A", 1).await, Dropped::Dropped);
    assert_eq!(bench.drop_callback(&event, "A", 1).await, Dropped::Dropped);
    // Not by a copy that has met it, nor by a late copy of its own accept.
    assert_eq!(bench.accept_waiting(&event, "B").await, Accept::Open);
    assert_eq!(bench.accept(&event, "A").await, Accept::Open);
    assert_eq!(bench.acknowledge(&event, "A", 1).await, Acknowledged::Fenced(1));
    assert_eq!(bench.accept(&event, "B").await, Accept::First(2));
    assert_eq!(bench.drop_callback(&event, "A", 1).await, Dropped::Fenced(2));
    assert!(busy(&bench.accept(&event, "C").await));
}

#[tokio::test]
async fn a_forwarder_that_died_keeps_the_next_try_away_no_longer_than_its_lease() {
    let (bench, event) = bench();
    bench.accept(&event, "A").await;
    bench.redis.command(&["DEL", &lease(&bench, &event)]);
    assert_eq!(bench.accept(&event, "B").await, Accept::First(2));
    // It only slept: what it heard is refused, and the other's is stored.
    assert_eq!(bench.acknowledge(&event, "A", 1).await, Acknowledged::Fenced(2));
    assert_eq!(bench.acknowledge(&event, "B", 2).await, Acknowledged::Stored);
}

#[tokio::test]
async fn an_acknowledgement_after_the_lease_is_stored_while_nobody_took_it() {
    let (bench, event) = bench();
    bench.accept(&event, "A").await;
    bench.redis.command(&["DEL", &lease(&bench, &event)]);
    assert_eq!(bench.acknowledge(&event, "A", 1).await, Acknowledged::Stored);
}

#[tokio::test]
async fn a_repeat_that_says_something_else_is_a_contradiction_under_any_secret() {
    let (bench, event) = bench();
    bench.accept(&event, "A").await;
    bench.acknowledge(&event, "A", 1).await;
    let before = bench.writes();
    assert_eq!(bench.accept_saying(&event, "B", "other").await, Accept::Contradiction);
    assert_eq!(bench.accept_saying(&event, "B", "").await, Accept::Contradiction);
    assert_eq!(bench.writes(), before);
    // After a new secret was put first, the old one's digest is still among those sent.
    let rotated = bench.accept_saying(&event, "B", "new,unchanged").await;
    assert!(matches!(rotated, Accept::Repeat(..)));
}

#[tokio::test]
async fn an_event_is_kept_where_its_order_number_is_and_names_tell_nothing() {
    let (bench, event) = bench();
    bench.accept(&event, "A").await;
    let home = format!("test:{{{}}}:", bench.order.partition);
    let names = bench.names();
    assert_eq!(names.len(), 2);
    for name in names {
        assert!(name.starts_with(&home), "{name}");
        assert!(!name.contains("2024-0001") && !name.contains("PAID"), "{name}");
    }
}
