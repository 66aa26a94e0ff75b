//! Stands in for the exporter in a binary that was built without the feature `otlp`.

use super::span::Ended;
use super::{Config, SpanMetrics};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Whether this binary can export spans.
pub const BUILT: bool = false;

/// Exports nothing; no configuration asks it to.
pub struct Exporter;

impl Exporter {
    pub(super) fn new(_: Config, _: mpsc::Receiver<Ended>, _: SpanMetrics) -> Exporter {
        Exporter
    }

    /// Is done at once.
    pub async fn run(self, _: CancellationToken) {}
}
