//! The settings a route may override, read the same way from variables and from a route's fields.

use super::read::{Problem, Values};
use super::units::{duration, list, one_of, positive, size, truth};
use crate::model::ignore::{Entry, Ignore};
use crate::model::source::Source;
use crate::route::{Fingerprint, OnUnknown, RedisDown, TokenUse, Tuning};
use hyper::Method;
use hyper::header::HeaderName;

/// Redis keeps times in ms; a lease much shorter than a round trip would protect nothing.
const SHORTEST_LEASE_MS: u128 = 100;

/// The words of REDIS_DOWN.
pub(super) const REDIS_DOWN: [(&str, RedisDown); 2] =
    [("reject", RedisDown::Reject), ("bypass", RedisDown::Bypass)];

/// The words of FINGERPRINT.
pub(super) const FINGERPRINT: [(&str, Fingerprint); 3] =
    [("body", Fingerprint::Body), ("json", Fingerprint::Json), ("off", Fingerprint::Off)];

/// The words of TOKEN.
pub(super) const TOKEN: [(&str, TokenUse); 3] =
    [("off", TokenUse::Off), ("optional", TokenUse::Optional), ("required", TokenUse::Required)];

/// The words of ON_UNKNOWN.
pub(super) const ON_UNKNOWN: [(&str, OnUnknown); 2] =
    [("hold", OnUnknown::Hold), ("retry", OnUnknown::Retry)];

/// Reads them all; `None` when any was bad, the problems say which.
pub(super) fn read(values: &Values<'_>, problems: &mut Vec<Problem>) -> Option<Tuning> {
    let before = problems.len();
    let mut at = |name, read: fn(&str) -> Result<_, String>| values.read(name, problems, read);
    let lock_ttl = at("LOCK_TTL", |text| {
        positive(text).and_then(|ttl| match ttl.as_millis() < SHORTEST_LEASE_MS {
            true => Err(format!("must be at least {SHORTEST_LEASE_MS}ms")),
            false => Ok(ttl),
        })
    });
    let upstream_timeout = at("UPSTREAM_TIMEOUT", positive);
    let record_ttl = at("RECORD_TTL", positive);
    let unknown_ttl = at("UNKNOWN_TTL", positive);
    let cancel_ttl = at("CANCEL_TTL", positive);
    let callback_ttl = at("CALLBACK_TTL", positive);
    let token_ttl = at("TOKEN_TTL", positive);
    let duplicate_wait = at("DUPLICATE_WAIT", duration);
    let query_interval = at("QUERY_INTERVAL", positive);
    let resolve_deadline = at("RESOLVE_DEADLINE", positive);
    let settle_delay = at("SETTLE_DELAY", duration);
    let cancel_interval = at("CANCEL_INTERVAL", positive);
    let redis_down = values.read("REDIS_DOWN", problems, |text| one_of(text, &REDIS_DOWN));
    let key = values.read("KEY", problems, |text| {
        let sources = list(text, |part| Source::parse(part).map_err(|error| error.to_string()))?;
        if sources.is_empty() { Err("names no source".into()) } else { Ok(sources) }
    });
    let key_required = values.read("KEY_REQUIRED", problems, truth);
    let methods = values.read("METHODS", problems, |text| {
        let methods = list(text, method)?;
        match methods.is_empty() {
            true => Err("names no method: nothing would be protected".into()),
            false => Ok(methods),
        }
    });
    let scope = values.read("SCOPE", problems, headers);
    let caller = values.read("CALLER", problems, headers);
    let fingerprint = values.read("FINGERPRINT", problems, |text| one_of(text, &FINGERPRINT));
    let fingerprint_ignore = values.read("FINGERPRINT_IGNORE", problems, |text| {
        let entries = list(text, |part| Entry::parse(part).map_err(|error| error.to_string()))?;
        Ok(Ignore::from_iter(entries))
    });
    let token = values.read("TOKEN", problems, |text| one_of(text, &TOKEN));
    let on_unknown = values.read("ON_UNKNOWN", problems, |text| one_of(text, &ON_UNKNOWN));
    let max_request_body = values.read("MAX_REQUEST_BODY", problems, size);
    let max_response_body = values.read("MAX_RESPONSE_BODY", problems, size);
    if problems.len() > before {
        return None;
    }
    Some(Tuning {
        upstream_timeout: upstream_timeout?,
        redis_down: redis_down?,
        lock_ttl: lock_ttl?,
        record_ttl: record_ttl?,
        unknown_ttl: unknown_ttl?,
        cancel_ttl: cancel_ttl?,
        callback_ttl: callback_ttl?,
        token_ttl: token_ttl?,
        duplicate_wait: duplicate_wait?,
        query_interval: query_interval?,
        resolve_deadline: resolve_deadline?,
        settle_delay: settle_delay?,
        cancel_interval: cancel_interval?,
        key: key?,
        key_required: key_required?,
        methods: methods?,
        scope: scope?,
        caller: caller?,
        fingerprint: fingerprint?,
        fingerprint_ignore: fingerprint_ignore?,
        token: token?,
        on_unknown: on_unknown?,
        max_request_body: max_request_body?,
        max_response_body: max_response_body?,
    })
}

fn headers(text: &str) -> Result<Vec<HeaderName>, String> {
    list(text, |part| HeaderName::try_from(part).map_err(|_| format!("{part:?} is no header name")))
}

/// A method, in capitals: methods are case-sensitive, and `post` would protect nothing.
pub(super) fn method(text: &str) -> Result<Method, String> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if !text.contains(|c: char| c.is_ascii_lowercase()) => Ok(method),
        _ => Err(format!("{text:?} is no method; write it in capitals")),
    }
}
