//! Reads again what came from a file when the file changes. What is bad then is told of and not
//! taken; it is counted as long as it stands there, for a restart would fail on it.

use crate::config::{AdminTokens, Config, Environment, RoutesFile};
use crate::route::Routes;
use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often files are looked at. Kubernetes replaces a mounted ConfigMap or Secret by swapping a
/// link, so the content is compared and not the file's times.
const LOOK: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Clone)]
pub struct ReloadMetrics {
    routes: Gauge,
    admin_tokens: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    variable: &'static str,
}

impl ReloadMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> ReloadMetrics {
        let stale = Family::<Of, Gauge>::default();
        let of = |variable| stale.get_or_create_owned(&Of { variable });
        let metrics = ReloadMetrics { routes: of("ROUTES"), admin_tokens: of("ADMIN_TOKEN") };
        registry.register(
            "config_stale",
            "1 while the variable's file is refused and what it held before is in force, so that \
             the next start would fail",
            stale,
        );
        metrics
    }
}

/// Files as they were when last looked at; nothing where one could not be read.
struct Files<'a> {
    paths: Vec<&'a Path>,
    content: Vec<Option<Vec<u8>>>,
}

impl<'a> Files<'a> {
    fn of(known: impl IntoIterator<Item = (&'a Path, Option<Vec<u8>>)>) -> Files<'a> {
        let (paths, content) = known.into_iter().unzip();
        Files { paths, content }
    }

    /// Whether any of them is another than at the last look.
    fn have_changed(&mut self) -> bool {
        let now = self.paths.iter().map(|path| std::fs::read(path).ok()).collect();
        let before = std::mem::replace(&mut self.content, now);
        before != self.content
    }
}

/// Whoever looks.
pub struct Reload<'a> {
    /// Where the files' names stand.
    pub environment: &'a dyn Environment,
    /// What is counted.
    pub metrics: ReloadMetrics,
    /// When to look no more.
    pub stop: CancellationToken,
}

impl Reload<'_> {
    /// Keeps the routes as their file says.
    pub async fn routes(&self, file: Option<&RoutesFile>, routes: &ArcSwap<Routes>) {
        // What the routes in force came of, and not what stands there by now: a change while we
        // started would never be seen.
        let known = file.map(|file| (file.path.as_path(), Some(file.read.to_vec())));
        let mut file = Files::of(known);
        while self.has_news(&mut file).await {
            match Config::reload_routes(self.environment) {
                Ok((new, remarks)) => {
                    tracing::info!(routes = new.0.len(), "routes were read again");
                    for remark in remarks {
                        tracing::warn!(name = remark.at, "{}", remark.what);
                    }
                    routes.store(Arc::new(new));
                    self.metrics.routes.set(0);
                }
                Err(problems) => {
                    tracing::error!(%problems, "the changed routes are bad; the last good ones stay");
                    self.metrics.routes.set(1);
                }
            }
        }
    }

    /// Keeps the admin plane's tokens as their files say.
    pub async fn admin_tokens(&self, files: &[PathBuf], tokens: &ArcSwap<AdminTokens>) {
        // Likewise: the first look reads them again.
        let mut files = Files::of(files.iter().map(|path| (path.as_path(), None)));
        while self.has_news(&mut files).await {
            match AdminTokens::reload(self.environment) {
                Ok(new) => {
                    if **tokens.load() != new {
                        tracing::info!("the admin plane's tokens were read again");
                        tokens.store(Arc::new(new));
                    }
                    self.metrics.admin_tokens.set(0);
                }
                Err(problems) => {
                    tracing::error!(%problems, "the changed tokens are bad; the last good ones stay");
                    self.metrics.admin_tokens.set(1);
                }
            }
        }
    }

    /// Waits until a file changes; false once nothing will any more.
    async fn has_news(&self, files: &mut Files<'_>) -> bool {
        if files.paths.is_empty() {
            return false;
        }
        while self.stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            if files.have_changed() {
                return true;
            }
        }
        false
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
        let metrics = ReloadMetrics::new(&mut Registry::default());
        let reload = Reload { environment: &environment, metrics, stop: stop.clone() };
        let watching = reload.routes(Some(&file), &routes);
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
