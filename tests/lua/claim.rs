//! One claim is granted; everybody else is told what stands.

use super::bench::{Bench, KEEP, LEASE, answer, found, granted, order, store};
use crate::support::until;
use onceward::model::order::State::{self, InFlight, None, Succeeded};
use onceward::model::response::Kept;
use onceward::store::orders::{Abandon, Claim, Settle};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn the_first_claim_is_granted_and_written_down() {
    let bench = Bench::new();
    assert_eq!(bench.claim("A").await, granted(1, None));
    let owner = format!("{}:1", bench.attempt("A"));
    assert_eq!(bench.redis.command(&["GET", &bench.lease()]), owner);
    let record = bench.look().await;
    assert_eq!((record.state, record.fence, record.attempts), (InFlight, 1, 1));
    assert_eq!(
        (&*record.route, &*record.key, &*record.scope, &*record.caller),
        ("pay", "2024-0001", "tenant", "caller")
    );
    assert_eq!(bench.indexed(&bench.due()), [&*bench.order.id]);
}

#[tokio::test]
async fn lease_and_record_are_kept_as_asked() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.assert_kept(&bench.lease(), LEASE);
    bench.assert_kept(&bench.record(), KEEP);
}

#[tokio::test]
async fn the_record_outlives_the_lease_even_when_it_is_not_asked_to() {
    let bench = Bench::new();
    let ask = bench.ask("A").keep(Duration::from_millis(1));
    ask.claim().await;
    assert!(bench.ttl(&bench.record()) > bench.ttl(&bench.lease()));
    // A repeat gives the lease its whole time again.
    bench.redis.command(&["PEXPIRE", &bench.record(), "20000"]);
    ask.claim().await;
    assert!(bench.ttl(&bench.record()) > bench.ttl(&bench.lease()));
}

#[tokio::test]
async fn times_beyond_what_redis_takes_are_cut_to_what_it_takes() {
    let bench = Bench::new();
    let ask = bench.ask("A").keep(Duration::MAX).lease(Duration::MAX);
    assert_eq!(ask.claim().await, granted(1, None));
}

#[tokio::test]
async fn a_duplicate_finds_the_order_in_flight_and_how_long_its_lease_holds() {
    let bench = Bench::new();
    bench.claim("A").await;
    let Claim::Found(found) = bench.claim("B").await else {
        panic!("granted twice");
    };
    assert_eq!((found.state, found.fence), (InFlight, 1));
    assert!(found.left > LEASE / 2 && found.left <= LEASE);
    assert_eq!(found.kept, Kept::Nothing);
}

#[tokio::test]
async fn a_duplicate_of_a_finished_order_finds_its_response() {
    let bench = Bench::new();
    bench.claim("A").await;
    let response = answer(201, b"\x00paid\xff");
    bench.settle_with("A", 1, Succeeded, &response).await;
    assert_eq!(found(bench.claim("B").await), (Succeeded, response));
}

#[tokio::test]
async fn a_duplicate_writes_no_more_than_that_somebody_waits_and_that_once() {
    let bench = Bench::new();
    bench.claim("A").await;
    let before = bench.writes();
    for who in ["B", "C", "B"] {
        bench.claim(who).await;
    }
    assert_eq!(bench.writes(), before + 1);
    bench.settle("A", 1, Succeeded).await;
    let before = bench.writes();
    bench.claim("B").await;
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn another_payload_under_the_same_key_is_a_mismatch_in_every_state() {
    let bench = Bench::new();
    let other = bench.ask("B").payload("other").from(&[None, State::Unknown]);
    bench.claim("A").await;
    assert_eq!(other.claim().await, Claim::Mismatch(InFlight));
    bench.settle("A", 1, State::Unknown).await;
    assert_eq!(other.claim().await, Claim::Mismatch(State::Unknown));
    bench.settle("A", 1, Succeeded).await;
    let before = bench.writes();
    assert_eq!(other.claim().await, Claim::Mismatch(Succeeded));
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn a_payload_is_known_again_under_any_of_the_secrets() {
    let bench = Bench::new();
    bench.ask("A").payload("old").claim().await;
    let rotated = bench.ask("B").payload("new,old").claim().await;
    assert_eq!(found(rotated).0, InFlight);
    // Part of a digest is not one.
    let part = bench.ask("B").payload("ol,ld,old2").claim().await;
    assert_eq!(part, Claim::Mismatch(InFlight));
}

#[tokio::test]
async fn an_abandoned_order_takes_another_payload() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.abandon("A").await;
    let other = bench.ask("B").payload("other").claim().await;
    assert_eq!(other, granted(2, None));
    assert_eq!(bench.claim("C").await, Claim::Mismatch(InFlight));
}

#[tokio::test]
async fn a_repeated_claim_of_the_same_attempt_is_granted_again_under_the_same_fence() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.redis.command(&["PEXPIRE", &bench.lease(), "9000"]);
    assert_eq!(bench.claim("A").await, granted(1, None));
    bench.assert_kept(&bench.lease(), LEASE);
    bench.lose_lease();
    assert_eq!(bench.claim("A").await, granted(1, None));
    bench.assert_kept(&bench.lease(), LEASE);
    assert_eq!(bench.look().await.attempts, 1);
}

