//! Who an order is: its route, scope and key, and the partition all of that order number shares.
//!
//! Knows nothing of where records are kept.

use super::key::Key;
use super::lifecycle::{Move, Part};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many partitions the keys are spread over; each is a Cluster hash tag.
pub const PARTITIONS: u8 = 64;

/// One of the 64 partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Partition(u8);

impl Partition {
    /// All of them, in turn.
    pub fn all() -> impl Iterator<Item = Partition> {
        (0..PARTITIONS).map(Partition)
    }

    /// The partition of that number.
    pub fn numbered(number: u8) -> Option<Partition> {
        (number < PARTITIONS).then_some(Partition(number))
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The partition a digest falls into.
    pub fn of(digest: &[u8; 32]) -> Partition {
        Partition(digest[0] % PARTITIONS)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{:02}", self.0)
    }
}

/// One business operation that must happen once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// The route's name.
    pub route: Arc<str>,
    /// The caller's partition of keys; empty where the route has no scope.
    pub scope: Box<str>,
    /// The order number.
    pub key: Key,
    /// What stands in Redis names for the three: a hash, never client text.
    pub id: Box<str>,
    /// Shared by every record of this order number, on whatever route.
    pub partition: Partition,
    /// Its part in a lifecycle, where its route has one.
    pub part: Option<Arc<Part>>,
}

impl Order {
    /// The order of that route, scope and key.
    pub fn new(route: Arc<str>, scope: &str, key: Key) -> Order {
        let number = hash(&[scope, key.as_str()]);
        let id = hash(&[&route, scope, key.as_str()]);
        let partition = Partition::of(&number);
        Order { partition, id: short(&id), scope: scope.into(), route, key, part: None }
    }

    /// The same, making this move in the lifecycle of its number.
    pub fn moving(mut self, step: &Arc<Move>) -> Order {
        let id = short(&hash(&[&step.lifecycle, &self.scope, self.key.as_str()]));
        self.part = Some(Arc::new(Part { id, step: step.clone() }));
        self
    }
}

/// One attempt's name, unlike any other's anywhere: 22 URL-safe characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId(Box<str>);

impl AttemptId {
    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes attempt names: 80 random bits drawn once, and a counter.
#[derive(Debug)]
pub struct AttemptIds {
    drawn: [u8; 10],
    next: AtomicU64,
}

impl AttemptIds {
    /// Draws this process's random bits.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn new() -> Result<AttemptIds, getrandom::Error> {
        let mut drawn = [0; 10];
        getrandom::fill(&mut drawn)?;
        Ok(AttemptIds { drawn, next: AtomicU64::new(0) })
    }

    /// The next name.
    pub fn next(&self) -> AttemptId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 16];
        bytes[..10].copy_from_slice(&self.drawn);
        bytes[10..].copy_from_slice(&count.to_be_bytes()[2..]);
        AttemptId(URL_SAFE_NO_PAD.encode(bytes).into())
    }
}

/// What stands in Redis names for a hash.
pub(super) fn short(hash: &[u8; 32]) -> Box<str> {
    URL_SAFE_NO_PAD.encode(&hash[..16]).into()
}

/// SHA-256 over parts that cannot run into one another.
pub(super) fn hash(parts: &[&str]) -> [u8; 32] {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_le_bytes());
        sha.update(part.as_bytes());
    }
    sha.finalize().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn order(route: &str, scope: &str, key: &str) -> Order {
        Order::new(route.into(), scope, Key::from_text(key).unwrap())
    }

    #[test]
    fn routes_of_one_order_number_share_a_partition_and_nothing_else() {
        let (pay, refund) = (order("pay", "", "2024-0001"), order("refund", "", "2024-0001"));
        assert_eq!(pay.partition, refund.partition);
        assert_ne!(pay.id, refund.id);
    }

    #[test]
    fn the_same_key_in_another_scope_is_another_order() {
        assert_ne!(order("pay", "a", "1").id, order("pay", "b", "1").id);
        assert_ne!(order("pay", "ab", "1").id, order("pay", "a", "b1").id);
    }

    #[test]
    fn partitions_are_all_used() {
        let seen: std::collections::HashSet<_> =
            (0..2000).map(|n| order("pay", "", &n.to_string()).partition).collect();
        assert_eq!(seen.len(), usize::from(PARTITIONS));
    }

    #[test]
    fn attempt_names_differ_between_processes_and_within_one() {
        let (a, b) = (AttemptIds::new().unwrap(), AttemptIds::new().unwrap());
        let names = [a.next(), a.next(), b.next(), b.next()];
        let unique: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(unique.len(), 4);
        assert!(names.iter().all(|name| name.as_str().len() == 22));
    }
}
