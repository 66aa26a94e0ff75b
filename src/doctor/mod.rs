//! `onceward doctor`: examines one Redis and says whether money may rest on it.
//!
//! Promises: it ends, because every wait on the network is bounded by the patient's timeout; it
//! leaves nothing behind, because all it writes is one key under the namespace, taken away again
//! and short-lived in case that fails; and it never shows a password.
//! It knows nothing of orders or of the sidecar's scripts: only of what those need from a server.

mod checks;
mod facts;
mod link;
mod report;
mod servers;
#[cfg(test)]
mod tests;

use crate::model::identity::Partition;
use std::time::Duration;

use checks::{durability, memory, permissions, sentinels, server, settings, timing};
use facts::Facts;
use link::Link;
pub use report::{Finding, Report, Verdict};
pub use servers::every_server;

/// The server to examine, and the settings that decide what is enough.
///
/// One server at a time: the one that Sentinels name, each primary of a Cluster.
// No Debug: the login may hold a password.
#[derive(Clone)]
pub struct Patient<'a> {
    /// How one connects to it.
    pub server: redis::ConnectionInfo,
    /// A partition that this server serves; `None` for one that serves none.
    pub partition: Option<Partition>,
    /// The longest wait for one answer (`REDIS_TIMEOUT`).
    pub timeout: Duration,
    /// The prefix of every key (`NAMESPACE`).
    pub namespace: &'a str,
    /// Replicas that must confirm a claim (`REDIS_WAIT_REPLICAS`).
    pub wait_replicas: u32,
    /// Whether `REDIS_MODE` is `cluster`.
    pub cluster_mode: bool,
    /// Whether `SECRET` is set.
    pub secret_set: bool,
    /// How long a claim lives without being renewed (`LOCK_TTL`).
    pub lock_ttl: Duration,
}

/// Examines a server, one check after the other, and reports every finding.
///
/// A server that cannot be talked to gets a report of that one failure: the other checks would
/// only repeat it. There is no error to return, since bad news is the report's business.
/// Needs a Tokio runtime with its time and I/O drivers on.
pub async fn examine(patient: Patient<'_>) -> Report {
    let link = match Link::open(&patient).await {
        Ok(link) => link,
        Err(refusal) => {
            return Report { findings: vec![refusal] };
        }
    };
    let facts = Facts::read(&link).await;
    Report {
        findings: vec![
            Finding::ok("connection", link.address()),
            server::version(&facts),
            server::cluster(&facts, patient.cluster_mode),
            server::scripting(&link).await,
            memory::eviction(&facts),
            memory::room(&facts),
            durability::persistence(&facts),
            durability::replicas(&facts, patient.wait_replicas),
            permissions::permissions(&link, &patient).await,
            permissions::writes(&link, &patient).await,
            timing::latency(&link, patient.timeout).await,
            timing::clock(&link).await,
            settings::lease(patient.lock_ttl, patient.timeout),
            settings::secret(patient.secret_set),
        ],
    }
}
