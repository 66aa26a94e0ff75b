//! Finds out what became of orders of unknown outcome, and sees cancelled ones cancelled upstream.
//!
//! Every replica does so. An order is taken for a turn (`adopt`), one call is made, and what it
//! says is written (`resolve`, `release`) or nothing is: the next due time stands in Redis since the
//! turn began. A call that takes longer holds the turn (`hold`), so no two replicas ask about an order
//! at once, and one that dies in the middle only delays it. What nobody here can make a call about is
//! left to other replicas (`unable`). Nothing here ever starts a payment.

use super::agenda::Agenda;
use super::metrics::ResolveMetrics;
use super::schedule::{asking, cancel_patience, may_cancel_from, query_patience};
use super::turn::Held;
use super::unable::{HELD, Unable};
use super::{LAST_CALL, chance};
use crate::fault::{Carry, Faults};
use crate::guard::call::{Said, call};
use crate::guard::{GuardMetrics, Hint, Hints};
use crate::model::identity::{AttemptId, AttemptIds, Order, Partition};
use crate::model::key::Key;
use crate::model::order::State;
use crate::model::outcome::Meaning;
use crate::model::trace::TraceContext;
use crate::route::{Call, Route, Routes};
use crate::store::record::Record;
use crate::store::resolve::{Adopt, AdoptAsk, Permission, Release, Resolution, Resolve, Word};
use crate::store::{Store, StoreError};
use crate::trace::{Kind, Span, Tracer};
use crate::upstream::{Leg, Upstream};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Orders looked at at once, and so connections upstream.
const AT_ONCE: usize = 48;

/// One that nobody here can make a call about, where there are too many of them to be remembered, is
/// due again so much later: it keeps nobody from those behind it.
const POSTPONED: Duration = Duration::from_secs(60);

/// Why an order ended as its query, or its cancel call, said.
const ASKED: &str = "upstream said so when asked";

/// The worker.
pub struct Resolver {
    /// Where orders are.
    pub store: Arc<Store>,
    /// The routes in force.
    pub routes: Arc<ArcSwap<Routes>>,
    /// The payment service.
    pub upstream: Upstream,
    /// Its `host:port`.
    pub authority: String,
    /// Names for turns.
    pub turns: Arc<AttemptIds>,
    /// What it counts.
    pub metrics: ResolveMetrics,
    /// Counts permissions and alarms.
    pub guard: GuardMetrics,
    /// Tells itself when to look again.
    pub hints: Hints,
    /// Those that nobody here can make a call about.
    pub unable: Arc<Unable>,
    /// Accidents on demand.
    pub faults: Faults,
    /// Begins the spans of its calls.
    pub tracer: Tracer,
}

/// One turn of one order.
struct Turn<'a> {
    order: &'a Order,
    route: &'a Route,
    fence: u64,
    name: &'a AttemptId,
    /// For how long nothing was heard of its attempt.
    quiet: Duration,
    /// The span of its attempt.
    trace: Option<TraceContext>,
}

