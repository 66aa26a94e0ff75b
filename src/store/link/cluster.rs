//! The nodes of a Cluster: each command goes to the one that serves its partition.
//!
//! The library's own Cluster client sends commands again by itself, and its errors do not say
//! whether one was sent; so the way is found here. A command is sent to another node only where the
//! first said that it did nothing (`MOVED`, `ASK`, `TRYAGAIN`), or could not be reached at all.

use super::letter::Letter;
use super::map::{Map, Told, redirected};
use super::node::{At, Node};
use super::place::{Address, Place};
use super::slots;
use crate::model::identity::Partition;
use crate::store::error::StoreError;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::{Pipeline, Value};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// So many times one command is sent on at once; more is a Cluster that contradicts itself.
const REDIRECTIONS: usize = 8;

/// Before a command whose slot is moving is tried again: some of its keys are here, some there.
const SPLIT_PAUSE: Duration = Duration::from_millis(10);

/// Whoever asked for the map so shortly ago asked for everybody on this link.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// How long the others have once one node has told its map: one alone may not have heard yet.
const GRACE: Duration = Duration::from_millis(50);

/// The way to a Cluster.
pub(super) struct Cluster {
    place: Arc<Place>,
    timeout: Duration,
    map: Mutex<Arc<Map>>,
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    /// Whether a node gave trouble since the map was asked for.
    doubted: AtomicBool,
    asked: tokio::sync::Mutex<Option<Instant>>,
}

/// What one answer means for a command's way.
enum Next {
    /// It has arrived, or must not go anywhere else.
    Over,
    /// To that node, which serves its partition now.
    Moved(Arc<Node>),
    /// To that node, this once.
    Ask(Arc<Node>),
    /// Where it began, in a moment.
    Again,
    /// To whichever node the map names after looking again.
    Elsewhere,
}

impl Cluster {
    pub(super) fn new(place: Arc<Place>, timeout: Duration) -> Cluster {
        Cluster {
            place,
            timeout,
            map: Mutex::default(),
            nodes: Mutex::default(),
            doubted: AtomicBool::new(false),
            asked: tokio::sync::Mutex::default(),
        }
    }

    /// Delivers a letter to the node that serves its partition.
    pub(super) async fn deliver(&self, mut letter: Letter<'_>) -> Result<Value, StoreError> {
        let Some(partition) = slots::partition(letter.command) else {
            return Err(StoreError::Declined("a command without a partition".into()));
        };
        let mut node = self.serving(partition, letter.deadline).await?;
        let mut redirections = 0;
        loop {
            let answer = node.deliver(&letter).await;
            letter.asking = false;
            redirections += 1;
            if redirections > REDIRECTIONS {
                return answer;
            }
            node = match self.next(&node, &answer) {
                Next::Over => return answer,
                Next::Moved(other) => {
                    self.place.shift();
                    self.change(|map| map.with(partition, other.clone()));
                    other
                }
                Next::Ask(other) => {
                    letter.asking = true;
                    other
                }
                Next::Again => {
                    if letter.deadline < Instant::now() + SPLIT_PAUSE {
                        return answer;
                    }
                    sleep(SPLIT_PAUSE).await;
                    redirections = 0;
                    self.serving(partition, letter.deadline).await?
                }
                Next::Elsewhere => match self.serving(partition, letter.deadline).await {
                    Ok(other) if !Arc::ptr_eq(&node, &other) => other,
                    _ => return answer,
                },
            };
        }
    }

    fn next(&self, node: &Arc<Node>, answer: &Result<Value, StoreError>) -> Next {
        let error = match answer {
            Ok(Value::ServerError(error)) => error,
            Ok(_) | Err(StoreError::Unconfirmed { .. }) => return Next::Over,
            Err(StoreError::Unreached(_)) => {
                self.doubted.store(true, Ordering::Relaxed);
                return Next::Elsewhere;
            }
            Err(_) => {
                self.doubted.store(true, Ordering::Relaxed);
                return Next::Over;
            }
        };
        let there = || {
            let by = node.address()?;
            redirected(error.details(), &by.host).map(|address| self.node(&address))
        };
        match error.code() {
            "MOVED" => there().map_or(Next::Over, Next::Moved),
            "ASK" => there().map_or(Next::Over, Next::Ask),
            "TRYAGAIN" => Next::Again,
            "CLUSTERDOWN" | "READONLY" | "MASTERDOWN" | "LOADING" => {
                self.doubted.store(true, Ordering::Relaxed);
                Next::Over
            }
            _ => Next::Over,
        }
    }

