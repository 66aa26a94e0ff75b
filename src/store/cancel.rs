//! Asking for an order not to be paid.

use super::error::StoreError;
use super::orders::millis;
use super::{Store, lifecycle, record, script};
use crate::model::identity::Order;
use crate::model::order::{State, words};
use std::time::Duration;

/// What a cancel asks for.
#[derive(Debug)]
pub struct CancelAsk<'a> {
    /// The order.
    pub order: &'a Order,
    /// Digests of who asks, one per secret, comma-separated; `None` for an operator.
    pub callers: Option<&'a str>,
    /// Whether the route has a cancel call, without which nothing that may have been sent can be
    /// undone.
    pub confirm: bool,
    /// How long a tombstone is kept.
    pub keep: Duration,
    /// Who asks, where it is not a caller of this replica's; no spaces.
    pub by: Option<&'a str>,
    /// Why, in a few words without secrets, on one line.
    pub why: &'a str,
}

/// What a cancel found.
#[derive(Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It is a tombstone.
    Cancelled,
    /// Its cancel call is due.
    Cancelling,
    /// It ended otherwise.
    Final(State),
    /// It cannot be cancelled in that state on this route.
    Refused(State),
    /// It is another caller's.
    Absent,
}

impl Store {
    /// Cancels an order, seen or not.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe.
    pub async fn cancel(&self, ask: &CancelAsk<'_>) -> Result<Cancel, StoreError> {
        let order = ask.order;
        let record = self.names.record(order);
        let lease = self.names.lease(order);
        let due = self.names.due(order.partition);
        let unknown = self.names.unknown(order.partition);
        let cancelling = self.names.cancelling(order.partition);
        let lifecycle = self.names.lifecycle(order);
        let keys = lifecycle::keys(&[&record, &lease, due, unknown, cancelling], &lifecycle);
        let (word, mut reply) = self
            .run(&script::CANCEL, &keys, |command| {
                command
                    .arg(&*order.id)
                    .arg(ask.callers.unwrap_or_default())
                    .arg(if ask.confirm { "yes" } else { "no" })
                    .arg(words(State::Cancelled.entered_from()))
                    .arg(words(State::Cancelling.entered_from()))
                    .arg(millis(ask.keep))
                    .arg(&*order.route)
                    .arg(order.key.as_str())
                    .arg(&*order.scope)
                    .arg(self.names.settled_channel())
                    .arg(ask.by.unwrap_or(&self.config.by))
                    .arg(ask.why);
            })
            .await?;
        Ok(match word.as_str() {
            "cancelled" => Cancel::Cancelled,
            "cancelling" => Cancel::Cancelling,
            "final" => Cancel::Final(record::state(&mut reply)?),
            "refused" => Cancel::Refused(record::state(&mut reply)?),
            "absent" => Cancel::Absent,
            other => return Err(reply.unknown(other)),
        })
    }
}