impl Resolver {
    /// Looks at what it is told of, in time, until `stop`.
    pub async fn run(self, mut told: mpsc::Receiver<Hint>, stop: CancellationToken) {
        let resolver = Arc::new(self);
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut agenda = Agenda::default();
        let mut turns = JoinSet::new();
        loop {
            let due = async {
                match agenda.next() {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
                places.clone().acquire_owned().await
            };
            tokio::select! {
                () = stop.cancelled() => return,
                Some(hint) = told.recv() => agenda.note(hint.at, hint.partition, hint.id),
                Some(_) = turns.join_next() => {}
                Ok(place) = due => {
                    let Some((partition, id)) = agenda.take() else {
                        continue;
                    };
                    let resolver = resolver.clone();
                    turns.spawn(async move {
                        if let Err(error) = resolver.look(partition, &id).await {
                            tracing::debug!(%error, "an order's turn was missed");
                        }
                        drop(place);
                    });
                }
            }
        }
    }

    /// Takes an order if it is due, and does what is to be done about it.
    pub async fn look(&self, partition: Partition, id: &str) -> Result<(), StoreError> {
        let Some(record) = self.store.look_at(partition, id).await? else {
            return Ok(());
        };
        let Ok(key) = Key::stored(&record.key) else {
            return Ok(());
        };
        let routes = self.routes.load_full();
        let order = routes.order(&record.route, &record.scope, key);
        let name = self.turns.next();
        let subject = self.faults.order(&record.route, &record.key);
        self.turn((&order, &routes, &name), &record).on_behalf_of(subject).await
    }

    async fn turn(
        &self,
        (order, routes, name): (&Order, &Arc<Routes>, &AttemptId),
        record: &Record,
    ) -> Result<(), StoreError> {
        let (partition, id) = (order.partition, &*order.id);
        let route = routes.named(&record.route).map(|route| &**route);
        let ask = asking(route, order, name, record, chance());
        let begun = Instant::now();
        let (state, quiet, interval, left) = match self.store.adopt(&ask).await? {
            Adopt::Adopted { state, quiet, turn, left } => (state, quiet, turn, left),
            Adopt::Early(left) => {
                self.hints.tell(partition, id, left);
                return Ok(());
            }
            Adopt::Unable { state, quiet, left } => {
                self.last_call((order, record), route, (state, quiet));
                return self.leave_alone(routes, &ask, left).await;
            }
            Adopt::Moved(_) => return Ok(()),
        };
        self.last_call((order, record), route, (state, quiet));
        let Some(route) = route else {
            return Ok(());
        };
        let mut held = Held::new(&self.store, (order, name), begun, interval);
        let (fence, trace) = (record.fence, record.trace);
        let turn = Turn { order, route, fence, name, quiet, trace };
        let over = match (state, &route.query, &route.cancel) {
            // The turn ends when it may be cancelled.
            (State::Cancelling, ..)
                if may_cancel_from(route, record) > Some(now(record, quiet)) =>
            {
                self.hints.tell(partition, id, interval);
                return Ok(());
            }
            (State::Cancelling, _, Some(cancel)) => {
                let span = self.begin("cancel", &turn);
                let allowed = (cancel_patience(&route.tuning, record), &span);
                let said = held.during(self.call(Leg::Cancel, cancel, &turn, allowed)).await;
                self.cancelled(&turn, said, &span).await
            }
            (State::Unknown, Some(query), _) => {
                let span = self.begin("query", &turn);
                let allowed = (query_patience(&route.tuning, record, left), &span);
                let said = held.during(self.call(Leg::Query, query, &turn, allowed)).await;
                self.answered(&turn, said, &span).await
            }
            _ => Ok(false),
        };
        if !matches!(over, Ok(true)) {
            held.end(&self.hints).await;
        }
        over.map(drop)
    }

    /// Leaves an order to replicas that can make the call; those here pass it over from now on.
    async fn leave_alone(
        &self,
        routes: &Arc<Routes>,
        ask: &AdoptAsk<'_>,
        left: Option<Duration>,
    ) -> Result<(), StoreError> {
        let (partition, id) = (ask.order.partition, &*ask.order.id);
        tracing::debug!(order = id, route = &*ask.order.route, "nobody here can ask about it");
        if !self.unable.note(routes, (partition, id), left) {
            let (query, cancel) = (Some(POSTPONED), Some(POSTPONED));
            let (cancel_from, deadline) = (None, None);
            let later = AdoptAsk { query, cancel, cancel_from, deadline, ..*ask };
            self.store.adopt(&later).await?;
        }
        Ok(())
    }

    /// Calls somebody when an order that upstream has not cancelled is about to be forgotten.
    fn last_call(
        &self,
        (order, seen): (&Order, &Record),
        route: Option<&Route>,
        (state, quiet): (State, Duration),
    ) {
        if state != State::Cancelling {
            return;
        }
        // One of no known route is looked at every `HELD`: this is one of the last times.
        let last =
            route.map_or(HELD * 2, |route| route.tuning.unknown_ttl.mul_f64(1.0 - LAST_CALL));
        let expires = seen.expires;
        let left = expires.and_then(|expires| expires.duration_since(now(seen, quiet)).ok());
        if left.is_some_and(|left| left < last) {
            self.guard.alarm("cancelling-expiring", Some(order));
            tracing::error!(
                order = %order.id,
                "an order whose cancel was never confirmed is about to be forgotten: cancel it \
                 at the payment service, then resolve it as cancelled"
            );
        }
    }

    /// The span of a call, in the trace of the attempt it is about.
    fn begin(&self, name: &'static str, turn: &Turn<'_>) -> Span {
        let span = self.tracer.begin(name, Kind::Client, turn.trace);
        span.about(turn.order);
        span.set("onceward.fence", turn.fence);
        span
    }

    async fn call(
        &self,
        leg: Leg,
        what: &Call,
        turn: &Turn<'_>,
        (allowed, span): (Duration, &Span),
    ) -> Said {
        let way = (&self.upstream, leg, span);
        call(way, &self.authority, what, (turn.route, turn.order), allowed).await
    }

    /// What a query said; whether the order is nobody's to ask about any more.
    async fn answered(&self, turn: &Turn<'_>, said: Said, span: &Span) -> Result<bool, StoreError> {
        let result = match said {
            Said::Nothing => "unanswered",
            Said::Unclear => "unclear",
            Said::Meaning(Meaning::Succeeded, kept) => {
                let resolve =
                    self.end(turn, State::Succeeded, (Word::Response(&kept), ASKED)).await?;
                written(&resolve, "succeeded")
            }
            Said::Meaning(Meaning::Failed, kept) => {
                let resolve = self.end(turn, State::Failed, (Word::Response(&kept), ASKED)).await?;
                written(&resolve, "failed")
            }
            Said::Meaning(Meaning::Unknown, _) => "pending",
            Said::Meaning(Meaning::Absent, _) if turn.quiet < turn.route.tuning.settle_delay => {
                "absent-early"
            }
            Said::Meaning(Meaning::Absent, _) => self.release(turn).await?,
            // What a query cannot say of an order that is not being cancelled.
            Said::Meaning(Meaning::Cancelled | Meaning::Declined, _) => "unclear",
        };
        self.metrics.resolution(result);
        span.set("onceward.result", result);
        Ok(matches!(result, "succeeded" | "failed" | "absent"))
    }

    /// What a cancel call said; whether the order has ended.
    async fn cancelled(
        &self,
        turn: &Turn<'_>,
        said: Said,
        span: &Span,
    ) -> Result<bool, StoreError> {
        let result = match said {
            Said::Nothing => "unanswered",
            Said::Meaning(Meaning::Cancelled, _) => {
                let why = "upstream confirmed the cancel";
                let resolve = self.end(turn, State::Cancelled, (Word::Keep, why)).await?;
                written(&resolve, "cancelled")
            }
            // A payment on its way may still arrive; one that long past is not on its way any more.
            Said::Meaning(Meaning::Absent, _) if turn.quiet >= turn.route.tuning.settle_delay => {
                let why = "its cancel call knows no such order";
                match self.end(turn, State::Cancelled, (Word::Absent, why)).await? {
                    // What nobody can find cannot be paid back either.
                    Resolve::Paid => {
                        let why = "it was paid, and its cancel call knows no such order";
                        self.stays_paid(turn, why).await?
                    }
                    resolve => written(&resolve, "cancelled"),
                }
            }
            Said::Meaning(Meaning::Succeeded, _) => self.stays_paid(turn, ASKED).await?,
            // `failed` may mean the payment or the cancel: it decides nothing.
            Said::Unclear | Said::Meaning(..) => "unclear",
        };
        self.metrics.cancel(result);
        span.set("onceward.result", result);
        Ok(matches!(result, "cancelled" | "not-cancellable"))
    }

    /// Its cancel call does not undo it: it ends as the payment it is, and somebody is called.
    async fn stays_paid(
        &self,
        turn: &Turn<'_>,
        why: &'static str,
    ) -> Result<&'static str, StoreError> {
        let resolve = self.end(turn, State::Succeeded, (Word::IfTold, why)).await?;
        if matches!(resolve, Resolve::Resolved | Resolve::Astray(_)) {
            self.guard.alarm("not-cancellable", Some(turn.order));
            tracing::error!(
                order = %turn.order.id, fence = turn.fence, why,
                "an order that was to be cancelled is paid and cannot be: pay it back"
            );
        }
        Ok(written(&resolve, "not-cancellable"))
    }

