//! One attempt, from its granted claim to its settled outcome.

use super::exchange::{Outcome, why};
use super::first::First;
use super::restored::is_lost;
use super::{Again, Answer, Guard, Payment, Refusal, unknown};
use crate::fault::Carry;
use crate::model::identity::AttemptId;
use crate::model::order::State;
use crate::model::outcome::Meaning;
use crate::model::response::{Kept, StoredResponse, keepable};
use crate::payload::Payload;
use crate::route::{OnUnknown, Route};
use crate::store::orders::{Abandon, Renewal, Settle, Settlement, SpentToken};
use crate::store::text::Begun;
use crate::trace::{Kind, Span};
use bytes::Bytes;
use hyper::Response;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// A lease is renewed when this part of it has passed.
const RENEW_AT: u32 = 3;

/// Between two tries at storing an outcome while Redis is away.
pub(super) const STORE_AGAIN: Duration = Duration::from_millis(50);

/// A claim that was granted.
pub(super) struct Grant {
    pub(super) fence: u64,
    /// When it was asked for.
    pub(super) asked: Instant,
    /// What it left in Redis, where that is known.
    pub(super) begun: Option<Arc<Begun>>,
}

/// What an attempt is and holds.
struct Held<'a> {
    payment: &'a Arc<Payment>,
    attempt: &'a AttemptId,
    fence: u64,
    begun: Option<Arc<Begun>>,
    since: Instant,
    /// When the lease runs out, as far as we know: counted from before it was asked for.
    until: Mutex<Instant>,
}

