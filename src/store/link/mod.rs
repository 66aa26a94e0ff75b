//! The way to Redis: one thread's connections, and which server a command goes to.
//!
//! Commands share one connection per server. What none of this ever does: send a command again that
//! may have happened.

mod cluster;
mod confirm;
mod connection;
mod letter;
mod map;
mod node;
mod place;
mod reply;
mod sentinel;
mod slots;
mod wire;

pub use confirm::Confirm;
pub use place::{Mode, Place, Source};
pub(super) use slots::partition;
pub use slots::slot;

use super::error::StoreError;
use crate::model::identity::Partition;
use cluster::Cluster;
use letter::Letter;
use node::{At, Node};
use redis::{Cmd, ConnectionInfo, RedisError, Value};
use sentinel::Sentinels;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// One thread's way to Redis.
pub struct Link {
    place: Arc<Place>,
    timeout: Duration,
    way: Way,
}

#[allow(clippy::large_enum_variant, reason = "there is one of it a thread, and it never moves")]
enum Way {
    Standalone(Arc<Node>),
    Sentinel(Sentinels),
    Cluster(Cluster),
}

/// A server that is written to.
pub struct Primary {
    /// How one connects to it.
    pub info: ConnectionInfo,
    /// A partition it serves; `None` for a node of a Cluster that serves none.
    pub partition: Option<Partition>,
}

impl Link {
    /// A link that connects on its first command; `timeout` bounds each command, connecting
    /// included.
    pub fn new(place: Arc<Place>, timeout: Duration) -> Link {
        let (mode, there) = (place.mode(), place.clone());
        let way = match mode {
            Mode::Standalone => Way::Standalone(Arc::new(Node::new(there, At::Listed(0), timeout))),
            Mode::Sentinel => Way::Sentinel(Sentinels::new(there, timeout)),
            Mode::Cluster => Way::Cluster(Cluster::new(there, timeout)),
        };
        Link { place, timeout, way }
    }

    /// How long one command may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How things stand: another number whenever another server may be behind our commands.
    pub fn stand(&self) -> u64 {
        self.place.stand()
    }

    /// As if another server answered from now on.
    pub(super) fn shift(&self) {
        self.place.shift();
    }

    /// Sends one command and waits for its answer, no longer than the timeout.
    ///
    /// # Errors
    /// [`StoreError`] says whether the command may have taken effect.
    pub async fn send(&self, command: &Cmd) -> Result<Value, StoreError> {
        self.send_at(Instant::now(), command).await
    }

    /// Likewise; it is `now`.
    pub(super) async fn send_at(&self, now: Instant, command: &Cmd) -> Result<Value, StoreError> {
        let deadline = now + self.timeout;
        self.deliver(Letter { command, confirm: None, deadline, asking: false }).await
    }

    /// Likewise on a connection of its own, on which replicas then confirm what was promised.
    ///
    /// # Errors
    /// Likewise; [`StoreError::Unconfirmed`] when too few replicas did.
    pub async fn send_confirmed(
        &self,
        command: &Cmd,
        confirm: &Confirm,
    ) -> Result<Value, StoreError> {
        let deadline = Instant::now() + self.timeout + confirm.timeout;
        self.deliver(Letter { command, confirm: Some(confirm), deadline, asking: false }).await
    }

    async fn deliver(&self, letter: Letter<'_>) -> Result<Value, StoreError> {
        said(match &self.way {
            Way::Standalone(node) => node.deliver(&letter).await,
            // Boxed, so that their longer ways do not weigh on the first.
            Way::Sentinel(sentinels) => Box::pin(sentinels.deliver(letter)).await,
            Way::Cluster(cluster) => Box::pin(cluster.deliver(letter)).await,
        }?)
    }

    /// The servers that are written to, by where they are.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn shards(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.nodes().await?.iter().map(|(node, _)| node.to_string()).collect())
    }

    /// Those of them that serve a partition, each with one.
    ///
    /// # Errors
    /// Likewise, and when none does.
    pub async fn serving(&self) -> Result<Vec<(String, Partition)>, StoreError> {
        let nodes = self.nodes().await?.into_iter();
        let serving: Vec<_> =
            nodes.filter_map(|(node, partition)| Some((node.to_string(), partition?))).collect();
        match serving.is_empty() {
            true => Err(StoreError::Unreached("no server serves a partition".into())),
            false => Ok(serving),
        }
    }

    /// Sends a command without a key to one of them, by its number from 0.
    ///
    /// # Errors
    /// As [`Link::send`]; when there is no such server.
    pub async fn send_to(&self, shard: usize, command: &Cmd) -> Result<Value, StoreError> {
        let nodes = self.nodes().await?;
        let (node, _) = nodes
            .get(shard)
            .ok_or_else(|| StoreError::Declined("there are fewer servers than that".into()))?;
        self.put(node, command).await
    }

    async fn put(&self, node: &Node, command: &Cmd) -> Result<Value, StoreError> {
        let deadline = Instant::now() + self.timeout;
        let letter = Letter { command, confirm: None, deadline, asking: false };
        said(node.deliver(&letter).await?)
    }

    /// The servers that are written to.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn primaries(&self) -> Result<Vec<Primary>, StoreError> {
        let nodes = self.nodes().await?.into_iter();
        nodes.map(|(node, partition)| Ok(Primary { info: node.info()?, partition })).collect()
    }

    /// Every Sentinel with the primary it names, if it answers; `None` in other modes.
    pub async fn sentinels(&self) -> Option<Vec<(String, Option<String>)>> {
        match &self.way {
            Way::Sentinel(sentinels) => Some(sentinels.ask_each().await),
            Way::Standalone(_) | Way::Cluster(_) => None,
        }
    }

    async fn nodes(&self) -> Result<Vec<(Arc<Node>, Option<Partition>)>, StoreError> {
        let deadline = Instant::now() + self.timeout;
        let any = Partition::all().next();
        match &self.way {
            Way::Standalone(node) => Ok(vec![(node.clone(), any)]),
            Way::Sentinel(sentinels) => Ok(vec![(sentinels.primary(deadline).await?, any)]),
            Way::Cluster(cluster) => cluster.primaries(deadline).await,
        }
    }

    /// A connection that hears what is published, wherever it is published.
    ///
    /// # Errors
    /// When none can be made.
    pub async fn subscription(&self) -> Result<redis::aio::PubSub, StoreError> {
        let mut last = StoreError::Unreached("no server is known".into());
        // The nodes of a Cluster pass on to each other what is published: any will do.
        for (node, _) in self.nodes().await? {
            match node.subscription().await {
                Ok(subscription) => return Ok(subscription),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Keeps an eye on which server is the primary, for all links of this place, for ever.
    pub async fn watch(&self) {
        match &self.way {
            Way::Sentinel(sentinels) => sentinels.watch().await,
            // A node of a Cluster that is primary no more says so, or answers nothing.
            Way::Standalone(_) | Way::Cluster(_) => std::future::pending().await,
        }
    }
}

/// An answer that is an error of Redis', as one.
fn said(value: Value) -> Result<Value, StoreError> {
    match value {
        Value::ServerError(error) => Err(RedisError::from(error).into()),
        value => Ok(value),
    }
}
