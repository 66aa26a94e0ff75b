//! A route: which requests are orders, where their key stands, and how they are treated.
//!
//! Routes are made by `config`; this room matches requests to them and knows no variable's name.

mod callback;
mod scope;

pub use callback::{Ack, Callback, Tells};

use crate::model::address::RESERVED;
use crate::model::identity::Order;
use crate::model::ignore::Ignore;
use crate::model::key::Key;
use crate::model::lifecycle::Move;
use crate::model::order::State;
use crate::model::outcome::Rule;
use crate::model::path::{Params, Pattern};
use crate::model::source::Source;
use hyper::Method;
use hyper::header::HeaderName;
use percent_encoding::utf8_percent_encode;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name: part of every order's identity, and a metric label.
    pub name: Arc<str>,
    /// The paths it is for.
    pub path: Pattern,
    /// Whether its orders go through the buffer.
    pub mode: Mode,
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
    /// The move its orders make in the lifecycle of their number.
    pub step: Option<Arc<Move>>,
    /// Whether the caller that made an order may cancel it; else only an operator may.
    pub client_cancel: bool,
    /// How queries and cancels follow each other.
    pub pace: Pace,
}

/// Where a channel's own rules for asking and cancelling differ from the usual.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    /// The first query comes so long after the order became unknown; `None`: the query interval.
    pub first_query: Option<Duration>,
    /// Queries follow each other at the query interval exactly, not later and later.
    pub steady: bool,
    /// No cancel call within so long of the payment.
    pub cancel_delay: Duration,
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
    pub fingerprint_ignore: Ignore,
    pub token: TokenUse,
    pub on_unknown: OnUnknown,
    pub max_request_body: usize,
    pub max_response_body: usize,
}

/// Whether orders are answered when they are paid, or accepted to be paid by a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Answered when they are paid.
    #[default]
    Sync,
    /// Accepted, and paid by a worker.
    Async,
    /// As the caller prefers.
    Either,
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
    pub json: Option<Value>,
    /// What its answer means.
    pub outcome: Vec<Rule>,
}

impl Route {
    /// Its order of that scope and key.
    pub fn order(&self, scope: &str, key: Key) -> Order {
        let order = Order::new(self.name.clone(), scope, key);
        match &self.step {
            Some(step) => order.moving(step),
            None => order,
        }
    }

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

    /// How long after its outcome became unknown an order is first asked about, where it can be.
    pub fn ask_after(&self) -> Option<Duration> {
        let first = self.pace.first_query.unwrap_or(self.tuning.query_interval);
        self.can_ask().then_some(first)
    }

    /// Whether the body of an answer must be read to tell what it means.
    pub fn reads_answers(&self) -> bool {
        self.callback.is_some() || self.outcome.iter().any(Rule::reads_body)
    }

    /// Whether the body must be read to find the key.
    pub fn key_in_body(&self) -> bool {
        self.tuning.key.iter().any(Source::is_in_body)
    }
}

/// What stands for the order number in a call.
const KEY: &str = "{key}";

impl Call {
    /// Its path and query for this order number; `None` where somebody may read another path in it,
    /// and answer about another order.
    pub fn target(&self, key: &Key) -> Option<String> {
        if self.strays(key.as_str()) {
            return None;
        }
        let key = utf8_percent_encode(key.as_str(), RESERVED).to_string();
        Some(self.path.replace(KEY, &key))
    }

    /// Whether a segment becomes one that a path loses when it is resolved (`..`, or nothing), to
    /// those as well who read an encoded slash as a slash, or cut off parameters.
    fn strays(&self, key: &str) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        let filled = path.split('/').filter(|segment| segment.contains(KEY));
        let vanishes = |part: &str| matches!(part.split(';').next(), Some("" | "." | ".."));
        let mut segments = filled.map(|segment| segment.replace(KEY, key));
        segments.any(|segment| segment.split(['/', '\\']).any(vanishes))
    }

    /// Its JSON body for this order number.
    pub fn body(&self, key: &Key) -> Option<Value> {
        self.json.as_ref().map(|json| filled(json, key.as_str()))
    }
}

