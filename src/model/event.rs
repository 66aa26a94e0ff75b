//! What a channel's notification tells of: one event of one order number.
//!
//! A channel repeats an event until it is acknowledged; events of one order (paid, closed) are each
//! their own.

use super::field::Field;
use super::identity::{Order, hash, short};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Route, scope and key of the notification: the order number's place, not the order it pays.
    pub order: Order,
    /// What stands in Redis names for order and fields: a hash, never the channel's text.
    pub id: Box<str>,
}

impl Event {
    /// The event these fields tell of.
    pub fn new(order: Order, fields: &[Field]) -> Event {
        let mut parts = vec!["callback", &*order.route, &*order.scope, order.key.as_str()];
        parts.extend(fields.iter().flat_map(Field::parts));
        let id = short(&hash(&parts));
        Event { order, id }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::model::key::Key;

    fn event(key: &str, fields: &[Option<&str>]) -> Event {
        let order = Order::new("notify".into(), "", Key::from_text(key).unwrap());
        let text =
            |field: &Option<&str>| field.map_or(Field::Missing, |text| Field::Text(text.into()));
        let fields: Vec<_> = fields.iter().map(text).collect();
        Event::new(order, &fields)
    }

    #[test]
    fn events_of_one_order_share_its_partition_and_nothing_else() {
        let paid = event("1", &[Some("PAID"), None]);
        assert_eq!(paid, event("1", &[Some("PAID"), None]));
        let others = [
            event("1", &[Some("CLOSED"), None]),
            event("1", &[Some("PAID"), Some("")]),
            event("1", &[None, Some("PAID")]),
            event("1", &[]),
        ];
        for other in others {
            assert_ne!(paid.id, other.id);
            assert_eq!(paid.order.partition, other.order.partition);
        }
        assert_ne!(paid.id, event("2", &[Some("PAID"), None]).id);
        assert_ne!(paid.id, paid.order.id);
    }
}
