//! The buffer's two ends: an order is accepted to be sent later, and a worker sends it.

use super::attempt::STORE_AGAIN;
use super::{ASK_AGAIN, Answer, Guard, LAPSES, Payment, Refusal, Turn, unknown};
use crate::fault::Carry;
use crate::model::identity::AttemptId;
use crate::model::order::State;
use crate::route::RedisDown;
use crate::store::StoreError;
use crate::store::orders::SpentToken;
use crate::store::queue::{Enqueue, EnqueueAsk};
use crate::store::record::Found;
use crate::trace::Kind;
use bytes::Bytes;
use hyper::Response;
use hyper::header::RETRY_AFTER;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

impl Guard {
    /// Accepts a payment into the buffer, or answers as the order stands. Nothing is sent.
    pub async fn queue(self: &Arc<Self>, payment: Arc<Payment>) -> Answer {
        let Some(body) = payment.body.look() else {
            return Answer::Refused(unknown(&payment.route), State::Unknown);
        };
        let attempt = self.attempts.next();
        let token = match self.token(&payment).await {
            Ok(token) => token,
            Err(error) => return self.without_store(&payment, &error).await,
        };
        let mut had_attempt = false;
        for _ in 0..LAPSES {
            let span = payment.span.child("enqueue", Kind::Client);
            let enqueued = self.enqueue((&payment, &body), &attempt, token.as_ref()).await;
            span.end();
            let enqueued = match enqueued {
                Ok(enqueued) => enqueued,
                // It may be queued, or was found to have been sent: whoever says that nothing will be
                // sent, or sends it by another way, may be wrong.
                Err(error) if error.may_have_happened() || had_attempt => {
                    tracing::warn!(order = %payment.order.id, %error, "it may be queued, or sent");
                    return Answer::Refused(unknown(&payment.route), State::Unknown);
                }
                Err(error) => return self.without_store(&payment, &error).await,
            };
            return match enqueued {
                Enqueue::Queued(record) => Answer::Accepted(record),
                Enqueue::Found(found) => self.found_accepted(&payment, found).await,
                Enqueue::Mismatch(state) => Answer::Refused(Refusal::PayloadMismatch, state),
                Enqueue::Moving(state) => Answer::Refused(Refusal::Moving, state),
                Enqueue::Illegal(state, stands) => Answer::Illegal(stands, state),
                Enqueue::TokenInvalid => Answer::Refused(Refusal::TokenInvalid, State::Unknown),
                Enqueue::Overloaded => Answer::Refused(Refusal::Overloaded, State::None),
                Enqueue::Lapsed { fence } => {
                    if self.lapse(&payment, fence).await.is_err() {
                        return Answer::Refused(unknown(&payment.route), State::Unknown);
                    }
                    had_attempt = true;
                    continue;
                }
            };
        }
        Answer::Refused(unknown(&payment.route), State::Unknown)
    }

    /// Where an order stands that is not final, for a caller that need not wait for it.
    pub(super) async fn accepted(&self, payment: &Payment) -> Answer {
        match self.store.look(&payment.order).await {
            Ok(Some(record)) => {
                payment.span.link(record.trace);
                Answer::Accepted(Box::new(record))
            }
            // It expired between two looks.
            Ok(None) => Answer::Refused(Refusal::InProgress, State::Unknown),
            Err(_) => Answer::Refused(Refusal::StoreUnavailable, State::Unknown),
        }
    }

    async fn found_accepted(&self, payment: &Payment, found: Found) -> Answer {
        payment.span.link(found.trace);
        if !found.state.is_final() {
            return self.accepted(payment).await;
        }
        match self.found(payment, found).await {
            Turn::Over(answer) => answer,
            Turn::Wait(_) => self.accepted(payment).await,
        }
    }

    /// Asks again when an answer was lost, for no longer than one command may take.
    async fn enqueue(
        &self,
        (payment, body): (&Payment, &Bytes),
        attempt: &AttemptId,
        token: Option<&SpentToken>,
    ) -> Result<Enqueue, StoreError> {
        let ask = EnqueueAsk {
            order: &payment.order,
            attempt,
            fingerprints: &payment.fingerprints,
            callers: &payment.callers,
            token,
            head: &payment.head,
            body,
            most: self.max_queued,
            trace: payment.span.context(),
        };
        let until = Instant::now() + self.redis_timeout;
        let mut lost = match self.store.enqueue(&ask).await {
            Err(error @ StoreError::Lost(_)) => error,
            answer => return answer,
        };
        let mut pause = ASK_AGAIN;
        while Instant::now() < until {
            sleep(pause).await;
            pause = (pause * 2).min(STORE_AGAIN);
            match timeout_at(until, self.store.enqueue(&ask)).await {
                Ok(Ok(enqueued)) => return Ok(enqueued),
                Ok(Err(error @ StoreError::Lost(_))) => lost = error,
                // The copy that may have happened is not undone by another that did not.
                Ok(Err(_)) | Err(_) => break,
            }
        }
        Err(lost)
    }

    /// Claims an order out of the buffer and runs the attempt to its end, if it is still queued. The
    /// record tells what became of it. Returns for how long upstream asked not to be tried again, where
    /// it declined to begin.
    ///
    /// Dropping this future drops the wait, not the attempt.
    pub async fn dispatch(self: &Arc<Self>, mut payment: Payment) -> Option<Duration> {
        // Without Redis a queued order waits: it is never sent unprotected, for it is still queued.
        let mut route = (*payment.route).clone();
        route.tuning.redis_down = RedisDown::Reject;
        payment.route = Arc::new(route);
        payment.grant_from = &[State::Queued];
        let grants = payment.grants(false);
        let (payment, attempt) = (Arc::new(payment), self.attempts.next());
        let turn = self.clone().turn(payment, attempt, (Instant::now(), grants));
        let turn = Box::pin(turn);
        // A task that broke down told so itself; the record tells the rest.
        match self.running.spawn(turn.on_same_behalf().in_current_span()).await {
            Ok(Turn::Over(Answer::First(response, _))) => retry_after(&response),
            _ => None,
        }
    }
}

/// What an answer says of when to come again, in whole seconds; a date is not read.
fn retry_after<B>(response: &Response<B>) -> Option<Duration> {
    let after = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    after.trim().parse().ok().map(Duration::from_secs)
}
