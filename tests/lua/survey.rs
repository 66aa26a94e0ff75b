//! What is open can be counted and found.

use super::bench::{Bench, FINAL, KEEP};
use onceward::model::order::State::{self, None, Succeeded, Unknown};
use onceward::store::listing::Mark;
use onceward::store::orders::Lapse;
use onceward::store::survey::{Left, Survey, Unknown as Seen};
use std::time::Duration;

async fn survey(bench: &Bench) -> Survey {
    let survey = bench.store.survey(bench.order.partition, 2, 0..=9);
    survey.await.unwrap()
}

/// As if the order's lease should have run out by now.
fn overdue(bench: &Bench, id: &str) {
    bench.redis.command(&["ZADD", &bench.due(), "1", id]);
}

#[tokio::test]
async fn a_survey_counts_what_is_open_and_names_what_is_due() {
    let bench = Bench::new();
    let nothing = Survey {
        in_flight: 0,
        unknown: 0,
        cancelling: 0,
        oldest_unknown: Option::None,
        queued: 0,
        oldest_queued: Option::None,
        due: vec![],
        some_unknown: vec![],
    };
    assert_eq!(survey(&bench).await, nothing);
    bench.claim("A").await;
    let in_flight = Survey { in_flight: 1, ..nothing.clone() };
    assert_eq!(survey(&bench).await, in_flight);
    for id in ["b", "c"] {
        overdue(&bench, id);
    }
    overdue(&bench, &bench.order.id);
    // No more than were asked for.
    assert_eq!(survey(&bench).await.due.len(), 2);
    for id in ["b", "c"] {
        bench.redis.command(&["ZREM", &bench.due(), id]);
    }
    assert_eq!(survey(&bench).await.due, [&*bench.order.id]);
    bench.settle("A", 1, Succeeded).await;
    assert_eq!(survey(&bench).await, nothing);
}

#[tokio::test]
async fn the_oldest_unknown_order_has_an_age() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle("A", 1, Unknown).await;
    let long_ago = ["ZINCRBY", &bench.unknown(), "-60000", &bench.order.id];
    bench.redis.command(&long_ago);
    let seen = survey(&bench).await;
    assert_eq!((seen.in_flight, seen.unknown), (0, 1));
    let age = seen.oldest_unknown.unwrap();
    assert_eq!(seen.some_unknown, [Seen { id: bench.order.id.to_string(), age }]);
    assert!(age >= Duration::from_secs(60) && age < Duration::from_secs(80));
    // Settling it again as unknown makes it no younger.
    bench.redis.change_record(&bench.record(), &["settled", ""]);
    bench.settle("A", 1, Unknown).await;
    assert!(survey(&bench).await.oldest_unknown.unwrap() >= Duration::from_secs(60));
}

#[tokio::test]
async fn an_unknown_order_whose_record_expired_is_no_longer_counted() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle("A", 1, Unknown).await;
    let left = async || {
        let left = bench.store.left(bench.order.partition, [&*bench.order.id].into_iter());
        left.await.unwrap()[0]
    };
    assert!(matches!(left().await, Left::For(left) if left <= FINAL && left > FINAL / 2));
    bench.redis.command(&["PERSIST", &bench.record()]);
    assert_eq!(left().await, Left::Always);
    // Lapse looks at it: nothing comes of that while the record stands.
    let before = bench.writes();
    assert_eq!(bench.lapse(Option::None).await, Lapse::Moved(Unknown));
    assert_eq!(bench.writes(), before);
    bench.lose_record();
    assert_eq!(left().await, Left::Gone);
    assert_eq!(survey(&bench).await.some_unknown[0].id, &*bench.order.id);
    assert_eq!(bench.lapse(Option::None).await, Lapse::Moved(None));
    assert_eq!(survey(&bench).await.unknown, 0);
}

#[tokio::test]
async fn a_survey_tells_of_the_unknown_orders_that_were_asked_for() {
    let bench = Bench::new();
    let from_place = async |first: u32| {
        let survey = bench.store.survey(bench.order.partition, 9, first..=first + 1).await.unwrap();
        assert_eq!((survey.unknown, survey.due.len()), (3, 1));
        survey.some_unknown.into_iter().map(|unknown| unknown.id).collect::<Vec<_>>()
    };
    overdue(&bench, "d");
    for (since, id) in [("1", "a"), ("2", "b"), ("3", "c")] {
        bench.redis.command(&["ZADD", &bench.unknown(), since, id]);
    }
    assert_eq!(from_place(0).await, ["a", "b"]);
    assert_eq!(from_place(2).await, ["c"]);
    assert!(from_place(3).await.is_empty());
}

#[tokio::test]
async fn an_order_in_flight_whose_record_is_gone_is_struck_from_what_is_due() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.lose_record();
    overdue(&bench, &bench.order.id);
    assert_eq!(bench.lapse(Option::None).await, Lapse::Moved(None));
    assert_eq!(survey(&bench).await.in_flight, 0);
}

#[tokio::test]
async fn orders_are_listed_by_state_and_abandoned_ones_not_at_all() {
    let bench = Bench::new();
    for (key, to) in [("1", Succeeded), ("2", Succeeded), ("3", Unknown)] {
        let order = super::bench::order(key);
        bench.ask(key).order(order.clone()).claim().await;
        let settled = onceward::store::orders::Settlement {
            order: &order,
            attempt: &bench.attempt(key),
            fence: 1,
            to,
            keep: KEEP,
            kept: &onceward::model::response::Kept::Nothing,
            why: "listed",
            begun: Option::None,
        };
        bench.store.settle(&settled).await.unwrap();
    }
    bench.claim("A").await;
    bench.abandon("A").await;
    let count = async |state: Option<State>| {
        let page = bench.store.orders(state, Mark::default(), 1000).await.unwrap();
        assert_eq!(page.next, Option::None);
        page.orders.len()
    };
    assert_eq!(count(Some(Succeeded)).await, 2);
    assert_eq!(count(Some(Unknown)).await, 1);
    assert_eq!(count(Option::None).await, 3);
    bench.claim("B").await;
    assert_eq!(count(Some(State::InFlight)).await, 1);
}
