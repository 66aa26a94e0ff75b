//! What the sandbox says: every JSON answer, and the ways of not giving one.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};

/// A response ready to be sent.
pub(super) type Answer = Response<Full<Bytes>>;

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Reply {
    Now(Answer),
    After(Duration, Answer),
    /// The connection is reset; there is no answer.
    Reset,
    /// The connection stays open; there is no answer.
    Silence,
}

/// 200 with code `0000`.
pub(super) fn success(data: &Value) -> Reply {
    Reply::Now(done(data))
}

/// The response behind [`success`].
pub(super) fn done(data: &Value) -> Answer {
    json_answer(StatusCode::OK, &json!({"code": "0000", "msg": "success", "data": data}))
}

/// A response with a JSON body.
pub(super) fn json_answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A request that was not carried out, and why.
#[derive(Debug, thiserror::Error)]
#[error("{status} {msg}")]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    msg: String,
    header: Option<(&'static str, &'static str)>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, msg: impl Into<String>) -> Self {
        Self { status, code, msg: msg.into(), header: None }
    }

    fn with(self, name: &'static str, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    pub(super) fn bad_input(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "0400", msg)
    }

    /// Its code is not that of an unknown order: a mistyped path must not read as "never paid".
    pub(super) fn no_such_path(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "0400", format!("no such path: {path}"))
    }

    pub(super) fn wrong_method(allowed: &'static str) -> Self {
        let msg = format!("this path takes {allowed} only");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "0405", msg).with("allow", allowed)
    }

    pub(super) fn body_too_large(cap: usize) -> Self {
        let msg = format!("the body may have {cap} bytes at most");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "0413", msg)
    }

    pub(super) fn body_too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "0408", "the body did not arrive in time")
    }

    pub(super) fn unknown_order(order: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "0404", format!("no such order: {order}"))
    }

    pub(super) fn cancelled(order: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "0409", format!("order {order} is cancelled"))
    }

    pub(super) fn unpaid(order: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "0409", format!("order {order} is not paid"))
    }

    pub(super) fn full() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "0503", "the sandbox cannot hold more orders")
    }

    pub(super) fn too_many() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "0429", "too many payments, nothing was started")
    }

    pub(super) fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "0503", "unavailable, nothing was started")
            .with("retry-after", "1")
    }

    /// Says nothing about whether money moved: that is the point of it.
    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "0500", "internal error")
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        tracing::error!(%error, "the sandbox cannot write its ledger");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "0500", format!("ledger: {error}"))
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let body = json!({"code": refusal.code, "msg": refusal.msg});
        let mut answer = json_answer(refusal.status, &body);
        if let Some((name, value)) = refusal.header {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}
