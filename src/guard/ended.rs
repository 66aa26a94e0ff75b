//! What is told of an order that has ended: to its duplicates, and to the caller of an attempt that
//! brought nothing to tell while the order ended on somebody else's word. Both are told the same.

use super::{Answer, Guard, Payment, Refusal};
use crate::model::order::State;
use crate::model::response::Kept;
use crate::store::record::Record;

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
            Ok(Some(record)) if record.state.is_final() => {
                tracing::info!(
                    order = %payment.order.id, state = %record.state,
                    "an attempt brought no answer; its order had ended meanwhile"
                );
                ended_meanwhile(record)
            }
            _ => Answer::Refused(otherwise, State::Unknown),
        }
    }
}

/// As a duplicate is answered, but for the words: this request may have been sent.
fn ended_meanwhile(mut record: Record) -> Answer {
    let state = record.state;
    match std::mem::replace(&mut record.kept, Kept::Nothing) {
        _ if state == State::Cancelled => Answer::Refused(Refusal::CancelledMeanwhile, state),
        Kept::Response(response) => Answer::Replay(response, state),
        Kept::TooLarge(_) => Answer::Refused(Refusal::ResponseNotStored, state),
        Kept::Nothing if state == State::Failed => Answer::Refused(Refusal::FailedMeanwhile, state),
        Kept::Nothing => Answer::Document(Box::new(record)),
    }
}
