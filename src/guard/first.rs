//! Asked first: while Redis may have forgotten a claim it acknowledged, upstream is asked about an
//! order before it is sent, for it may have been sent under that claim.
//!
//! What may still be on its way is not known upstream yet. So that an order is `absent` is believed
//! only where SETTLE_DELAY has passed since anybody can have sent it: since the server that
//! acknowledged the claim was found gone. Until then the order waits under its lease and is asked
//! about again. An empty Redis at which no replica remembers another is a beginning: there an
//! order that is absent is new.

use super::attempt::Ending;
use super::call::{Said, call};
use super::{Guard, Payment};
use crate::model::identity::Order;
use crate::model::order::State;
use crate::model::outcome::Meaning;
use crate::model::response::Kept;
use crate::route::{Call, Route};
use crate::store::StoreError;
use crate::store::history::Doubt;
use crate::store::record::Record;
use crate::trace::{Kind, Span};
use crate::upstream::Leg;
use std::time::Duration;
use tokio::time::sleep;

/// What is to be done about an order whose claim was granted.
pub(super) enum First {
    /// Nothing was forgotten, nobody can be asked, or upstream knows no such order.
    Send,
    /// Upstream knows of it or does not say, or it moved on: it stands like this, and is not sent.
    Ended(Ending),
    /// Redis did not say whether it forgot anything.
    Unsure(StoreError),
}

impl Guard {
    /// Finds out whether an order may be sent, under the lease that was granted with this fence, so
    /// that nobody else sends it meanwhile.
    pub(super) async fn ask_first(&self, payment: &Payment, fence: u64) -> First {
        match &payment.route.query {
            None => First::Send,
            Some(query) => match self.ask_until_believed(payment, fence, query).await {
                Ok(first) => first,
                Err(error) => First::Unsure(error),
            },
        }
    }

    /// Whether an order of which Redis knows nothing that may have been sent may be cancelled without
    /// a word to upstream: nothing was forgotten, nobody can be asked, or upstream knows no such order
    /// and none can be on its way.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn is_unsent(&self, order: &Order, route: &Route) -> Result<bool, StoreError> {
        let Some(query) = &route.query else {
            return Ok(true);
        };
        let Some(doubt) = self.store.in_doubt(order.partition).await? else {
            return Ok(true);
        };
        let state = self.store.look(order).await?.map_or(State::None, |record| record.state);
        if !matches!(state, State::None | State::Queued) {
            return Ok(true);
        }
        let said = Box::pin(self.ask_about(order, route, query, &Span::default())).await;
        if !matches!(said, Said::Meaning(Meaning::Absent, _)) {
            self.told(order, said);
            return Ok(false);
        }
        Ok(self.believed_in(doubt, route).is_zero())
    }

    async fn ask_until_believed(
        &self,
        payment: &Payment,
        fence: u64,
        query: &Call,
    ) -> Result<First, StoreError> {
        let tuning = &payment.route.tuning;
        // Before the call: what it says is at least that old.
        while let Some(doubt) = self.store.in_doubt(payment.order.partition).await? {
            let asking = self.ask_about(&payment.order, &payment.route, query, &payment.span);
            let said = Box::pin(asking).await;
            if !matches!(said, Said::Meaning(Meaning::Absent, _)) {
                return Ok(First::Ended(self.told(&payment.order, said)));
            }
            let early = self.believed_in(doubt, &payment.route);
            sleep(early.min(tuning.query_interval)).await;
            // Meanwhile it may have been cancelled, or found without its lease.
            let record = self.store.look(&payment.order).await?;
            let ours = |record: &Record| record.fence == fence && record.state == State::InFlight;
            if !record.as_ref().is_some_and(ours) {
                return Ok(First::Ended(unsent("it moved on while upstream was asked about it")));
            }
            if early.is_zero() {
                break;
            }
        }
        Ok(First::Send)
    }

    /// For how long `absent` is not to be believed yet; counts the answer.
    fn believed_in(&self, doubt: Doubt, route: &Route) -> Duration {
        let delay = route.tuning.settle_delay;
        let early = doubt.gone.map_or(Duration::ZERO, |gone| delay.saturating_sub(gone));
        self.metrics.asked_first(if early.is_zero() { "absent" } else { "absent-early" });
        early
    }

    async fn ask_about(&self, order: &Order, route: &Route, query: &Call, within: &Span) -> Said {
        let allowed = route.tuning.upstream_timeout;
        let span = within.child("query", Kind::Client);
        let way = (&*self.upstream, Leg::Query, &span);
        call(way, &self.authority, query, (route, order), allowed).await
    }

    /// How an order stands that upstream did not call absent.
    fn told(&self, order: &Order, said: Said) -> Ending {
        let knew = "history was lost, and upstream knew the outcome";
        let silent = "history was lost, and upstream does not say";
        let (result, ending) = match said {
            Said::Meaning(Meaning::Succeeded, kept) => {
                ("succeeded", Ending { to: State::Succeeded, kept, why: knew })
            }
            Said::Meaning(Meaning::Failed, kept) => {
                ("failed", Ending { to: State::Failed, kept, why: knew })
            }
            Said::Meaning(Meaning::Unknown, _) => ("pending", unsent(silent)),
            Said::Meaning(..) | Said::Unclear => ("unclear", unsent(silent)),
            Said::Nothing => ("unanswered", unsent(silent)),
        };
        self.metrics.asked_first(result);
        tracing::warn!(
            order = %order.id, result,
            "Redis lost its history: upstream was asked before anything was done, and nothing is"
        );
        ending
    }
}

/// When in doubt whether it was sent, it was.
fn unsent(why: &'static str) -> Ending {
    Ending { to: State::Unknown, kept: Kept::Nothing, why }
}
