//! `ONCEWARD_ROUTES`: routes as JSON, each over the process's variables.

use super::lifecycles::{Lifecycles, PartShape};
use super::read::{Problem, Values};
use super::rules::{RuleShape, rules};
use super::units::{duration, positive};
use super::{callbacks, presets, tuning, vars};
use crate::model::path::Pattern;
use crate::route::{Call, Mode, OnUnknown, Pace, Route, Routes};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The fields of a route that are not variables.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    name: String,
    path: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    outcome: Vec<RuleShape>,
    #[serde(default)]
    query: Option<CallShape>,
    #[serde(default)]
    cancel: Option<CallShape>,
    #[serde(default)]
    client_cancel: Option<bool>,
    #[serde(default)]
    first_query: Option<String>,
    #[serde(default)]
    query_backoff: Option<bool>,
    #[serde(default)]
    cancel_delay: Option<String>,
    #[serde(default)]
    lifecycle: Option<PartShape>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallShape {
    method: String,
    path: String,
    #[serde(default)]
    json: Option<Value>,
    #[serde(default)]
    outcome: Vec<RuleShape>,
}

/// Reads routes; every problem names its route and field.
pub fn read(text: &str, values: &Values<'_>, problems: &mut Vec<Problem>) -> Routes {
    let at = |what: String| Problem { at: "ONCEWARD_ROUTES".into(), what };
    let mut lifecycles = Lifecycles::default();
    let list = match serde_json::from_str(text) {
        Ok(Value::Array(list)) => list,
        Ok(Value::Object(mut object)) => {
            let list = object.remove("routes");
            lifecycles = Lifecycles::read(object.remove("lifecycles"), problems);
            problems.extend(object.keys().map(|field| at(format!("no such field: {field}"))));
            match list {
                Some(Value::Array(list)) => list,
                _ => {
                    problems.push(at("an object needs \"routes\", an array".into()));
                    return Routes::default();
                }
            }
        }
        Ok(_) => {
            problems.push(at("expected an array of routes, or an object with \"routes\"".into()));
            return Routes::default();
        }
        Err(error) => {
            problems.push(at(format!("not JSON: {error}")));
            return Routes::default();
        }
    };
    if list.is_empty() {
        problems.push(at("no route: nothing would be protected".into()));
    }
    let mut routes: Vec<Route> = Vec::with_capacity(list.len());
    let mut places = BTreeMap::new();
    for (index, value) in list.into_iter().enumerate() {
        if let Some(name) = value.get("name").and_then(Value::as_str) {
            places.entry(name.to_owned()).or_insert(index);
        }
        let Some(route) = read_one(index, value, &lifecycles, values, problems) else {
            continue;
        };
        if routes.iter().any(|other| other.name == route.name) {
            problems.push(Problem {
                at: place(index, &route.name),
                what: "another route has this name; orders are told apart by it".into(),
            });
        }
        routes.push(route);
    }
    lifecycles.settle(&mut routes, &places, problems);
    let routes = Routes(routes.into_iter().map(Arc::new).collect());
    callbacks::check_targets(&routes, &places, problems);
    routes
}

/// The one route there is without ROUTES: every path.
pub fn default(values: &Values<'_>, problems: &mut Vec<Problem>) -> Routes {
    let path = Pattern::parse("/*").ok();
    let (Some(tuning), Some(path)) = (tuning::read(values, problems), path) else {
        return Routes::default();
    };
    let name = Arc::from("default");
    Routes(vec![Arc::new(Route {
        name,
        path,
        mode: Mode::Sync,
        tuning,
        outcome: Vec::new(),
        query: None,
        cancel: None,
        callback: None,
        step: None,
        client_cancel: true,
        pace: Pace::default(),
    })])
}

pub(super) fn place(index: usize, name: &str) -> String {
    format!("ONCEWARD_ROUTES[{index}] ({name})")
}

