//! Whether a server remembers what was acknowledged.

use super::bench::{Bench, KEEP, store};
use crate::support::redis::Redis;
use onceward::store::history::{History, Recall};
use onceward::store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// Another replica, which knows nothing yet.
fn newcomer(bench: &Bench) -> Store {
    store(&bench.redis, |_| {})
}

async fn look(store: &Store, bench: &Bench) -> Recall {
    let looked = store.recall(bench.order.partition, KEEP).await;
    match looked {
        // The first command may find an old connection broken.
        Err(StoreError::Lost(_) | StoreError::Unreached(_)) => {
            store.recall(bench.order.partition, KEEP).await.unwrap()
        }
        looked => looked.unwrap(),
    }
}

fn persistent() -> Redis {
    Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
}

#[tokio::test]
async fn the_first_look_begins_the_window_and_later_ones_see_the_rest_of_it() {
    let bench = Bench::new();
    let first = look(&bench.store, &bench).await;
    assert_eq!((first.forgot, first.left, first.gone), (true, KEEP, None), "nobody is gone");
    let second = look(&bench.store, &bench).await;
    assert_eq!((second.forgot, second.gone, &second.server), (false, None, &first.server));
    assert!(second.left <= KEEP && second.left > KEEP / 2, "{second:?}");
}

#[tokio::test]
async fn a_window_that_is_over_stays_so_on_the_same_server() {
    let bench = Bench::new();
    let soon = Duration::from_millis(1);
    bench.store.recall(bench.order.partition, soon).await.unwrap();
    tokio::time::sleep(2 * soon).await;
    let recalled = look(&bench.store, &bench).await;
    assert_eq!((recalled.forgot, recalled.left), (false, Duration::ZERO));
}

#[tokio::test]
async fn a_restarted_server_is_another_one_though_it_kept_everything() {
    let mut bench = Bench::on(persistent());
    look(&bench.store, &bench).await;
    bench.redis.restart();
    // Whoever looks: the mark tells of the one before.
    let recalled = look(&newcomer(&bench), &bench).await;
    assert_eq!((recalled.forgot, recalled.left, recalled.gone), (true, KEEP, Some(Duration::ZERO)));
    let again = look(&bench.store, &bench).await;
    assert!(!again.forgot && again.gone.is_some(), "{again:?}");
}

#[tokio::test]
async fn an_empty_server_took_the_place_of_another_where_somebody_knew_one() {
    let mut bench = Bench::new();
    look(&bench.store, &bench).await;
    bench.redis.restart();
    // Whoever did not know the one before may be the first to come.
    let first = look(&newcomer(&bench), &bench).await;
    assert_eq!((first.forgot, first.gone), (true, None));
    let told = look(&bench.store, &bench).await;
    assert_eq!((told.forgot, told.left, told.gone), (true, KEEP, Some(Duration::ZERO)));
    let since = look(&newcomer(&bench), &bench).await;
    assert!(!since.forgot && since.gone.is_some(), "{since:?}");
}

#[tokio::test]
async fn a_beginning_is_one_only_until_somebody_tells_otherwise() {
    let mut bench = Bench::new();
    look(&bench.store, &bench).await;
    bench.redis.restart();
    let newcomer = store(&bench.redis, |config| config.history = Arc::new(History::new(KEEP)));
    let doubt = async || newcomer.in_doubt(bench.order.partition).await.unwrap().unwrap();
    assert_eq!(doubt().await.gone, None);
    look(&bench.store, &bench).await;
    assert!(doubt().await.gone.is_some());
}

#[tokio::test]
async fn a_new_replication_history_is_another_server_in_the_same_process() {
    let bench = Bench::new();
    look(&bench.store, &bench).await;
    bench.redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    bench.redis.command(&["REPLICAOF", "NO", "ONE"]);
    assert!(look(&bench.store, &bench).await.forgot);
}
