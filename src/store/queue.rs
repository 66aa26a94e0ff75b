//! The buffer: a stream of queued orders in each partition, and what becomes of its entries.
//!
//! An entry is a name; the order's record decides. It leaves the stream only after the record moved
//! on, so a worker that dies anywhere loses nothing.

use super::error::StoreError;
use super::orders::{SpentToken, millis};
use super::record::{self, Found, Record, at};
use super::{Store, lifecycle, parts, request, script};
use crate::model::identity::{AttemptId, Order, PARTITIONS, Partition};
use crate::model::order::{State, words};
use crate::model::response::Kept;
use crate::model::trace::TraceContext;
use bytes::Bytes;
use hyper::http::request::Parts;
use redis::Cmd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// The states an order may be queued from by a request; an abandon puts it back by itself.
const QUEUE_FROM: &[State] = &[State::None];

/// What is to be accepted.
#[derive(Debug)]
pub struct EnqueueAsk<'a> {
    /// The order.
    pub order: &'a Order,
    /// Who asks.
    pub attempt: &'a AttemptId,
    /// Digests of what was asked, one per secret, comma-separated, the writing one first.
    pub fingerprints: &'a str,
    /// Digests of the caller's headers, likewise.
    pub callers: &'a str,
    /// The token presented, if any.
    pub token: Option<&'a SpentToken>,
    /// The head as it goes upstream.
    pub head: &'a Parts,
    /// The body.
    pub body: &'a Bytes,
    /// How many entries all partitions together may hold.
    pub most: u64,
    /// The span of the acceptance, for those who meet the order later.
    pub trace: Option<TraceContext>,
}

/// What an enqueue found.
#[derive(Debug, PartialEq)]
pub enum Enqueue {
    /// The order is queued, by this call or another of the same request.
    Queued(Box<Record>),
    /// The order stands in another state.
    Found(Found),
    /// In flight, but the lease is gone; the fence it was held under.
    Lapsed {
        /// The fence the lost lease was held under.
        fence: u64,
    },
    /// Same key, other request.
    Mismatch(State),
    /// It may be queued from that state, but another order of its number is moving their lifecycle.
    Moving(State),
    /// It may be queued, but not while its lifecycle stands where it does.
    Illegal(State, String),
    /// Unknown, expired, spent, of another order or another caller.
    TokenInvalid,
    /// The partition is full.
    Overloaded,
}

/// An entry in a worker's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The partition it is in.
    pub partition: Partition,
    /// Its name in the stream.
    pub name: String,
    /// The order's id.
    pub id: String,
}

/// What a queued order asks.
#[derive(Debug)]
pub struct Draft {
    /// For how long it is not to be tried, because upstream said so.
    pub later: Duration,
    /// The route's name.
    pub route: String,
    /// The order number.
    pub key: String,
    /// The partition of keys it lives in.
    pub scope: String,
    /// Digest of what was asked.
    pub fingerprint: String,
    /// Digest of who asked.
    pub caller: String,
    /// Head and body; `None` when they cannot be read back.
    pub request: Option<(Parts, Bytes)>,
    /// The span of its acceptance, where that is in a trace that is kept.
    pub trace: Option<TraceContext>,
}

/// What became of an entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Dequeue {
    /// It is gone; where the order stands.
    Removed(State),
    /// The order is queued or in flight: the entry stays.
    Open {
        /// Where it stands.
        state: State,
        /// How often it was tried in vain since it was queued, by whichever replica.
        tries: u32,
    },
}

/// What became of an entry that was handed back.
#[derive(Debug, PartialEq, Eq)]
pub enum PutBack {
    /// Whoever takes next gets it.
    Back,
    /// It is gone, or another worker's.
    Moved,
}

/// What became of a dead letter.
#[derive(Debug, PartialEq, Eq)]
pub enum DeadLetter {
    /// The order is unknown now.
    Dead,
    /// The order has moved on, to this state.
    Moved(State),
}

