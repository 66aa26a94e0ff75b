//! An OpenTelemetry collector: takes spans over HTTP, and has them read by OpenTelemetry's own code.

use super::until;
use super::upstream::{Act, Request, Upstream};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

/// The running collector.
pub struct Collector(Upstream);

/// A span as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: SpanKind,
    pub began: u64,
    pub ended: u64,
    /// Traces and spans it links to.
    pub links: Vec<(String, String)>,
    pub error: String,
    attributes: Vec<KeyValue>,
}

impl Collector {
    /// Takes everything.
    pub fn start() -> Collector {
        Collector::acting(|_, _| Act::Answer(200, Vec::new(), Vec::new()))
    }

    /// Does what `act` says.
    pub fn acting(act: impl Fn(usize, &Request) -> Act + Send + Sync + 'static) -> Collector {
        Collector(Upstream::acting(act))
    }

    pub fn url(&self) -> String {
        self.0.url()
    }

    /// What was posted so far.
    pub fn requests(&self) -> Vec<Request> {
        self.0.requests()
    }

    /// How often somebody came.
    pub fn connections(&self) -> usize {
        self.0.connections()
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        self.requests().iter().flat_map(|request| spans(&request.body)).collect()
    }

    /// Waits until so many spans of that name arrived; all that did.
    pub fn hears(&self, name: &str, count: usize) -> Vec<Span> {
        let heard = || self.spans().into_iter().filter(|span| span.name == name);
        until(&format!("{count} spans {name} arrive"), || heard().count() >= count);
        heard().collect()
    }

    /// What is said of who exports.
    pub fn resource(&self, name: &str) -> String {
        let read = |request: &Request| decode(&request.body).resource_spans[0].resource.clone();
        let resource = self.requests().first().and_then(read).expect("a resource");
        attribute(&resource.attributes, name)
    }
}

impl Span {
    /// What it says of itself; empty where it says nothing.
    pub fn says(&self, name: &str) -> String {
        attribute(&self.attributes, name)
    }
}

/// The spans of one request's body.
pub fn spans(body: &[u8]) -> Vec<Span> {
    let of_resources = decode(body).resource_spans.into_iter();
    let spans = of_resources.flat_map(|of| of.scope_spans).flat_map(|of| of.spans);
    spans
        .map(|span| Span {
            kind: span.kind(),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            name: span.name,
            began: span.start_time_unix_nano,
            ended: span.end_time_unix_nano,
            links: span.links.iter().map(|to| (hex(&to.trace_id), hex(&to.span_id))).collect(),
            error: span.status.map(|status| status.message).unwrap_or_default(),
            attributes: span.attributes,
        })
        .collect()
}

fn decode(body: &[u8]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(body).expect("OTLP in Protocol Buffers")
}

fn attribute(all: &[KeyValue], name: &str) -> String {
    let values: Vec<_> = all.iter().filter(|attribute| attribute.key == name).collect();
    assert!(values.len() <= 1, "{name} stands there {} times", values.len());
    let value = values.first().and_then(|value| value.value.as_ref()?.value.clone());
    match value {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{name} is {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
