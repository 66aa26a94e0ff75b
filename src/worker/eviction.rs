//! Asks Redis now and then whether it may throw claims away.
//!
//! `onceward doctor` says so to whoever asks; this says so to whoever did not.

use crate::store::server::Eviction as Told;
use crate::store::{Store, StoreError};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two looks: somebody changes a policy by hand, and alerts are late by minutes anyway.
const LOOK: Duration = Duration::from_secs(60);

/// After one that was not answered.
const AGAIN: Duration = Duration::from_secs(5);

/// The only policy under which a claim stays until its time is over.
const SAFE: &str = "noeviction";

/// What the last look saw.
#[derive(Clone, Default)]
pub struct EvictionMetrics {
    is_unsafe: Gauge,
}

impl EvictionMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> EvictionMetrics {
        let metrics = EvictionMetrics::default();
        registry.register(
            "redis_eviction_unsafe",
            "1 while the policy of Redis, in a Cluster of any primary, is not noeviction, so that it \
             may drop claims; 0 when it is, or is not told",
            metrics.is_unsafe.clone(),
        );
        metrics
    }
}

/// The worker.
pub struct Eviction {
    /// Where claims are.
    pub store: Arc<Store>,
    /// What it sees.
    pub metrics: EvictionMetrics,
}

impl Eviction {
    /// Looks until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = match self.look().await {
                Ok(()) => super::jitter(LOOK),
                Err(error) => {
                    tracing::debug!(%error, "Redis did not tell its eviction policy");
                    super::jitter(AGAIN)
                }
            };
        }
    }

    /// One server that may drop claims is enough. While one does not answer, that all are safe is not
    /// known: what was seen last stands.
    async fn look(&self) -> Result<(), StoreError> {
        let (evictions, silent) = self.store.evictions().await?;
        let may_drop = |eviction: &&Told| eviction.policy.as_deref().is_some_and(|it| it != SAFE);
        let bad = evictions.iter().find(may_drop);
        match (bad, silent) {
            (None, Some(error)) => return Err(error),
            (None, None) => {
                self.metrics.is_unsafe.set(0);
            }
            (Some(Told { server, policy }), _) => {
                if self.metrics.is_unsafe.set(1) == 0 {
                    tracing::error!(
                        server,
                        policy,
                        "Redis may drop claims when it is full: CONFIG SET maxmemory-policy noeviction"
                    );
                }
            }
        }
        Ok(())
    }
}
