//! The one mapping from what a thing is to what it is called in Redis.
//!
//! `<namespace>:{p<NN>}:<kind>:<id>`: the hash tag keeps everything of one order number in one
//! Cluster slot. Ids are hashes, never client text.

use crate::model::event::Event;
use crate::model::identity::{Order, Partition};
use std::sync::Arc;

/// Names under one namespace.
#[derive(Clone, Debug)]
pub struct Names(Arc<Fixed>);

/// What is the same for all orders, put together once.
#[derive(Debug)]
struct Fixed {
    namespace: String,
    settled_channel: String,
    queued_channel: String,
    /// By number.
    partitions: Vec<Indexes>,
}

/// Names of a partition's.
#[derive(Debug)]
struct Indexes {
    /// What each of them begins with.
    begin: String,
    due: String,
    unknown: String,
    cancelling: String,
}

impl Names {
    /// Names that begin with `namespace`.
    pub fn new(namespace: &str) -> Names {
        let indexes = |partition: Partition| {
            let begin = format!("{namespace}:{{p{:02}}}:", partition.number());
            let all = |kind| format!("{begin}{kind}:all");
            let (due, unknown, cancelling) = (all("due"), all("unknown"), all("cancelling"));
            Indexes { begin, due, unknown, cancelling }
        };
        Names(Arc::new(Fixed {
            settled_channel: format!("{namespace}:settled"),
            queued_channel: format!("{namespace}:queued"),
            partitions: Partition::all().map(indexes).collect(),
            namespace: namespace.to_owned(),
        }))
    }

    /// The hash that tells all of one order.
    pub fn record(&self, order: &Order) -> String {
        self.of(order.partition, "order", &order.id)
    }

    /// The lease of one order.
    pub fn lease(&self, order: &Order) -> String {
        self.of(order.partition, "lease", &order.id)
    }

    /// The hash that tells where the lifecycle of an order's number stands, if it has a part in one.
    pub fn lifecycle(&self, order: &Order) -> Option<String> {
        Some(self.of(order.partition, "lifecycle", &order.part.as_ref()?.id))
    }

    /// The hash that tells all of one callback event.
    pub fn callback(&self, event: &Event) -> String {
        self.of(event.order.partition, "callback", &event.id)
    }

    /// The lease of the copy of an event that is being forwarded.
    pub fn callback_lease(&self, event: &Event) -> String {
        self.of(event.order.partition, "lease", &event.id)
    }

    /// A token, by the hash of its text.
    pub fn token(&self, partition: Partition, hash: &str) -> String {
        self.of(partition, "token", hash)
    }

    /// The orders that somebody should look at, by when (ms since 1970): those in flight, when their
    /// lease should have run out; those unknown or being cancelled, when upstream is to be called.
    pub fn due(&self, partition: Partition) -> &str {
        &self.indexes(partition).due
    }

    /// The orders whose outcome is unknown, by since when (ms since 1970).
    pub fn unknown(&self, partition: Partition) -> &str {
        &self.indexes(partition).unknown
    }

    /// The orders whose cancel is not confirmed yet, by since when (ms since 1970).
    pub fn cancelling(&self, partition: Partition) -> &str {
        &self.indexes(partition).cancelling
    }

    /// What a queued order asks, sealed.
    pub fn request(&self, order: &Order) -> String {
        self.of(order.partition, "request", &order.id)
    }

    /// The stream of queued orders.
    pub fn queue(&self, partition: Partition) -> String {
        self.of(partition, "stream", "queue")
    }

    /// The stream of orders that could not be sent too often.
    pub fn dead(&self, partition: Partition) -> String {
        self.of(partition, "stream", "dead")
    }

    /// Whether a name is that of one order's or event's record or lease.
    pub(super) fn is_of_one(&self, name: &[u8]) -> bool {
        let kind = name.split(|byte| *byte == b':').rev().nth(1);
        matches!(kind, Some(b"order" | b"callback" | b"lease"))
    }

    /// The mark that names the server seen last.
    pub fn history(&self, partition: Partition) -> String {
        self.of(partition, "history", "all")
    }

    /// What is written to see whether anything can be.
    pub fn ping(&self, partition: Partition) -> String {
        self.of(partition, "ping", "all")
    }

    /// Where workers are told that something was queued, by partition.
    pub fn queued_channel(&self) -> &str {
        &self.0.queued_channel
    }

    /// Where settled orders are announced, by id.
    pub fn settled_channel(&self) -> &str {
        &self.0.settled_channel
    }

    /// A pattern for `SCAN` that finds every record.
    pub fn all_records(&self) -> String {
        format!("{}:{{p*}}:order:*", self.0.namespace)
    }

    /// The partition and id in a record's name.
    pub fn parse<'a>(&self, record: &'a str) -> Option<(Partition, &'a str)> {
        let rest = record.strip_prefix(&self.0.namespace)?.strip_prefix(":{p")?;
        let (number, id) = rest.split_once("}:order:")?;
        Some((Partition::numbered(number.parse().ok()?)?, id))
    }

    /// A name of any kind; record and lease of an id that came out of an index, for example.
    pub fn of(&self, partition: Partition, kind: &str, id: &str) -> String {
        let begin = &self.indexes(partition).begin;
        let mut name = String::with_capacity(begin.len() + kind.len() + id.len() + 1);
        for part in [begin, kind, ":", id] {
            name.push_str(part);
        }
        name
    }

    fn indexes(&self, partition: Partition) -> &Indexes {
        &self.0.partitions[usize::from(partition.number())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_by_its_name() {
        let names = Names::new("pay:ments");
        for partition in Partition::all() {
            let name = names.of(partition, "order", "abc");
            assert_eq!(names.parse(&name), Some((partition, "abc")));
        }
        assert_eq!(names.parse("pay:ments:{p64}:order:abc"), None);
        assert_eq!(names.parse("pay:ments:{p01}:lease:abc"), None);
        assert_eq!(names.parse("other:{p01}:order:abc"), None);
    }
}
