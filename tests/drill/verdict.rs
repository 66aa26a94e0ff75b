//! What came of it. Every order must end; then the ledger is read, and every answer anybody got is
//! held against what duplicates get now.

use super::accidents::Deck;
use super::pod::{Pod, REPLICAS};
use super::shoppers::{Everything, Told, Wish, code, order, paying, wish};
use crate::support::client::{Call, Reply};
use crate::support::{PATIENCE, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Kinds of accident that must have been seen.
const KINDS_SEEN: usize = 20;

/// How long after the last accident an order may still be open: RESOLVE_DEADLINE, the round of the
/// survey that finds what a killed sidecar held, one cancel, and a busy machine; beside that the
/// time it takes to ask after each order.
const ALL_FINAL: Duration = PATIENCE.saturating_mul(2);
const ASKING: Duration = Duration::from_millis(10);

/// The verdict, and the table it prints.
pub struct Verdict {
    seed: u64,
    orders: usize,
    sent: usize,
    hung_up: usize,
    restarts: usize,
    clocks: bool,
    seen: BTreeMap<String, u64>,
    ends: BTreeMap<String, usize>,
    /// Orders by how often they were charged.
    effects: BTreeMap<usize, usize>,
    refunds: usize,
    differed: usize,
    lost: usize,
    open: usize,
    /// How long orders were of unknown outcome, in ms, sorted.
    recovered: Vec<u64>,
    /// What was broken, with the order's history.
    pub broken: Vec<String>,
}

/// Waits until every order is final, then judges.
pub fn reach(pod: &Pod, deck: &Deck, all: Everything, orders: usize, seed: u64) -> Verdict {
    let mut verdict = Verdict {
        seed,
        orders,
        sent: all.sent,
        hung_up: all.hung_up,
        restarts: pod.restarts.load(Ordering::SeqCst),
        clocks: pod.clocks,
        seen: deck.seen(),
        ends: BTreeMap::new(),
        effects: BTreeMap::new(),
        refunds: 0,
        differed: 0,
        lost: 0,
        open: 0,
        recovered: Vec::new(),
        broken: Vec::new(),
    };
    // What was told of a life of Redis that is over, nobody need know.
    let mut told: Vec<Vec<&Told>> = (0..orders).map(|_| Vec::new()).collect();
    for answer in all.told.iter().filter(|told| told.life == pod.life()) {
        told[answer.n].push(answer);
    }
    let whole: Vec<bool> = (0..orders).map(|n| all.began.get(&n) == Some(&pod.life())).collect();
    let mut documents = vec![Value::Null; orders];
    verdict.all_end(pod, &told, &mut documents);
    for (n, answers) in told.iter().enumerate() {
        verdict.same_answer(pod, n, answers, &documents[n]);
    }
    verdict.ledger(pod, &documents, &whole);
    verdict.recovered.sort_unstable();
    let kinds = verdict.kinds();
    if kinds < KINDS_SEEN {
        verdict.broken.push(format!("only {kinds} kinds of accident were seen"));
    }
    verdict
}

impl Verdict {
    fn breaks(&mut self, n: usize, what: &str, document: &Value) {
        self.broken.push(format!(
            "{} ({}, {:?}): {what}\n{document:#}",
            order(n),
            code(n),
            wish(n)
        ));
    }

    /// Every order ends. One that nothing was sent of is sent again, as its caller would.
    fn all_end(&mut self, pod: &Pod, told: &[Vec<&Told>], documents: &mut [Value]) {
        let deadline = Instant::now() + ALL_FINAL + ASKING * self.orders as u32;
        let mut open: Vec<usize> = (0..self.orders).collect();
        while !open.is_empty() && Instant::now() < deadline {
            open.retain(|&n| {
                let document = document(pod, n);
                let state = document["state"].as_str().unwrap_or("none").to_owned();
                let gone = document["state"].is_null();
                documents[n] = document;
                if gone && told[n].iter().any(|told| is_kept(&told.reply)) {
                    self.lost += 1;
                    self.breaks(n, "it was accepted, and nobody knows it any more", &Value::Null);
                    return false;
                }
                if state == "none" {
                    drop(paying(n).try_begin(pod.at(n)));
                }
                !is_final(&state)
            });
            sleep(Duration::from_millis(100));
        }
        for n in open {
            self.open += 1;
            self.breaks(n, "it never ended", &documents[n]);
        }
    }

    /// Duplicates at every replica get the same, and it is what anybody was told who was told how
    /// the order ended; an answer that a rule touched on its way is the rule's.
    fn same_answer(&mut self, pod: &Pod, n: usize, told: &[&Told], document: &Value) {
        let Some(state) = document["state"].as_str().filter(|state| is_final(state)) else {
            return;
        };
        *self.ends.entry(state.to_owned()).or_default() += 1;
        let duplicates = [0, 1, 2].map(|at: usize| paying(n).send(pod.at((n + at) % REPLICAS)));
        let now = (duplicates[0].status, &duplicates[0].body);
        let payments = || told.iter().filter(|told| told.payment).map(|told| &told.reply);
        let settled = payments().filter(|reply| tells_the_end(reply));
        let others = duplicates[1..].iter().chain(settled);
        let differing = others.filter(|reply| (reply.status, &reply.body) != now);
        let differing: Vec<String> = differing.map(|reply| format!("{reply:?}")).collect();
        if !differing.is_empty() {
            self.differed += 1;
            let what = format!("now {:?}\nbut {}", duplicates[0], differing.join("\nand "));
            self.breaks(n, &what, document);
        }
        if payments().any(|reply| reply.state() == "succeeded") && state != "succeeded" {
            self.breaks(n, "somebody was told it succeeded", document);
        }
        self.recovered.extend(unknown_for(document));
    }

    /// What the ledger has for each order, against how it ended. Of an order that began in a life of
    /// Redis that is over, a cancel may be forgotten; that it is charged twice, never.
    fn ledger(&mut self, pod: &Pod, documents: &[Value], whole: &[bool]) {
        let ledger = pod.sandbox.ledger();
        let mut moved: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for line in &ledger.lines {
            let (charges, refunds) = moved.entry(&line.order).or_default();
            match line.kind {
                onceward::sandbox::ledger::Kind::Refund => *refunds += 1,
                _ => *charges += 1,
            }
        }
        for (n, document) in documents.iter().enumerate() {
            let (charges, refunds) = moved.get(order(n).as_str()).copied().unwrap_or_default();
            *self.effects.entry(charges).or_default() += 1;
            self.refunds += refunds;
            let right = match document["state"].as_str().unwrap_or("none") {
                "succeeded" if !whole[n] => charges == 1,
                _ if !whole[n] => charges <= 1 && refunds <= charges,
                "succeeded" => (charges, refunds) == (1, 0),
                "failed" => (charges, refunds) == (0, 0),
                _ => charges <= 1 && refunds == charges,
            };
            let early = wish(n) == Wish::CancelBefore && was_cancelled_first(document);
            if !right || (early && charges > 0) {
                let what = format!("{charges} charges and {refunds} refunds");
                self.breaks(n, &what, document);
            }
        }
    }

    /// The seed's line of README.md's table, which `scripts/drill` writes.
    pub fn row(&self) -> String {
        let effects = |of: &dyn Fn(usize) -> bool| {
            let orders = self.effects.iter().filter(|(charges, _)| of(**charges));
            orders.map(|(_, orders)| orders).sum::<usize>()
        };
        let times: u64 = self.seen.values().sum();
        let cells = [
            self.seed.to_string(),
            self.orders.to_string(),
            self.sent.saturating_sub(self.orders).to_string(),
            format!("{times} of {} kinds", self.kinds()),
            effects(&|charges| charges == 0).to_string(),
            effects(&|charges| charges == 1).to_string(),
            effects(&|charges| charges > 1).to_string(),
            self.lost.to_string(),
            self.differed.to_string(),
            self.open.to_string(),
            format!("{:.1} s", self.percentile(50) as f64 / 1000.0),
            format!("{:.1} s", self.percentile(99) as f64 / 1000.0),
        ];
        format!("| {} |", cells.join(" | "))
    }

    fn kinds(&self) -> usize {
        self.seen.values().filter(|times| **times > 0).count()
    }

    fn percentile(&self, of: usize) -> u64 {
        let last = self.recovered.len().saturating_sub(1);
        self.recovered.get(last * of / 100).copied().unwrap_or(0)
    }
}

/// The order as its operator sees it; null where there is none.
fn document(pod: &Pod, n: usize) -> Value {
    let call = Call::get(&format!("/admin/orders/pay/{}", order(n)));
    let mut document = Value::Null;
    until("the admin plane answers", || {
        let reply = call.try_send(pod.replica(n % REPLICAS).admin);
        match reply {
            Some(reply) if reply.status == 200 => document = reply.json(),
            Some(reply) if reply.status == 404 => {}
            _ => return false,
        }
        true
    });
    document
}

fn is_final(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "cancelled")
}

