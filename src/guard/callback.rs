//! A channel's notification: forwarded until upstream acknowledges it, repeated from then on.
//!
//! ```text
//!   accept ──repeat──► the stored acknowledgement
//!     │  └───busy────► wait for the copy that is being forwarded, or have the channel try again
//!   first
//!     │
//!   forward ──not acknowledged──► drop: the channel's next try goes through
//!     │
//!   acknowledged ──► settle the order it names ──► store the acknowledgement ──► tell the channel
//! ```
//!
//! A callback, unlike a payment, may be forwarded again: until it is acknowledged its channel
//! repeats it anyway, and upstream has to live with that. So a forwarder that died, a timeout and a
//! reset all mean the same: not acknowledged, the next try goes through. What never happens is two
//! copies on their way at once, or one after an acknowledgement.
//!
//! The order is settled before the acknowledgement is stored, and the channel is told only once it
//! is: where Redis fails in between, the channel comes again and all of it is done again. An
//! acknowledgement that was stored therefore means that the order was settled too.

mod metrics;

pub use metrics::CallbackMetrics;

use super::attempt::{STORE_AGAIN, stored};
use super::exchange::Outcome;
use super::{Again, Guard, Payment, Refusal};
use crate::fault::Carry;
use crate::model::event::Event;
use crate::model::identity::AttemptId;
use crate::model::key::Key;
use crate::model::order::State;
use crate::model::response::{Kept, StoredResponse};
use crate::payload::Payload;
use crate::route::{Ack, Route};
use crate::store::StoreError;
use crate::store::callbacks::{Accept, Acknowledged, Arrival};
use crate::store::conclude::Conclude;
use crate::trace::Kind;
use bytes::Bytes;
use hyper::Response;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::Instrument;

/// The header by which upstream names the order that a callback settles.
pub const SETTLES: HeaderName = HeaderName::from_static("onceward-settles");

/// When a channel has its answer, from when its callback was read. WeChat Pay v3 waits for 5 s.
/// Upstream may take longer: then its acknowledgement awaits the channel's next try.
const ANSWER_WITHIN: Duration = Duration::from_millis(4000);

/// How often a waiting copy looks for itself; one in this process is told.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What a lease outlasts UPSTREAM_TIMEOUT by, beside two Redis commands: time to store what came.
const LEASE_SLACK: Duration = Duration::from_secs(2);

/// A notification, wholly read.
pub struct Notice {
    /// The request as it goes upstream; its order is the callback's own place.
    pub payment: Payment,
    /// What it tells of.
    pub event: Event,
    /// Digests of what may not differ in a repeat, one per secret, comma-separated.
    pub unchanged: String,
    /// What upstream's acknowledgement looks like.
    pub ack: Ack,
    /// What it settles.
    pub settles: Option<Settles>,
}

/// The route whose order a notification settles, and in which state.
pub struct Settles {
    /// The orders' route.
    pub route: Arc<Route>,
    /// The state; final.
    pub to: State,
}

/// What the channel gets.
pub enum Heard {
    /// Upstream's acknowledgement, stored for the repeats.
    First(Response<Payload>),
    /// The stored acknowledgement.
    Repeat(StoredResponse),
    /// Upstream's answer, which is no acknowledgement.
    Unacknowledged(Response<Payload>),
    /// No.
    Refused(Refusal),
}

/// What upstream named by [`SETTLES`], taken off its answer by the exchange.
#[derive(Clone)]
pub(super) enum Named {
    One(HeaderValue),
    /// More than one line.
    Many,
}

impl Named {
    /// Takes the name off an answer.
    pub(super) fn take(headers: &mut HeaderMap) -> Option<Named> {
        let more = headers.get_all(&SETTLES).iter().count() > 1;
        let one = headers.remove(&SETTLES)?;
        Some(if more { Named::Many } else { Named::One(one) })
    }

    fn key(&self) -> Option<Key> {
        match self {
            Named::One(value) => Key::from_header(value.as_bytes()).ok(),
            Named::Many => None,
        }
    }
}

/// A copy that is being forwarded.
struct Forwarding<'a> {
    notice: &'a Notice,
    attempt: &'a AttemptId,
    fence: u64,
    /// When its lease runs out, counted from before it was asked for.
    until: Instant,
}

