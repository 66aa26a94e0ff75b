//! Ending an order on the word of somebody else than its attempt.

use super::error::StoreError;
use super::orders::millis;
use super::{Store, lifecycle, record, script};
use crate::model::identity::Order;
use crate::model::order::{State, words};
use std::time::Duration;

/// What resolving found.
#[derive(Debug, PartialEq, Eq)]
pub enum Conclude {
    /// The order is final now; the state it left.
    Concluded(State),
    /// It is final now or was before, but its lifecycle was not moved: another order's move led it
    /// to this state, or is under way from there.
    Astray(String),
    /// It stood in that state before.
    Already,
    /// It is being cancelled and stays so; that it was paid is kept meanwhile.
    Kept,
    /// Its state does not allow it; nothing was written.
    Refused(State),
    /// Nobody has seen it, or its claim was given back.
    Absent,
}

impl Store {
    /// Ends an order in `to`, without a response, and keeps it for `keep` from now.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe.
    pub async fn conclude(
        &self,
        order: &Order,
        to: State,
        keep: Duration,
        why: &str,
    ) -> Result<Conclude, StoreError> {
        let record = self.names.record(order);
        let lease = self.names.lease(order);
        let due = self.names.due(order.partition);
        let unknown = self.names.unknown(order.partition);
        let cancelling = self.names.cancelling(order.partition);
        let request = self.names.request(order);
        let channel = self.names.settled_channel();
        let from = words(&to.told_from());
        let lifecycle = self.names.lifecycle(order);
        let keys =
            lifecycle::keys(&[&record, &lease, due, unknown, cancelling, &request], &lifecycle);
        let (word, mut reply) = self
            .run(&script::CONCLUDE, &keys, |command| {
                command
                    .arg(&*order.id)
                    .arg(to.word())
                    .arg(&from)
                    .arg(millis(keep))
                    .arg(channel)
                    .arg(&self.config.by)
                    .arg(why);
            })
            .await?;
        Ok(match word.as_str() {
            "concluded" => Conclude::Concluded(record::state(&mut reply)?),
            "astray" => Conclude::Astray(reply.text()?),
            "already" => Conclude::Already,
            "kept" => Conclude::Kept,
            "refused" => Conclude::Refused(record::state(&mut reply)?),
            "absent" => Conclude::Absent,
            other => return Err(reply.unknown(other)),
        })
    }
}