impl Store {
    /// Accepts an order: token, record and entry in one step.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe. What cannot be sealed is declined.
    pub async fn enqueue(&self, ask: &EnqueueAsk<'_>) -> Result<Enqueue, StoreError> {
        let order = ask.order;
        let sealed = request::close(ask.head, ask.body, order, &self.config.secrets)
            .map_err(|error| StoreError::Declined(error.to_string()))?;
        let name = self.names.record(order);
        let lease = self.names.lease(order);
        let (hash, until) = ask.token.map_or(("", 0), |token| (token.hash.as_str(), token.until));
        let token = self.names.token(order.partition, hash);
        let request = self.names.request(order);
        let queue = self.names.queue(order.partition);
        let lifecycle = self.names.lifecycle(order);
        let keys = lifecycle::keys(&[&name, &lease, &token, &request, &queue], &lifecycle);
        let (grant_from, hint) = (words(QUEUE_FROM), self.names.queued_channel());
        let asked = parts::asked(order, ask.callers, None, ask.trace);
        let most = ask.most.div_ceil(PARTITIONS.into());
        let arguments = |command: &mut Cmd| {
            command
                .arg(&*order.id)
                .arg(ask.attempt.as_str())
                .arg(ask.fingerprints)
                .arg(ask.callers)
                .arg(&grant_from)
                .arg(hash)
                .arg(until)
                .arg(&self.config.by)
                .arg(&asked)
                .arg(&sealed)
                .arg(most)
                .arg(hint)
                .arg(order.partition.number());
        };
        let (word, mut reply) = self.run_confirmed(&script::ENQUEUE, &keys, arguments).await?;
        Ok(match word.as_str() {
            "queued" => Enqueue::Queued(Box::new(Record {
                asks: 0,
                id: order.id.to_string(),
                route: order.route.to_string(),
                key: order.key.as_str().to_owned(),
                scope: order.scope.to_string(),
                state: State::Queued,
                fence: reply.number()?,
                attempts: reply.number()?,
                caller: String::new(),
                created: Some(at(reply.number()?)),
                updated: Some(at(reply.number()?)),
                expires: None,
                kept: Kept::Nothing,
                trace: None,
                history: Vec::new(),
                lifecycle: None,
            })),
            "found" => Enqueue::Found(record::found(&mut reply, order, &self.config.secrets)?),
            "lapsed" => Enqueue::Lapsed { fence: reply.number()? },
            "mismatch" => Enqueue::Mismatch(record::state(&mut reply)?),
            "moving" => Enqueue::Moving(record::state(&mut reply)?),
            "illegal" => Enqueue::Illegal(record::state(&mut reply)?, reply.text()?),
            "token-invalid" => Enqueue::TokenInvalid,
            "overloaded" => Enqueue::Overloaded,
            other => return Err(reply.unknown(other)),
        })
    }

    /// At most `limit` entries for this replica: those that somebody held for longer than `idle`,
    /// then new ones.
    ///
    /// # Errors
    /// When Redis cannot be asked; entries whose answer was lost are taken again after `idle`.
    pub async fn take(
        &self,
        partition: Partition,
        limit: usize,
        idle: Duration,
    ) -> Result<Vec<Entry>, StoreError> {
        let queue = self.names.queue(partition);
        let (word, mut reply) = self
            .run(&script::TAKE, &[&queue], |command| {
                command.arg(&self.config.by).arg(limit).arg(millis(idle));
            })
            .await?;
        let mut entries = Vec::with_capacity(reply.remaining() / 2);
        match word.as_str() {
            "empty" => {}
            "taken" => {
                while reply.remaining() >= 2 {
                    entries.push(Entry { partition, name: reply.text()?, id: reply.text()? });
                }
            }
            other => return Err(reply.unknown(other)),
        }
        Ok(entries)
    }

