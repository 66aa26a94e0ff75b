//! Brings spans to the collector, some at a time: OTLP over HTTP, in Protocol Buffers.
//!
//! The task waits for the collector and nobody waits for the task. A collector that is away or
//! slow costs spans, which are counted, and a warning now and then.

mod encode;
mod post;
mod protobuf;

use super::span::Ended;
use super::{Config, SpanMetrics};
use bytes::Bytes;
use post::{Refusal, Way};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Whether this binary can export spans.
pub const BUILT: bool = true;

/// Spans that go together at the most.
const BATCH: usize = 512;

/// How long the first of them waits for others.
const GATHER: Duration = Duration::from_secs(1);

/// How often spans are offered, while the collector says that it could take them later.
const OFFERS: u32 = 3;

/// The pause after the first offer; the next ones double.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause a collector may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a process that ends waits for its last spans to be taken.
const LAST: Duration = Duration::from_secs(2);

/// One warning so often, however many spans are lost.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The task.
pub struct Exporter {
    way: Way,
    resource: Vec<(String, String)>,
    spans: mpsc::Receiver<Ended>,
    metrics: SpanMetrics,
    warned: Option<Instant>,
}

impl Exporter {
    pub(super) fn new(
        config: Config,
        spans: mpsc::Receiver<Ended>,
        metrics: SpanMetrics,
    ) -> Exporter {
        let way = Way::new(&config);
        Exporter { way, resource: config.resource, spans, metrics, warned: None }
    }

    /// Exports until `over`, and what is left then, for two seconds at the most.
    pub async fn run(mut self, over: CancellationToken) {
        let mut batch = Vec::new();
        while !over.is_cancelled() {
            if self.spans.is_closed() && self.spans.is_empty() && batch.is_empty() {
                break;
            }
            over.run_until_cancelled(self.gather(&mut batch)).await;
            let sent = over.run_until_cancelled(self.export(&batch)).await;
            // What the end interrupted is offered once more.
            if sent.is_some() {
                batch.clear();
            }
        }
        let _ = timeout(LAST, self.last(&mut batch)).await;
        let lost = batch.len() + self.spans.len();
        self.metrics.count("failed", lost);
        if lost > 0 {
            tracing::warn!(spans = lost, "the last spans could not be exported");
        }
    }

    /// Waits for a span, and for others to come with it.
    async fn gather(&mut self, batch: &mut Vec<Ended>) {
        let mut until = None;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            let came = match until {
                None => self.spans.recv_many(batch, room).await,
                Some(until) => tokio::select! {
                    came = self.spans.recv_many(batch, room) => came,
                    () = sleep_until(until) => return,
                },
            };
            if came == 0 {
                return;
            }
            until = until.or(Some(Instant::now() + GATHER));
        }
    }

    /// Offers spans until they are taken or lost.
    async fn export(&mut self, batch: &[Ended]) {
        if batch.is_empty() {
            return;
        }
        let body = self.written(batch);
        for offer in 1..=OFFERS {
            let (why, pause) = match self.way.post(body.clone()).await {
                Ok(()) => return self.metrics.count("exported", batch.len()),
                Err(Refusal::Never(why)) => (why, None),
                Err(Refusal::Later(why, after)) => {
                    let pause = after.unwrap_or(PAUSE * (1 << (offer - 1))).min(LONGEST_PAUSE);
                    (why, Some(pause).filter(|_| offer < OFFERS))
                }
            };
            match pause {
                Some(pause) => sleep(pause).await,
                None => return self.lost(batch.len(), &why),
            }
        }
    }

    /// What is left, offered once.
    async fn last(&mut self, batch: &mut Vec<Ended>) {
        loop {
            while batch.len() < BATCH {
                match self.spans.try_recv() {
                    Ok(span) => batch.push(span),
                    Err(_) => break,
                }
            }
            if batch.is_empty() {
                return;
            }
            let body = self.written(batch);
            if self.way.post(body).await.is_err() {
                return;
            }
            self.metrics.count("exported", batch.len());
            batch.clear();
        }
    }

    fn written(&self, batch: &[Ended]) -> Bytes {
        encode::request(&self.resource, batch).into()
    }

    fn lost(&mut self, spans: usize, why: &str) {
        self.metrics.count("failed", spans);
        if self.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            tracing::warn!(
                spans,
                why,
                "spans could not be exported; payments go on, onceward_spans_total counts the rest"
            );
        }
    }
}
