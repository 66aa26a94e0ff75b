//! What the store counts.

use super::error::StoreError;
use crate::labelled::Labelled;
use crate::spread::Histogram;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// From a quarter of a millisecond on loopback to beyond the default REDIS_TIMEOUT.
const SECONDS: [f64; 10] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// Redis by command, and its errors by kind.
#[derive(Clone)]
pub struct StoreMetrics {
    duration: Labelled<Command, Histogram>,
    errors: Family<Failure, Counter>,
    forgotten: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Command {
    command: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    kind: &'static str,
}

impl StoreMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> StoreMetrics {
        let metrics = StoreMetrics {
            duration: Labelled::new(|| Histogram::new(&SECONDS)),
            errors: Family::default(),
            forgotten: Counter::default(),
        };
        registry.register_with_unit(
            "redis_duration",
            "Time one Redis command took, by script or command",
            Unit::Seconds,
            metrics.duration.family(),
        );
        registry.register(
            "redis_errors",
            "Redis commands without a usable answer, by what that means: unreached was never \
             sent, lost may have happened, declined did not happen",
            metrics.errors.clone(),
        );
        // A counter that first shows up as 1 has no increase to be alerted by.
        for kind in StoreError::KINDS {
            let _ = metrics.errors.get_or_create(&Failure { kind });
        }
        registry.register(
            "history_lost",
            "Partitions this replica found on another instance of Redis, or an empty one: their \
             orders are asked about before they are sent, for HISTORY_WINDOW",
            metrics.forgotten.clone(),
        );
        metrics
    }

    /// The same, for another thread.
    pub fn apart(&self) -> StoreMetrics {
        StoreMetrics { duration: self.duration.apart(), ..self.clone() }
    }

    pub(super) fn forgot(&self) {
        self.forgotten.inc();
    }

    pub(super) fn command(
        &self,
        command: &'static str,
        took: Duration,
        error: Option<&StoreError>,
    ) {
        self.duration.count(
            |labels| labels.command == command,
            || Command { command },
            |duration| duration.observe(took.as_secs_f64()),
        );
        // A forgotten script is loaded again at once: not a failure.
        if let Some(error) = error
            && !matches!(error, StoreError::Declined(word) if word == "NOSCRIPT")
        {
            debug_assert!(StoreError::KINDS.contains(&error.kind()), "{error} is not listed");
            self.errors.get_or_create(&Failure { kind: error.kind() }).inc();
        }
    }
}