    /// The node that serves a partition, as it is known or after asking.
    async fn serving(
        &self,
        partition: Partition,
        deadline: Instant,
    ) -> Result<Arc<Node>, StoreError> {
        let map = self.current(deadline).await?;
        map.serving(partition)
            .cloned()
            .ok_or_else(|| StoreError::Unreached(format!("no node serves partition {partition}")))
    }

    /// The map, asked for where there is none or it is in doubt.
    async fn current(&self, deadline: Instant) -> Result<Arc<Map>, StoreError> {
        let map = self.map();
        if !map.is_empty() && !self.doubted.load(Ordering::Relaxed) {
            return Ok(map);
        }
        let _ = timeout_at(deadline, self.ask()).await;
        let map = self.map();
        match map.is_empty() {
            false => Ok(map),
            true => Err(StoreError::Unreached("no node tells who serves what".into())),
        }
    }

    /// Every primary, with a partition it serves where there is one.
    pub(super) async fn primaries(
        &self,
        deadline: Instant,
    ) -> Result<Vec<(Arc<Node>, Option<Partition>)>, StoreError> {
        let map = self.current(deadline).await?;
        let primaries = map.primaries.iter().map(|address| {
            let node = self.node(address);
            let serves = |partition: &Partition| {
                map.serving(*partition).is_some_and(|serving| Arc::ptr_eq(serving, &node))
            };
            let partition = Partition::all().find(serves);
            (node, partition)
        });
        Ok(primaries.collect())
    }

    /// Asks every node that is known, and those the URLs name, who serves what.
    async fn ask(&self) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|when| when.elapsed() < ASK_PAUSE) {
            return;
        }
        let mut tellers: Vec<Arc<Node>> =
            self.map().known.iter().map(|address| self.node(address)).collect();
        for address in self.place.servers().addresses() {
            let node = self.node(&address);
            if !tellers.iter().any(|teller| Arc::ptr_eq(teller, &node)) {
                tellers.push(node);
            }
        }
        let mut question = Pipeline::with_capacity(1);
        question.cmd("CLUSTER").arg("SLOTS");
        let deadline = Instant::now() + self.timeout;
        let mut answers: FuturesUnordered<_> =
            tellers.iter().map(|teller| ask_one(teller, &question, deadline)).collect();
        let (mut told, mut until) = (Vec::new(), deadline);
        while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
            if let Some(answer) = answer {
                told.push(answer);
                until = until.min(Instant::now() + GRACE);
            }
        }
        drop(answers);
        *asked = Some(Instant::now());
        if told.is_empty() {
            return;
        }
        let before = self.map();
        // A replica that was asked before may be the primary now, on a connection that stands.
        self.place.shift();
        self.change(|_| Map::of(&told, |address| self.node(address)));
        self.doubted.store(false, Ordering::Relaxed);
        let map = self.map();
        if map.primaries != before.primaries {
            let primaries: Vec<_> = map.primaries.iter().map(ToString::to_string).collect();
            tracing::info!(primaries = primaries.join(","), "the Cluster's primaries");
        }
        let named: Vec<Address> = self.place.servers().addresses();
        self.nodes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|address, _| map.known.contains(address) || named.contains(address));
    }

    fn map(&self) -> Arc<Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&Map) -> Map) {
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&map);
        *map = Arc::new(changed);
    }

    fn node(&self, address: &Address) -> Arc<Node> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = nodes.get(address) {
            return node.clone();
        }
        let at = At::Told(address.clone());
        let node = Arc::new(Node::new(self.place.clone(), at, self.timeout));
        nodes.insert(address.clone(), node.clone());
        node
    }
}

async fn ask_one(teller: &Node, question: &Pipeline, deadline: Instant) -> Option<Told> {
    let answer = teller.ask(question, deadline).await.ok()?.into_iter().next()?;
    Told::read(answer, teller.address()?)
}
