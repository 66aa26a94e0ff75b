//! Problems (RFC 9457): the one mapping from what went wrong to a status and a document.

use super::typed;
use crate::guard::{Again, Refusal};
use crate::model::key::Key;
use crate::model::order::State;
use crate::payload::Payload;
use crate::route::Route;
use hyper::header::{ALLOW, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::json;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The header that tells where an order stands.
pub const STATE: HeaderName = HeaderName::from_static("onceward-state");

/// What went wrong, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the contract's; the table below tells the rest")]
pub enum Name {
    KeyMissing,
    KeyInvalid,
    BadRequest,
    TokenMissing,
    TokenInvalid,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    InProgress,
    OutcomeUnknown,
    OrderCancelled,
    AlreadyFinal,
    IllegalTransition,
    ResponseNotStored,
    FaultsOff,
    BodyTooLarge,
    PayloadMismatch,
    CallbackContradiction,
    Overloaded,
    StoreUnavailable,
    UpstreamUnreachable,
    UpstreamBroken,
    UpstreamTimeout,
}

impl Name {
    /// The name in the document's `type`, its status and its title.
    fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Name::KeyMissing => ("key-missing", 400, "The request carries no order key"),
            Name::KeyInvalid => ("key-invalid", 400, "The order key cannot be used"),
            Name::BadRequest => ("bad-request", 400, "The request cannot be handled"),
            Name::TokenMissing => ("token-missing", 400, "The payment needs a token"),
            Name::TokenInvalid => ("token-invalid", 403, "The token is not good for this payment"),
            Name::Unauthorized => ("unauthorized", 401, "The admin token is missing or wrong"),
            Name::Forbidden => ("forbidden", 403, "This may not be asked from here"),
            Name::NotFound => ("not-found", 404, "There is nothing here"),
            Name::MethodNotAllowed => ("method-not-allowed", 405, "Not by this method"),
            Name::RequestTimeout => ("request-timeout", 408, "The request took too long to arrive"),
            Name::InProgress => ("in-progress", 409, "The order is being processed"),
            Name::OutcomeUnknown => ("outcome-unknown", 409, "The order's outcome is not known"),
            Name::OrderCancelled => ("order-cancelled", 409, "The order was cancelled"),
            Name::AlreadyFinal => ("already-final", 409, "The order is final"),
            Name::IllegalTransition => {
                ("illegal-transition", 409, "The order's state does not allow it")
            }
            Name::ResponseNotStored => {
                ("response-not-stored", 409, "The order is final, its response was not stored")
            }
            Name::FaultsOff => ("faults-off", 409, "Fault simulation is off"),
            Name::BodyTooLarge => ("body-too-large", 413, "The request's body is too large"),
            Name::PayloadMismatch => {
                ("payload-mismatch", 422, "The key was used with another request")
            }
            Name::CallbackContradiction => {
                ("callback-contradiction", 409, "The callback differs from the acknowledged one")
            }
            Name::Overloaded => ("overloaded", 503, "Too many payments in hand"),
            Name::StoreUnavailable => ("store-unavailable", 503, "The order store cannot decide"),
            Name::UpstreamUnreachable => {
                ("upstream-unreachable", 502, "The payment service cannot be reached")
            }
            Name::UpstreamBroken => ("upstream-broken", 502, "The payment service broke off"),
            Name::UpstreamTimeout => {
                ("upstream-timeout", 504, "The payment service did not answer")
            }
        }
    }

    /// The word in `type`, and the metric label.
    pub fn word(self) -> &'static str {
        self.row().0
    }

    /// The status.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Seconds after which asking again makes sense, where it does; `interval` is the route's own
    /// measure for unknown outcomes.
    fn retry_after(self, interval: Duration) -> Option<u64> {
        match self {
            Name::InProgress | Name::Overloaded | Name::StoreUnavailable => Some(1),
            Name::OutcomeUnknown => Some(interval.as_secs().max(1)),
            _ => None,
        }
    }
}

/// A refusal, ready to be told.
#[derive(Debug)]
pub struct Problem {
    /// What went wrong.
    pub name: Name,
    detail: Cow<'static, str>,
    order: Option<Key>,
    state: Option<State>,
    interval: Duration,
    close: bool,
    allow: Option<&'static str>,
    route: Option<Arc<str>>,
}

