//! The way to Redis: one thread's connections, and which server a command goes to.
//!
//! Commands share one connection per server. What none of this ever does: send a command again that
//! may have happened.

mod confirm;
mod node;
mod place;

pub use confirm::Confirm;
pub use place::{Mode, Place, Source};

use super::error::StoreError;
use node::Node;
use redis::{Cmd, ConnectionInfo, RedisError, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// One thread's way to Redis.
pub struct Link {
    timeout: Duration,
    way: Way,
}

enum Way {
    Standalone(Node),
}

impl Link {
    /// A link that connects on its first command; `timeout` bounds each command, connecting
    /// included.
    pub fn new(place: Arc<Place>, timeout: Duration) -> Link {
        Link { timeout, way: Way::Standalone(Node::new(place, timeout)) }
    }

    /// How long one command may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends one command and waits for its answer, no longer than the timeout.
    ///
    /// # Errors
    /// [`StoreError`] says whether the command may have taken effect.
    pub async fn send(&self, command: &Cmd) -> Result<Value, StoreError> {
        let deadline = Instant::now() + self.timeout;
        said(match &self.way {
            Way::Standalone(node) => node.send(command, deadline).await,
        }?)
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
        said(match &self.way {
            Way::Standalone(node) => node.send_confirmed(command, confirm, deadline).await,
        }?)
    }

    /// The servers that are written to, as one connects to each.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn primaries(&self) -> Result<Vec<ConnectionInfo>, StoreError> {
        match &self.way {
            Way::Standalone(node) => Ok(vec![node.info()?]),
        }
    }

    /// A connection that hears what is published.
    ///
    /// # Errors
    /// When none can be made.
    pub async fn subscription(&self) -> Result<redis::aio::PubSub, StoreError> {
        match &self.way {
            Way::Standalone(node) => node.subscription().await,
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