impl Held<'_> {
    fn until(&self) -> Instant {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lease was asked for at `asked` and holds for its whole length from then on.
    fn holds_from(&self, asked: Instant) {
        let until = asked + self.payment.route.tuning.lock_ttl;
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// What is to be written of an attempt.
pub(super) struct Ending {
    pub(super) to: State,
    pub(super) kept: Kept,
    pub(super) why: &'static str,
}

impl Guard {
    /// Runs an attempt to its end, whose claim was granted.
    pub(super) async fn attempt(
        self: &Arc<Self>,
        payment: &Arc<Payment>,
        attempt: &AttemptId,
        Grant { fence, asked, begun }: Grant,
        token: Option<&SpentToken>,
    ) -> Answer {
        let until = Mutex::new(asked + payment.route.tuning.lock_ttl);
        let held = Held { payment, attempt, fence, begun, since: asked, until };
        // Whoever slept past its lease before anything was sent sends nothing any more.
        let still_held = || Instant::now() < held.until();
        if payment.route.can_ask() {
            let first = tokio::select! {
                biased;
                first = Box::pin(self.ask_first(payment, fence)) => first,
                never = self.keep_lease(&held) => match never {},
            };
            match first {
                First::Send => {}
                First::Ended(ending) => return Box::pin(self.known_before(held, ending)).await,
                First::Unsure(error) => {
                    tracing::warn!(order = %payment.order.id, %error, "whether history was lost cannot be found out");
                    let given =
                        self.give_back(&held, token, "nobody knows whether history was lost");
                    let state = Box::pin(given).await;
                    return Answer::Refused(Refusal::StoreUnavailable, state);
                }
            }
        }
        let outcome = tokio::select! {
            biased;
            outcome = self.exchange(payment, Some(fence), still_held) => outcome,
            never = self.keep_lease(&held) => match never {},
        };
        match outcome {
            Outcome::NotSent(why) => {
                tracing::warn!(order = %payment.order.id, why, "upstream cannot be reached");
                let state = Box::pin(self.give_back(&held, token, "upstream unreachable")).await;
                let refusal = Refusal::UpstreamUnreachable;
                Box::pin(self.without_answer(payment, state, refusal)).await
            }
            Outcome::Answer(response, Meaning::Declined) => {
                let given = self.give_back(&held, token, "upstream declined to begin");
                let state = Box::pin(given).await;
                Answer::First(response.map(Payload::Full), state)
            }
            Outcome::Large(large, Meaning::Declined) => {
                let given = self.give_back(&held, token, "upstream declined to begin");
                let state = Box::pin(given).await;
                Answer::First(large.relay(&self.running), state)
            }
            Outcome::NoAnswer(no_answer) => {
                let ending =
                    Ending { to: State::Unknown, kept: Kept::Nothing, why: why(no_answer) };
                tracing::warn!(order = %payment.order.id, fence, why = ending.why, "outcome unknown");
                let state = self.settle(held, ending).await;
                let refusal = no_answer.refusal(again(&payment.route));
                Box::pin(self.without_answer(payment, state, refusal)).await
            }
            Outcome::Answer(response, meaning) => {
                let (to, why) = ending_of(meaning);
                let kept = Kept::Response(stored(&response));
                let state = self.settle(held, Ending { to, kept, why }).await;
                Answer::First(response.map(Payload::Full), state)
            }
            Outcome::Large(large, meaning) => {
                let (to, why) = ending_of(meaning);
                let kept = Kept::TooLarge(large.status());
                let state = self.settle(held, Ending { to, kept, why }).await;
                Answer::First(large.relay(&self.running), state)
            }
        }
    }

    /// Writes what was found out about an order before anything was sent, and answers with it.
    async fn known_before(self: &Arc<Self>, held: Held<'_>, ending: Ending) -> Answer {
        let (payment, to, kept) = (held.payment, ending.to, ending.kept.clone());
        let state = self.settle(held, ending).await;
        match kept {
            // What upstream said of an order that had another end meanwhile is not its answer.
            Kept::Response(response) if state == to || !state.is_final() => {
                Answer::Replay(response, state)
            }
            _ => self.without_answer(payment, state, unknown(&payment.route)).await,
        }
    }

    /// Forwards a request that could not be protected, because its route says so.
    pub(super) async fn bypass(self: &Arc<Self>, payment: &Payment) -> Answer {
        self.metrics.bypassed.inc();
        match self.exchange(payment, None, || true).await {
            Outcome::NotSent(_) => Answer::Refused(Refusal::UpstreamUnreachable, State::Unknown),
            Outcome::NoAnswer(no_answer) => {
                Answer::Refused(no_answer.refusal(Again::Runs), State::Unknown)
            }
            Outcome::Answer(response, _) => Answer::Bypassed(response.map(Payload::Full)),
            Outcome::Large(large, _) => Answer::Bypassed(large.relay(&self.running)),
        }
    }

    /// Renews the lease for as long as it is polled. A lease that is lost changes nothing here:
    /// the request is out, and its outcome is told under its fence.
    async fn keep_lease(&self, held: &Held<'_>) -> std::convert::Infallible {
        let lease = held.payment.route.tuning.lock_ttl;
        let mut due = held.until() - lease + lease / RENEW_AT;
        loop {
            sleep_until(due).await;
            let asked = Instant::now();
            // Most attempts are over by now: the rest of them pays for this.
            let (order, attempt) = (&held.payment.order, held.attempt);
            let renewal = Box::pin(self.store.renew(order, attempt, held.fence, lease)).await;
            due = asked + lease / RENEW_AT;
            match &renewal {
                Ok(Renewal::Renewed | Renewal::Regained) => held.holds_from(asked),
                Ok(Renewal::Lost(State::None))
                    if Box::pin(self.claimed_anew(held.payment, attempt, held.fence)).await =>
                {
                    held.holds_from(asked);
                }
                Ok(Renewal::Lost(state)) => {
                    tracing::warn!(order = %held.payment.order.id, fence = held.fence, %state, "lease lost");
                }
                // Redis is away: try sooner, there is less of the lease left.
                Err(_) => due = Instant::now() + lease / (4 * RENEW_AT),
            }
            self.metrics.renewed(renewal.as_ref().ok());
        }
    }

    /// Gives the claim back: nothing was sent, or upstream did not begin.
    async fn give_back(
        self: &Arc<Self>,
        held: &Held<'_>,
        token: Option<&SpentToken>,
        why: &'static str,
    ) -> State {
        let keep = held.payment.route.tuning.record_ttl;
        let _span = held.payment.span.child("abandon", Kind::Client);
        self.metrics.held(&held.payment.route.name, held.since.elapsed());
        match self.store.abandon(&held.payment.order, held.attempt, token, keep, why).await {
            // Somebody noticed that the lease was gone, or the order moved on otherwise.
            Ok(Abandon::Refused(state)) => state,
            Ok(Abandon::Abandoned(state)) => {
                self.metrics.abandoned.inc();
                if state == State::Unknown {
                    self.ask_later(held.payment);
                }
                state
            }
            // Another attempt's by now, or nobody's.
            Ok(Abandon::Voided(state)) => state,
            Err(_) => {
                self.take_back(held.payment, held.attempt, token);
                State::Unknown
            }
        }
    }

    /// Writes what became of the attempt. A lost answer is asked for again; a caller is kept waiting
    /// no longer than one command may take. Then it gets the real answer marked `unknown`, and
    /// storing goes on for as long as the lease is ours.
    async fn settle(self: &Arc<Self>, held: Held<'_>, ending: Ending) -> State {
        let ended = Instant::now();
        self.metrics.held(&held.payment.route.name, ended - held.since);
        let patience = ended + self.redis_timeout;
        let span = held.payment.span.child("settle", Kind::Client);
        span.set("onceward.outcome", ending.to.word());
        loop {
            if let Some(state) = self.try_settle(&held, &ending, &span).await {
                return state;
            }
            if Instant::now() >= patience {
                break;
            }
            sleep(STORE_AGAIN).await;
        }
        let (guard, payment, attempt) = (self.clone(), held.payment.clone(), held.attempt.clone());
        let (fence, begun) = (held.fence, held.begun.clone());
        let (since, until) = (held.since, held.until());
        let storing = async move {
            let (payment, attempt) = (&payment, &attempt);
            let held = Held { payment, attempt, fence, begun, since, until: Mutex::new(until) };
            while Instant::now() < until {
                sleep(STORE_AGAIN).await;
                if guard.try_settle(&held, &ending, &span).await.is_some() {
                    return;
                }
            }
            span.fail("not stored while the lease held");
            guard.metrics.alarm("outcome-not-stored", Some(&payment.order));
            tracing::error!(
                order = %payment.order.id, fence, outcome = %ending.to,
                "an outcome could not be stored while the lease held: the order becomes unknown"
            );
        };
        self.running.spawn(storing.on_same_behalf());
        State::Unknown
    }

    /// One try; the state the order is in then, or `None` when Redis did not say.
    async fn try_settle(&self, held: &Held<'_>, ending: &Ending, span: &Span) -> Option<State> {
        let tuning = &held.payment.route.tuning;
        let settlement = Settlement {
            order: &held.payment.order,
            attempt: held.attempt,
            fence: held.fence,
            to: ending.to,
            keep: if ending.to.is_final() { tuning.record_ttl } else { tuning.unknown_ttl },
            kept: &ending.kept,
            why: ending.why,
            begun: held.begun.as_deref(),
        };
        let mut settled = self.store.settle(&settlement).await.ok()?;
        if is_lost(&settled, held.fence) {
            settled = Box::pin(self.restored(held.payment, &settlement, settled)).await?;
        }
        self.metrics.settled(ending.to, &settled);
        span.set("onceward.result", settled.word());
        Some(match settled {
            Settle::Astray(stands) => {
                self.metrics.astray(&held.payment.order, &stands);
                ending.to
            }
            Settle::Settled => {
                if ending.to == State::Unknown {
                    self.ask_later(held.payment);
                }
                ending.to
            }
            Settle::Kept => {
                let order = &held.payment.order;
                self.hints.tell(order.partition, &order.id, Duration::ZERO);
                tracing::info!(
                    order = %order.id, fence = held.fence, outcome = %ending.to,
                    "an attempt ended while its order was being cancelled: the cancel call decides"
                );
                State::Cancelling
            }
            Settle::Refused(state) => {
                self.too_late(held, ending, state);
                state
            }
            Settle::Fenced(stands, state) => {
                self.fenced(held, ending, (stands, state));
                state
            }
            Settle::Gone => return None,
        })
    }

    /// An outcome came whose order had ended otherwise.
    fn too_late(&self, held: &Held<'_>, ending: &Ending, state: State) {
        let (order, fence) = (&held.payment.order, held.fence);
        if ending.to == State::Succeeded && matches!(state, State::Cancelled | State::Failed) {
            self.metrics.succeeded_after(order, state);
            tracing::error!(order = %order.id, fence, "a {state} order was paid after all: pay it back");
        }
        if (ending.to, state) == (State::Failed, State::Succeeded) {
            self.metrics.succeeded_after(order, State::Failed);
            tracing::error!(
                order = %order.id, fence,
                "a succeeded order's caller was told that it failed: look at it"
            );
        }
        tracing::error!(
            order = %order.id, fence, outcome = %ending.to, %state,
            "an outcome was not written: the order has moved on"
        );
    }

    /// An outcome came for whose order another attempt had begun. Two attempts may have moved money,
    /// and the record tells of the other alone.
    fn fenced(&self, held: &Held<'_>, ending: &Ending, (stands, state): (u64, State)) {
        let (order, fence) = (&held.payment.order, held.fence);
        if ending.to == State::Succeeded {
            self.metrics.succeeded_beside(order, state);
            tracing::error!(
                order = %order.id, route = %order.route, fence, stands, %state,
                "an order was paid by an attempt in whose place another had begun: find out whether \
                 that one paid as well, and pay one of the two back"
            );
        }
        tracing::error!(
            order = %order.id, fence, stands, outcome = %ending.to, %state,
            "an outcome was not written: the order is another attempt's"
        );
    }
}

/// What comes of sending a payment of this route again whose outcome is unknown.
pub(super) fn again(route: &Route) -> Again {
    match route.tuning.on_unknown {
        OnUnknown::Hold => Again::Told,
        OnUnknown::Retry => Again::Runs,
    }
}

/// What an answer's meaning makes of its order. A word that belongs to queries and cancels says
/// nothing about an attempt.
fn ending_of(meaning: Meaning) -> (State, &'static str) {
    match meaning {
        Meaning::Succeeded => (State::Succeeded, "upstream's answer"),
        Meaning::Failed => (State::Failed, "upstream's answer"),
        _ => (State::Unknown, "upstream's answer leaves it open"),
    }
}

/// A response as it is stored. Body and header values stay slices of hyper's read buffers, as in the
/// answer beside it, until they are written; what remembers them for longer (`store/finished.rs`)
/// copies them.
pub(super) fn stored(response: &Response<Bytes>) -> StoredResponse {
    StoredResponse {
        status: response.status(),
        headers: keepable(response.headers()),
        body: response.body().clone(),
    }
}
