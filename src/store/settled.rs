//! Who waits for an order, and who tells them it was settled.
//!
//! A published message is a hint that saves time; those who wait also look for themselves now and
//! then, so a lost message costs patience, never an answer. A waiter holds no connection.

use super::finished::Finished;
use super::link::Link;
use super::names::Names;
use super::queue::Hints;
use crate::model::identity::Partition;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long to wait before listening again after the connection was lost.
const RELISTEN: Duration = Duration::from_millis(500);

/// The orders that somebody in this process waits for.
pub struct Waiters {
    /// By order id. A waiter keeps its entry alive; the last one out takes it along.
    orders: Mutex<HashMap<Box<str>, Weak<Notify>>>,
    /// Partitions whose queue somebody wrote to.
    pub queues: Hints,
    /// What is remembered of orders nobody need wait for.
    finished: Arc<Finished>,
}

/// One wait for one order.
pub struct Waiter {
    waiters: Arc<Waiters>,
    id: Box<str>,
    told: Arc<Notify>,
}

impl Waiters {
    /// Nobody waits yet; `finished` forgets the orders of which something is told.
    pub fn new(finished: Arc<Finished>) -> Waiters {
        Waiters { orders: Mutex::default(), queues: Hints::default(), finished }
    }

    /// Begins to wait for an order: what is told from now on is not missed.
    pub fn wait_for(self: &Arc<Self>, id: &str) -> Waiter {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let told = orders.get(id).and_then(Weak::upgrade).unwrap_or_default();
        orders.insert(id.into(), Arc::downgrade(&told));
        Waiter { waiters: self.clone(), id: id.into(), told }
    }

    /// Wakes everybody who waits for an order.
    pub fn tell(&self, id: &str) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = orders.get(id).and_then(Weak::upgrade) {
            told.notify_waiters();
        }
    }

    /// Hears what Redis publishes and wakes those concerned, until `stop`.
    pub async fn listen(&self, link: Arc<Link>, names: Names, stop: CancellationToken) {
        while stop.run_until_cancelled(self.hear(&link, &names)).await.is_some() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RELISTEN) => {}
            }
        }
    }

    /// Returns when the connection is lost or cannot be made.
    async fn hear(&self, link: &Link, names: &Names) {
        let Ok(mut subscription) = link.subscription().await else {
            return;
        };
        let queued = names.queued_channel();
        if subscription.subscribe(&[names.settled_channel(), queued]).await.is_err() {
            return;
        }
        let _heard = Heard::from_now_on(&self.finished);
        let mut messages = subscription.into_on_message();
        while let Some(message) = messages.next().await {
            let Ok(text) = std::str::from_utf8(message.get_payload_bytes()) else {
                continue;
            };
            if message.get_channel_name() != queued {
                self.finished.forget(text);
                self.tell(text);
            } else if let Some(partition) = text.parse().ok().and_then(Partition::numbered) {
                self.queues.tell(partition);
            }
        }
    }
}

/// While it lives, this process hears what others announce.
struct Heard<'a>(&'a Finished);

impl Heard<'_> {
    fn from_now_on(finished: &Finished) -> Heard<'_> {
        finished.listening(true);
        Heard(finished)
    }
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        self.0.listening(false);
    }
}

impl Waiter {
    /// Ready once this process is told that the order was settled; nothing told after this call
    /// is missed, whenever the future is first polled.
    pub fn told(&self) -> impl Future<Output = ()> + use<> {
        self.told.clone().notified_owned()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut orders = self.waiters.orders.lock().unwrap_or_else(PoisonError::into_inner);
        // Ours is the last strong reference but for those of other waiters.
        if Arc::strong_count(&self.told) == 1 {
            orders.remove(&self.id);
        }
    }
}
