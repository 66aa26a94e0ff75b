//! The server that Sentinels call the primary.
//!
//! They are asked when nothing is known, when the server gives trouble, and by one watcher a second:
//! a primary that was cut off from its Sentinels may still answer us, and would take claims that
//! are forgotten. Of several answers the one of the latest failover counts, whoever else has not
//! heard of it yet. While no Sentinel answers, the server known last is used.

use super::letter::Letter;
use super::node::{At, Node, useless};
use super::place::{Address, Place};
use crate::store::error::StoreError;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::{Pipeline, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// How often the watcher asks.
const WATCH: Duration = Duration::from_secs(1);

/// Whoever asked so shortly ago asked for everybody on this link.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// How long the others have once most Sentinels have answered.
const GRACE: Duration = Duration::from_millis(50);

/// The way to a primary that may change.
pub(super) struct Sentinels {
    place: Arc<Place>,
    timeout: Duration,
    primary: Mutex<Option<(Address, Arc<Node>)>>,
    /// Whether the primary gave trouble since Sentinels were asked.
    doubted: AtomicBool,
    asked: tokio::sync::Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    when: Option<Instant>,
    sentinels: Vec<Arc<Node>>,
}

/// What one Sentinel said: where, and of which failover it knows.
type Named = (u64, Address);

impl Sentinels {
    pub(super) fn new(place: Arc<Place>, timeout: Duration) -> Sentinels {
        Sentinels {
            place,
            timeout,
            primary: Mutex::default(),
            doubted: AtomicBool::new(false),
            asked: tokio::sync::Mutex::default(),
        }
    }

    /// Delivers a letter to the primary.
    pub(super) async fn deliver(&self, letter: Letter<'_>) -> Result<Value, StoreError> {
        let node = self.primary(letter.deadline).await?;
        let answer = node.deliver(&letter).await;
        match &answer {
            Ok(value) if !useless(value) => return answer,
            Err(StoreError::Unconfirmed { .. }) => return answer,
            _ => self.doubted.store(true, Ordering::Relaxed),
        }
        // What was not sent may go to whoever is the primary now; nothing else is sent again.
        if matches!(answer, Err(StoreError::Unreached(_)))
            && let Ok(other) = self.primary(letter.deadline).await
            && !Arc::ptr_eq(&node, &other)
        {
            return other.deliver(&letter).await;
        }
        answer
    }

    /// The primary, as it is known or after asking.
    pub(super) async fn primary(&self, deadline: Instant) -> Result<Arc<Node>, StoreError> {
        let told = self.place.primary();
        if let Some(address) = &*told
            && !self.doubted.load(Ordering::Relaxed)
        {
            return Ok(self.node(address));
        }
        drop(told);
        let asked = timeout_at(deadline, self.ask()).await.unwrap_or_else(|_| Err(no_answer()));
        match (asked, &*self.place.primary()) {
            (_, Some(address)) => Ok(self.node(address)),
            (Err(error), None) => Err(error),
            (Ok(()), None) => Err(no_answer()),
        }
    }

    /// Asks now and then, for all threads.
    pub(super) async fn watch(&self) {
        loop {
            sleep(WATCH).await;
            if let Err(error) = self.ask().await {
                tracing::warn!(%error, "the primary stays the one that is known");
            }
        }
    }

    fn node(&self, address: &Address) -> Arc<Node> {
        let mut primary = self.primary.lock().unwrap_or_else(PoisonError::into_inner);
        match &*primary {
            Some((known, node)) if known == address => node.clone(),
            _ => {
                let at = At::Told(address.clone());
                let node = Arc::new(Node::new(self.place.clone(), at, self.timeout));
                *primary = Some((address.clone(), node.clone()));
                node
            }
        }
    }

    /// Who each Sentinel says is the primary.
    pub(super) async fn ask_each(&self) -> Vec<(String, Option<String>)> {
        let question = question(self.place.master());
        let mut answers = Vec::new();
        for index in 0..self.place.servers().listed.len() {
            let sentinel = Node::new(self.place.clone(), At::Listed(index), self.timeout);
            let deadline = Instant::now() + self.timeout;
            let named = ask_one(&sentinel, &question, deadline).await;
            answers.push((sentinel.to_string(), named.map(|(_, address)| address.to_string())));
        }
        answers
    }

    /// Asks all Sentinels at once and tells all threads what they say.
    async fn ask(&self) -> Result<(), StoreError> {
        let mut asked = self.asked.lock().await;
        if asked.when.is_some_and(|when| when.elapsed() < ASK_PAUSE) {
            return Ok(());
        }
        let count = self.place.servers().listed.len();
        for index in asked.sentinels.len()..count {
            let node = Node::new(self.place.clone(), At::Listed(index), self.timeout);
            asked.sentinels.push(Arc::new(node));
        }
        asked.sentinels.truncate(count);
        let question = question(self.place.master());
        let deadline = Instant::now() + self.timeout;
        let mut answers: FuturesUnordered<_> =
            asked.sentinels.iter().map(|sentinel| ask_one(sentinel, &question, deadline)).collect();
        let (mut latest, mut heard, mut until) = (None::<Named>, 0, deadline);
        while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
            let Some(named) = answer else { continue };
            heard += 1;
            if latest.as_ref().is_none_or(|latest| named.0 > latest.0) {
                latest = Some(named);
            }
            if heard * 2 > count {
                until = until.min(Instant::now() + GRACE);
            }
        }
        drop(answers);
        asked.when = Some(Instant::now());
        let (_, address) = latest.ok_or_else(no_answer)?;
        self.place.set_primary(address);
        self.doubted.store(false, Ordering::Relaxed);
        Ok(())
    }
}

fn no_answer() -> StoreError {
    StoreError::Unreached("no Sentinel names a primary".into())
}

/// Where the primary is, and the number of the failover that made it one.
fn question(master: &str) -> Pipeline {
    let mut question = Pipeline::with_capacity(2);
    question.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    question.cmd("SENTINEL").arg("MASTER").arg(master);
    question
}

async fn ask_one(sentinel: &Node, question: &Pipeline, deadline: Instant) -> Option<Named> {
    let mut answers = sentinel.ask(question, deadline).await.ok()?.into_iter();
    let (host, port): (String, u16) = redis::from_redis_value(answers.next()?).ok()?;
    let about: std::collections::HashMap<String, String> =
        redis::from_redis_value(answers.next()?).ok()?;
    let failover = about.get("config-epoch")?.parse().ok()?;
    Some((failover, Address { host, port }))
}
