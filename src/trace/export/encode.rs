//! Spans as OTLP writes them (opentelemetry-proto 1.x, `trace/v1/trace.proto`; the field numbers
//! below are its). A test has them read by OpenTelemetry's own code.

use super::protobuf::Message;
use crate::model::trace::TraceContext;
use crate::trace::span::{Ended, Kind, Value};
use std::time::{SystemTime, UNIX_EPOCH};

/// The flag of a span or link that is recorded.
const SAMPLED: u32 = 1;

/// STATUS_CODE_ERROR.
const ERROR: u64 = 2;

/// An ExportTraceServiceRequest.
pub(super) fn request(resource: &[(String, String)], spans: &[Ended]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |of_resource| {
        of_resource.message(1, |message| {
            for (name, text) in resource {
                attribute(message, 1, name, |value| value.bytes(1, text.as_bytes()));
            }
        });
        of_resource.message(2, |of_scope| {
            of_scope.message(1, |scope| {
                scope.bytes(1, env!("CARGO_PKG_NAME").as_bytes());
                scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for ended in spans {
                of_scope.message(2, |message| span(message, ended));
            }
        });
    });
    request.written()
}

fn span(message: &mut Message, ended: &Ended) {
    let began = nanos(ended.began);
    let took = u64::try_from(ended.took.as_nanos()).unwrap_or(u64::MAX);
    place(message, &ended.context);
    message.bytes(4, ended.parent.as_ref().map_or(&[], |parent| parent));
    message.bytes(5, ended.name.as_bytes());
    message.number(6, kind(ended.kind));
    message.fixed_64(7, began);
    message.fixed_64(8, began.saturating_add(took));
    for (name, value) in &ended.attributes {
        attribute(message, 9, name, |message| any(message, value));
    }
    for other in &ended.links {
        message.message(13, |link| {
            place(link, other);
            link.fixed_32(6, flags(other));
        });
    }
    if let Some(error) = ended.error {
        message.message(15, |status| {
            status.bytes(2, error.as_bytes());
            status.number(3, ERROR);
        });
    }
    message.fixed_32(16, flags(&ended.context));
}

fn place(message: &mut Message, context: &TraceContext) {
    message.bytes(1, &context.trace);
    message.bytes(2, &context.span);
}

fn flags(context: &TraceContext) -> u32 {
    if context.sampled { SAMPLED } else { 0 }
}

fn kind(kind: Kind) -> u64 {
    match kind {
        Kind::Server => 2,
        Kind::Client => 3,
        Kind::Consumer => 5,
    }
}

fn attribute(message: &mut Message, field: u32, name: &str, value: impl FnOnce(&mut Message)) {
    message.message(field, |message| {
        message.bytes(1, name.as_bytes());
        message.message(2, value);
    });
}

/// A member of a oneof is written whatever its value.
fn any(message: &mut Message, value: &Value) {
    match value {
        Value::Word(word) => message.bytes(1, word.as_bytes()),
        Value::Name(name) => message.bytes(1, name.as_bytes()),
        Value::Flag(flag) => message.member(2, u64::from(*flag)),
        // As the format wants negative ones: 64 bits of two's complement.
        Value::Number(number) => message.member(3, *number as u64),
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
