//! The order document (contract, section 5).

use crate::model::order::State;
use crate::model::response::Kept;
use crate::store::record::{Record, Transition};
use base64::{Engine, engine::general_purpose::STANDARD};
use humantime::format_rfc3339_millis;
use hyper::header::HeaderMap;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::time::SystemTime;

/// An order as its caller sees it.
pub fn of(record: &Record) -> Value {
    let mut document = json!({
        "route": record.route,
        "key": record.key,
        "state": record.state.word(),
        "attempts": record.attempts,
        "fence": record.fence,
        "created_at": time(record.created),
        "updated_at": time(record.updated),
        "expires_at": time(record.expires),
    });
    if let Kept::Response(response) = &record.kept {
        let (body, encoding) = match std::str::from_utf8(&response.body) {
            Ok(text) => (text.to_owned(), "utf8"),
            Err(_) => (STANDARD.encode(&response.body), "base64"),
        };
        document["response"] = json!({
            "status": response.status.as_u16(),
            "headers": headers(&response.headers),
            "body": body,
            "body_encoding": encoding,
        });
    }
    document
}

/// An order as an operator sees it: with its scope, the id it goes by in log lines, how often
/// upstream was asked about it, where its lifecycle stands, and its history.
pub fn for_operator(record: &Record) -> Value {
    let mut document = of(record);
    document["scope"] = record.scope.as_str().into();
    document["id"] = record.id.as_str().into();
    document["asks"] = record.asks.into();
    if let Some(lifecycle) = &record.lifecycle {
        document["lifecycle"] = json!({
            "name": lifecycle.name,
            "state": lifecycle.state,
            "moving": lifecycle.moving,
        });
    }
    let fences = fences(record);
    let lines = record.history.iter().zip(fences).map(|(line, fence)| transition(line, fence));
    document["history"] = lines.collect();
    document
}

fn transition(line: &Transition, fence: u64) -> Value {
    json!({
        "at": time(Some(line.at)),
        "from": line.from,
        "to": line.to,
        "by": line.by,
        "why": line.why,
        "fence": fence,
    })
}

/// The fence in force after each line of the history: every claim raised it by one, and the last
/// of them is the record's.
fn fences(record: &Record) -> Vec<u64> {
    let mut fence = record.fence;
    let mut fences: Vec<u64> = record
        .history
        .iter()
        .rev()
        .map(|line| {
            let after = fence;
            if line.to == State::InFlight.word() {
                fence = fence.saturating_sub(1);
            }
            after
        })
        .collect();
    fences.reverse();
    fences
}

/// A header that occurs once is a text, one that occurs more often a list of texts.
fn headers(headers: &HeaderMap) -> Value {
    let mut map = Map::new();
    for name in headers.keys() {
        let mut texts: Vec<Value> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned().into())
            .collect();
        let value = if texts.len() == 1 { texts.remove(0) } else { Value::Array(texts) };
        map.insert(name.as_str().to_owned(), value);
    }
    Value::Object(map)
}

/// A time in RFC 3339, in UTC; nothing for one past the year 9999, which that cannot write: only
/// something else than us can have stored it.
pub fn time(time: Option<SystemTime>) -> Value {
    let mut text = String::new();
    let written = time.is_some_and(|time| write!(text, "{}", format_rfc3339_millis(time)).is_ok());
    if written { text.into() } else { Value::Null }
}
