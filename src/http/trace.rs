//! One span per request, and the count of what came of it. Nothing a request carries is logged:
//! not its path, not its headers, not its body.

use super::Answering;
use crate::answer::problem::Told;
use crate::payload::Payload;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};
use tracing::{Instrument, field::Empty};

/// What the data plane counts.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: Family<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: Arc<str>,
    outcome: &'static str,
}

impl HttpMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> HttpMetrics {
        let metrics = HttpMetrics { requests: Family::default() };
        registry.register(
            "requests",
            "Requests by route and outcome: first, replay, passed (not protected), bypassed, \
             document, accepted, token, order, or the name of the problem that was told",
            metrics.requests.clone(),
        );
        metrics
    }

    fn count(&self, told: &Told) {
        let route = told.route.clone().unwrap_or_else(|| "".into());
        self.requests.get_or_create(&Labels { route, outcome: told.outcome }).inc();
    }
}

/// Makes [`Trace`].
#[derive(Clone)]
pub(super) struct TraceLayer {
    metrics: HttpMetrics,
}

/// Spans and counts.
#[derive(Clone)]
pub(super) struct Trace<S> {
    metrics: HttpMetrics,
    inner: S,
}

impl TraceLayer {
    pub(super) fn new(metrics: HttpMetrics) -> TraceLayer {
        TraceLayer { metrics }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace { metrics: self.metrics.clone(), inner }
    }
}

impl<S> Service<Request<Incoming>> for Trace<S>
where
    S: Service<Request<Incoming>, Response = Response<Payload>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Payload>;
    type Error = Infallible;
    type Future = Answering<Response<Payload>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        // Lines told at higher levels name their order themselves: a span for each request that
        // hardly any line would stand in cost a tenth of the way from caller to Redis.
        let span = tracing::debug_span!(
            "request",
            method = known(request.method()),
            route = Empty,
            outcome = Empty,
            status = Empty,
        );
        let answering = self.inner.call(request).instrument(span.clone());
        let metrics = self.metrics.clone();
        Box::pin(async move {
            let mut response = answering.await?;
            if let Some(told) = response.extensions_mut().remove::<Told>() {
                span.record("route", told.route.as_deref());
                span.record("outcome", told.outcome);
                span.record("status", response.status().as_u16());
                span.in_scope(|| tracing::debug!("answered"));
                metrics.count(&told);
            }
            Ok(response)
        })
    }
}

/// A method by its name; one that somebody made up could carry anything.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    KNOWN.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}
