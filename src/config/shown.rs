//! The configuration as people see it, with what must not be seen masked.

use super::callbacks::OF_ORDERS;
use super::read::Values;
use super::routes::place;
use super::units::{size_text, word};
use super::{tuning, vars};
use crate::route::{Call, Mode, Route, Routes};
use humantime::format_duration;
use serde_json::{Value, json};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// What a secret is shown as.
const MASKED: &str = "********";

/// Every variable as it is in force.
pub(super) fn variables(values: &Values<'_>) -> Vec<(String, String)> {
    vars::VARS
        .iter()
        .map(|var| {
            let text = values.text(var);
            let text = match (var.name, text) {
                (_, "") => String::new(),
                ("REDIS_URL" | "OTEL_EXPORTER_OTLP_ENDPOINT", url) => mask_urls(url),
                (_, text) if !var.secret => text.to_owned(),
                _ => MASKED.to_owned(),
            };
            (values.name_of(var), text)
        })
        .collect()
}

/// URLs without what stands before their `@` and behind their `?`: `unix://` URLs carry their
/// password there.
pub fn mask_urls(urls: &str) -> String {
    let masked = urls.split(',').map(|url| {
        let Some((scheme, rest)) = url.split_once("://") else {
            return MASKED.to_owned();
        };
        let rest = match rest.rsplit_once('@') {
            Some((_, host)) => format!("{MASKED}@{host}"),
            None => rest.to_owned(),
        };
        format!("{scheme}://{}", mask_query(&rest))
    });
    masked.collect::<Vec<_>>().join(",")
}

fn mask_query(target: &str) -> String {
    match target.split_once('?') {
        Some((path, _)) => format!("{path}?{MASKED}"),
        None => target.to_owned(),
    }
}

/// What is in force on a route, in the words of ROUTES; whether the route says so, its preset, a
/// variable or nobody. Of its calls no more than method and path: the rest may hold credentials.
pub fn route(route: &Route) -> Vec<(&'static str, Value)> {
    let mut of_its_kind = fields(route);
    match route.callback {
        None => of_its_kind.retain(|(field, _)| *field != "callback_ttl"),
        Some(_) => {
            of_its_kind.retain(|(field, _)| *field != "client_cancel" && !OF_ORDERS.contains(field))
        }
    }
    of_its_kind
}

/// All of it, with what means nothing for its kind.
fn fields(route: &Route) -> Vec<(&'static str, Value)> {
    let tuning = &route.tuning;
    let time = |time: Duration| Value::from(format_duration(time).to_string());
    let size = |size: usize| Value::from(size_text(size));
    let is_callback = route.callback.is_some();
    let mode = match route.mode {
        Mode::Sync => "sync",
        Mode::Async => "async",
        Mode::Either => "either",
    };
    let mut all = vec![
        ("name", Value::from(&*route.name)),
        ("path", route.path.as_str().into()),
        ("kind", if is_callback { "callback" } else { "order" }.into()),
        ("mode", mode.into()),
        ("key", texts(&tuning.key)),
        ("key_required", tuning.key_required.into()),
        ("methods", texts(&tuning.methods)),
        ("scope", texts(&tuning.scope)),
        ("caller", texts(&tuning.caller)),
        ("fingerprint", word(&tuning.fingerprint, &tuning::FINGERPRINT).into()),
        ("fingerprint_ignore", {
            let ignore = &tuning.fingerprint_ignore;
            texts(ignore.pointers.iter().chain(&ignore.fields))
        }),
        ("token", word(&tuning.token, &tuning::TOKEN).into()),
        ("on_unknown", word(&tuning.on_unknown, &tuning::ON_UNKNOWN).into()),
        ("redis_down", word(&tuning.redis_down, &tuning::REDIS_DOWN).into()),
        ("upstream_timeout", time(tuning.upstream_timeout)),
        ("lock_ttl", time(tuning.lock_ttl)),
        ("record_ttl", time(tuning.record_ttl)),
        ("unknown_ttl", time(tuning.unknown_ttl)),
        ("cancel_ttl", time(tuning.cancel_ttl)),
        ("callback_ttl", time(tuning.callback_ttl)),
        ("token_ttl", time(tuning.token_ttl)),
        ("duplicate_wait", time(tuning.duplicate_wait)),
        ("first_query", time(route.pace.first_query.unwrap_or(tuning.query_interval))),
        ("query_interval", time(tuning.query_interval)),
        ("query_backoff", (!route.pace.steady).into()),
        ("resolve_deadline", time(tuning.resolve_deadline)),
        ("settle_delay", time(tuning.settle_delay)),
        ("cancel_delay", time(route.pace.cancel_delay)),
        ("cancel_interval", time(tuning.cancel_interval)),
        ("client_cancel", route.client_cancel.into()),
        ("max_request_body", size(tuning.max_request_body)),
        ("max_response_body", size(tuning.max_response_body)),
        ("query", called(route.query.as_ref())),
        ("cancel", called(route.cancel.as_ref())),
    ];
    if let Some(step) = &route.step {
        let (name, from, to) = (&step.lifecycle, texts(&step.from), &step.to);
        all.push(("lifecycle", json!({"name": name, "from": from, "to": to})));
    }
    if let Some(own) = &route.callback {
        all.push(("event", texts(&own.event)));
        all.push(("unchanged", texts(&own.unchanged)));
        all.push(("settles", own.settles.as_deref().into()));
    }
    all
}

/// What is in force on each route, and not on a plain one that leaves all to the variables.
pub(super) fn own(routes: &Routes, plain: &Route) -> Vec<(String, String)> {
    let plain = fields(plain);
    let of_route = |(index, one): (usize, &Arc<Route>)| {
        let (place, mut own) = (place(index, &one.name), route(one));
        own.retain(|field| field.0 != "name" && !field.1.is_null() && !plain.contains(field));
        own.into_iter().map(move |(field, value)| (format!("{place}.{field}"), line(&value)))
    };
    routes.0.iter().enumerate().flat_map(of_route).collect()
}

/// A value as a variable would have it.
fn line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(line).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn texts<T: Display>(all: impl IntoIterator<Item = T>) -> Value {
    all.into_iter().map(|one| one.to_string()).collect()
}

fn called(call: Option<&Call>) -> Value {
    call.map(|call| format!("{} {}", call.method, mask_query(&call.path))).into()
}
