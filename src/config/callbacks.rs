//! The fields of a route of kind `callback`.

use super::fields::{Bad, Fields};
use super::read::{Problem, Values};
use super::routes::place;
use super::rules::{RuleShape, one_of, texts};
use crate::model::order::State;
use crate::model::source::Source;
use crate::route::{Ack, Callback, Fingerprint, Routes, Tells, TokenUse, Tuning};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What only a callback route has.
pub(super) const OWN: [&str; 4] = ["event", "unchanged", "ack", "settles"];

/// Fields that say how an order is attempted, paid for or asked about: a callback is none.
pub(super) const OF_ORDERS: [&str; 24] = [
    "lifecycle",
    "mode",
    "query",
    "cancel",
    "token",
    "token_ttl",
    "key_required",
    "fingerprint",
    "fingerprint_ignore",
    "caller",
    "on_unknown",
    "redis_down",
    "duplicate_wait",
    "lock_ttl",
    "record_ttl",
    "unknown_ttl",
    "cancel_ttl",
    "query_interval",
    "resolve_deadline",
    "settle_delay",
    "cancel_interval",
    "first_query",
    "query_backoff",
    "cancel_delay",
];

/// Takes what only a callback route has off a route's fields, and says which fields do not belong
/// to its kind. `None` for a route of another kind.
pub(super) fn take(route: &mut Map<String, Value>, bad: Bad<'_>) -> Option<Fields> {
    let is_callback = route.get("kind").and_then(Value::as_str) == Some("callback");
    let mut own = Map::new();
    for field in OWN {
        if let Some(value) = route.remove(field) {
            if !is_callback {
                bad(field, "only a route of kind \"callback\" has it".into());
            }
            own.insert(field.into(), value);
        }
    }
    if !is_callback {
        return None;
    }
    for field in OF_ORDERS {
        if route.remove(field).is_some() {
            bad(field, "a route of kind \"callback\" has no such field".into());
        }
    }
    Some(Fields::of(own))
}

/// Reads them.
pub(super) fn read(mut own: Fields, outcome: Vec<Value>, bad: Bad<'_>) -> Callback {
    let event = sources("event", &mut own, bad);
    let unchanged = sources("unchanged", &mut own, bad);
    let ack = own.take::<Value>("ack", bad).and_then(|value| ack(value, bad)).unwrap_or_default();
    let settles = own.take::<String>("settles", bad).map(Into::into);
    let outcome = outcome
        .into_iter()
        .enumerate()
        .filter_map(|(index, rule)| tells(&format!("outcome[{index}]"), rule, bad))
        .collect();
    Callback { event, unchanged, ack, settles, outcome }
}

fn sources(field: &str, own: &mut Fields, bad: Bad<'_>) -> Vec<Source> {
    let texts = own.take::<Vec<String>>(field, bad).unwrap_or_default();
    let mut read =
        |text: String| Source::parse(&text).map_err(|error| bad(field, error.to_string())).ok();
    texts.into_iter().filter_map(&mut read).collect()
}

fn ack(value: Value, bad: Bad<'_>) -> Option<Ack> {
    let mut fields = Fields::read(value, "ack", bad)?;
    let mut inner = |field: &str, what: String| bad(&format!("ack.{field}"), what);
    let status = fields.take::<Vec<u16>>("status", &mut inner).unwrap_or_default();
    let body = fields.take::<String>("body", &mut inner);
    let at = fields.take::<String>("at", &mut inner);
    let texts = fields.take::<Vec<Value>>("in", &mut inner);
    fields.end([], &mut inner);
    if let Some(status) = status.iter().find(|status| !(200..=299).contains(*status)) {
        bad("ack", format!("status: {status} acknowledges nothing, expected 2xx"));
    }
    let at = one_of("ack", at, texts, bad);
    let body = body.map(|body| body.trim_ascii().to_owned());
    Some(Ack { status, body, at })
}

fn tells(here: &str, rule: Value, bad: Bad<'_>) -> Option<Tells> {
    let rule = RuleShape::read(rule, here, bad)?;
    if !rule.status.is_empty() {
        bad(here, "a callback is a request, it has no \"status\"".into());
    }
    let means = match rule.means.as_deref() {
        Some("succeeded") => Some(Some(State::Succeeded)),
        Some("failed") => Some(Some(State::Failed)),
        Some("unknown") => Some(None),
        None => None,
        Some(_) => {
            let what = "means: a callback tells succeeded, failed, or unknown (settles nothing)";
            bad(here, what.into());
            None
        }
    };
    if rule.at.is_none() {
        bad(here, "needs \"at\", a place in the callback".into());
    }
    let texts = rule.values.map(|values| texts(here, &values, bad));
    let at = Source::parse(&rule.at?).map_err(|error| bad(here, error.to_string())).ok()?;
    Some(Tells { at, texts, means: means? })
}

/// A callback without a key is nobody's; what belongs to payments alone is off, whatever the
/// process's variables say.
pub(super) fn settle_tuning(tuning: &mut Tuning) {
    tuning.key_required = true;
    tuning.token = TokenUse::Off;
    tuning.fingerprint = Fingerprint::Off;
}

/// What is to be said of one that settles orders by a field which makes no other event of a
/// notification: what differs in that alone is taken for a repeat, and settles nothing.
pub(super) fn remark(own: &Callback, key: &[Source], values: &Values<'_>) -> Option<Problem> {
    own.settles.as_ref()?;
    let tells_apart =
        |at: &Source| [&*own.event, &own.unchanged, key].iter().any(|sources| sources.contains(at));
    let settling = own.outcome.iter().filter(|rule| rule.means.is_some()).map(|rule| &rule.at);
    let mut missing: Vec<String> =
        settling.filter(|at| !tells_apart(at)).map(ToString::to_string).collect();
    missing.dedup();
    (!missing.is_empty()).then(|| Problem {
        at: values.field("event"),
        what: format!(
            "lacks {}, by which outcome settles orders: of notifications that differ in nothing \
             else one is acknowledged and the others are taken for its repeats, so that a payment \
             told of later settles nothing; put it here, or into unchanged",
            missing.join(", "),
        ),
    })
}

/// Every `settles` names an order route, whose orders are told apart as the callbacks are.
pub(super) fn check_targets(
    routes: &Routes,
    places: &BTreeMap<String, usize>,
    problems: &mut Vec<Problem>,
) {
    for route in &routes.0 {
        let Some(target) = route.callback.as_ref().and_then(|own| own.settles.as_deref()) else {
            continue;
        };
        let what = match routes.named(target) {
            None if places.contains_key(target) => continue,
            None => format!("no route is called {target:?}"),
            Some(other) if other.callback.is_some() => {
                format!("{target:?} is a callback route, expected one of orders")
            }
            Some(other) if other.tuning.scope != route.tuning.scope => {
                format!("{target:?} has another scope: its orders would not be found")
            }
            Some(_) => continue,
        };
        let index = places.get(&*route.name).copied().unwrap_or_default();
        problems.push(Problem { at: format!("{}.settles", place(index, &route.name)), what });
    }
}
