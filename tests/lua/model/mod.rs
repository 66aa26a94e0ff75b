//! The scripts against a model that was written apart from them, of one order or of two that share
//! a lifecycle: whatever happens, in whatever order, both say and leave the same; and what is
//! promised of every order holds.
//!
//! Not among what happens: tokens, the buffer, and records that expire or are lost.

mod event;
mod life;
mod machine;

use super::bench::{self, order, step};
use crate::support::PATIENCE;
use crate::support::record::words;
use crate::support::redis::Redis;
use event::{ATTEMPTS, Call, Dice, PERMISSIONS, Reply, Speaker, TURNS, draw};
use life::{Life, MOVES};
use machine::{Due, Model};
use onceward::model::identity::{AttemptId, AttemptIds, Order};
use onceward::model::order::State;
use onceward::model::response::Kept;
use onceward::store::Store;
use onceward::store::cancel::CancelAsk;
use onceward::store::orders::{Claim, ClaimAsk, Lapse, Settlement};
use onceward::store::record::Record;
use onceward::store::resolve::{Adopt, AdoptAsk, Permission, Resolution, Resolve, Word};
use onceward::store::text::Begun;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longer than any run: nothing here ends because time passed.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Sequences in `make test`; `make model` runs more.
const SEQUENCES: u64 = 3000;
const SEED: u64 = 0x0c0f_fee0_dd5e_ed00;

/// So many sequences at a time, each on its own order.
const AT_ONCE: usize = 16;

/// Every kind of answer a script can give; without one of them a run shows less than it seems to.
const ANSWERS: [&str; 49] = [
    "Claim Granted",
    "Claim Found",
    "Claim Lapsed",
    "Claim Mismatch",
    "Claim Moving",
    "Claim Illegal",
    "Claim Voided",
    "Renewal Renewed",
    "Renewal Regained",
    "Renewal Lost",
    "Settle Settled",
    "Settle Astray",
    "Settle Kept",
    "Settle Fenced",
    "Settle Refused",
    "Settle Gone",
    "Abandon Abandoned",
    "Abandon Voided",
    "Abandon Refused",
    "Lapse Lapsed",
    "Lapse Held",
    "Lapse Moved",
    "Cancel Cancelled",
    "Cancel Cancelling",
    "Cancel Final",
    "Cancel Refused",
    "Cancel Absent",
    "Adopt Adopted",
    "Adopt Early",
    "Adopt Moved",
    "Resolve Resolved",
    "Resolve Astray",
    "Resolve Held",
    "Resolve Kept",
    "Resolve Paid",
    "Resolve Fenced",
    "Resolve Refused",
    "Resolve Gone",
    "Release Released",
    "Release Again",
    "Release Fenced",
    "Release Refused",
    "Conclude Concluded",
    "Conclude Astray",
    "Conclude Already",
    "Conclude Kept",
    "Conclude Refused",
    "Conclude Absent",
    "Release Gone",
];

/// How often each answer came.
type Tally = RefCell<BTreeMap<String, u64>>;

#[test]
fn the_scripts_and_the_model_never_differ() {
    let number = |name: &str, usual: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => usual,
    };
    let sequences = number("ONCEWARD_TEST_SEQUENCES", SEQUENCES);
    let seed = number("ONCEWARD_TEST_SEED", SEED);
    println!("{sequences} sequences, ONCEWARD_TEST_SEED={seed}");

    let redis = Redis::start();
    let store = Arc::new(bench::store(&redis, |_| {}));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let client = redis::Client::open(redis.url()).unwrap();
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let redis = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
        let next = Rc::new(Cell::new(0));
        let tally = Rc::new(Tally::default());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let (store, redis) = (Arc::clone(&store), redis.clone());
            let (next, tally) = (Rc::clone(&next), Rc::clone(&tally));
            tasks.spawn_local(async move {
                while next.get() < sequences {
                    let mine = seed.wrapping_add(next.replace(next.get() + 1));
                    Run::new(&store, redis.clone(), mine).go(mine, &tally).await;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        let tally = tally.borrow();
        println!("{tally:#?}");
        // A run of few is one that is looked at closely.
        for answer in ANSWERS.iter().filter(|_| sequences >= SEQUENCES) {
            assert!(tally.contains_key(*answer), "{answer} never came");
        }
    });
}

/// An answer's kind: the script and the word.
fn kind(said: &Reply) -> String {
    let text = format!("{said:?}");
    let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).take(2).collect();
    words.join(" ")
}