impl Guard {
    /// Sees a notification to its answer, in time for its channel. Dropping this future drops the
    /// wait, not the forwarding.
    pub async fn notify(self: &Arc<Self>, notice: Notice) -> Heard {
        let until = Instant::now() + ANSWER_WITHIN;
        let hearing = self.clone().hear(notice, until).on_same_behalf().in_current_span();
        let hearing = self.running.spawn(hearing);
        let heard = match timeout_at(until, hearing).await {
            Ok(Ok(heard)) => heard,
            // The task broke down: not acknowledged, the channel comes again.
            Ok(Err(_)) => Heard::Refused(Refusal::StoreUnavailable),
            Err(_) => Heard::Refused(Refusal::CallbackBusy),
        };
        self.metrics.callbacks.heard(&heard);
        heard
    }

    async fn hear(self: Arc<Self>, notice: Notice, until: Instant) -> Heard {
        let attempt = self.attempts.next();
        let waiter = self.waiters.wait_for(&notice.event.id);
        let mut met_another = false;
        loop {
            let told = waiter.told();
            let asked = Instant::now();
            let accept = match self.accept(&notice, &attempt, !met_another).await {
                Ok(accept) => accept,
                Err(error) => {
                    tracing::warn!(event = %notice.event.id, %error, "a callback could not be looked up");
                    return Heard::Refused(Refusal::StoreUnavailable);
                }
            };
            match accept {
                Accept::First(fence) => {
                    notice.payment.span.set("onceward.fence", fence);
                    let until = asked + self.callback_lease(&notice.payment.route);
                    let copy = Forwarding { notice: &notice, attempt: &attempt, fence, until };
                    let heard = self.forward(&copy).await;
                    self.waiters.tell(&notice.event.id);
                    return heard;
                }
                Accept::Repeat(kept, trace) => {
                    notice.payment.span.link(trace);
                    return match kept {
                        Kept::Response(response) => Heard::Repeat(response),
                        _ => Heard::Refused(Refusal::ResponseNotStored),
                    };
                }
                Accept::Contradiction => {
                    self.metrics.alarm("callback-contradiction", Some(&notice.event.order));
                    tracing::error!(
                        event = %notice.event.id, route = %notice.payment.route.name,
                        "a repeated callback says something else than the one that was acknowledged"
                    );
                    return Heard::Refused(Refusal::CallbackContradiction);
                }
                // The copy that was forwarded was not acknowledged. This one arrived with it and is
                // not sent after it: the channel's next try is.
                Accept::Open => return Heard::Refused(Refusal::CallbackBusy),
                Accept::Busy(_) if Instant::now() >= until => {
                    return Heard::Refused(Refusal::CallbackBusy);
                }
                Accept::Busy(_) => {
                    met_another = true;
                    let look = until.min(Instant::now() + LOOK_AGAIN);
                    tokio::select! { () = told => {}, () = sleep_until(look) => {} }
                }
            }
        }
    }

    /// Outlasts whatever upstream may do with one copy: it is not renewed, and a copy whose sender
    /// died does not keep the channel's later tries away for long.
    fn callback_lease(&self, route: &Route) -> Duration {
        route.tuning.upstream_timeout + 2 * self.redis_timeout + LEASE_SLACK
    }

    /// Asks for the event, and once more when the answer was lost.
    async fn accept(
        &self,
        notice: &Notice,
        attempt: &AttemptId,
        forward: bool,
    ) -> Result<Accept, StoreError> {
        let arrival = Arrival {
            event: &notice.event,
            attempt,
            lease: self.callback_lease(&notice.payment.route),
            keep: notice.payment.route.tuning.callback_ttl,
            unchanged: &notice.unchanged,
            forward,
            trace: notice.payment.span.context(),
        };
        let _span = notice.payment.span.child("accept", Kind::Client);
        match self.store.accept_callback(&arrival).await {
            Err(StoreError::Lost(_)) => self.store.accept_callback(&arrival).await,
            accept => accept,
        }
    }

    async fn forward(&self, copy: &Forwarding<'_>) -> Heard {
        let still_held = || Instant::now() < copy.until;
        let outcome = self.exchange(&copy.notice.payment, Some(copy.fence), still_held).await;
        let heard = match outcome {
            Outcome::Answer(response, _) if copy.acknowledged(&response) => {
                return self.acknowledged(copy, response).await;
            }
            Outcome::Answer(response, _) => Heard::Unacknowledged(response.map(Payload::Full)),
            // No acknowledgement is that long, and it could not be repeated.
            Outcome::Large(large, _) => Heard::Unacknowledged(large.relay(&self.running)),
            Outcome::NotSent(_) => Heard::Refused(Refusal::UpstreamUnreachable),
            Outcome::NoAnswer(no_answer) => Heard::Refused(no_answer.refusal(Again::Runs)),
        };
        // Should Redis not hear of it, the lease runs out by itself.
        let dropped =
            self.store.drop_callback(&copy.notice.event, (copy.attempt, copy.fence)).await;
        tracing::info!(event = %copy.notice.event.id, ?dropped, "a callback was not acknowledged");
        heard
    }

