//! A route: which requests are orders, where their key stands, and how they are treated.
//!
//! Routes are made by `config`; this room matches requests to them and knows no variable's name.

mod callback;

pub use callback::{Ack, Callback, Tells};

use crate::model::order::State;
use crate::model::outcome::Rule;
use crate::model::path::{Params, Pattern};
use crate::model::source::Source;
use hyper::Method;
use hyper::header::HeaderName;
use std::sync::Arc;
use std::time::Duration;

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name: part of every order's identity, and a metric label.
    pub name: Arc<str>,
    /// The paths it is for.
    pub path: Pattern,
    /// How its orders are treated.
    pub tuning: Tuning,
    /// What an answer means, before the contract's table is asked.
    pub outcome: Vec<Rule>,
    /// How to ask upstream what became of an order.
    pub query: Option<Call>,
    /// How to cancel an order upstream.
    pub cancel: Option<Call>,
    /// For a route of kind `callback`: how notifications are treated. It has no orders then.
    pub callback: Option<Callback>,
}

/// What a route may set for itself, or leave to the process's variables of the same names.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are the variables of config::vars, described there")]
pub struct Tuning {
    pub upstream_timeout: Duration,
    pub redis_down: RedisDown,
    pub lock_ttl: Duration,
    pub record_ttl: Duration,
    pub unknown_ttl: Duration,
    pub cancel_ttl: Duration,
    pub callback_ttl: Duration,
    pub token_ttl: Duration,
    pub duplicate_wait: Duration,
    pub query_interval: Duration,
    pub resolve_deadline: Duration,
    pub settle_delay: Duration,
    pub cancel_interval: Duration,
    pub key: Vec<Source>,
    pub key_required: bool,
    pub methods: Vec<Method>,
    pub scope: Vec<HeaderName>,
    pub caller: Vec<HeaderName>,
    pub fingerprint: Fingerprint,
    pub fingerprint_ignore: Vec<String>,
    pub token: TokenUse,
    pub on_unknown: OnUnknown,
    pub max_request_body: usize,
    pub max_response_body: usize,
}

/// What to do with a protected request while Redis cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisDown {
    /// Refuse it: 503.
    Reject,
    /// Forward it unprotected, and count it.
    Bypass,
}

/// What a request's body adds to its fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// Its bytes.
    Body,
    /// Its canonical JSON.
    Json,
    /// Nothing, nor do method and path: only the caller counts.
    Off,
}

/// Whether a payment must bring a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUse {
    /// Tokens are not looked at.
    Off,
    /// One that is brought must be good.
    Optional,
    /// One must be brought.
    Required,
}

/// What a duplicate of an unknown order may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// Nothing: somebody has to find out first.
    Hold,
    /// Run as a new attempt under a higher fence.
    Retry,
}

/// A call on the payment service about an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Its path and query; `{key}` stands for the order number.
    pub path: String,
    /// Its JSON body, if any; `{key}` in any of its strings stands for the order number.
    pub json: Option<serde_json::Value>,
    /// What its answer means.
    pub outcome: Vec<Rule>,
}

impl Route {
    /// The states a claim may start from: the policy, as the store understands it.
    pub fn grant_from(&self) -> &'static [State] {
        match self.tuning.on_unknown {
            OnUnknown::Hold => &[State::None],
            OnUnknown::Retry => &[State::None, State::Unknown],
        }
    }

    /// Whether anybody but a person or a callback can find out what became of an order.
    pub fn can_ask(&self) -> bool {
        self.query.is_some()
    }

    /// Whether the body must be read to find the key.
    pub fn key_in_body(&self) -> bool {
        self.tuning.key.iter().any(Source::is_in_body)
    }
}

/// Routes, in the order they are tried.
#[derive(Clone, Debug, Default)]
pub struct Routes(pub Vec<Arc<Route>>);

impl Routes {
    /// The first route that protects this method on this path (in its normal spelling).
    pub fn find<'p>(
        &'p self,
        method: &Method,
        path: &'p str,
    ) -> Option<(&'p Arc<Route>, Params<'p>)> {
        self.0
            .iter()
            .filter(|route| route.tuning.methods.contains(method))
            .find_map(|route| Some((route, route.path.matches(path)?)))
    }

    /// The route of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<Route>> {
        self.0.iter().find(|route| &*route.name == name)
    }
}
