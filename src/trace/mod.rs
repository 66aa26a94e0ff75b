//! Traces: where one request's time went, told to an OpenTelemetry collector.
//!
//! A span is a place in a trace and a few facts about it. It is handed over when it ends, to a queue
//! of a fixed length: a payment never waits for it. What does not fit is dropped and counted, and
//! the queue is emptied by one task beside all others ([`Exporter`]). Without a collector there is
//! no tracer: every span is nothing, and saying something of one costs a branch.
//!
//! What a request carried stays out: see [`span::Value`].

#[cfg(not(feature = "otlp"))]
#[path = "absent.rs"]
mod export;
#[cfg(feature = "otlp")]
mod export;
mod ids;
mod sampler;
pub mod span;

pub use export::{BUILT, Exporter};
pub use sampler::{Sampler, Share};
pub use span::{Kind, Span};

use crate::model::trace::{TRACEPARENT, TRACESTATE, TraceContext};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use ids::Ids;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use span::Ended;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Spans that wait for the collector; about a kilobyte each. The default of OpenTelemetry's SDKs.
const QUEUE: usize = 2048;

/// Where spans go, and which.
#[derive(Clone)]
pub struct Config {
    /// Where the collector takes them.
    pub collector: Collector,
    /// Header lines it wants to see; secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long it may take to take some.
    pub timeout: Duration,
    /// Which are kept.
    pub sampler: Sampler,
    /// What is said of this process.
    pub resource: Vec<(String, String)>,
}

/// An `http://` or `https://` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Whether it is spoken to by TLS.
    pub tls: bool,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The path spans are posted to.
    pub path: String,
    /// Who signs its certificate, in PEM; else the system's list.
    pub ca_file: Option<PathBuf>,
}

/// What became of spans.
#[derive(Clone)]
pub struct SpanMetrics {
    spans: Family<Result_, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result_ {
    result: &'static str,
}

impl SpanMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> SpanMetrics {
        let metrics = SpanMetrics { spans: Family::default() };
        registry.register(
            "spans",
            "Spans: exported, dropped (the queue was full), failed (the collector did not take them)",
            metrics.spans.clone(),
        );
        for result in ["exported", "dropped", "failed"] {
            metrics.count(result, 0);
        }
        metrics
    }

    fn count(&self, result: &'static str, spans: usize) {
        self.spans.get_or_create(&Result_ { result }).inc_by(spans as u64);
    }
}

/// Begins spans; nothing where there is no collector.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Shared>>);

/// What all spans of a process share.
struct Shared {
    sampler: Sampler,
    ids: Ids,
    queue: mpsc::Sender<Ended>,
    metrics: SpanMetrics,
}

impl Shared {
    /// Never waits.
    fn hand_over(&self, ended: Ended) {
        if self.queue.try_send(ended).is_err() {
            self.metrics.count("dropped", 1);
        }
    }
}

/// A tracer, and what empties its queue.
///
/// # Errors
/// When the system has no randomness to give.
pub fn start(config: Config, metrics: SpanMetrics) -> Result<(Tracer, Exporter), getrandom::Error> {
    let (queue, spans) = mpsc::channel(QUEUE);
    let (sampler, ids) = (config.sampler, Ids::new()?);
    let shared = Shared { sampler, ids, queue, metrics: metrics.clone() };
    Ok((Tracer(Some(Arc::new(shared))), Exporter::new(config, spans, metrics)))
}

impl Tracer {
    /// Whether spans go anywhere.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span below `parent`, or a trace of its own.
    pub fn begin(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
        parent: Option<TraceContext>,
    ) -> Span {
        match &self.0 {
            Some(shared) => Span::begin(shared, name.into(), kind, parent),
            None => Span::default(),
        }
    }
}

/// The place a request says it comes from; none where it says so twice, or makes no sense.
pub fn told(headers: &HeaderMap) -> Option<TraceContext> {
    let mut lines = headers.get_all(TRACEPARENT).iter();
    let context = TraceContext::parse(lines.next()?.as_bytes());
    context.filter(|_| lines.next().is_none())
}

/// Tells whoever a request goes to that it is part of what `span` is about.
pub fn pass_on(span: &Span, headers: &mut HeaderMap) {
    let Some(context) = span.context() else {
        return;
    };
    // Letters, digits and dashes: always a header's value.
    if let Ok(place) = HeaderValue::from_str(&context.header()) {
        headers.insert(TRACEPARENT, place);
    }
    // What vendors noted of another trace, or of none.
    if !span.continues() {
        headers.remove(TRACESTATE);
    }
}