    async fn end(
        &self,
        turn: &Turn<'_>,
        to: State,
        (word, why): (Word<'_>, &str),
    ) -> Result<Resolve, StoreError> {
        let tuning = &turn.route.tuning;
        let resolution = Resolution {
            order: turn.order,
            turn: turn.name,
            fence: Some(turn.fence),
            to,
            keep: if to == State::Cancelled { tuning.cancel_ttl } else { tuning.record_ttl },
            word,
            by: None,
            why,
        };
        let resolve = self.store.resolve(&resolution).await?;
        tracing::info!(order = %turn.order.id, fence = turn.fence, outcome = %to, ?resolve, "asked upstream");
        if let Resolve::Astray(stands) = &resolve {
            self.guard.astray(turn.order, stands);
        }
        Ok(resolve)
    }

    async fn release(&self, turn: &Turn<'_>) -> Result<&'static str, StoreError> {
        let permission = Permission {
            order: turn.order,
            turn: &self.turns.next(),
            fence: Some(turn.fence),
            keep: turn.route.tuning.record_ttl,
            letters: false,
            by: None,
            why: "upstream knows no such order",
        };
        Ok(match self.guard.permit(&self.store, &permission).await? {
            Release::Released => {
                tracing::warn!(
                    order = %turn.order.id, fence = turn.fence,
                    "upstream knows no such order: its next duplicate may run"
                );
                "absent"
            }
            // It was tried often enough: it waits for a person, or to be cancelled in time.
            Release::Dead => "dead",
            _ => "moved",
        })
    }
}

/// By Redis' own clock: since the order last moved it has been quiet.
fn now(seen: &Record, quiet: Duration) -> SystemTime {
    seen.updated.map_or_else(SystemTime::now, |updated| updated + quiet)
}

/// What became of writing a word, as it is counted.
fn written(resolve: &Resolve, word: &'static str) -> &'static str {
    match resolve {
        Resolve::Resolved | Resolve::Astray(_) => word,
        Resolve::Held(_) => "held",
        _ => "moved",
    }
}
