//! What an attempt that lives knows of an order whose record Redis has lost, written anew.

use super::error::StoreError;
use super::orders::{ClaimAsk, Settlement, millis};
use super::record;
use super::{Store, lifecycle, parts, script};
use crate::model::order::State;
use std::borrow::Cow;

/// What is to be written anew.
#[derive(Debug)]
pub struct Restoration<'a> {
    /// What the attempt was claimed with.
    pub claim: &'a ClaimAsk<'a>,
    /// Under which fence.
    pub fence: u64,
    /// How it ended; nothing while it runs.
    pub ended: Option<&'a Settlement<'a>>,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Restore {
    /// Written.
    Restored,
    /// Written, but its lifecycle was not moved: another order's move led it to this state, or is
    /// under way from there.
    Astray(String),
    /// Its record says more, or somebody else is at it; where it stands. Nothing was written.
    Stands(State),
}

impl Store {
    /// Writes the record of a living attempt anew, where Redis has lost it.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe.
    pub async fn restore(&self, restoration: &Restoration<'_>) -> Result<Restore, StoreError> {
        let Restoration { claim, fence, ended } = restoration;
        let order = claim.order;
        let record = self.names.record(order);
        let lease = self.names.lease(order);
        let due = self.names.due(order.partition);
        let unknown = self.names.unknown(order.partition);
        let lifecycle = self.names.lifecycle(order);
        let keys = lifecycle::keys(&[&record, &lease, due, unknown], &lifecycle);
        let asked = parts::asked(order, claim.callers, claim.ask, claim.trace);
        let answered =
            |ended: &Settlement<'_>| parts::answered(ended.kept, order, &self.config.secrets);
        let answer = ended.map_or(Cow::default(), answered);
        let (to, keep) = ended.map_or((State::InFlight, claim.keep), |it| (it.to, it.keep));
        let (word, mut reply) = self
            .run(&script::RESTORE, &keys, |command| {
                command
                    .arg(&*order.id)
                    .arg(claim.attempt.as_str())
                    .arg(fence)
                    .arg(to.word())
                    .arg(millis(claim.lease))
                    .arg(millis(keep))
                    .arg(claim.fingerprints)
                    .arg(claim.token.map_or("", |token| &token.hash))
                    .arg(&asked)
                    .arg(&*answer)
                    .arg(self.names.settled_channel())
                    .arg(&self.config.by)
                    .arg(ended.map_or("", |ended| ended.why));
            })
            .await?;
        Ok(match word.as_str() {
            "restored" => Restore::Restored,
            "astray" => Restore::Astray(reply.text()?),
            "stands" => Restore::Stands(record::state(&mut reply)?),
            other => return Err(reply.unknown(other)),
        })
    }
}
