//! The entries a replica has in hand, so that it takes none of them twice at a time.

use crate::model::identity::Partition;
use crate::store::queue::Entry;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By partition and name.
type Held = (Partition, String);

/// All of them; clones are the same ones.
#[derive(Clone, Default)]
pub(super) struct Hand(Arc<Mutex<HashSet<Held>>>);

/// One of them, let go when dropped: also by a task that panics, or it would never be tried again.
pub(super) struct Grip {
    hand: Hand,
    held: Held,
}

impl Hand {
    /// Takes an entry that is not in hand already.
    pub(super) fn hold(&self, entry: &Entry) -> Option<Grip> {
        let held = (entry.partition, entry.name.clone());
        let is_new = self.all().insert(held.clone());
        is_new.then(|| Grip { hand: self.clone(), held })
    }

    fn all(&self) -> MutexGuard<'_, HashSet<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        self.hand.all().remove(&self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::identity::Order;
    use crate::model::key::Key;

    #[tokio::test]
    async fn an_entry_is_held_once_and_let_go_however_its_task_ends() {
        let order = Order::new("pay".into(), "", Key::from_text("1").expect("a key"));
        let entry = |name: &str| Entry {
            partition: order.partition,
            name: name.into(),
            id: order.id.to_string(),
        };
        let hand = Hand::default();
        let grip = hand.hold(&entry("1-0")).expect("new");
        assert!(hand.hold(&entry("1-0")).is_none());
        let other = hand.hold(&entry("2-0"));
        assert!(other.is_some());
        let task = tokio::spawn(async move {
            let _grip = grip;
            panic!("a bug");
        });
        assert!(task.await.is_err());
        assert!(hand.hold(&entry("1-0")).is_some());
        assert!(hand.hold(&entry("2-0")).is_none());
    }
}