fn filled(json: &Value, key: &str) -> Value {
    match json {
        Value::String(text) => Value::String(text.replace(KEY, key)),
        Value::Array(list) => list.iter().map(|value| filled(value, key)).collect(),
        Value::Object(map) => {
            map.iter().map(|(name, value)| (name.clone(), filled(value, key))).collect()
        }
        other => other.clone(),
    }
}

/// Routes, in the order they are tried.
#[derive(Clone, Debug, Default)]
pub struct Routes(pub Vec<Arc<Route>>);

impl Routes {
    /// The first route that protects this method on this path (in its normal spelling).
    pub fn find(&self, method: &Method, path: &str) -> Option<(&Arc<Route>, Params)> {
        self.0
            .iter()
            .filter(|route| route.tuning.methods.contains(method))
            .find_map(|route| Some((route, route.path.matches(path)?)))
    }

    /// The route of that name, if it has orders: one of kind `callback` has none.
    pub fn of_orders(&self, name: &str) -> Option<&Arc<Route>> {
        self.named(name).filter(|route| route.callback.is_none())
    }

    /// The order of that route, scope and key; of a route that is no longer configured as well.
    pub fn order(&self, route: &str, scope: &str, key: Key) -> Order {
        match self.named(route) {
            Some(route) => route.order(scope, key),
            None => Order::new(route.into(), scope, key),
        }
    }

    /// Whether upstream can be asked about the orders of any of them.
    pub fn can_ask(&self) -> bool {
        self.0.iter().any(|route| route.can_ask())
    }

    /// The longest that any of them keeps an order nobody could resolve.
    pub fn unknown_ttl(&self) -> Duration {
        self.0.iter().map(|route| route.tuning.unknown_ttl).max().unwrap_or_default()
    }

    /// The route of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<Route>> {
        self.0.iter().find(|route| &*route.name == name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_order_number_cannot_leave_its_place_in_a_call() {
        let call = Call {
            method: Method::POST,
            path: "/orders/{key}?id={key}".into(),
            json: Some(json!({"id": "{key}", "deep": [{"no": "no. {key}"}, 7], "{key}": null})),
            outcome: Vec::new(),
        };
        let key = Key::from_text(r#"a/..b?c&d%e"f{key}"#).unwrap();
        let encoded = "a%2F..b%3Fc%26d%25e%22f%7Bkey%7D";
        assert_eq!(call.target(&key), Some(format!("/orders/{encoded}?id={encoded}")));
        let expected = json!({
            "id": key.as_str(), "deep": [{"no": format!("no. {key}")}, 7], "{key}": null,
        });
        assert_eq!(call.body(&key), Some(expected));
        assert_eq!(Call { json: None, ..call }.body(&key), None);
    }

    #[test]
    fn an_order_number_that_would_lead_elsewhere_stands_in_no_path() {
        let check = |path: &str, key: &str, strays: bool| {
            let call =
                Call { method: Method::GET, path: path.into(), json: None, outcome: Vec::new() };
            let target = call.target(&Key::from_text(key).unwrap());
            assert_eq!(target.is_none(), strays, "{path} {key}");
        };
        for key in
            [".", "..", "a/../b", "a/..", "../a", "./a", "a\\..\\b", "/a", "a/", "a//b", "..;x"]
        {
            for path in ["/orders/{key}", "/orders/{key}/status?a=1", "/{key}?id={key}"] {
                check(path, key, true);
            }
            for path in ["/result?id={key}", "/a/../result?a=/{key}/b"] {
                check(path, key, false);
            }
        }
        for key in ["a", "...", "a/b", "a..b", "a.", ".a", "%2e%2e", "a;b"] {
            check("/orders/{key}", key, false);
        }
        check("/orders/.{key}", ".", true);
        check("/orders/{key}.json", "..", false);
    }
}