#[tokio::test]
async fn a_late_copy_of_a_claim_does_not_start_an_attempt_that_ended() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle("A", 1, Succeeded).await;
    assert_eq!(found(bench.claim("A").await).0, Succeeded);
    assert!(!bench.has(&bench.lease()));
}

#[tokio::test]
async fn a_lease_that_ran_out_is_seen_and_not_granted_again() {
    let bench = Bench::new();
    let short = bench.ask("A").lease(Duration::from_millis(20));
    short.claim().await;
    until("the lease runs out", || !bench.has(&bench.lease()));
    let before = bench.writes();
    assert_eq!(bench.claim("B").await, Claim::Lapsed { fence: 1 });
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn a_lease_whose_record_was_lost_is_waited_for() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.lose_record();
    let before = bench.writes();
    assert_eq!(found(bench.claim("B").await), (InFlight, Kept::Nothing));
    assert_eq!(bench.writes(), before);
}

#[tokio::test]
async fn the_fence_never_falls_not_even_after_abandon() {
    let bench = Bench::new();
    for fence in 1..=40 {
        let who = format!("attempt {fence}");
        assert_eq!(bench.claim(&who).await, granted(fence, None));
        assert_eq!(bench.abandon(&who).await, Abandon::Abandoned(None));
    }
    bench.claim("last").await;
    assert_eq!(bench.settle("last", 41, Succeeded).await, Settle::Settled);
    assert_eq!(bench.look().await.fence, 41);
}

#[tokio::test]
async fn of_fifty_claims_on_four_connections_one_is_granted() {
    let bench = Arc::new(Bench::new());
    let stores: Vec<_> = (0..4).map(|_| Arc::new(store(&bench.redis, |_| {}))).collect();
    let mut claims = tokio::task::JoinSet::new();
    for n in 0..50 {
        let (bench, store) = (bench.clone(), stores[n % 4].clone());
        claims.spawn(async move {
            let ask = bench.ask(&format!("attempt {n}"));
            ask.through(&store).claim().await
        });
    }
    let claims = claims.join_all().await;
    let winners = claims.iter().filter(|claim| **claim == granted(1, None));
    assert_eq!(winners.count(), 1);
    let losers = claims
        .iter()
        .filter(|claim| matches!(claim, Claim::Found(found) if found.state == InFlight));
    assert_eq!(losers.count(), 49);
    assert_eq!(bench.look().await.attempts, 1);
}

#[tokio::test]
async fn orders_do_not_stand_in_each_others_way() {
    let bench = Bench::new();
    bench.claim("A").await;
    let next = bench.ask("B").order(order("2024-0002"));
    assert_eq!(next.claim().await, granted(1, None));
}

#[tokio::test]
async fn a_first_payment_costs_redis_nine_commands_inside_and_a_duplicate_two() {
    let bench = Bench::new();
    // Loads the scripts.
    bench.claim("A").await;
    bench.settle("A", 1, Succeeded).await;
    bench.lose_record();
    let commands = || {
        let stats = bench.redis.command(&["INFO", "commandstats"]);
        let inside = stats.lines().filter_map(|line| {
            let (name, counts) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let ours = !["info", "evalsha", "config|resetstat"].contains(&name);
            ours.then(|| counts.split(',').next()?.parse::<u64>().ok())?
        });
        inside.sum::<u64>()
    };
    bench.redis.command(&["CONFIG", "RESETSTAT"]);
    bench.claim("B").await;
    assert_eq!(commands(), 5);
    bench.settle("B", 1, Succeeded).await;
    assert_eq!(commands(), 9);
    bench.claim("C").await;
    assert_eq!(commands(), 11);
}
