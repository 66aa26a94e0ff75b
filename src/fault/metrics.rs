//! What the board counts.

use super::place::At;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    at: &'static str,
    r#do: &'static str,
}

/// The board's counters.
#[derive(Clone)]
pub(super) struct FaultMetrics {
    fired: Family<Labels, Counter>,
    rules: Gauge,
}

impl FaultMetrics {
    pub(super) fn new(registry: &mut Registry, on: bool) -> FaultMetrics {
        let metrics = FaultMetrics { fired: Family::default(), rules: Gauge::default() };
        let switch: Gauge = Gauge::default();
        switch.set(i64::from(on));
        registry.register("faults_on", "Whether fault simulation is on: 1, or 0", switch);
        registry.register("faults_active", "Fault rules on the board", metrics.rules.clone());
        registry.register(
            "faults_fired",
            "Faults that were played, by place and kind",
            metrics.fired.clone(),
        );
        metrics
    }

    pub(super) fn fired(&self, at: At, word: &'static str) {
        self.fired.get_or_create(&Labels { at: at.word(), r#do: word }).inc();
    }

    pub(super) fn rules(&self, rules: usize) {
        self.rules.set(i64::try_from(rules).unwrap_or(i64::MAX));
    }
}
