//! What is told of an order that has ended: to its duplicates, and to the caller of an attempt that
//! brought nothing to tell while the order ended on somebody else's word. Both are told the same.

use super::{Answer, Guard, Payment, Refusal};
use crate::model::order::State;
use crate::model::response::Kept;

impl Guard {
    /// The answer to the caller of an attempt that brought none, whose order stands in `state` now.
    /// `otherwise` is told of an order that has not ended. Where its record cannot be looked at, it
    /// is told as well, and not where the order stands: the two would contradict each other.
    pub(super) async fn without_answer(
        &self,
        payment: &Payment,
        state: State,
        otherwise: Refusal,
    ) -> Answer {
        if !state.is_final() {
            return Answer::Refused(otherwise, state);
        }
        match self.store.look(&payment.order).await {
            Ok(Some(mut record)) if record.state.is_final() => {
                tracing::info!(
                    order = %payment.order.id, state = %record.state,
                    "an attempt brought no answer; its order had ended meanwhile"
                );
                let kept = std::mem::replace(&mut record.kept, Kept::Nothing);
                told_of(record.state, kept, MEANWHILE)
                    .unwrap_or_else(|| Answer::Document(Box::new(record)))
            }
            _ => Answer::Refused(otherwise, State::Unknown),
        }
    }
}

/// The words for an order that has ended and has no answer to tell.
#[derive(Clone, Copy)]
pub(super) struct Words {
    failed: Refusal,
    cancelled: Refusal,
}

/// To a duplicate.
pub(super) const DUPLICATE: Words =
    Words { failed: Refusal::AlreadyFinal, cancelled: Refusal::OrderCancelled };

/// To the caller of an attempt that may have been sent.
const MEANWHILE: Words =
    Words { failed: Refusal::FailedMeanwhile, cancelled: Refusal::CancelledMeanwhile };

/// What is told of an order that ended in `state`, by what its record holds of a response; `None` where
/// that is the order's document.
pub(super) fn told_of(state: State, kept: Kept, words: Words) -> Option<Answer> {
    let refusal = match kept {
        _ if state == State::Cancelled => words.cancelled,
        Kept::Response(response) => return Some(Answer::Replay(response, state)),
        Kept::TooLarge(_) => Refusal::ResponseNotStored,
        Kept::Nothing if state == State::Failed => words.failed,
        Kept::Nothing => return None,
    };
    Some(Answer::Refused(refusal, state))
}
