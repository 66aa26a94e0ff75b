//! The channels' own times, held to the due times in Redis: no clock is waited for.

use super::bench::{Bench, CALLER, answer};
use onceward::config::Config;
use onceward::model::order::State::{Cancelling, Unknown};
use onceward::route::Route;
use onceward::store::resolve::Adopt;
use onceward::worker::schedule::asking;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Longer between two commands than this, and the machine's pauses would show in the times.
const STALL: Duration = Duration::from_millis(300);

/// As if the order had been unknown for so many ms, and were due.
const TRAVEL: &str = "local t = redis.call('TIME') \
    local now = t[1] * 1000 + math.floor(t[2] / 1000) \
    redis.call('ZADD', KEYS[1], 'XX', now - ARGV[2], ARGV[1]) \
    return redis.call('ZADD', KEYS[2], 'XX', now, ARGV[1])";

/// A route of that preset that can ask and cancel.
fn route(preset: &str, more: &str) -> Arc<Route> {
    let routes = format!(
        r#"[{{"name": "pay", "path": "/pay", "preset": "{preset}"{more},
             "query": {{"method": "GET", "path": "/q?id={{key}}"}},
             "cancel": {{"method": "POST", "path": "/c?id={{key}}"}}}}]"#
    );
    let variables = HashMap::from([("ONCEWARD_ROUTES".to_owned(), routes)]);
    Config::load(&variables).unwrap().routes.0[0].clone()
}

fn score(bench: &Bench, index: &str) -> u64 {
    bench.redis.command(&["ZSCORE", index, &bench.order.id]).parse().unwrap()
}

/// When an order that nobody pays is asked about and then cancelled, in ms since it became unknown.
async fn times(route: &Route) -> (Vec<u64>, u64) {
    'anew: loop {
        let bench = Bench::new();
        bench.ask("A").asked_after(route.ask_after()).claim().await;
        bench.settle_with("A", 1, Unknown, &answer(200, b"still paying")).await;
        let mut at = score(&bench, &bench.due()) - score(&bench, &bench.unknown());
        let mut asked = Vec::new();
        loop {
            let (unknown, due) = (bench.unknown(), bench.due());
            let begun = Instant::now();
            let travel = ["EVAL", TRAVEL, "2", &unknown, &due, &bench.order.id, &at.to_string()];
            bench.redis.command(&travel);
            let (seen, turn) = (bench.look().await, bench.attempt(&at.to_string()));
            // As late as chance allows: a channel's times leave nothing to it.
            let ask = asking(Some(route), &bench.order, &turn, &seen, 1.0);
            let adopted = bench.store.adopt(&ask).await.unwrap();
            if begun.elapsed() > STALL {
                continue 'anew;
            }
            match adopted {
                Adopt::Adopted { state: Unknown, turn, .. } => {
                    asked.push(at);
                    // The last turn ends with the deadline, less what this test took.
                    let ends = at + u64::try_from(turn.as_millis()).unwrap();
                    at = ends.next_multiple_of(500);
                }
                Adopt::Adopted { state: Cancelling, .. } => return (asked, at),
                other => panic!("at {at}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn alipay_barcode_asks_after_5_s_then_every_3_s_up_to_60_s_then_cancels() {
    let (asked, cancelled) = times(&route("alipay-barcode", "")).await;
    assert_eq!(asked, (0..19).map(|n| 5000 + 3000 * n).collect::<Vec<_>>());
    assert_eq!(cancelled, 60_000);
}

#[tokio::test]
async fn wechat_micropay_asks_every_10_s_up_to_45_s_then_reverses() {
    let (asked, cancelled) = times(&route("wechat-micropay", "")).await;
    assert_eq!(asked, [10_000, 20_000, 30_000, 40_000]);
    assert_eq!(cancelled, 45_000);
}

#[tokio::test]
async fn a_route_overrides_its_presets_times() {
    let more = r#", "first_query": "2s", "query_interval": "20s", "resolve_deadline": "50s""#;
    let (asked, cancelled) = times(&route("alipay-barcode", more)).await;
    assert_eq!((asked, cancelled), (vec![2000, 22_000, 42_000], 50_000));
}

#[tokio::test]
async fn wechat_micropay_is_not_reversed_within_15_s_of_paying() {
    let route = route("wechat-micropay", "");
    let bench = Bench::new();
    bench.ask("A").asked_after(route.ask_after()).claim().await;
    bench.settle_with("A", 1, Unknown, &answer(200, b"still paying")).await;
    bench.cancel(Some(CALLER), true).await;
    let seen = bench.look().await;
    let turn = bench.attempt("T");
    let adopted = bench.store.adopt(&asking(Some(&route), &bench.order, &turn, &seen, 0.0)).await;
    assert!(matches!(adopted, Ok(Adopt::Adopted { state: Cancelling, .. })), "{adopted:?}");
    let paid = seen.history[0].at.duration_since(UNIX_EPOCH).unwrap().as_millis();
    let due = u128::from(score(&bench, &bench.due()));
    assert_eq!(due - paid, 15_000);
}
