//! What the resolver counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Every result of asking about an order.
const RESOLUTIONS: [&str; 11] = [
    "succeeded",
    "failed",
    "absent",
    "absent-early",
    "dead",
    "pending",
    "unclear",
    "unanswered",
    "held",
    "moved",
    "operator",
];

/// Every result of a cancel call.
const CANCELS: [&str; 6] =
    ["cancelled", "not-cancellable", "unclear", "unanswered", "held", "moved"];

/// The resolver's counters.
#[derive(Clone)]
pub struct ResolveMetrics {
    resolutions: Family<Result, Counter>,
    cancels: Family<Result, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result {
    result: &'static str,
}

impl ResolveMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> ResolveMetrics {
        let metrics = ResolveMetrics { resolutions: Family::default(), cancels: Family::default() };
        registry.register(
            "resolutions",
            "Words on orders of unknown outcome, by what came of them",
            metrics.resolutions.clone(),
        );
        registry.register(
            "cancels",
            "Cancel calls made upstream, by what came of them",
            metrics.cancels.clone(),
        );
        // A counter that first shows up as 1 has no increase to be alerted by.
        for result in RESOLUTIONS {
            let _ = metrics.resolutions.get_or_create(&Result { result });
        }
        for result in CANCELS {
            let _ = metrics.cancels.get_or_create(&Result { result });
        }
        metrics
    }

    /// Counts a word on an order of unknown outcome.
    pub fn resolution(&self, result: &'static str) {
        debug_assert!(RESOLUTIONS.contains(&result), "{result} is not listed");
        self.resolutions.get_or_create(&Result { result }).inc();
    }

    /// Counts a cancel.
    pub fn cancel(&self, result: &'static str) {
        debug_assert!(CANCELS.contains(&result), "{result} is not listed");
        self.cancels.get_or_create(&Result { result }).inc();
    }
}
