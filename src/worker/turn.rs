//! One turn of one order: held in Redis for as long as its call takes, whatever its interval is.

use super::schedule::HOLD;
use crate::guard::Hints;
use crate::model::identity::{AttemptId, Order};
use crate::store::Store;
use crate::store::resolve::Hold;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// A turn is prolonged so long before it would be over, and where Redis does not answer, so soon
/// again.
const AHEAD: Duration = Duration::from_millis(1500);
const AGAIN: Duration = Duration::from_millis(500);

/// An order's turn. Who dies in it leaves an order that is due again within the interval or [`HOLD`].
pub(super) struct Held<'a> {
    store: &'a Store,
    order: &'a Order,
    name: &'a AttemptId,
    begun: Instant,
    /// The next call is to come no sooner than so long after this one began.
    interval: Duration,
    /// Whether Redis may have been told another time since it began.
    prolonged: bool,
}

impl<'a> Held<'a> {
    /// The turn of that name, which was taken at `begun` or a little later.
    pub(super) fn new(
        store: &'a Store,
        (order, name): (&'a Order, &'a AttemptId),
        begun: Instant,
        interval: Duration,
    ) -> Held<'a> {
        Held { store, order, name, begun, interval, prolonged: false }
    }

    /// Waits for a call, and keeps everybody else from making one meanwhile.
    pub(super) async fn during<T>(&mut self, call: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            answer = call => answer,
            never = self.prolong() => match never {},
        }
    }

    /// Prolongs the turn in time until it is somebody else's.
    async fn prolong(&mut self) -> Infallible {
        let mut until = self.begun + self.interval.max(HOLD);
        loop {
            sleep_until(until - AHEAD).await;
            self.prolonged = true;
            let asked = Instant::now();
            match self.store.hold(self.order, self.name, HOLD).await {
                Ok(Hold::Held) => until = asked + HOLD,
                Ok(Hold::Moved) => pending().await,
                Err(error) => {
                    tracing::debug!(%error, order = %self.order.id, "a turn was not prolonged");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Ends a turn that settled nothing: the order is due again an interval after the call was made,
    /// or now, if it took longer. Tells this replica's resolver of it.
    pub(super) async fn end(&self, hints: &Hints) {
        let left = (self.begun + self.interval).saturating_duration_since(Instant::now());
        let stands = self.interval >= HOLD && !self.prolonged;
        let due = match stands {
            true => left,
            false => match self.store.hold(self.order, self.name, left).await {
                Ok(Hold::Held) => left,
                // Somebody made it due, or took it.
                Ok(Hold::Moved) => Duration::ZERO,
                Err(error) => {
                    tracing::debug!(%error, order = %self.order.id, "a turn was not ended");
                    HOLD
                }
            },
        };
        hints.tell(self.order.partition, &self.order.id, due);
    }
}
