//! The guard: the only room that sends a protected request upstream.
//!
//! ```text
//!             claim ──found──► wait for the first, or answer from the record
//!               │
//!            granted                     the lease is renewed meanwhile
//!               │
//!            forward ──not sent──► abandon: a retry goes through
//!               │  └──declined───► abandon: upstream did not begin
//!          answer, or none
//!               │
//!             settle: final, or unknown
//! ```
//!
//! From the claim on, all of it runs in a task of its own: a caller who hangs up drops its wait,
//! never the attempt. Nothing is sent before Redis acknowledged the claim (intent-first), and a
//! claim whose answer was lost is taken back or left to lapse, never acted upon.

pub mod alarms;
mod attempt;
mod buffer;
pub(crate) mod call;
pub mod callback;
pub mod duplicates;
mod ended;
mod exchange;
mod first;
mod hints;
mod leftovers;
mod memory;
mod metrics;
mod places;
mod rerun;
mod restored;
mod unsent;

pub(crate) use exchange::end_to_end;
pub use hints::{Hint, Hints, hints};
pub use memory::{BodyMemory, Portion, SMALL};
pub use metrics::GuardMetrics;
pub use places::{Place, Places};
pub use unsent::Unsent;

use attempt::{Grant, STORE_AGAIN};

use crate::fault::Carry;
use crate::model::identity::{AttemptId, AttemptIds, Order};
use crate::model::order::State;
use crate::model::response::{Kept, StoredResponse};
use crate::model::token::Presented;
use crate::payload::Payload;
use crate::route::{RedisDown, Route};
use crate::store::finished::{Asked, Finished};
use crate::store::orders::{Claim, ClaimAsk, SpentToken};
use crate::store::record::{Found, Record};
use crate::store::settled::Waiters;
use crate::store::{Store, StoreError};
use crate::trace::{Kind, Span, Tracer};
use crate::upstream::Upstream;
use hyper::{Response, http::request};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// How often a waiting duplicate looks for itself, should the message not come.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Before a claim or an acceptance is asked for again whose answer was lost; the next pauses double,
/// up to [`STORE_AGAIN`]: who cuts every connection must not get a thousand of them a second.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// How often one turn may meet a lease that has just run out.
const LAPSES: usize = 3;

/// One thread's guard.
pub struct Guard {
    /// Where decisions are made.
    pub store: Arc<Store>,
    /// The payment service.
    pub upstream: Arc<Upstream>,
    /// Its `host:port`.
    pub authority: String,
    /// Who waits in this process.
    pub waiters: Arc<Waiters>,
    /// What this process remembers of finished orders.
    pub finished: Arc<Finished>,
    /// Names for attempts.
    pub attempts: Arc<AttemptIds>,
    /// Orders that may be queued at once, in all partitions together.
    pub max_queued: u64,
    /// Bound on one Redis command.
    pub redis_timeout: Duration,
    /// What runs and must end before the process may.
    pub running: TaskTracker,
    /// What is counted.
    pub metrics: GuardMetrics,
    /// Who is told of orders to be asked about.
    pub hints: Hints,
    /// Claims that may stand and must be taken back, as many as are being worked on.
    pub leftovers: AtomicUsize,
    /// Begins the spans of what nobody asked for just now.
    pub tracer: Tracer,
}

/// A protected request, wholly read.
pub struct Payment {
    /// Which order it pays.
    pub order: Order,
    /// How it is treated.
    pub route: Arc<Route>,
    /// Digests of what is asked, one per secret, comma-separated.
    pub fingerprints: String,
    /// Digests of who asks, likewise.
    pub callers: String,
    /// The token it brings.
    pub token: Option<Presented>,
    /// The states its first claim may start from.
    pub grant_from: &'static [State],
    /// Its head, as it goes upstream but for the guard's own two headers.
    pub head: request::Parts,
    /// Its body, until it is sent.
    pub body: Unsent,
    /// Its place among the requests in hand; given up when all is done.
    pub place: Option<Place>,
    /// Its span.
    pub span: Span,
}

impl Payment {
    /// The states a claim of it may start from now. One that waited for another's attempt takes that
    /// one's end, and runs nothing itself where it is unknown.
    fn grants(&self, waited: bool) -> &'static [State] {
        match self.grant_from {
            [others @ .., State::Unknown] if waited => others,
            all => all,
        }
    }

    /// The same request once more, as a network repeats one; it shares the first one's place.
    pub fn again(&self) -> Payment {
        Payment {
            order: self.order.clone(),
            route: self.route.clone(),
            fingerprints: self.fingerprints.clone(),
            callers: self.callers.clone(),
            token: self.token.clone(),
            grant_from: self.grant_from,
            head: self.head.clone(),
            body: self.body.clone(),
            place: None,
            span: self.span.clone(),
        }
    }
}

