//! One token, one order: issued, bound, spent with the claim or not at all.

use super::bench::{Bench, CALLER, GOOD, KEEP, LEASE, found, granted, kept_in, order, spent};
use onceward::model::order::State::{InFlight, None, Succeeded};
use onceward::model::token::Token;
use onceward::store::orders::{Abandon, Claim};
use std::time::{SystemTime, UNIX_EPOCH};

/// The name a token has in the partition of the order it is spent on.
fn name(bench: &Bench, token: &Token) -> String {
    bench.store.names().token(bench.order.partition, token.hash())
}

fn millis(at: SystemTime) -> u64 {
    let millis = at.duration_since(UNIX_EPOCH).unwrap().as_millis();
    millis.try_into().unwrap()
}

#[tokio::test]
async fn a_token_is_kept_as_long_as_it_is_good_and_only_its_hash() {
    let bench = Bench::new();
    let token = bench.token().await;
    bench.assert_kept(&name(&bench, &token), GOOD);
    let names = bench.names();
    assert_eq!(names, [name(&bench, &token)]);
    assert!(!names[0].contains(token.text()));
    let all = bench.redis.command(&["HGETALL", &names[0]]);
    assert!(!all.contains(token.text()), "{all}");
}

#[tokio::test]
async fn issuing_again_after_a_lost_answer_says_the_same() {
    let bench = Bench::new();
    let token = Token::draw(Some(bench.order.clone())).unwrap();
    let first = bench.store.issue_token(&token, CALLER, "pay", GOOD);
    let first = first.await.unwrap();
    let again = bench.store.issue_token(&token, CALLER, "pay", GOOD);
    let apart = millis(again.await.unwrap()).abs_diff(millis(first));
    // The time left and the time it is are two clocks' reading, each in whole ms.
    assert!(apart <= 2, "{apart}");
}

#[tokio::test]
async fn a_token_is_spent_with_the_claim_or_not_at_all() {
    let bench = Bench::new();
    let token = bench.token().await;
    bench.claim("A").await;
    // The order is in other hands: the token is as good as before.
    let with = |who| bench.ask(who).token(spent(&token, 0));
    assert_eq!(found(with("B").claim().await).0, InFlight);
    let mismatch = with("B").payload("other").claim().await;
    assert_eq!(mismatch, Claim::Mismatch(InFlight));
    let spent_by = || bench.redis.command(&["HGET", &name(&bench, &token), "spent"]);
    assert_eq!(spent_by(), "");
    bench.abandon("A").await;
    assert_eq!(with("B").claim().await, granted(2, None));
    assert_eq!(spent_by(), bench.attempt("B").as_str());
    bench.assert_kept(&name(&bench, &token), GOOD);
}

#[tokio::test]
async fn a_claim_repeated_after_a_lost_answer_does_not_need_its_token_twice() {
    let bench = Bench::new();
    let token = bench.token().await;
    let ask = bench.ask("A").token(spent(&token, 0));
    ask.claim().await;
    assert_eq!(ask.claim().await, granted(1, None));
}

#[tokio::test]
async fn a_retry_of_the_same_payment_with_the_same_token_replays() {
    let bench = Bench::new();
    let token = bench.token().await;
    let with = |who| bench.ask(who).token(spent(&token, 0));
    with("A").claim().await;
    assert_eq!(found(with("B").claim().await).0, InFlight);
    bench.settle("A", 1, Succeeded).await;
    assert_eq!(found(with("B").claim().await).0, Succeeded);
    // Long after the token ran out, too.
    bench.redis.command(&["DEL", &name(&bench, &token)]);
    assert_eq!(found(with("B").claim().await).0, Succeeded);
}

#[tokio::test]
async fn a_bad_token_is_refused_whatever_is_wrong_with_it() {
    let bench = Bench::new();
    let token = bench.token().await;
    let unknown = Token::draw(Some(bench.order.clone())).unwrap();
    let elsewhere = Token::draw(Some(order("2024-0002"))).unwrap();
    let before = bench.writes();
    let bad = [
        bench.ask("A").token(spent(&unknown, 0)),
        bench.ask("A").token(spent(&elsewhere, 0)),
        bench.ask("A").token(spent(&token, 0)).callers("stranger"),
        bench.ask("A").token(spent(&token, 0)).order(order("2024-0003")),
    ];
    for ask in bad {
        assert_eq!(ask.claim().await, Claim::TokenInvalid);
    }
    assert_eq!(bench.writes(), before);
    assert!(!bench.has(&bench.lease()));
}

#[tokio::test]
async fn a_token_of_another_order_of_the_same_partition_is_refused() {
    let bench = Bench::new();
    let token = bench.token().await;
    let neighbour = (2..)
        .map(|n| order(&format!("2024-{n:04}")))
        .find(|order| order.partition == bench.order.partition);
    let ask = bench.ask("A").order(neighbour.unwrap());
    let ask = ask.token(spent(&token, 0));
    assert_eq!(ask.claim().await, Claim::TokenInvalid);
}

