//! The one mapping from what a thing is to what it is called in Redis.
//!
//! `<namespace>:{p<NN>}:<kind>:<id>`: the hash tag keeps everything of one order number in one
//! Cluster slot. Ids are hashes, never client text.

use crate::model::event::Event;
use crate::model::identity::{Order, Partition};

/// Names under one namespace.
#[derive(Clone, Debug)]
pub struct Names {
    namespace: String,
}

impl Names {
    /// Names that begin with `namespace`.
    pub fn new(namespace: &str) -> Names {
        Names { namespace: namespace.to_owned() }
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
    pub fn due(&self, partition: Partition) -> String {
        self.of(partition, "due", "all")
    }

    /// The orders whose outcome is unknown, by since when (ms since 1970).
    pub fn unknown(&self, partition: Partition) -> String {
        self.of(partition, "unknown", "all")
    }

    /// The orders whose cancel is not confirmed yet, by since when (ms since 1970).
    pub fn cancelling(&self, partition: Partition) -> String {
        self.of(partition, "cancelling", "all")
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

    /// Where workers are told that something was queued, by partition.
    pub fn queued_channel(&self) -> String {
        format!("{}:queued", self.namespace)
    }

    /// Where settled orders are announced, by id.
    pub fn settled_channel(&self) -> String {
        format!("{}:settled", self.namespace)
    }

    /// A pattern for `SCAN` that finds every record.
    pub fn all_records(&self) -> String {
        format!("{}:{{p*}}:order:*", self.namespace)
    }

    /// The partition and id in a record's name.
    pub fn parse<'a>(&self, record: &'a str) -> Option<(Partition, &'a str)> {
        let rest = record.strip_prefix(&self.namespace)?.strip_prefix(":{p")?;
        let (number, id) = rest.split_once("}:order:")?;
        Some((Partition::numbered(number.parse().ok()?)?, id))
    }

    /// A name of any kind; record and lease of an id that came out of an index, for example.
    pub fn of(&self, partition: Partition, kind: &str, id: &str) -> String {
        let number = partition.number();
        let digits = [b'0' + number / 10, b'0' + number % 10].map(char::from);
        let mut name = String::with_capacity(self.namespace.len() + kind.len() + id.len() + 9);
        name.push_str(&self.namespace);
        name.push_str(":{p");
        name.extend(digits);
        name.push_str("}:");
        name.push_str(kind);
        name.push(':');
        name.push_str(id);
        name
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
