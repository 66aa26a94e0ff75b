//! What Onceward itself says: problems and order documents, on both planes.

pub mod document;
pub mod problem;

use crate::payload::Payload;
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Payload> {
    typed(status, "application/json", value)
}

/// A text answer.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Payload> {
    let mut response = Response::new(Payload::Full(text.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

fn typed(
    status: StatusCode,
    content_type: &'static str,
    value: &impl Serialize,
) -> Response<Payload> {
    // Our own documents are maps of texts and numbers: they always serialize.
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Payload::Full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
