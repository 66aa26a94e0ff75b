//! One span per request, and the count of what came of it. Nothing a request carries is logged:
//! not its path, not its headers, not its body.
//!
//! Where traces are exported, every request has a place for a span of those as well, and the
//! protected ones open it. What is passed on has none, and its `traceparent` stays as it was.

use super::told::Outcome;
use super::{Answered, Answering, Arrived};
use crate::answer::problem::{STATE, Told};
use crate::fault;
use crate::labelled::Labelled;
use crate::model::order::State;
use crate::payload::Payload;
use crate::spread::Counter;
use crate::trace::span::Value;
use crate::trace::{self, Kind, Span, Tracer};
use hyper::{Method, Request, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::registry::Registry;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tower::{Layer, Service};
use tracing::{Instrument, field::Empty};

/// What the data plane counts.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: Labelled<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: Arc<str>,
    outcome: &'static str,
}

impl HttpMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> HttpMetrics {
        let metrics = HttpMetrics { requests: Labelled::new(Counter::default) };
        let words: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.word()).collect();
        registry.register(
            "requests",
            format!("Requests by route and outcome: {}, or a problem's name", words.join(", ")),
            metrics.requests.family(),
        );
        metrics
    }

    /// The same, for another thread.
    pub fn apart(&self) -> HttpMetrics {
        HttpMetrics { requests: self.requests.apart() }
    }

    fn count(&self, told: &Told) {
        let (route, outcome) = (told.route.as_deref().unwrap_or_default(), told.outcome);
        self.requests.count(
            |labels| labels.outcome == outcome && *labels.route == *route,
            || Labels { route: route.into(), outcome },
            Counter::inc,
        );
    }
}

/// Makes [`Trace`].
#[derive(Clone)]
pub(super) struct TraceLayer {
    metrics: HttpMetrics,
    tracer: Tracer,
}

/// Spans and counts.
#[derive(Clone)]
pub(super) struct Trace<S> {
    metrics: HttpMetrics,
    tracer: Tracer,
    inner: S,
}

impl TraceLayer {
    pub(super) fn new(metrics: HttpMetrics, tracer: Tracer) -> TraceLayer {
        TraceLayer { metrics, tracer }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace { metrics: self.metrics.clone(), tracer: self.tracer.clone(), inner }
    }
}

impl<S> Service<Request<Arrived>> for Trace<S>
where
    S: Service<Request<Arrived>, Response = Answered, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Payload>;
    type Error = Infallible;
    type Future = Answering<Response<Payload>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Arrived>) -> Self::Future {
        let method = known(request.method());
        let place = self.tracer.is_on().then(Place::default);
        if let Some(place) = &place {
            request.extensions_mut().insert(place.clone());
        }
        // Lines told at higher levels name their order themselves: a span for each request that
        // hardly any line would stand in cost a tenth of the way from caller to Redis.
        let span = tracing::debug_span!(
            "request",
            method,
            route = Empty,
            outcome = Empty,
            status = Empty,
        );
        let answering = self.inner.call(request).instrument(span.clone());
        let metrics = self.metrics.clone();
        Box::pin(async move {
            let waiting = place.map(Waiting);
            let Answered { response, told } = answering.await?;
            if let Some(told) = told {
                span.record("route", told.route.as_deref());
                span.record("outcome", told.outcome);
                span.record("status", response.status().as_u16());
                span.in_scope(|| tracing::debug!("answered"));
                metrics.count(&told);
                if let Some(span) = waiting.as_ref().and_then(|Waiting(Place(span))| span.get()) {
                    finish(span, method, &told, &response);
                }
            }
            Ok(response)
        })
    }
}

/// A place for a request's span, among what it carries along within this process.
#[derive(Clone, Default)]
struct Place(Arc<OnceLock<Span>>);

/// A caller that waits for its answer; dropped before that comes, it has hung up. Of a span that has
/// ended this says nothing any more.
struct Waiting(Place);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(span) = self.0.0.get() {
            span.set("onceward.outcome", "caller-gone");
        }
    }
}

/// The span of a request that is ours to answer; nothing where no traces are exported.
pub(super) fn span_of<B>(request: &Request<B>, tracer: &Tracer) -> Span {
    let Some(Place(place)) = request.extensions().get() else {
        return Span::default();
    };
    let begin = || {
        let parent = trace::told(request.headers());
        tracer.begin(known(request.method()), Kind::Server, parent)
    };
    place.get_or_init(begin).clone()
}

fn finish(span: &Span, method: &'static str, told: &Told, response: &Response<Payload>) {
    let Some(route) = &told.route else {
        // It turned out to carry no key, and was passed on.
        return span.discard();
    };
    span.rename(|| format!("{method} {route}"));
    span.set("http.request.method", method);
    span.set("http.response.status_code", u64::from(response.status().as_u16()));
    span.set("onceward.route", route);
    span.set("onceward.outcome", told.outcome);
    span.set("onceward.replay", ["replay", "document"].contains(&told.outcome));
    let headers = response.headers();
    let state = headers.get(STATE).and_then(|word| State::from_word(word.to_str().ok()?));
    if let Some(state) = state {
        span.set("onceward.state", state.word());
    }
    if let Some(fault) = headers.get(fault::HEADER).and_then(|id| id.to_str().ok()) {
        span.set("onceward.fault", Value::Name(fault.into()));
    }
    if response.status().is_server_error() {
        span.fail(told.outcome);
    }
    span.end();
}

/// A method by its name; one that somebody made up could carry anything.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    KNOWN.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}