/// What the caller gets.
pub enum Answer {
    /// Upstream's own answer, given for the first time.
    First(Response<Payload>, State),
    /// Upstream's own answer, which was not recorded: Redis was away and the route says bypass.
    Bypassed(Response<Payload>),
    /// The stored answer.
    Replay(StoredResponse, State),
    /// The order itself: it succeeded, but there is no response to replay.
    Document(Box<Record>),
    /// The order as it stands: it is queued, or was accepted before and is not final yet.
    Accepted(Box<Record>),
    /// No.
    Refused(Refusal, State),
    /// No: the order may not begin while its lifecycle stands in that state.
    Illegal(String, State),
}

/// Why the caller gets no answer of upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the contract's problem names, section 4")]
pub enum Refusal {
    InProgress,
    Moving,
    OutcomeUnknown(Again),
    OrderCancelled,
    CancelledMeanwhile,
    AlreadyFinal,
    FailedMeanwhile,
    ResponseNotStored,
    PayloadMismatch,
    TokenInvalid,
    Overloaded,
    StoreUnavailable,
    UpstreamUnreachable,
    UpstreamBroken(Again),
    UpstreamTimeout(Again),
    CallbackBusy,
    CallbackContradiction,
}

/// What comes of sending a request again that may have been acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Its order keeps it from running, and tells its outcome.
    Told,
    /// It may be acted upon once more: nothing keeps it from that, or its route allows it.
    Runs,
}

/// One try at an order: over, or to be had again when the order has moved.
enum Turn {
    Over(Answer),
    Wait(Found),
}

impl Guard {
    /// Sees a payment to its answer. Dropping this future drops the wait, not the attempt.
    pub async fn handle(self: &Arc<Self>, payment: Arc<Payment>) -> Answer {
        let attempt = self.attempts.next();
        let mut now = Instant::now();
        let until = now + payment.route.tuning.duplicate_wait;
        let mut waiter = None;
        loop {
            let told = waiter.as_ref().map(crate::store::settled::Waiter::told);
            let asked = (now, payment.grants(waiter.is_some()));
            // In a box: a task's future is moved about ten times until it runs.
            let turn = Box::pin(self.clone().turn(payment.clone(), attempt.clone(), asked));
            let turn = self.running.spawn(turn.on_same_behalf().in_current_span());
            let found = match turn.await {
                Ok(Turn::Over(answer)) => return answer,
                Ok(Turn::Wait(found)) => found,
                // The task broke down: when in doubt whether something was sent, it was.
                Err(_) => return Answer::Refused(unknown(&payment.route), State::Unknown),
            };
            now = Instant::now();
            if now >= until {
                let answer = after_waiting(found, &payment.route);
                self.served(&payment, &answer);
                return answer;
            }
            match told {
                // The order may have moved between the look and the wait: look once more, with the
                // ear open.
                None => waiter = Some(self.waiters.wait_for(&payment.order.id)),
                Some(told) => {
                    let _waiting = self.metrics.waiting();
                    let look = until.min(now + LOOK_AGAIN);
                    let _ = timeout_at(look, told).await;
                    now = Instant::now();
                }
            }
        }
    }

    /// Remembers which duplicate got a stored answer, for those who look at the order later.
    fn served(&self, payment: &Payment, answer: &Answer) {
        if matches!(answer, Answer::Replay(..) | Answer::Document(_)) {
            self.metrics.duplicates.served(&payment.order.id);
        }
    }

    /// The stored answer to a request about a finished order, where this process remembers it. It
    /// is the answer that asking Redis would give.
    pub fn recall(&self, asked: &Asked<'_>, span: &Span) -> Option<Answer> {
        let answered = self.finished.recall(asked)?;
        self.metrics.duplicates.served(asked.id);
        span.link(answered.trace);
        Some(Answer::Replay(answered.response, answered.state))
    }

    fn remember(&self, payment: &Payment, found: &Found, since: Instant) {
        if let Kept::Response(response) = &found.kept {
            let asked = Asked {
                id: &payment.order.id,
                fingerprints: &payment.fingerprints,
                token: payment.token.as_ref().map(|token| token.hash.as_str()),
            };
            let answer = (found.state, response, found.trace);
            self.finished.remember(&asked, answer, found.left, since.into_std());
        }
    }