    /// What the order of an entry asks; `None` when it is no longer queued.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn draft(&self, entry: &Entry) -> Result<Option<Draft>, StoreError> {
        let [record, request] = self.names_of(entry);
        let (word, mut reply) = self.run(&script::DRAFT, &[&record, &request], |_| {}).await?;
        Ok(match word.as_str() {
            "moved" => None,
            "queued" => Some(Draft {
                later: Duration::from_millis(reply.number()?),
                route: reply.text()?,
                key: reply.text()?,
                scope: reply.text()?,
                fingerprint: reply.text()?,
                caller: reply.text()?,
                trace: TraceContext::from_stored(&reply.bytes()?),
                request: request::open(&reply.bytes()?, &entry.id, &self.config.secrets),
            }),
            other => return Err(reply.unknown(other)),
        })
    }

    /// Takes an entry off the queue, if its order has moved on; one that is still queued was tried in
    /// vain, which is counted, and is not tried again within `wait`.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe.
    pub async fn dequeue(
        &self,
        entry: &Entry,
        turn: &AttemptId,
        (keep, wait): (Duration, Duration),
    ) -> Result<Dequeue, StoreError> {
        let wait = if wait.is_zero() { 0 } else { millis(wait) };
        let [record, request] = self.names_of(entry);
        let queue = self.names.queue(entry.partition);
        let (word, mut reply) = self
            .run(&script::DEQUEUE, &[&record, &request, &queue], |command| {
                command.arg(&entry.id).arg(&entry.name).arg(turn.as_str());
                command.arg(millis(keep)).arg(wait);
            })
            .await?;
        Ok(match word.as_str() {
            "removed" => Dequeue::Removed(record::state(&mut reply)?),
            "open" => Dequeue::Open { state: record::state(&mut reply)?, tries: reply.number()? },
            other => return Err(reply.unknown(other)),
        })
    }

    /// Hands back an entry that was taken: another worker has it at once, of which workers are told
    /// where `tell` says so.
    ///
    /// # Errors
    /// When Redis cannot be asked; others take it over when it has been idle for long enough.
    pub async fn put_back(&self, entry: &Entry, tell: bool) -> Result<PutBack, StoreError> {
        let queue = self.names.queue(entry.partition);
        let hint = if tell { self.names.queued_channel() } else { "" };
        let (word, reply) = self
            .run(&script::PUT_BACK, &[&queue], |command| {
                command
                    .arg(&entry.id)
                    .arg(&entry.name)
                    .arg(&self.config.by)
                    .arg(hint)
                    .arg(entry.partition.number());
            })
            .await?;
        Ok(match word.as_str() {
            "back" => PutBack::Back,
            "moved" => PutBack::Moved,
            other => return Err(reply.unknown(other)),
        })
    }

    /// Moves a queued order to the dead letters; it becomes unknown.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe.
    pub async fn dead_letter(
        &self,
        entry: &Entry,
        keep: Duration,
        why: &str,
    ) -> Result<DeadLetter, StoreError> {
        const FROM: &[State] = &[State::Queued];
        let [record, request] = self.names_of(entry);
        let queue = self.names.queue(entry.partition);
        let dead = self.names.dead(entry.partition);
        let due = self.names.due(entry.partition);
        let unknown = self.names.unknown(entry.partition);
        let channel = self.names.settled_channel();
        let keys: [&str; 6] = [&record, &request, &queue, &dead, due, unknown];
        let (word, mut reply) = self
            .run(&script::DEAD_LETTER, &keys, |command| {
                command
                    .arg(&entry.id)
                    .arg(&entry.name)
                    .arg(words(FROM))
                    .arg(millis(keep))
                    .arg(channel)
                    .arg(&self.config.by)
                    .arg(why);
            })
            .await?;
        Ok(match word.as_str() {
            "dead" => DeadLetter::Dead,
            "moved" => DeadLetter::Moved(record::state(&mut reply)?),
            other => return Err(reply.unknown(other)),
        })
    }

    fn names_of(&self, entry: &Entry) -> [String; 2] {
        ["order", "request"].map(|kind| self.names.of(entry.partition, kind, &entry.id))
    }
}

/// Partitions that somebody wrote to since they were last looked at: a hint that saves time. The
/// survey's round tells of every queue that holds something: the truth.
#[derive(Default)]
pub struct Hints {
    /// A bit a partition.
    marked: AtomicU64,
    told: Notify,
}

impl Hints {
    /// Wakes the worker for a partition.
    pub fn tell(&self, partition: Partition) {
        self.marked.fetch_or(1 << partition.number(), Ordering::AcqRel);
        self.told.notify_one();
    }

    /// Waits until there is something to look at; what was told before is not missed.
    pub async fn next(&self) -> Vec<Partition> {
        loop {
            let marked = self.marked.swap(0, Ordering::AcqRel);
            if marked != 0 {
                return Partition::all().filter(|p| marked & (1 << p.number()) != 0).collect();
            }
            self.told.notified().await;
        }
    }
}
