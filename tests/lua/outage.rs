//! Redis without its scripts, without memory, without the right to write, without replicas.

use super::bench::{Bench, answer, found, granted, spent, store};
use onceward::model::order::State::{InFlight, None, Succeeded, Unknown};
use onceward::store::StoreError;
use onceward::store::orders::{Abandon, Lapse, Renewal, Settle};

#[track_caller]
fn declined<T: std::fmt::Debug>(asked: Result<T, StoreError>) -> String {
    match asked {
        Err(StoreError::Declined(word)) => word,
        other => panic!("{other:?}"),
    }
}

/// Every script once, after `before`.
async fn play(bench: &Bench, before: impl Fn()) {
    before();
    let token = bench.token().await;
    before();
    let free = bench.free_token().await;
    before();
    assert!(bench.bind(&free, "caller", &bench.order).await.is_some());
    before();
    let ask = bench.ask("A").token(spent(&token, 0));
    assert_eq!(ask.claim().await, granted(1, None));
    before();
    assert_eq!(bench.renew("A", 1).await, Renewal::Renewed);
    before();
    assert!(matches!(bench.lapse(Some(1)).await, Lapse::Held(_)));
    before();
    assert_eq!(bench.abandon("B").await, Abandon::Voided(InFlight));
    before();
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Settled);
    before();
    assert_eq!(bench.look().await.state, Succeeded);
    before();
    let survey = bench.store.survey(bench.order.partition, 10, 0..=9).await;
    assert_eq!(survey.unwrap().in_flight, 0);
}

#[tokio::test]
async fn a_forgotten_script_is_loaded_again_and_does_its_work_once() {
    let bench = Bench::new();
    play(&bench, || {
        bench.redis.command(&["SCRIPT", "FLUSH"]);
    })
    .await;
    assert_eq!(bench.redis.calls("eval"), 10);
    let bench = Bench::new();
    play(&bench, || {}).await;
    // Known by its hash from then on; two tokens were issued.
    assert_eq!(bench.redis.calls("eval"), 9);
    assert_eq!(bench.look().await.attempts, 1);
}

/// From now on every command that may need memory is declined.
fn fill(bench: &Bench) {
    bench.redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    bench.redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
}

#[tokio::test]
async fn claim_while_memory_is_full_writes_nothing() {
    let bench = Bench::new();
    fill(&bench);
    assert_eq!(declined(bench.ask("A").try_claim().await), "OOM");
    assert!(bench.names().is_empty());
}

#[tokio::test]
async fn an_outcome_gets_through_while_memory_is_full() {
    let bench = Bench::new();
    bench.claim("A").await;
    fill(&bench);
    assert_eq!(bench.renew("A", 1).await, Renewal::Renewed);
    assert_eq!(bench.settle("A", 1, Succeeded).await, Settle::Settled);
    assert_eq!(bench.look().await.state, Succeeded);
}

#[tokio::test]
async fn a_claim_is_given_back_or_lapses_while_memory_is_full() {
    let bench = Bench::new();
    bench.claim("A").await;
    fill(&bench);
    assert_eq!(bench.abandon("A").await, Abandon::Abandoned(None));
    bench.redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    bench.claim("B").await;
    bench.lose_lease();
    fill(&bench);
    assert_eq!(bench.lapse(Some(2)).await, Lapse::Lapsed(2));
    assert_eq!(bench.look().await.state, Unknown);
}

#[tokio::test]
async fn a_read_only_replica_declines_what_writes_and_shows_what_is() {
    let bench = Bench::new();
    bench.claim("A").await;
    // Nobody listens there.
    bench.redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(declined(bench.ask("B").try_claim().await), "READONLY");
    let settled = bench.try_settle("A", 1, Succeeded, &answer(200, b"")).await;
    assert_eq!(declined(settled), "READONLY");
    assert_eq!(bench.look().await.attempts, 1);
    let survey = bench.store.survey(bench.order.partition, 10, 0..=9).await;
    assert_eq!(survey.unwrap().in_flight, 1);
}

#[tokio::test]
async fn a_claim_too_few_replicas_have_is_not_acted_upon() {
    let bench = Bench::new();
    let careful = store(&bench.redis, |config| config.wait_replicas = 1);
    let asked = bench.ask("A").through(&careful).try_claim().await;
    let Err(error) = asked else {
        panic!("{asked:?}");
    };
    assert!(matches!(error, StoreError::Unconfirmed { confirmed: 0, wanted: 1 }));
    // It stands, and must be taken back.
    assert!(error.may_have_happened());
    assert_eq!(bench.abandon("A").await, Abandon::Abandoned(None));
}

#[tokio::test]
async fn a_replay_does_not_wait_for_replicas() {
    let bench = Bench::new();
    let careful = store(&bench.redis, |config| config.wait_replicas = 1);
    bench.claim("A").await;
    bench.settle("A", 1, Succeeded).await;
    let duplicate = bench.ask("B").through(&careful).claim().await;
    assert_eq!(found(duplicate), (Succeeded, answer(200, b"paid")));
}