    /// Settles the order, stores the acknowledgement, tells the channel: in this order. Goes on
    /// trying while the lease holds; the channel may have left by then and finds it when it returns.
    async fn acknowledged(&self, copy: &Forwarding<'_>, response: Response<Bytes>) -> Heard {
        let kept = stored(&response);
        let named = response.extensions().get::<Named>().cloned();
        let mut settled = false;
        loop {
            match self.try_acknowledge(copy, named.as_ref(), &kept, &mut settled).await {
                Ok(Acknowledged::Stored) => return Heard::First(response.map(Payload::Full)),
                // Another copy is under way or was; the channel hears of its end.
                Ok(other) => {
                    tracing::warn!(event = %copy.notice.event.id, ?other, "an acknowledgement came too late");
                    return Heard::Refused(Refusal::CallbackBusy);
                }
                Err(error) if Instant::now() >= copy.until => {
                    tracing::error!(
                        event = %copy.notice.event.id, %error,
                        "an acknowledgement could not be stored: the callback will be forwarded again"
                    );
                    return Heard::Refused(Refusal::StoreUnavailable);
                }
                Err(_) => sleep(STORE_AGAIN).await,
            }
        }
    }

    async fn try_acknowledge(
        &self,
        copy: &Forwarding<'_>,
        named: Option<&Named>,
        kept: &StoredResponse,
        settled: &mut bool,
    ) -> Result<Acknowledged, StoreError> {
        let Notice { event, unchanged, settles, payment, .. } = copy.notice;
        if let (Some(settles), false) = (settles, *settled) {
            let _span = payment.span.child("conclude", Kind::Client);
            self.settle_named(event, settles, named).await?;
            *settled = true;
        }
        let keep = payment.route.tuning.callback_ttl;
        let _span = payment.span.child("settle", Kind::Client);
        self.store.settle_callback(event, (copy.attempt, copy.fence), keep, unchanged, kept).await
    }

    /// Settles the order that an acknowledged callback names. Where it stands otherwise nothing is
    /// written, and what does not fit together is for a person to look at.
    async fn settle_named(
        &self,
        event: &Event,
        settles: &Settles,
        named: Option<&Named>,
    ) -> Result<(), StoreError> {
        let key = match named.map(Named::key) {
            None => event.order.key.clone(),
            Some(Some(key)) => key,
            Some(None) => {
                self.metrics.alarm("callback-names-no-order", Some(&event.order));
                tracing::error!(event = %event.id, "Onceward-Settles names no order");
                return Ok(());
            }
        };
        let order = settles.route.order(&event.order.scope, key);
        let keep = settles.route.tuning.record_ttl;
        let resolved = self.store.conclude(&order, settles.to, keep, "a callback said so").await?;
        self.metrics.callbacks.settled(&resolved);
        let fits = match resolved {
            Conclude::Concluded(from) => {
                tracing::info!(order = %order.id, %from, to = %settles.to, "settled by a callback");
                true
            }
            Conclude::Astray(stands) => {
                self.metrics.astray(&order, &stands);
                return Ok(());
            }
            Conclude::Refused(end @ (State::Cancelled | State::Failed))
                if settles.to == State::Succeeded =>
            {
                self.metrics.succeeded_after(&order, end);
                false
            }
            // It will not have been paid, one way or the other: the cancel call sees to that.
            Conclude::Refused(State::Cancelled | State::Cancelling) => true,
            Conclude::Refused(_) => {
                self.metrics.alarm("callback-against-order", Some(&order));
                false
            }
            // Its cancel call pays that back, or is not believed that there is no such order.
            Conclude::Kept => {
                tracing::warn!(
                    order = %order.id,
                    "a callback says that an order was paid which is being cancelled: the cancel call decides"
                );
                true
            }
            Conclude::Already | Conclude::Absent => true,
        };
        if !fits {
            tracing::error!(
                order = %order.id, says = %settles.to, stands = ?resolved,
                "an acknowledged callback does not fit its order: look at it"
            );
        }
        Ok(())
    }
}

impl Forwarding<'_> {
    fn acknowledged(&self, response: &Response<Bytes>) -> bool {
        self.notice.ack.is_given(response.status(), response.headers(), response.body())
    }
}
