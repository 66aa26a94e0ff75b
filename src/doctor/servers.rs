//! Which servers there are to examine.

use super::{Patient, Report, examine};
use crate::config::Config;
use crate::store::link::Link;

/// Examines every server that a sidecar of this configuration writes to, one after the other; the
/// shortest lease of any route is the one that decides.
pub async fn every_server(config: &Config) -> Report {
    let link = Link::new(config.redis.clone(), config.redis_timeout);
    let servers = match link.primaries().await {
        Ok(servers) => servers,
        Err(error) => return Report::without_server(&config.redis.to_string(), &error.to_string()),
    };
    let lock_ttl = config.routes.0.iter().map(|route| route.tuning.lock_ttl).min();
    let mut report = Report::default();
    for server in servers {
        let patient = Patient {
            server,
            timeout: config.redis_timeout,
            namespace: &config.namespace,
            wait_replicas: config.redis_wait_replicas,
            cluster_mode: false,
            secret_set: config.secrets.is_keyed(),
            lock_ttl: lock_ttl.unwrap_or_default(),
        };
        report.findings.extend(examine(patient).await.findings);
    }
    report
}
