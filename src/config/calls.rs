//! How a payment service is asked about an order, or told to cancel it: `query` and `cancel`.

use super::fields::{Bad, Fields};
use super::rules::{Of, rules};
use super::tuning;
use crate::route::Call;
use serde_json::Value;

/// Reads one of them.
pub(super) fn call(here: &str, value: Value, bad: Bad<'_>) -> Option<Call> {
    let mut fields = Fields::read(value, here, bad)?;
    let mut inner = |field: &str, what: String| bad(&format!("{here}.{field}"), what);
    let method = fields.need::<String>("method", &mut inner);
    let path = fields.need::<String>("path", &mut inner);
    let json = fields.take::<Value>("json", &mut inner);
    let outcome = fields.take::<Vec<Value>>("outcome", &mut inner).unwrap_or_default();
    fields.end([], &mut inner);
    let method =
        method.and_then(|method| tuning::method(&method).map_err(|what| bad(here, what)).ok());
    let mut texts = Vec::new();
    json.iter().for_each(|json| strings(json, &mut texts));
    if texts.iter().any(|text| names_another(text)) {
        bad(here, "json: only {key} is filled in".into());
    }
    let outcome = rules(&format!("{here}.outcome"), Of::Call, outcome, bad);
    let path = path?;
    let target: Result<hyper::Uri, _> = path.replace("{key}", "k").parse();
    if !path.starts_with('/') || target.is_err() {
        bad(here, "path: expected a path such as /order/get_result?orderId={key}".into());
    }
    if path.replace("{key}", "").contains(['{', '}']) {
        bad(here, "path: only {key} is filled in".into());
    }
    if !path.contains("{key}") && !texts.iter().any(|text| text.contains("{key}")) {
        bad(here, "names no order: put {key} into path or json".into());
    }
    Some(Call { method: method?, path, json, outcome })
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