#[tokio::test]
async fn a_token_is_its_callers_under_any_of_the_secrets() {
    let bench = Bench::new();
    let token = bench.token().await;
    let ask = bench.ask("A").token(spent(&token, 0));
    let rotated = ask.callers(&format!("new,{CALLER}"));
    assert_eq!(rotated.claim().await, granted(1, None));
}

#[tokio::test]
async fn a_spent_token_does_not_start_the_same_order_again_after_its_record_expired() {
    let bench = Bench::new();
    let (token, free) = (bench.token().await, bench.free_token().await);
    let until = bench.bind(&free, CALLER, &bench.order).await.unwrap();
    for token in [spent(&token, 0), spent(&free, until)] {
        bench.ask("A").token(token.clone()).claim().await;
        bench.settle("A", 1, Succeeded).await;
        bench.lose_record();
        let again = bench.ask("B").token(token).claim().await;
        assert_eq!(again, Claim::TokenInvalid);
    }
}

#[tokio::test]
async fn abandon_gives_the_token_back() {
    let bench = Bench::new();
    let token = spent(&bench.token().await, 0);
    bench.ask("A").token(token.clone()).claim().await;
    let back = bench.abandon_with("A", Some(&token)).await;
    assert_eq!(back, Abandon::Abandoned(None));
    let again = bench.ask("B").token(token.clone()).claim().await;
    assert_eq!(again, granted(2, None));
    // A late copy of that abandon does not give back what B spent.
    bench.abandon_with("A", Some(&token)).await;
    bench.settle("B", 2, Succeeded).await;
    bench.lose_record();
    let third = bench.ask("C").token(token).claim().await;
    assert_eq!(third, Claim::TokenInvalid);
}

#[tokio::test]
async fn a_free_token_belongs_to_the_first_order_that_presents_it() {
    let bench = Bench::new();
    let token = bench.free_token().await;
    let until = bench.bind(&token, CALLER, &bench.order).await;
    assert!(until.is_some());
    assert_eq!(bench.bind(&token, CALLER, &bench.order).await, until);
    let second = order("2024-0002");
    assert_eq!(bench.bind(&token, CALLER, &second).await, Option::None);
}

#[tokio::test]
async fn a_free_token_is_bound_for_its_route_and_caller_only() {
    let bench = Bench::new();
    let token = bench.free_token().await;
    let mut refund = bench.order.clone();
    refund.route = "refund".into();
    assert_eq!(bench.bind(&token, CALLER, &refund).await, Option::None);
    let strangers = "stranger,caller2";
    assert_eq!(bench.bind(&token, strangers, &bench.order).await, Option::None);
    let unknown = Token::draw(Option::None).unwrap();
    assert_eq!(bench.bind(&unknown, CALLER, &bench.order).await, Option::None);
    // None of that bound it.
    let rotated = format!("new,{CALLER}");
    assert!(bench.bind(&token, &rotated, &bench.order).await.is_some());
}

#[tokio::test]
async fn a_free_token_that_was_spent_is_marked_until_it_runs_out() {
    let bench = Bench::new();
    let token = bench.free_token().await;
    let until = bench.bind(&token, CALLER, &bench.order).await.unwrap();
    let ask = bench.ask("A").token(spent(&token, until));
    assert_eq!(ask.claim().await, granted(1, None));
    let mark = name(&bench, &token);
    assert_eq!(bench.redis.command(&["PEXPIRETIME", &mark]), until.to_string());
    bench.assert_kept(&bench.store.names().token(kept_in(&token), token.hash()), GOOD);
    bench.assert_kept(&bench.lease(), LEASE);
    bench.assert_kept(&bench.record(), KEEP);
}

#[tokio::test]
async fn a_free_token_that_runs_out_between_bind_and_claim_starts_nothing() {
    let bench = Bench::new();
    let token = bench.free_token().await;
    let until = bench.bind(&token, CALLER, &bench.order).await.unwrap();
    bench.redis.command(&["FLUSHDB"]);
    // As if its time were over: it ends at the moment it was issued.
    let until = until - u64::try_from(GOOD.as_millis()).unwrap();
    let ask = bench.ask("A").token(spent(&token, until));
    assert_eq!(ask.claim().await, Claim::TokenInvalid);
    assert!(bench.names().is_empty());
}

#[tokio::test]
async fn a_free_token_is_good_for_an_order_that_shares_its_partition_too() {
    let bench = Bench::new();
    let token = bench.free_token().await;
    let near = (2..)
        .map(|n| order(&format!("2024-{n:04}")))
        .find(|order| order.partition == kept_in(&token))
        .unwrap();
    let until = bench.bind(&token, CALLER, &near).await.unwrap();
    let ask = |who| bench.ask(who).order(near.clone()).token(spent(&token, until));
    assert_eq!(ask("A").claim().await, granted(1, None));
    bench.redis.command(&["DEL", &bench.store.names().record(&near)]);
    bench.redis.command(&["DEL", &bench.store.names().lease(&near)]);
    assert_eq!(ask("B").claim().await, Claim::TokenInvalid);
}
