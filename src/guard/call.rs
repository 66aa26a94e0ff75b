//! One call on the payment service about an order: a query, or a cancel.
//!
//! These are our own requests, not a caller's: they start no payment, may be sent any
//! number of times, and carry no fence, and of the caller's headers those alone that say whose order
//! it is: the scope. Protected requests go through the guard alone.

use super::exchange::end_to_end;
use crate::model::identity::Order;
use crate::model::key::Key;
use crate::model::outcome::{Meaning, of_call};
use crate::model::response::{Kept, StoredResponse, keepable};
use crate::payload::Payload;
use crate::route::{Call, Route};
use crate::trace::{Span, pass_on};
use crate::upstream::{Departure, Leg, Upstream};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// What a call brought.
pub(crate) enum Said {
    /// An answer that means something, and what may be stored of it.
    Meaning(Meaning, Kept),
    /// An answer that none of the call's rules speaks of.
    Unclear,
    /// No whole answer in time, or none at all.
    Nothing,
}

/// Makes the call about an order of that route. An order whose scope cannot be told upstream is not
/// spoken of at all: what it said could be about somebody else's order of the same key.
pub(crate) async fn call(
    (upstream, leg, span): (&Upstream, Leg, &Span),
    authority: &str,
    call: &Call,
    (route, order): (&Route, &Order),
    allowed: Duration,
) -> Said {
    let until = Instant::now() + allowed;
    let Some(scope) = route.scope_headers(&order.scope) else {
        tracing::warn!(
            order = %order.id, route = %route.name,
            "upstream cannot be told of an order of another scope than its route's now: it is not \
             asked; give the route its headers of then back, or resolve the order"
        );
        return Said::Nothing;
    };
    let Some(target) = call.target(&order.key) else {
        tracing::warn!(
            order = %order.id, route = %route.name,
            "a call's path with this order's key in it could be read as another path: upstream is \
             not asked; resolve the order, and put {{key}} into the call's query or json"
        );
        return Said::Nothing;
    };
    let Some(mut request) = request(authority, call, (&order.key, &target), scope) else {
        return Said::Nothing;
    };
    pass_on(span, request.headers_mut());
    let request = Box::new(request);
    let departure = Departure { leg, request, late: sleep_until(until), may_send: || true };
    let Ok(sent) = timeout_at(until, upstream.send_on(departure)).await else {
        return Said::Nothing;
    };
    let (response, connection) = match sent {
        Ok(answered) => answered,
        Err(error) => {
            tracing::debug!(%error, "no answer about an order");
            return Said::Nothing;
        }
    };
    let (mut head, body) = response.into_parts();
    span.set("http.response.status_code", u64::from(head.status.as_u16()));
    let cap = route.tuning.max_response_body;
    let body = match timeout_at(until, Limited::new(body, cap).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        // Cut, late, or larger than any answer to such a question.
        _ => return Said::Nothing,
    };
    connection.put_back(Instant::now());
    end_to_end(&mut head.headers);
    match of_call(&call.outcome, head.status, &head.headers, &body) {
        None => Said::Unclear,
        Some(meaning) => {
            let headers = keepable(&head.headers);
            // Memory of its own: what hyper hands out are slices of its read buffers.
            let body = Bytes::copy_from_slice(&body);
            let response = StoredResponse { status: head.status, headers, body };
            Said::Meaning(meaning, Kept::Response(response))
        }
    }
}

fn request(
    authority: &str,
    call: &Call,
    (key, target): (&Key, &str),
    scope: HeaderMap,
) -> Option<Request<Payload>> {
    let json = call.body(key);
    let body = match &json {
        Some(json) => Payload::Full(serde_json::to_vec(json).ok()?.into()),
        None => Payload::empty(),
    };
    let mut request = Request::new(body);
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = target.parse().ok()?;
    let headers = request.headers_mut();
    *headers = scope;
    // The host may be what tells tenants apart.
    if !headers.contains_key(HOST) {
        headers.insert(HOST, HeaderValue::from_str(authority).ok()?);
    }
    if json.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Some(request)
}