/// Whether somebody may rely on the record behind this answer.
fn is_kept(reply: &Reply) -> bool {
    matches!(reply.state(), "queued" | "succeeded" | "cancelled")
}

/// Whether a duplicate was told by it how the order ended. The first caller hears what upstream
/// said to that attempt, which is not kept where somebody else ended the order meanwhile.
fn tells_the_end(reply: &Reply) -> bool {
    reply.is_replay() && is_final(reply.state()) && reply.header("onceward-fault").is_none()
}

fn was_cancelled_first(document: &Value) -> bool {
    document["history"][0]["to"] == "cancelled"
}

/// From when an order became unknown until that was known, in ms by Redis' clock: it was final, or
/// upstream had never heard of it.
fn unknown_for(document: &Value) -> Option<u64> {
    let moves = document["history"].as_array()?;
    let at = |entry: &Value| {
        let when = humantime::parse_rfc3339(entry["at"].as_str()?).ok()?;
        Some(when.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis() as u64)
    };
    let mut rest = moves.iter().skip_while(|entry| entry["to"] != "unknown");
    let since = at(rest.next()?)?;
    let known =
        |entry: &&Value| entry["to"].as_str().is_some_and(|to| to == "none" || is_final(to));
    at(rest.find(known)?)?.checked_sub(since)
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |out: &mut fmt::Formatter<'_>, what: &str, figure: String| {
            writeln!(out, "| {what:<46} | {figure:>24} |")
        };
        row(out, &format!("seed {}", self.seed), String::new())?;
        writeln!(out, "|{:-<48}|{:-<25}:|", "", "")?;
        row(out, "orders", self.orders.to_string())?;
        row(out, "payments sent, duplicates included", self.sent.to_string())?;
        row(out, "of them by callers who hung up", self.hung_up.to_string())?;
        for (state, count) in &self.ends {
            row(out, &format!("ended {state}"), count.to_string())?;
        }
        for (charges, orders) in &self.effects {
            row(out, &format!("orders with {charges} effects in the ledger"), orders.to_string())?;
        }
        row(out, "refunds of cancelled orders", self.refunds.to_string())?;
        row(out, "replays that differed", self.differed.to_string())?;
        row(out, "lost orders", self.lost.to_string())?;
        row(out, "unresolved after the deadline", self.open.to_string())?;
        let times = format!("{} / {} ms", self.percentile(50), self.percentile(99));
        row(out, "time of unknown outcome, p50 / p99", times)?;
        row(out, "sidecars started again", self.restarts.to_string())?;
        let clocks = if self.clocks { "7 minutes ahead, 4 behind" } else { "not played" };
        row(out, "clocks of sidecars apart", clocks.into())?;
        for (name, times) in &self.seen {
            row(out, name, times.to_string())?;
        }
        row(out, "kinds of accident seen", self.kinds().to_string())?;
        row(out, "guarantees broken", self.broken.len().to_string())
    }
}
