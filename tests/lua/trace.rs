//! Where an attempt is told of is told to whoever meets its order later; and costs nothing where it
//! is not.

use super::bench::Bench;
use onceward::model::order::State::{Succeeded, Unknown};
use onceward::model::trace::TraceContext;
use onceward::store::orders::Claim;

fn span(number: u8) -> TraceContext {
    TraceContext { trace: [number; 16], span: [number; 8], sampled: true }
}

/// What the next duplicate is told.
async fn told(bench: &Bench) -> Option<TraceContext> {
    match bench.ask("later").traced(span(9)).claim().await {
        Claim::Found(found) => found.trace,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_last_attempts_span_is_told_in_every_state() {
    let bench = Bench::new();
    bench.ask("A").traced(span(1)).claim().await;
    assert_eq!(told(&bench).await, Some(span(1)));
    bench.settle("A", 1, Unknown).await;
    assert_eq!(told(&bench).await, Some(span(1)));
    assert_eq!(bench.look().await.trace, Some(span(1)));
    let from = &[onceward::model::order::State::Unknown];
    bench.ask("B").from(from).traced(span(2)).claim().await;
    bench.settle("B", 2, Succeeded).await;
    assert_eq!(told(&bench).await, Some(span(2)));
}

#[tokio::test]
async fn one_that_nobody_keeps_is_not_written_down() {
    let bench = Bench::new();
    let unkept = TraceContext { sampled: false, ..span(1) };
    bench.ask("A").traced(unkept).claim().await;
    assert_eq!(told(&bench).await, None);
    assert_eq!(bench.redis.record_word(&bench.record(), "trace"), "");
    // Nor is the one of an attempt before left standing.
    bench.lose_record();
    bench.redis.command(&["DEL", &bench.lease()]);
    bench.ask("B").traced(span(1)).claim().await;
    assert_eq!(bench.redis.record_word(&bench.record(), "trace"), span(1).stored());
    bench.settle("B", 1, Unknown).await;
    bench.ask("C").from(&[Unknown]).claim().await;
    assert_eq!((told(&bench).await, bench.look().await.trace), (None, None));
}
