//! A living attempt whose order's record Redis has lost: what it knows is written anew.
//!
//! It was evicted, flushed, or Redis came back empty. Nobody but the attempt knows any more that
//! something was sent; left at that, the next duplicate would run.

use super::{Guard, Payment};
use crate::model::identity::AttemptId;
use crate::store::orders::{Settle, Settlement, SpentToken};
use crate::store::restore::{Restoration, Restore};

/// Whether what a settle found shows that Redis lost what was known under `fence`: fences only rise.
pub(super) fn is_lost(settled: &Settle, fence: u64) -> bool {
    match settled {
        Settle::Gone => true,
        Settle::Fenced(stands, _) => *stands <= fence,
        _ => false,
    }
}

impl Guard {
    /// Says that an attempt still runs whose renewal found nothing; whether it is claimed anew.
    pub(super) async fn claimed_anew(
        &self,
        payment: &Payment,
        attempt: &AttemptId,
        fence: u64,
    ) -> bool {
        let restored = self.restore(payment, attempt, fence, None).await;
        let anew = matches!(restored, Some(Restore::Restored | Restore::Astray(_)));
        if anew {
            tracing::warn!(
                order = %payment.order.id, fence,
                "Redis had lost the record of an order in flight: it is claimed anew"
            );
        }
        anew
    }

    /// Writes the outcome of an attempt whose settle found its record lost; what that comes to, or
    /// `None` where it is to be tried again.
    pub(super) async fn restored(
        &self,
        payment: &Payment,
        settlement: &Settlement<'_>,
        found: Settle,
    ) -> Option<Settle> {
        let (attempt, fence) = (settlement.attempt, settlement.fence);
        let settled = match self.restore(payment, attempt, fence, Some(settlement)).await? {
            Restore::Restored => Settle::Settled,
            Restore::Astray(stands) => Settle::Astray(stands),
            // Somebody came in between: the record tells.
            Restore::Stands(_) if found == Settle::Gone => return None,
            Restore::Stands(_) => return Some(found),
        };
        tracing::warn!(
            order = %payment.order.id, fence, outcome = %settlement.to,
            "Redis had lost the record of an order in flight: its outcome is written anew"
        );
        Some(settled)
    }

    async fn restore(
        &self,
        payment: &Payment,
        attempt: &AttemptId,
        fence: u64,
        ended: Option<&Settlement<'_>>,
    ) -> Option<Restore> {
        // Spent with the claim; it is not spent again.
        let spent = |hash: &String| SpentToken { hash: hash.clone(), until: 0 };
        let token = payment.token.as_ref().map(|token| spent(&token.hash));
        let claim = self.claim_ask(payment, attempt, token.as_ref());
        self.store.restore(&Restoration { claim: &claim, fence, ended }).await.ok()
    }
}
