//! Reads the routes again when their file changes. Bad ones are told of and not taken.

use crate::config::{Config, Environment, RoutesFile};
use crate::route::Routes;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the file is looked at. Kubernetes replaces a mounted ConfigMap by swapping a link, so
/// the content is compared and not the file's times.
const LOOK: Duration = Duration::from_secs(1);

/// Watches until `stop`.
pub async fn watch(
    file: &RoutesFile,
    environment: &dyn Environment,
    routes: &ArcSwap<Routes>,
    stop: CancellationToken,
) {
    // What the routes in force came of, and not what stands there by now: a change while we started
    // would never be seen.
    let mut last = Some(file.read.to_vec());
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let now = match std::fs::read(&file.path) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn text(path: &str) -> String {
        format!(r#"[{{"name": "a", "path": "{path}"}}]"#)
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_between_reading_and_watching_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes.json");
        std::fs::write(&path, text("/before")).unwrap();
        let name = path.to_str().unwrap().to_owned();
        let environment = HashMap::from([("ONCEWARD_ROUTES".to_owned(), name)]);
        let config = Config::load(&environment).unwrap();
        std::fs::write(&path, text("/after")).unwrap();
        let (routes, stop) = (ArcSwap::from_pointee(config.routes), CancellationToken::new());
        let file = config.routes_file.unwrap();
        let watching = watch(&file, &environment, &routes, stop.clone());
        let seeing = async {
            while routes.load().0[0].path.as_str() != "/after" {
                tokio::time::sleep(LOOK).await;
            }
            stop.cancel();
        };
        let both = async { tokio::join!(watching, seeing) };
        tokio::time::timeout(LOOK * 10, both).await.unwrap();
    }
}
