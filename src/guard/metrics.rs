//! What the guard counts.

use super::alarms::Alarms;
use super::callback::CallbackMetrics;
use super::duplicates::Duplicates;
use crate::labelled::Labelled;
use crate::model::identity::Order;
use crate::model::order::State;
use crate::spread::{self, Histogram};
use crate::store::orders::{Renewal, Settle};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::time::Duration;

/// From a fast service to the default UPSTREAM_TIMEOUT and LOCK_TTL.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 30.0];

/// Every kind of alarm there is.
const ALARMS: [&str; 12] = [
    "dead-letter",
    "outcome-not-stored",
    "unknown-expiring",
    "cancelling-expiring",
    "callback-contradiction",
    "callback-against-order",
    "callback-names-no-order",
    "success-on-cancelled",
    "success-on-failed",
    "success-fenced",
    "not-cancellable",
    "illegal-move",
];

/// The guard's counters.
#[derive(Clone)]
pub struct GuardMetrics {
    pub(super) upstream: Histogram,
    lease_held: Labelled<OfRoute, Histogram>,
    waiters: Gauge,
    renewals: Family<Result, Counter>,
    settled: Labelled<Settled, spread::Counter>,
    fenced: Counter,
    pub(super) lapsed: Counter,
    pub(super) abandoned: Counter,
    pub(super) permitted_reruns: Counter,
    pub(super) bypassed: Counter,
    asked_first: Family<Result, Counter>,
    alarms: Family<Alarm, Counter>,
    pub(super) callbacks: CallbackMetrics,
    /// Who got a stored answer of late.
    pub duplicates: Arc<Duplicates>,
    /// The latest alarms.
    pub latest_alarms: Arc<Alarms>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    route: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Settled {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Alarm {
    kind: &'static str,
}

/// Counts one waiting duplicate until it is dropped.
pub(super) struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl GuardMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> GuardMetrics {
        let metrics = GuardMetrics {
            upstream: Histogram::new(&SECONDS),
            lease_held: Labelled::new(|| Histogram::new(&SECONDS)),
            waiters: Gauge::default(),
            renewals: Family::default(),
            settled: Labelled::new(spread::Counter::default),
            fenced: Counter::default(),
            lapsed: Counter::default(),
            abandoned: Counter::default(),
            permitted_reruns: Counter::default(),
            bypassed: Counter::default(),
            asked_first: Family::default(),
            alarms: Family::default(),
            callbacks: CallbackMetrics::new(registry),
            duplicates: Arc::default(),
            latest_alarms: Arc::default(),
        };
        registry.register_with_unit(
            "upstream_duration",
            "Time the payment service took to answer a protected request, or to leave it unanswered",
            Unit::Seconds,
            metrics.upstream.clone(),
        );
        registry.register_with_unit(
            "lease_held",
            "Time an attempt held its lease, by route; compare with its LOCK_TTL",
            Unit::Seconds,
            metrics.lease_held.family(),
        );
        registry.register(
            "waiters",
            "Duplicates waiting for the first attempt's answer",
            metrics.waiters.clone(),
        );
        registry.register(
            "renewals",
            "Lease renewals by result: renewed, regained (it had run out unnoticed), lost, failed \
             (Redis gave no answer)",
            metrics.renewals.clone(),
        );
        registry.register(
            "settled",
            "Attempts whose outcome was written, by the state they ended in",
            metrics.settled.family(),
        );
        registry.register(
            "fenced_writes",
            "Outcomes refused because the order had moved on under a newer fence or another state",
            metrics.fenced.clone(),
        );
        registry.register(
            "lost_leases",
            "Orders in flight whose lease was found gone and which became unknown",
            metrics.lapsed.clone(),
        );
        registry.register(
            "abandoned",
            "Claims given back because nothing was sent or upstream declined to begin",
            metrics.abandoned.clone(),
        );
        registry.register(
            "permitted_reruns",
            "Permissions to run an order of unknown outcome again, by the replica that gave them: \
             claims granted by on_unknown: retry, and orders released on upstream's word that there \
             is no such order or by an operator; one that was given while its answer was lost counts, \
             one that was never used too",
            metrics.permitted_reruns.clone(),
        );
        registry.register(
            "bypassed",
            "Requests forwarded unprotected while Redis was away (REDIS_DOWN=bypass)",
            metrics.bypassed.clone(),
        );
        registry.register(
            "asked_first",
            "Times upstream was asked about an order before it was sent, because Redis had lost its \
             history: absent (then sent), absent-early, succeeded, failed, pending, unclear, unanswered",
            metrics.asked_first.clone(),
        );
        registry.register(
            "alarms",
            "What a person should look at, by kind",
            metrics.alarms.clone(),
        );
        metrics.begin_at_zero();
        metrics
    }

    /// The same, for another thread.
    pub fn apart(&self) -> GuardMetrics {
        let (lease_held, settled) = (self.lease_held.apart(), self.settled.apart());
        GuardMetrics { lease_held, settled, ..self.clone() }
    }

    /// A counter that first shows up as 1 has no increase to be alerted by.
    fn begin_at_zero(&self) {
        for kind in ALARMS {
            let _ = self.alarms.get_or_create(&Alarm { kind });
        }
        for result in ["renewed", "regained", "lost", "failed"] {
            let _ = self.renewals.get_or_create(&Result { result });
        }
        for result in
            ["absent", "absent-early", "succeeded", "failed", "pending", "unclear", "unanswered"]
        {
            let _ = self.asked_first.get_or_create(&Result { result });
        }
        for state in [State::Succeeded, State::Failed, State::Unknown] {
            let state = state.word();
            let _ = self.settled.family().get_or_create(&Settled { state });
        }
    }

    /// Counts one waiting duplicate while the guard lives.
    pub(super) fn waiting(&self) -> Waiting {
        self.waiters.inc();
        Waiting(self.waiters.clone())
    }

    pub(super) fn held(&self, route: &Arc<str>, held: Duration) {
        self.lease_held.count(
            |labels| labels.route == *route,
            || OfRoute { route: route.clone() },
            |lease_held| lease_held.observe(held.as_secs_f64()),
        );
    }

    pub(super) fn renewed(&self, renewal: Option<&Renewal>) {
        let result = match renewal {
            Some(Renewal::Renewed) => "renewed",
            Some(Renewal::Regained) => "regained",
            Some(Renewal::Lost(_)) => "lost",
            None => "failed",
        };
        self.renewals.get_or_create(&Result { result }).inc();
    }

    pub(super) fn asked_first(&self, result: &'static str) {
        self.asked_first.get_or_create(&Result { result }).inc();
    }

    pub(super) fn settled(&self, to: State, settled: &Settle) {
        match settled {
            Settle::Settled | Settle::Astray(_) | Settle::Kept => {
                let state = to.word();
                let is = |labels: &Settled| labels.state == state;
                self.settled.count(is, || Settled { state }, spread::Counter::inc);
            }
            _ => {
                self.fenced.inc();
            }
        }
    }

    /// Raises an alarm, about an order where one is known.
    pub fn alarm(&self, kind: &'static str, order: Option<&Order>) {
        debug_assert!(ALARMS.contains(&kind), "{kind} is not listed");
        self.latest_alarms.raise(kind, order);
        self.alarms.get_or_create(&Alarm { kind }).inc();
    }

    /// Raises the alarm where money moved for an order that ended otherwise.
    pub(super) fn succeeded_after(&self, order: &Order, end: State) {
        match end {
            State::Cancelled => self.alarm("success-on-cancelled", Some(order)),
            State::Failed => self.alarm("success-on-failed", Some(order)),
            _ => {}
        }
    }

    /// Raises the alarm where money moved under a fence in whose place another had been given.
    pub(super) fn succeeded_beside(&self, order: &Order, stands: State) {
        match stands {
            State::Cancelled | State::Failed => self.succeeded_after(order, stands),
            _ => self.alarm("success-fenced", Some(order)),
        }
    }

    /// Raises the alarm where an order's success came too late to move its lifecycle.
    pub fn astray(&self, order: &Order, stands: &str) {
        self.alarm("illegal-move", Some(order));
        tracing::error!(
            order = %order.id, route = %order.route, lifecycle = stands,
            "an order succeeded whose lifecycle had moved on, and was not moved by it: look at it"
        );
    }

    /// Counts orders found without a lease by somebody else than a duplicate.
    pub fn lapsed(&self) {
        self.lapsed.inc();
    }
}
