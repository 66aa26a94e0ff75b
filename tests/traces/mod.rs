//! Traces: what a payment went through, told to an OpenTelemetry collector; and never in its way.

mod export;
mod links;
mod parts;

use crate::support::client::Call;
use crate::support::collector::{Collector, Span};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, sidecar};
use crate::support::upstream::Upstream;

/// Where the tests' callers say they come from.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

fn traced(redis: &Redis, upstream: &Upstream, collector: &Collector) -> Builder {
    sidecar(redis, upstream).set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
}

/// A payment of that key, by a caller with a trace.
fn pay(key: &str) -> Call {
    Call::pay(key).header("Traceparent", &traceparent("01"))
}

/// The spans below one, by name.
fn below<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a str> {
    let mut names: Vec<&str> = spans
        .iter()
        .filter(|span| span.parent == parent.id && span.trace == parent.trace)
        .map(|span| span.name.as_str())
        .collect();
    names.sort_unstable();
    names
}

/// The span and trace that a request upstream names.
fn named(upstream: &Upstream, call: usize) -> (String, String, String) {
    let request = upstream.requests()[call].clone();
    let line = request.header("traceparent").expect("a traceparent").to_owned();
    let parts: Vec<&str> = line.split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"), "{line}");
    (parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned())
}
