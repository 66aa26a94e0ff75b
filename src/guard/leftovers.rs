//! Claims that may stand although nobody knows: their answer was lost, and nothing was sent.
//!
//! Each is taken back in the background until Redis says so, for nothing else would let the order
//! go: left alone its lease would lapse and the order be `unknown` without having been sent.

use super::{Guard, Payment};
use crate::fault::Carry;
use crate::model::identity::AttemptId;
use crate::store::orders::SpentToken;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long one is worked on. After that the order is left to lapse.
const PATIENCE: Duration = Duration::from_secs(300);

/// Between two tries: from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// So many at a time, per thread; a few hundred bytes each.
const MOST: usize = 10_000;

impl Guard {
    /// Takes a claim back in the background.
    pub(super) fn take_back(
        self: &Arc<Self>,
        payment: &Arc<Payment>,
        attempt: &AttemptId,
        token: Option<&SpentToken>,
    ) {
        if self.leftovers.fetch_add(1, Ordering::Relaxed) >= MOST {
            self.leftovers.fetch_sub(1, Ordering::Relaxed);
            tracing::error!(order = %payment.order.id, "too many claims to take back: this one will lapse");
            return;
        }
        let guard = self.clone();
        // Not the payment: its body and its place among those in hand are not needed for this.
        let (order, keep) = (payment.order.clone(), payment.route.tuning.record_ttl);
        let (attempt, token) = (attempt.clone(), token.cloned());
        let taking = async move {
            let until = Instant::now() + PATIENCE;
            let mut pause = PAUSES.0;
            while Instant::now() < until {
                sleep(pause).await;
                let taken =
                    guard.store.abandon(&order, &attempt, token.as_ref(), keep, "claim lost");
                if taken.await.is_ok() {
                    break;
                }
                pause = (pause * 2).min(PAUSES.1);
            }
            guard.leftovers.fetch_sub(1, Ordering::Relaxed);
        };
        self.running.spawn(taking.on_same_behalf());
    }
}