impl Problem {
    /// A problem; `detail` helps its reader and repeats nothing the request carried.
    pub fn new(name: Name, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            name,
            detail: detail.into(),
            order: None,
            state: None,
            interval: Duration::ZERO,
            close: false,
            allow: None,
            route: None,
        }
    }

    /// A refusal of the guard's.
    pub fn of(refusal: Refusal, state: State) -> Problem {
        let (name, detail) = match refusal {
            Refusal::InProgress => (
                Name::InProgress,
                "Another attempt is under way. Ask again: you will get its answer.",
            ),
            Refusal::Moving => (
                Name::InProgress,
                "Something else is being done with this order, or its outcome is not known yet. \
                 Nothing was sent. Ask again later.",
            ),
            Refusal::OutcomeUnknown(Again::Told) => (
                Name::OutcomeUnknown,
                "An attempt may have reached the payment service and its outcome is not known. \
                 It is not run again; ask again later.",
            ),
            Refusal::OutcomeUnknown(Again::Runs) => (
                Name::OutcomeUnknown,
                "An attempt may have reached the payment service and its outcome is not known. Find \
                 out before you send it again: that may act once more.",
            ),
            Refusal::OrderCancelled => {
                (Name::OrderCancelled, "The order was cancelled. Nothing was sent.")
            }
            Refusal::CancelledMeanwhile => (
                Name::OrderCancelled,
                "The order was cancelled while this attempt was under way, which brought no answer. \
                 It is not run again.",
            ),
            Refusal::AlreadyFinal => (Name::AlreadyFinal, "The order failed. Nothing was sent."),
            Refusal::FailedMeanwhile => (
                Name::AlreadyFinal,
                "The order failed by what was told of it while this attempt was under way, which \
                 brought no answer. It is not run again.",
            ),
            Refusal::ResponseNotStored => (
                Name::ResponseNotStored,
                "The first response was too large to store. The order is not run again.",
            ),
            Refusal::PayloadMismatch => (
                Name::PayloadMismatch,
                "This key belongs to a request with another body, path or caller. Nothing was sent.",
            ),
            Refusal::TokenInvalid => (
                Name::TokenInvalid,
                "Unknown, expired, used for another order, or another caller's. Fetch a new one.",
            ),
            Refusal::Overloaded => (
                Name::Overloaded,
                "As many orders are queued as may be. Nothing was accepted. Send the same request \
                 again.",
            ),
            Refusal::StoreUnavailable => {
                (Name::StoreUnavailable, "Nothing was sent. Send the same request again.")
            }
            Refusal::UpstreamUnreachable if matches!(state, State::None | State::Queued) => {
                (Name::UpstreamUnreachable, "Nothing was sent. Send the same request again.")
            }
            // Another attempt's order by now, or nobody could be asked whether it is.
            Refusal::UpstreamUnreachable => (
                Name::UpstreamUnreachable,
                "This attempt sent nothing; another may have. Send the same request again.",
            ),
            Refusal::UpstreamBroken(again) => (Name::UpstreamBroken, may_have_happened(again)),
            Refusal::UpstreamTimeout(again) => (Name::UpstreamTimeout, may_have_happened(again)),
            Refusal::CallbackBusy => (
                Name::InProgress,
                "This callback is being forwarded and not acknowledged yet. Send it again.",
            ),
            Refusal::CallbackContradiction => (
                Name::CallbackContradiction,
                "A field that may not change has changed. Nothing was sent or acknowledged.",
            ),
        };
        Problem { state: Some(state), ..Problem::new(name, detail) }
    }

    /// The same about an order of this route.
    pub fn about(mut self, route: &Route, key: Option<&Key>) -> Problem {
        self.route = Some(route.name.clone());
        self.order = key.cloned();
        self.interval = route.tuning.query_interval;
        self
    }

    /// The same in other words.
    pub fn saying(mut self, detail: impl Into<Cow<'static, str>>) -> Problem {
        self.detail = detail.into();
        self
    }

    /// The same, telling where the order stands.
    pub fn in_state(mut self, state: State) -> Problem {
        self.state.get_or_insert(state);
        self
    }

    /// The same about a request that belongs to no order.
    pub fn stateless(mut self) -> Problem {
        self.state = None;
        self
    }

    /// The same, and the connection ends with it: its next bytes could be anything.
    pub fn closing(mut self) -> Problem {
        self.close = true;
        self
    }

    /// A request by a method that its target does not take; `allow` lists those it does (RFC 9110,
    /// 15.5.6).
    pub fn not_by_this_method(allow: &'static str, detail: &'static str) -> Problem {
        Problem { allow: Some(allow), ..Problem::new(Name::MethodNotAllowed, detail) }
    }

    /// The answer.
    pub fn into_response(self) -> Response<Payload> {
        let (word, status, title) = self.name.row();
        let mut document = json!({
            "type": format!("urn:onceward:problem:{word}"),
            "title": title,
            "status": status,
            "detail": self.detail,
        });
        if let Some(order) = &self.order {
            document["order"] = order.as_str().into();
        }
        let mut response = typed(self.name.status(), "application/problem+json", &document);
        let headers = response.headers_mut();
        if let Some(seconds) = self.name.retry_after(self.interval) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(state) = self.state {
            headers.insert(STATE, HeaderValue::from_static(state.word()));
        }
        // RFC 9110, 11.6.1: a 401 says how to authenticate.
        if self.name == Name::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// What it counts as.
    pub fn told(&self) -> Told {
        Told { route: self.route.clone(), outcome: self.name.row().0 }
    }
}

/// What to do about a request that may have been acted upon.
const fn may_have_happened(again: Again) -> &'static str {
    match again {
        Again::Told => {
            "The request may have been acted upon. Send it again to learn the outcome: it is not \
             run again."
        }
        Again::Runs => {
            "The request may have been acted upon. Find out before you send it again: that may act \
             once more."
        }
    }
}

/// What an answer counts as.
#[derive(Clone, Debug)]
pub struct Told {
    /// The route it was given on, if any.
    pub route: Option<Arc<str>>,
    /// The outcome label.
    pub outcome: &'static str,
}