    /// Asks for the order and, when it is ours, runs the attempt to its end. `asked` is now, or a
    /// little earlier: the lease is counted from then. `grant_from`: the states its claim may start from.
    async fn turn(
        self: Arc<Self>,
        payment: Arc<Payment>,
        attempt: AttemptId,
        (mut asked, grant_from): (Instant, &'static [State]),
    ) -> Turn {
        // What few requests need stands in boxes: every one would carry its state along, and a
        // future is moved more than once before it first runs.
        let token = match &payment.token {
            None => None,
            Some(_) => match Box::pin(self.token(&payment)).await {
                Ok(token) => {
                    asked = Instant::now();
                    token
                }
                Err(error) => return self.over_without_store(&payment, &error).await,
            },
        };
        for _ in 0..LAPSES {
            let span = payment.span.child("claim", Kind::Client);
            let claim = self.claim(&payment, (&attempt, asked, grant_from), token.as_ref());
            let claim = match claim.await {
                Ok(claim) => claim,
                Err(error) => {
                    span.fail("no decision from Redis");
                    span.end();
                    return self.over_without_store(&payment, &error).await;
                }
            };
            span.set("onceward.result", claim.word());
            span.end();
            return match claim {
                Claim::Granted { fence, attempts, from, begun } => {
                    payment.span.set("onceward.fence", fence);
                    payment.span.set("onceward.attempt", attempts);
                    if from == State::Unknown {
                        self.metrics.permitted_reruns.inc();
                        tracing::warn!(
                            order = %payment.order.id, fence,
                            "an order of unknown outcome runs again: its route says on_unknown retry"
                        );
                    }
                    let grant = Grant { fence, asked, begun };
                    Turn::Over(self.attempt(&payment, &attempt, grant, token.as_ref()).await)
                }
                Claim::Found(found) => {
                    payment.span.link(found.trace);
                    self.remember(&payment, &found, asked);
                    self.found(&payment, found).await
                }
                Claim::Mismatch(state) => refused(Refusal::PayloadMismatch, state),
                // Another order's move: its end is nothing to wait for, for this one has not begun.
                Claim::Moving(state) => refused(Refusal::Moving, state),
                Claim::Illegal(state, stands) => Turn::Over(Answer::Illegal(stands, state)),
                Claim::TokenInvalid => refused(Refusal::TokenInvalid, State::Unknown),
                Claim::Voided => refused(Refusal::StoreUnavailable, State::Unknown),
                Claim::Lapsed { fence } => {
                    if let Err(error) = Box::pin(self.lapse(&payment, fence)).await {
                        return self.over_without_store(&payment, &error).await;
                    }
                    asked = Instant::now();
                    continue;
                }
            };
        }
        refused(unknown(&payment.route), State::Unknown)
    }

    /// The token as the claim spends it; a token good for any order is bound to this one first.
    async fn token(&self, payment: &Payment) -> Result<Option<SpentToken>, StoreError> {
        let Some(presented) = &payment.token else {
            return Ok(None);
        };
        let until = match presented.kept_in {
            None => 0,
            Some(partition) => {
                let name = (partition, presented.hash.as_str());
                let bound = self.store.bind_token(name, &payment.callers, &payment.order).await?;
                // One that cannot be bound may still be the one this order was started with.
                bound.unwrap_or(0)
            }
        };
        Ok(Some(SpentToken { hash: presented.hash.clone(), until }))
    }

    /// Claims, and asks again under the same name when an answer was lost, for no longer than one
    /// command may take.
    async fn claim(
        self: &Arc<Self>,
        payment: &Arc<Payment>,
        (attempt, asked, grant_from): (&AttemptId, Instant, &[State]),
        token: Option<&SpentToken>,
    ) -> Result<Claim, StoreError> {
        let ask = ClaimAsk { grant_from, ..self.claim_ask(payment, attempt, token) };
        let until = asked + self.redis_timeout;
        let (mut may_stand, mut pause) = (false, ASK_AGAIN);
        loop {
            // The first command bounds itself, and more exactly: it tells connecting from waiting.
            let asked = match may_stand {
                false => self.store.claim(&ask).await,
                true => timeout_at(until, Box::pin(self.store.claim(&ask)))
                    .await
                    .unwrap_or_else(|_| Err(StoreError::Lost("none in time".into()))),
            };
            let error = match asked {
                Ok(claim) => return Ok(claim),
                Err(error) => error,
            };
            may_stand |= error.may_have_happened();
            if may_stand && matches!(error, StoreError::Lost(_)) && Instant::now() < until {
                Box::pin(sleep(pause)).await;
                pause = (pause * 2).min(STORE_AGAIN);
                continue;
            }
            // A bypassed request is sent all the same: a claim of its that stands must lapse.
            if may_stand && payment.route.tuning.redis_down == RedisDown::Reject {
                self.take_back(payment, attempt, token);
            }
            return Err(error);
        }
    }

    /// What a claim of this attempt says.
    fn claim_ask<'a>(
        &self,
        payment: &'a Payment,
        attempt: &'a AttemptId,
        token: Option<&'a SpentToken>,
    ) -> ClaimAsk<'a> {
        ClaimAsk {
            order: &payment.order,
            attempt,
            lease: payment.route.tuning.lock_ttl,
            keep: payment.route.tuning.unknown_ttl,
            fingerprints: &payment.fingerprints,
            callers: &payment.callers,
            grant_from: payment.grant_from,
            ask: payment.route.ask_after(),
            token,
            trace: payment.span.context(),
            left: self.finished.remembers(),
        }
    }

    /// What to do about an order that stands in another state.
    async fn found(&self, payment: &Payment, found: Found) -> Turn {
        let turn = self.as_found(payment, found).await;
        if let Turn::Over(answer) = &turn {
            self.served(payment, answer);
        }
        turn
    }

    async fn as_found(&self, payment: &Payment, found: Found) -> Turn {
        match found.state {
            State::InFlight => Turn::Wait(found),
            // A stored answer that nobody here can better is not worth waiting over.
            State::Unknown | State::Cancelling => match found.kept {
                Kept::Response(response) if !payment.route.can_ask() => {
                    Turn::Over(Answer::Replay(response, found.state))
                }
                _ => Turn::Wait(found),
            },
            State::Succeeded | State::Failed | State::Cancelled => {
                match ended::told_of(found.state, found.kept, ended::DUPLICATE) {
                    Some(answer) => Turn::Over(answer),
                    None => match Box::pin(self.store.look(&payment.order)).await {
                        Ok(Some(record)) => Turn::Over(Answer::Document(Box::new(record))),
                        _ => refused(Refusal::StoreUnavailable, found.state),
                    },
                }
            }
            State::Queued => Turn::Over(Box::pin(self.accepted(payment)).await),
            State::None => refused(Refusal::InProgress, found.state),
        }
    }

    /// Says in Redis that the holder of this order lost its lease.
    async fn lapse(&self, payment: &Payment, fence: u64) -> Result<(), StoreError> {
        let order = &payment.order;
        let keep = payment.route.tuning.unknown_ttl;
        self.store.lapse(order.partition, &order.id, Some(fence), keep).await?;
        self.ask_later(payment);
        self.metrics.lapsed.inc();
        tracing::warn!(order = %order.id, fence, "an attempt lost its lease: its outcome is unknown");
        Ok(())
    }

    /// The order became unknown: somebody is to ask about it in time.
    fn ask_later(&self, payment: &Payment) {
        if let Some(after) = payment.route.ask_after() {
            self.hints.tell(payment.order.partition, &payment.order.id, after);
        }
    }

    async fn over_without_store(self: &Arc<Self>, payment: &Payment, error: &StoreError) -> Turn {
        Turn::Over(Box::pin(self.without_store(payment, error)).await)
    }

    /// Redis could not decide.
    async fn without_store(self: &Arc<Self>, payment: &Payment, error: &StoreError) -> Answer {
        tracing::warn!(order = %payment.order.id, %error, "no decision could be had from Redis");
        match payment.route.tuning.redis_down {
            RedisDown::Reject => Answer::Refused(Refusal::StoreUnavailable, State::Unknown),
            RedisDown::Bypass => self.bypass(payment).await,
        }
    }
}

/// The answer to a duplicate whose patience is over.
fn after_waiting(found: Found, route: &Route) -> Answer {
    match (found.state, found.kept) {
        (State::InFlight, _) => Answer::Refused(Refusal::InProgress, State::InFlight),
        (state, Kept::Response(response)) => Answer::Replay(response, state),
        (state, _) => Answer::Refused(unknown(route), state),
    }
}

/// The refusal of a request whose order's outcome is not known.
fn unknown(route: &Route) -> Refusal {
    Refusal::OutcomeUnknown(attempt::again(route))
}

fn refused(refusal: Refusal, state: State) -> Turn {
    Turn::Over(Answer::Refused(refusal, state))
}