fn read_one(
    index: usize,
    value: Value,
    lifecycles: &Lifecycles,
    values: &Values<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Route> {
    let before = problems.len();
    let Value::Object(mut object) = value else {
        let at = format!("ONCEWARD_ROUTES[{index}]");
        problems.push(Problem { at, what: "expected an object".into() });
        return None;
    };
    let name = object.get("name").and_then(Value::as_str).unwrap_or("no name").to_owned();
    let place = place(index, &name);
    let mut bad = |field: &str, what: String| {
        problems.push(Problem { at: format!("{place}.{field}"), what });
    };
    if let Err(what) = presets::spread(&mut object) {
        bad("preset", what);
    }
    let callback = callbacks::take(&mut object, &mut bad);
    let mut own = BTreeMap::new();
    let mut shape = Map::new();
    for (field, value) in object {
        if let Some(var) = vars::of_field(&field).filter(|_| is_lower(&field)) {
            match plain(&value) {
                Some(text) => {
                    own.insert(var.name, text);
                }
                None => problems.push(Problem {
                    at: format!("{place}.{field}"),
                    what: "expected a text, a number, true, false or an array of texts".into(),
                }),
            }
        } else {
            shape.insert(field, value);
        }
    }
    let prefix = format!("{place}.");
    let mut tuning = tuning::read(&Values::of_route(values, prefix.clone(), own), problems);
    let shape: Shape = match serde_json::from_value(Value::Object(shape)) {
        Ok(shape) => shape,
        Err(error) => {
            problems.push(Problem { at: place, what: error.to_string() });
            return None;
        }
    };
    let mut bad = |field: &str, what: String| {
        problems.push(Problem { at: format!("{prefix}{field}"), what });
    };
    if !is_name(&shape.name) {
        bad("name", "expected 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'".into());
    }
    if !matches!(shape.kind.as_deref(), None | Some("order" | "callback")) {
        bad("kind", "expected order or callback".into());
    }
    let mode = match shape.mode.as_deref() {
        None | Some("sync") => Mode::Sync,
        Some("async") => Mode::Async,
        Some("either") => Mode::Either,
        Some(_) => {
            bad("mode", "expected one of sync, async, either".into());
            Mode::Sync
        }
    };
    if mode == Mode::Async && tuning.as_ref().is_some_and(|t| t.on_unknown == OnUnknown::Retry) {
        let what = "async does not go with on_unknown \"retry\": a duplicate is told where the \
                    order stands and runs nothing";
        bad("mode", what.into());
    }
    let path = Pattern::parse(&shape.path).map_err(|error| bad("path", error.to_string())).ok();
    let (outcome, callback) = match callback {
        None => (rules("outcome", shape.outcome, &mut bad), None),
        Some(own) => (Vec::new(), Some(callbacks::read(own, shape.outcome, &mut bad))),
    };
    if let (Some(tuning), Some(_)) = (&mut tuning, &callback) {
        callbacks::settle_tuning(tuning);
    }
    let query = shape.query.and_then(|query| call("query", query, &mut bad));
    let cancel = shape.cancel.and_then(|cancel| call("cancel", cancel, &mut bad));
    let step = shape.lifecycle.and_then(|part| lifecycles.part(part, &mut bad));
    if let (Some(tuning), Some(_)) = (&mut tuning, &step) {
        // Without its number an order would pass by its lifecycle.
        tuning.key_required = true;
    }
    let mut time = |field: &str, text: Option<String>, read: fn(&str) -> Result<_, String>| {
        text.and_then(|text| read(&text).map_err(|what| bad(field, what)).ok())
    };
    let pace = Pace {
        first_query: time("first_query", shape.first_query, positive),
        steady: shape.query_backoff == Some(false),
        cancel_delay: time("cancel_delay", shape.cancel_delay, duration).unwrap_or_default(),
    };
    if problems.len() > before {
        return None;
    }
    let (name, path, tuning) = (shape.name.into(), path?, tuning?);
    let client_cancel = shape.client_cancel.unwrap_or(true);
    Some(Route {
        name,
        path,
        mode,
        tuning,
        outcome,
        query,
        cancel,
        client_cancel,
        pace,
        callback,
        step,
    })
}

fn is_lower(field: &str) -> bool {
    !field.contains(|c: char| c.is_ascii_uppercase())
}

/// Names appear in URLs and metric labels, those of states in problems and scripts' arguments.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A field's value as its variable would be written.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(list) => {
            let texts: Option<Vec<_>> = list.iter().map(Value::as_str).collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}

fn call(field: &str, shape: CallShape, bad: &mut impl FnMut(&str, String)) -> Option<Call> {
    let method = tuning::method(&shape.method).map_err(|what| bad(field, what)).ok();
    let target: Result<hyper::Uri, _> = shape.path.replace("{key}", "k").parse();
    if !shape.path.starts_with('/') || target.is_err() {
        bad(field, "path: expected a path such as /order/get_result?orderId={key}".into());
    }
    if shape.path.replace("{key}", "").contains(['{', '}']) {
        bad(field, "path: only {key} is filled in".into());
    }
    let mut texts = Vec::new();
    shape.json.iter().for_each(|json| strings(json, &mut texts));
    if texts.iter().any(|text| names_another(text)) {
        bad(field, "json: only {key} is filled in".into());
    }
    if !shape.path.contains("{key}") && !texts.iter().any(|text| text.contains("{key}")) {
        bad(field, "names no order: put {key} into path or json".into());
    }
    let outcome = rules(&format!("{field}.outcome"), shape.outcome, bad);
    Some(Call { method: method?, path: shape.path, json: shape.json, outcome })
}

/// Every string in a JSON value.
fn strings<'j>(json: &'j Value, found: &mut Vec<&'j str>) {
    match json {
        Value::String(text) => found.push(text),
        Value::Array(list) => list.iter().for_each(|value| strings(value, found)),
        Value::Object(map) => map.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

/// Whether a name other than `{key}` stands in braces. JSON within a string has braces too, but no
/// bare name between them.
fn names_another(text: &str) -> bool {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).any(|(name, _)| {
        !matches!(name, "key" | "") && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}
