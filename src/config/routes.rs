//! `ONCEWARD_ROUTES`: routes as JSON, each over the process's variables.

use super::calls::call;
use super::fields::{Bad, Fields};
use super::forgetting::while_asked_about;
use super::lifecycles::Lifecycles;
use super::paths::{check_names, pattern, unnamed};
use super::read::{Problem, Values};
use super::remarks::Remarks;
use super::rules::{Of, rules};
use super::units::{duration, positive};
use super::{callbacks, presets, strict, tuning, vars};
use crate::model::path::Pattern;
use crate::route::{Mode, OnUnknown, Pace, Route, Routes};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads routes; every problem names its route and field, or the variable the field is left to.
pub(super) fn read(
    text: &str,
    values: &Values<'_>,
    remarks: &mut Remarks,
    problems: &mut Vec<Problem>,
) -> Routes {
    let at = |what: String| Problem { at: "ONCEWARD_ROUTES".into(), what };
    let mut lifecycles = Lifecycles::default();
    let (value, twice) = match strict::read(text) {
        Ok(read) => read,
        Err(error) => {
            problems.push(at(format!("not JSON: {error}")));
            return Routes::default();
        }
    };
    let list = match value {
        Value::Array(list) => list,
        Value::Object(mut object) => {
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
        _ => {
            problems.push(at("expected an array of routes, or an object with \"routes\"".into()));
            return Routes::default();
        }
    };
    problems.extend(twice.iter().map(|member| Problem {
        at: named(member, &list),
        what: "stands there twice; keep one of the two".into(),
    }));
    if list.is_empty() {
        problems.push(at("no route: nothing would be protected".into()));
    }
    let mut routes: Vec<Route> = Vec::with_capacity(list.len());
    let mut places = BTreeMap::new();
    for (index, value) in list.into_iter().enumerate() {
        if let Some(name) = value.get("name").and_then(Value::as_str) {
            places.entry(name.to_owned()).or_insert(index);
        }
        let Some(route) = read_one(index, value, &lifecycles, values, remarks, problems) else {
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

/// A place in ROUTES (`.routes[0].key`) as problems tell it.
fn named(member: &str, list: &[Value]) -> String {
    let member = member.strip_prefix(".routes").unwrap_or(member);
    let route = member.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match route.and_then(|(index, field)| Some((index.parse().ok()?, field))) {
        Some((index, field)) => format!("{}{field}", place(index, name(list.get(index)))),
        None => format!("ONCEWARD_ROUTES{member}"),
    }
}

/// What a route is called, as far as one can tell.
fn name(route: Option<&Value>) -> &str {
    route.and_then(|route| route.get("name")).and_then(Value::as_str).unwrap_or("no name")
}

fn read_one(
    index: usize,
    value: Value,
    lifecycles: &Lifecycles,
    values: &Values<'_>,
    remarks: &mut Remarks,
    problems: &mut Vec<Problem>,
) -> Option<Route> {
    let before = problems.len();
    let place = place(index, name(Some(&value)));
    let Value::Object(mut object) = value else {
        let at = format!("ONCEWARD_ROUTES[{index}]");
        problems.push(Problem { at, what: "expected an object".into() });
        return None;
    };
    let mut bad = |field: &str, what: String| {
        problems.push(Problem { at: format!("{place}.{field}"), what });
    };
    if let Err(what) = presets::spread(&mut object) {
        bad("preset", what);
    }
    let callback = callbacks::take(&mut object, &mut bad);
    let own = of_variables(&mut object, &mut bad);
    let over = Values::of_route(values, place.clone(), own);
    let mut tuning = tuning::read(&over, problems);
    let mut bad = |field: &str, what: String| {
        problems.push(Problem { at: format!("{place}.{field}"), what });
    };
    let mut fields = Fields::of(object);
    let name = fields.need::<String>("name", &mut bad);
    let path = fields.need::<String>("path", &mut bad);
    let kind = fields.take::<String>("kind", &mut bad);
    let mode = fields.take::<String>("mode", &mut bad);
    let outcome = fields.take::<Vec<Value>>("outcome", &mut bad).unwrap_or_default();
    let query = fields.take::<Value>("query", &mut bad);
    let cancel = fields.take::<Value>("cancel", &mut bad);
    let client_cancel = fields.take::<bool>("client_cancel", &mut bad).unwrap_or(true);
    let first_query = fields.take::<String>("first_query", &mut bad);
    let query_backoff = fields.take::<bool>("query_backoff", &mut bad).unwrap_or(true);
    let cancel_delay = fields.take::<String>("cancel_delay", &mut bad);
    let lifecycle = fields.take::<Value>("lifecycle", &mut bad);
    let variables = vars::VARS.iter().filter(|var| var.of_route);
    let variables = variables.map(|var| var.name.to_ascii_lowercase());
    let others = ["preset"].into_iter().chain(callbacks::OWN).map(str::to_owned);
    fields.end(variables.chain(others), &mut bad);
    if name.as_deref().is_some_and(|name| !is_name(name)) {
        bad("name", "expected 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'".into());
    }
    if !matches!(kind.as_deref(), None | Some("order" | "callback")) {
        bad("kind", "expected order or callback".into());
    }
    let mode = match mode.as_deref() {
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
    let path = path.and_then(|path| pattern(&path, values.text(vars::var("PREFIX")), &mut bad));
    let (outcome, callback) = match callback {
        None => (rules("outcome", Of::Payment, outcome, &mut bad), None),
        Some(own) => (Vec::new(), Some(callbacks::read(own, outcome, &mut bad))),
    };
    let mut never_found = Vec::new();
    if let (Some(path), Some(tuning)) = (&path, &tuning) {
        never_found = check_names(path, &tuning.key, &over);
        let own = callback.iter();
        for (field, sources) in
            own.flat_map(|own| [("event", &own.event), ("unchanged", &own.unchanged)])
        {
            sources
                .iter()
                .filter_map(|source| unnamed(path, source))
                .for_each(|what| bad(field, what));
        }
    }
    if let (Some(tuning), Some(_)) = (&mut tuning, &callback) {
        callbacks::settle_tuning(tuning);
    }
    let is_asked_about = query.is_some() || cancel.is_some();
    let query = query.and_then(|query| call("query", query, &mut bad));
    let cancel = cancel.and_then(|cancel| call("cancel", cancel, &mut bad));
    let step = lifecycle.and_then(|part| lifecycles.part(part, &mut bad));
    if let (Some(tuning), Some(_)) = (&mut tuning, &step) {
        // Without its number an order would pass by its lifecycle.
        tuning.key_required = true;
    }
    let mut time = |field: &str, text: Option<String>, read: fn(&str) -> Result<_, String>| {
        text.and_then(|text| read(&text).map_err(|what| bad(field, what)).ok())
    };
    let pace = Pace {
        first_query: time("first_query", first_query, positive),
        steady: !query_backoff,
        cancel_delay: time("cancel_delay", cancel_delay, duration).unwrap_or_default(),
    };
    problems.extend(never_found);
    if let (true, Some(tuning)) = (is_asked_about, &tuning) {
        problems.extend(while_asked_about(tuning, &pace, &over));
    }
    if problems.len() > before {
        return None;
    }
    let (name, path, tuning) = (name?.into(), path?, tuning?);
    let route = Route {
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
    };
    remarks.look_at(&route, &over);
    Some(route)
}

/// Takes those fields off a route that are variables.
fn of_variables(route: &mut Map<String, Value>, bad: Bad<'_>) -> BTreeMap<&'static str, String> {
    let mut own = BTreeMap::new();
    for (field, value) in std::mem::take(route) {
        match vars::of_field(&field).filter(|_| is_lower(&field)) {
            None => drop(route.insert(field, value)),
            Some(var) => match plain(&value) {
                Some(text) => drop(own.insert(var.name, text)),
                None => {
                    let what = "expected a text, a number, true, false or an array of texts";
                    bad(&field, what.into());
                }
            },
        }
    }
    own
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
