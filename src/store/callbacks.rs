//! A callback event's record: forwarded by one copy at a time, repeated once acknowledged.

use super::error::StoreError;
use super::orders::millis;
use super::{Store, parts, script};
use crate::model::event::Event;
use crate::model::identity::AttemptId;
use crate::model::response::{Kept, StoredResponse, pack};
use crate::model::trace::TraceContext;
use std::time::Duration;

/// A copy of an event that arrived.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// The event.
    pub event: &'a Event,
    /// Who asks.
    pub attempt: &'a AttemptId,
    /// How long forwarding it may keep others from being forwarded.
    pub lease: Duration,
    /// How long the event is remembered while it is not acknowledged.
    pub keep: Duration,
    /// Digests of what may not differ between repeats, one per secret, comma-separated.
    pub unchanged: &'a str,
    /// Whether it may be forwarded; not once it has met another copy.
    pub forward: bool,
    /// The span that this copy is told of in, for its repeats.
    pub trace: Option<TraceContext>,
}

/// What is to be done with it.
#[derive(Debug, PartialEq)]
pub enum Accept {
    /// Forward it under this fence.
    First(u64),
    /// Acknowledged already: the stored answer, and the span of the copy that was forwarded.
    Repeat(Kept, Option<TraceContext>),
    /// Another copy is being forwarded, for no longer than this.
    Busy(Duration),
    /// Not acknowledged, not being forwarded, and this copy is not to be.
    Open,
    /// Acknowledged already, and this copy says something else.
    Contradiction,
}

/// What storing an acknowledgement found.
#[derive(Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// It is stored.
    Stored,
    /// Another copy is or was forwarded under this fence; nothing was written.
    Fenced(u64),
    /// There is no such record.
    Gone,
}

/// What dropping found.
#[derive(Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The channel's next try goes through.
    Dropped,
    /// This attempt's acknowledgement is stored.
    Kept,
    /// Another copy is or was forwarded under this fence; nothing was written.
    Fenced(u64),
    /// There is no such record.
    Gone,
}

impl Store {
    /// Whether a notification is forwarded, repeated or refused.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again as the same attempt is safe.
    pub async fn accept_callback(&self, arrival: &Arrival<'_>) -> Result<Accept, StoreError> {
        let Arrival { event, attempt, lease, keep, unchanged, forward, trace } = arrival;
        let trace = trace.map_or(String::new(), |trace| trace.stored());
        let keys = [self.names.callback(event), self.names.callback_lease(event)];
        let (word, mut reply) = self
            .run(&script::ACCEPT_CALLBACK, &[&keys[0], &keys[1]], |command| {
                command
                    .arg(attempt.as_str())
                    .arg(millis(*lease))
                    .arg(millis(*keep))
                    .arg(unchanged)
                    .arg(if *forward { "yes" } else { "no" })
                    .arg(&trace);
            })
            .await?;
        Ok(match word.as_str() {
            "first" => Accept::First(reply.number()?),
            "repeat" => {
                let (status, headers, body) = (reply.number()?, reply.bytes()?, reply.bytes()?);
                let (id, secrets) = (&*event.id, &self.config.secrets);
                let kept = parts::opened(status, &headers.into(), body.into(), id, secrets);
                Accept::Repeat(kept, TraceContext::from_stored(&reply.bytes()?))
            }
            "busy" => Accept::Busy(Duration::from_millis(reply.number()?)),
            "open" => Accept::Open,
            "contradiction" => Accept::Contradiction,
            other => return Err(reply.unknown(other)),
        })
    }

    /// Keeps upstream's acknowledgement for the repeats; `unchanged` is as it was accepted.
    ///
    /// # Errors
    /// When Redis cannot be asked, or the body cannot be sealed; asking again is safe.
    pub async fn settle_callback(
        &self,
        event: &Event,
        (attempt, fence): (&AttemptId, u64),
        keep: Duration,
        unchanged: &str,
        response: &StoredResponse,
    ) -> Result<Acknowledged, StoreError> {
        let keys = [self.names.callback(event), self.names.callback_lease(event)];
        let headers = pack(&response.headers);
        // The writing secret's digest comes first.
        let unchanged = unchanged.split(',').next().unwrap_or_default();
        let body = parts::closed(&response.body, &event.id, &self.config.secrets)
            .map_err(|_| StoreError::Declined("a body that cannot be sealed".into()))?;
        let (word, mut reply) = self
            .run(&script::SETTLE_CALLBACK, &[&keys[0], &keys[1]], |command| {
                command
                    .arg(attempt.as_str())
                    .arg(fence)
                    .arg(millis(keep))
                    .arg(unchanged)
                    .arg(response.status.as_str())
                    .arg(&headers)
                    .arg(&*body);
            })
            .await?;
        Ok(match word.as_str() {
            "stored" => Acknowledged::Stored,
            "fenced" => Acknowledged::Fenced(reply.number()?),
            "gone" => Acknowledged::Gone,
            other => return Err(reply.unknown(other)),
        })
    }

    /// Lets the channel's next try through: this one was not acknowledged.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe.
    pub async fn drop_callback(
        &self,
        event: &Event,
        (attempt, fence): (&AttemptId, u64),
    ) -> Result<Dropped, StoreError> {
        let keys = [self.names.callback(event), self.names.callback_lease(event)];
        let (word, mut reply) = self
            .run(&script::DROP_CALLBACK, &[&keys[0], &keys[1]], |command| {
                command.arg(attempt.as_str()).arg(fence);
            })
            .await?;
        Ok(match word.as_str() {
            "dropped" => Dropped::Dropped,
            "kept" => Dropped::Kept,
            "fenced" => Dropped::Fenced(reply.number()?),
            "gone" => Dropped::Gone,
            other => return Err(reply.unknown(other)),
        })
    }
}