/// One sequence on one number.
struct Run<'a> {
    store: &'a Store,
    redis: MultiplexedConnection,
    orders: [Order; 2],
    /// The one whose turn it is.
    order: Order,
    names: Vec<(&'static str, AttemptId)>,
    /// What claims left, by order and attempt: with it a settle may go a shorter way.
    begun: HashMap<(usize, &'static str), Arc<Begun>>,
    calls: Vec<(usize, Call)>,
}

/// What is in Redis.
#[derive(Debug, Default)]
struct Seen {
    record: Option<Record>,
    /// The state as it is written, whether or not the lease holds.
    state: Option<State>,
    lease: Option<String>,
    due: Option<f64>,
    unknown: Option<f64>,
    cancelling: Option<f64>,
    /// Where its lifecycle stands, and the id of the order that moves it.
    lifecycle: (Option<String>, Option<String>),
}

impl<'a> Run<'a> {
    fn new(store: &'a Store, redis: MultiplexedConnection, seed: u64) -> Run<'a> {
        let ids = AttemptIds::new().unwrap();
        let names = ATTEMPTS
            .iter()
            .chain(&TURNS)
            .chain(&PERMISSIONS)
            .map(|name| (*name, ids.next()))
            .collect();
        let pay = order(&format!("model-{seed}"));
        let close = Order::new("close".into(), &pay.scope, pay.key.clone());
        let [pays, closes] = MOVES.map(|(from, to)| step(from, to));
        let orders = [pay.moving(&pays), close.moving(&closes)];
        let order = orders[0].clone();
        Run { store, redis, orders, order, names, begun: HashMap::new(), calls: Vec::new() }
    }

    async fn go(mut self, seed: u64, tally: &Tally) {
        // Neighbouring seeds must not draw alike.
        let mut dice = Dice::new(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (mut models, mut life) = ([Model::of(0), Model::of(1)], Life::default());
        let mut before = [Seen::default(), Seen::default()];
        // Alone, an order meets its own duplicates more often.
        let among = 1 + dice.below(2);
        if among == 1 && dice.below(2) == 0 {
            self.orders[0].part = None;
            life.none = true;
        }
        for _ in 0..among * (6 + dice.below(9)) {
            let number = usize::try_from(dice.below(among)).unwrap();
            self.order = self.orders[number].clone();
            let model = &mut models[number];
            let its = self.calls.iter().filter(|(of, _)| *of == number);
            let its: Vec<_> = its.map(|(_, call)| call.clone()).collect();
            let call = match life.mover {
                Some(_) if dice.below(20) == 0 => Call::OutlastMove,
                _ => draw(&mut dice, model, &its),
            };
            self.calls.push((number, call.clone()));
            let said = self.make(&call).await;
            *tally.borrow_mut().entry(kind(&said)).or_default() += 1;
            let expected = model.hear(&call, &mut life);
            let now = self.see().await;
            let wrong = match said == expected {
                false => Some(format!("said {said:?}\nthe model {expected:?}")),
                true => self
                    .differs(model, &life, &now)
                    .or_else(|| broken(&before[number], &call, &said, &now))
                    .or_else(|| self.moved_wrongly(&before, number, &now)),
            };
            if let Some(wrong) = wrong {
                let calls: Vec<_> = self.calls.iter().map(|call| format!("  {call:?}\n")).collect();
                panic!(
                    "ONCEWARD_TEST_SEED={seed} ONCEWARD_TEST_SEQUENCES=1\n{}{wrong}\n{now:#?}\n{models:#?}\n{life:#?}",
                    calls.concat()
                );
            }
            before[1 - number].lifecycle = now.lifecycle.clone();
            before[number] = now;
        }
        self.forget().await;
    }

    fn name(&self, name: &str) -> &AttemptId {
        &self.names.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Asks the script; an answer's times are left out, but for whether a lease holds.
    async fn make(&mut self, call: &Call) -> Reply {
        let (store, order) = (self.store, self.order.clone());
        let number = usize::from(order.id != self.orders[0].id);
        match call {
            Call::Claim { who, retry, fingerprints, callers, askable } => {
                let from = [State::None, State::Unknown];
                let ask = ClaimAsk {
                    order: &order,
                    attempt: self.name(who),
                    lease: LONG,
                    keep: LONG,
                    fingerprints,
                    callers,
                    grant_from: &from[..if *retry { 2 } else { 1 }],
                    ask: askable.then_some(LONG),
                    token: None,
                    trace: None,
                    left: true,
                };
                let mut claim = store.claim(&ask).await.unwrap();
                if let Claim::Granted { begun, .. } = &mut claim
                    && let Some(begun) = begun.take()
                {
                    self.begun.insert((number, who), begun);
                }
                if let Claim::Found(found) = &mut claim
                    && !found.left.is_zero()
                {
                    found.left = LONG;
                }
                Reply::Claim(claim)
            }
            Call::Renew { who, fence } => {
                let renewed = store.renew(&order, self.name(who), *fence, LONG);
                Reply::Renewal(renewed.await.unwrap())
            }
            Call::Settle { who, fence, to, kept } => {
                let begun = self.begun.get(&(number, *who)).cloned();
                let settlement = Settlement {
                    order: &order,
                    attempt: self.name(who),
                    fence: *fence,
                    to: *to,
                    keep: LONG,
                    kept,
                    why: "told",
                    begun: begun.as_deref().filter(|_| !self.calls.len().is_multiple_of(4)),
                };
                Reply::Settle(store.settle(&settlement).await.unwrap())
            }
            Call::Abandon { who } => {
                let abandoned = store.abandon(&order, self.name(who), None, LONG, "not sent");
                Reply::Abandon(abandoned.await.unwrap())
            }
            Call::Lapse { fence } => {
                let lapsed = store.lapse(order.partition, &order.id, *fence, LONG).await.unwrap();
                Reply::Lapse(match lapsed {
                    Lapse::Held(_) => Lapse::Held(Duration::ZERO),
                    other => other,
                })
            }
            Call::Cancel { caller, confirm } => {
                let ask = CancelAsk {
                    order: &order,
                    callers: *caller,
                    confirm: *confirm,
                    keep: LONG,
                    by: None,
                    why: "asked",
                };
                Reply::Cancel(store.cancel(&ask).await.unwrap())
            }
            Call::Adopt { turn, fence, asks, deadline } => {
                let seen = as_seen(&order, *fence, *asks);
                let ask = AdoptAsk {
                    order: &order,
                    turn: self.name(turn),
                    seen: &seen,
                    query: Some(LONG),
                    cancel: Some(LONG),
                    hold: LONG,
                    cancel_from: None,
                    deadline: deadline.then_some(LONG),
                };
                Reply::Adopt(match store.adopt(&ask).await.unwrap() {
                    Adopt::Adopted { state, .. } => {
                        let (quiet, turn) = (Duration::ZERO, Duration::ZERO);
                        Adopt::Adopted { state, quiet, turn, left: None }
                    }
                    Adopt::Early(_) => Adopt::Early(Duration::ZERO),
                    other => other,
                })
            }
            Call::Resolve { turn, fence, to, word } => {
                let resolution = Resolution {
                    order: &order,
                    turn: self.name(turn),
                    fence: *fence,
                    to: *to,
                    keep: LONG,
                    word: match word {
                        Speaker::Response(kept) => Word::Response(kept),
                        Speaker::Keep => Word::Keep,
                        Speaker::IfTold => Word::IfTold,
                        Speaker::Absent => Word::Absent,
                    },
                    by: None,
                    why: "word",
                };
                Reply::Resolve(match store.resolve(&resolution).await.unwrap() {
                    Resolve::Held(_) => Resolve::Held(Duration::ZERO),
                    other => other,
                })
            }
            Call::Release { turn, fence } => {
                let permission = Permission {
                    order: &order,
                    turn: self.name(turn),
                    fence: *fence,
                    keep: LONG,
                    letters: false,
                    by: None,
                    why: "no such order",
                };
                Reply::Release(store.release(&permission).await.unwrap())
            }
            Call::Conclude { to } => {
                Reply::Conclude(store.conclude(&order, *to, LONG, "callback").await.unwrap())
            }
            Call::OutlastMove => {
                let lifecycle = store.names().lifecycle(&order).unwrap();
                self.raw("HSET", &[&lifecycle, "until", "1"]).await
            }
            Call::LoseLease => self.raw("DEL", &[&store.names().lease(&order)]).await,
            Call::MakeDue => {
                self.raw("ZADD", &[store.names().due(order.partition), "XX", "1", &order.id]).await
            }
            Call::MakeOld => {
                let unknown = store.names().unknown(order.partition);
                self.raw("ZADD", &[unknown, "XX", "1", &order.id]).await
            }
        }
    }

    async fn raw(&mut self, command: &str, words: &[&str]) -> Reply {
        redis::cmd(command).arg(words).exec_async(&mut self.redis).await.unwrap();
        Reply::None
    }

    async fn see(&mut self) -> Seen {
        let (names, order) = (self.store.names(), &self.order);
        let mut pipe = redis::pipe();
        pipe.cmd("EVAL").arg(words()).arg(1).arg(names.record(order));
        pipe.cmd("GET").arg(names.lease(order));
        pipe.cmd("ZSCORE").arg(names.due(order.partition)).arg(&*order.id);
        pipe.cmd("ZSCORE").arg(names.unknown(order.partition)).arg(&*order.id);
        pipe.cmd("ZSCORE").arg(names.cancelling(order.partition)).arg(&*order.id);
        // A name that nothing has, where there is none.
        let lifecycle = names.lifecycle(order).unwrap_or_else(|| names.request(order));
        pipe.cmd("HMGET").arg(lifecycle).arg(&["state", "mover", "until"]);
        type Life = (Option<String>, Option<String>, Option<f64>);
        type Fields = HashMap<String, String>;
        type Row = (Fields, Option<String>, Option<f64>, Option<f64>, Option<f64>, Life);
        let row: Row = pipe.query_async(&mut self.redis).await.unwrap();
        let (fields, lease, due, unknown, cancelling, (stands, mover, until)) = row;
        let lifecycle = (stands, mover.filter(|_| until.is_some_and(|until| until > soon())));
        let state = fields.get("state").map(|word| State::from_word(word).unwrap());
        let record = self.store.look(order).await.unwrap();
        Seen { record, state, lease, due, unknown, cancelling, lifecycle }
    }

    /// What Redis and the model do not agree on.
    fn differs(&self, model: &Model, life: &Life, seen: &Seen) -> Option<String> {
        let mut wrong = Vec::new();
        let mut same = |what: &str, real: String, expected: String| {
            if real != expected {
                wrong.push(format!("{what}: {real}, the model {expected}"));
            }
        };
        same("state", format!("{:?}", seen.state), format!("{:?}", model.stands));
        let owner = model.owner.map(|name| format!("{}:{}", self.name(name), model.fence));
        let lease = owner.filter(|_| model.leased);
        same("lease", format!("{:?}", seen.lease), format!("{lease:?}"));
        let due = seen.due.map(|at| if at > soon() { Due::Later } else { Due::Now });
        same("due", format!("{due:?}"), format!("{:?}", model.due));
        let unknown = seen.unknown.map(|since| since < 2.0);
        same("unknown", format!("{unknown:?}"), format!("{:?}", model.unknown));
        let cancelling = model.stands == Some(State::Cancelling);
        same("cancelling", seen.cancelling.is_some().to_string(), cancelling.to_string());
        let stands = seen.lifecycle.0.as_deref().unwrap_or(Life::default().state);
        same("lifecycle", stands.to_owned(), life.state.to_owned());
        let mover = life.mover.map(|number| self.orders[number].id.to_string());
        same("mover", format!("{:?}", seen.lifecycle.1), format!("{mover:?}"));
        let record = seen.record.as_ref();
        same("seen", record.is_some().to_string(), model.stands.is_some().to_string());
        if let Some(record) = record {
            let shown = match model.state() {
                State::InFlight if !model.leased => State::Unknown,
                state => state,
            };
            same("shown", record.state.to_string(), shown.to_string());
            same("fence", record.fence.to_string(), model.fence.to_string());
            same("attempts", record.attempts.to_string(), model.attempts.to_string());
            same("asks", record.asks.to_string(), model.asks.to_string());
            same("caller", record.caller.clone(), model.caller.unwrap_or_default().to_owned());
            same("response", format!("{:?}", record.kept), format!("{:?}", model.shown()));
            let history: Vec<_> = model.history.iter().map(|(a, b)| format!("{a} {b}")).collect();
            same("history", lines(record).join(", "), history.join(", "));
        }
        (!wrong.is_empty()).then(|| wrong.join("\n"))
    }

    /// What is promised of every lifecycle, judged by what is in Redis alone.
    fn moved_wrongly(&self, before: &[Seen; 2], number: usize, now: &Seen) -> Option<String> {
        let stands = |seen: &Seen| seen.lifecycle.0.clone().unwrap_or("open".into());
        let (was, is) = (stands(&before[number]), stands(now));
        let (from, to) = MOVES[number];
        let succeeded = |seen: &Seen| seen.state == Some(State::Succeeded);
        if was != is && !(from.contains(&&*was) && to == is) {
            return Some(format!("order {number} moved the lifecycle from {was} to {is}"));
        }
        if was != is && (succeeded(&before[number]) || !succeeded(now)) {
            return Some("the lifecycle was moved by something else than a success".into());
        }
        let fence = |seen: &Seen| seen.record.as_ref().map_or(0, |record| record.fence);
        let granted = fence(now) != fence(&before[number]);
        let others = |id: &String| **id != *self.order.id;
        if granted && before[number].lifecycle.1.as_ref().is_some_and(others) {
            return Some("granted while another order moves the lifecycle".into());
        }
        (granted && !from.contains(&&*was)).then(|| format!("granted in {was}"))
    }

    /// Nothing of it stays behind.
    async fn forget(mut self) {
        let names = self.store.names();
        let mut pipe = redis::pipe();
        for order in &self.orders {
            pipe.cmd("DEL").arg(names.record(order)).arg(names.lease(order));
            let lifecycle = names.lifecycle(order).unwrap_or_else(|| names.request(order));
            pipe.cmd("DEL").arg(lifecycle);
            let partition = order.partition;
            for index in
                [names.due(partition), names.unknown(partition), names.cancelling(partition)]
            {
                pipe.cmd("ZREM").arg(index).arg(&*order.id);
            }
        }
        pipe.exec_async(&mut self.redis).await.unwrap();
    }
}

/// What is promised of every order, judged by what is in Redis alone.
fn broken(before: &Seen, call: &Call, said: &Reply, now: &Seen) -> Option<String> {
    let state = |seen: &Seen| seen.state.unwrap_or(State::None);
    let fence = |seen: &Seen| seen.record.as_ref().map_or(0, |record| record.fence);
    let (was, is) = (state(before), state(now));
    if was.is_final() && is != was {
        return Some(format!("{was} is final and became {is}"));
    }
    if fence(now) < fence(before) {
        return Some("the fence fell".into());
    }
    if before.lease.is_some() && now.lease.is_some() && before.lease != now.lease {
        return Some("the lease went from one attempt to another".into());
    }
    // One that a callback ended keeps its lease until its attempt has ended as well.
    let unfinished = now.record.as_ref().is_some_and(|record| record.kept == Kept::Nothing);
    let may_hold = matches!(is, State::InFlight | State::Cancelling) || is.is_final() && unfinished;
    if now.lease.is_some() && !may_hold {
        return Some(format!("a lease holds in {is}"));
    }
    if let Some(line) = now.record.as_ref().and_then(|record| outside(lines(record))) {
        return Some(format!("no such transition: {line}"));
    }
    let Reply::Claim(Claim::Granted { .. }) = said else {
        return (fence(now) != fence(before)).then(|| "the fence rose without a grant".into());
    };
    let retry = matches!(call, Call::Claim { retry: true, .. });
    if fence(now) == fence(before) {
        // The same attempt again; the lease's name says so.
        return (was != State::InFlight).then(|| format!("granted again in {was}"));
    }
    let open = before.lease.is_none() && (was == State::None || (retry && was == State::Unknown));
    (!open).then(|| format!("granted in {was}"))
}

/// The first line of a history that the table does not list.
fn outside(lines: Vec<String>) -> Option<String> {
    let mut released = false;
    lines.into_iter().find(|line| {
        let (from, to) = line.split_once(' ').unwrap();
        let [from, to] = [from, to].map(|word| State::from_word(word).unwrap());
        // It may run again and has not: what is told late is as welcome as while it was unknown. What
        // is claimed and given back stands as it stood.
        let from_unknown = from == State::None && released;
        released = match (from, to) {
            (State::Unknown, State::None) => true,
            (State::None, State::InFlight) | (State::InFlight, State::None) => released,
            _ => false,
        };
        let row = to.entered_from();
        // What was told of it, and moved nothing.
        let stays = from == to && (from == State::Cancelling || from.is_final());
        !(row.contains(&from) || stays || (from_unknown && row.contains(&State::Unknown)))
    })
}

fn lines(record: &Record) -> Vec<String> {
    record.history.iter().map(|line| format!("{} {}", line.from, line.to)).collect()
}

/// A minute from now, ms since 1970: what is due later is due in a day.
fn soon() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    (now.as_secs_f64() + 60.0) * 1000.0
}

/// An order as a replica may have seen it before it takes it for a turn.
fn as_seen(order: &Order, fence: u64, asks: u64) -> Record {
    Record {
        id: order.id.to_string(),
        route: order.route.to_string(),
        key: order.key.as_str().to_owned(),
        scope: order.scope.to_string(),
        state: State::Unknown,
        fence,
        attempts: fence,
        asks,
        caller: String::new(),
        created: None,
        updated: None,
        expires: None,
        trace: None,
        kept: onceward::model::response::Kept::Nothing,
        history: Vec::new(),
        lifecycle: None,
    }
}
