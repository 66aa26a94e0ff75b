//! Which servers there are to examine.

use super::{Finding, Patient, Report, examine, sentinels};
use crate::config::Config;
use crate::store::link::{Link, Mode};

/// Examines every server that a sidecar of this configuration writes to, one after the other; the
/// shortest lease of any route is the one that decides.
pub async fn every_server(config: &Config) -> Report {
    let link = Link::new(config.redis.clone(), config.redis_timeout);
    let lock_ttl = config.routes.0.iter().map(|route| route.tuning.lock_ttl).min();
    let mut report = Report::default();
    if let Some(answers) = link.sentinels().await {
        report.findings.push(sentinels::agreement(&answers));
    }
    let servers = match link.primaries().await {
        Ok(servers) => servers,
        Err(error) => {
            let found = format!("{}: {error}", config.redis);
            let advice = "nothing can be claimed without Redis; check REDIS_URL and REDIS_MODE";
            report.findings.push(Finding::fail("connection", found, advice));
            return report;
        }
    };
    for server in servers {
        let patient = Patient {
            server: server.info,
            partition: server.partition,
            timeout: config.redis_timeout,
            namespace: &config.namespace,
            wait_replicas: config.redis_wait_replicas,
            cluster_mode: config.redis.mode() == Mode::Cluster,
            secret_set: config.secrets.is_keyed(),
            lock_ttl: lock_ttl.unwrap_or_default(),
        };
        report.findings.extend(examine(patient).await.findings);
    }
    report
}
