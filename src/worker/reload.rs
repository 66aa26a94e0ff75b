//! Reads the routes again when their file changes. Bad ones are told of and not taken.

use crate::config::{Config, Environment};
use crate::route::Routes;
use arc_swap::ArcSwap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the file is looked at. Kubernetes replaces a mounted ConfigMap by swapping a link, so
/// the content is compared and not the file's times.
const LOOK: Duration = Duration::from_secs(1);

/// Watches until `stop`.
pub async fn watch(
    file: &Path,
    environment: &dyn Environment,
    routes: &ArcSwap<Routes>,
    stop: CancellationToken,
) {
    let mut last = std::fs::read(file).ok();
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let now = match std::fs::read(file) {
            Ok(now) => now,
            Err(error) => {
                // Told once; the next content it has is read, even the old one.
                if last.take().is_some() {
                    tracing::error!(%error, "the routes' file cannot be read; the last good ones stay");
                }
                continue;
            }
        };
        if last.as_ref() == Some(&now) {
            continue;
        }
        last = Some(now);
        match Config::reload_routes(environment) {
            Ok((new, remarks)) => {
                tracing::info!(routes = new.0.len(), "routes were read again");
                for remark in remarks {
                    tracing::warn!(name = remark.at, "{}", remark.what);
                }
                routes.store(Arc::new(new));
            }
            Err(problems) => {
                tracing::error!(%problems, "the changed routes are bad; the last good ones stay");
            }
        }
    }
}
