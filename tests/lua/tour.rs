//! Provokes every reply of every script, one by one.

use super::bench::{Bench, CALLER, answer, found, order, spent};
use onceward::model::order::State::{Succeeded, Unknown};
use onceward::model::token::Token;
use onceward::store::orders::{Abandon, Claim, Lapse, Renewal, Settle};
use std::collections::BTreeSet;

/// A script and the word it answered with.
pub type Seen = BTreeSet<(&'static str, &'static str)>;

/// Goes through all of them; the words are told from the typed answers.
pub async fn every_reply(bench: &Bench) -> Seen {
    let mut seen = Seen::new();
    for walk in [finished(bench).await, lost(bench).await, looks(bench).await] {
        seen.extend(walk);
    }
    seen
}

async fn finished(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    let (token, free) = (bench.token().await, bench.free_token().await);
    let wrong = spent(&Token::draw(None).unwrap(), 0);
    let bound = bench.bind(&free, CALLER, &bench.order).await;
    let other = bench.bind(&free, CALLER, &order("other")).await;
    vec![
        ("issue_token", "issued"),
        ("bind_token", bound.map_or("invalid", |_| "bound")),
        ("bind_token", other.map_or("invalid", |_| "bound")),
        claim(bench.ask("A").token(wrong).claim().await),
        settle(bench.settle("A", 1, Succeeded).await),
        abandon(bench.abandon("Z").await),
        claim(bench.claim("Z").await),
        claim(bench.ask("A").token(spent(&token, 0)).claim().await),
        abandon(bench.abandon("A").await),
        claim(bench.claim("B").await),
        claim(bench.claim("C").await),
        claim(bench.ask("C").payload("other").claim().await),
        renew(bench.renew("B", 2).await),
        lapse(bench.lapse(None).await),
        settle(bench.settle("A", 1, Succeeded).await),
        settle(bench.settle("B", 2, Succeeded).await),
        settle(bench.settle("B", 2, Unknown).await),
        abandon(bench.abandon("B").await),
        renew(bench.renew("B", 2).await),
    ]
}

async fn lost(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    bench.lose_record();
    bench.claim("D").await;
    bench.lose_lease();
    let regained = renew(bench.renew("D", 1).await);
    bench.lose_lease();
    let seen = vec![
        regained,
        claim(bench.claim("E").await),
        lapse(bench.lapse(Some(1)).await),
        lapse(bench.lapse(Some(1)).await),
    ];
    assert_eq!(found(bench.claim("E").await).0, Unknown);
    bench.settle_with("D", 1, Succeeded, &answer(200, b"")).await;
    seen
}

async fn looks(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    let mut seen = Vec::new();
    for order in [&bench.order, &order("never-seen")] {
        let record = bench.store.look(order).await.unwrap();
        seen.push(("look", record.map_or("absent", |_| "order")));
    }
    let survey = bench.store.survey(bench.order.partition, 10).await;
    seen.push(("survey", survey.map(|_| "survey").unwrap()));
    seen
}

fn claim(claim: Claim) -> (&'static str, &'static str) {
    let word = match claim {
        Claim::Granted { .. } => "granted",
        Claim::Found(_) => "found",
        Claim::Lapsed { .. } => "lapsed",
        Claim::Mismatch(_) => "mismatch",
        Claim::TokenInvalid => "token-invalid",
        Claim::Voided => "voided",
    };
    ("claim", word)
}

fn renew(renewal: Renewal) -> (&'static str, &'static str) {
    let word = match renewal {
        Renewal::Renewed => "renewed",
        Renewal::Regained => "regained",
        Renewal::Lost(_) => "lost",
    };
    ("renew", word)
}

fn settle(settle: Settle) -> (&'static str, &'static str) {
    let word = match settle {
        Settle::Settled => "settled",
        Settle::Fenced(_) => "fenced",
        Settle::Refused(_) => "refused",
        Settle::Gone => "gone",
    };
    ("settle", word)
}

fn abandon(abandon: Abandon) -> (&'static str, &'static str) {
    let word = match abandon {
        Abandon::Abandoned(_) => "abandoned",
        Abandon::Voided => "voided",
        Abandon::Refused(_) => "refused",
    };
    ("abandon", word)
}

fn lapse(lapse: Lapse) -> (&'static str, &'static str) {
    let word = match lapse {
        Lapse::Lapsed(_) => "lapsed",
        Lapse::Held(_) => "held",
        Lapse::Moved(_) => "moved",
    };
    ("lapse", word)
}
