//! Which order a request is about, and what exactly it asks: key, scope, caller, fingerprint,
//! token.

use super::Plane;
use crate::answer::problem::{Name, Problem};
use crate::model::identity::Order;
use crate::model::key::Key;
use crate::model::path::Params;
use crate::model::seal::{Digest, Secrets};
use crate::model::source::{BadValue, MustRead, View, is_form, is_json};
use crate::model::token::{self, Presented};
use crate::model::{form, json, xml};
use crate::route::{Fingerprint, Route, TokenUse};
use hyper::header::{HeaderMap, HeaderName};
use hyper::http::request::Parts;
use std::borrow::Cow;
use std::sync::Arc;

/// The hash of what looks like no token: shorter than any hash, so that nothing is stored under
/// it. It goes the way of a token nobody issued and gets the same answer, to the byte.
const NEVER_ISSUED: &str = "never-issued";

/// What sets digests of callers apart from all others.
const CALLER: &str = "caller";

/// What sets digests of requests apart.
const REQUEST: &str = "request";

/// The part of a body that must be the same in a retry.
struct Substance<'a> {
    now: Cow<'a, [u8]>,
    /// The same as releases took it that looked for fields in forms and queries only, where it
    /// differs: what they wrote is found by it. Nothing is the same by it that is not by `now`.
    before: Option<Cow<'a, [u8]>>,
}

/// A request as the guard needs it.
pub(super) struct Identity {
    pub(super) order: Order,
    pub(super) fingerprints: String,
    pub(super) token: Option<Presented>,
}

impl Plane {
    /// Identifies a request; `None` when it carries no key and needs none.
    pub(super) fn identify(
        &self,
        route: &Arc<Route>,
        params: &Params,
        head: &Parts,
        body: &[u8],
    ) -> Result<Option<Identity>, Problem> {
        let Some(key) = key(route, params, head, body)? else {
            return Ok(None);
        };
        let scope = scope(route, &head.headers)?;
        let caller = caller_parts(route, &head.headers);
        let fingerprints = fingerprints(&self.secrets, (route, caller), head, body)?;
        let token = presented(route, &head.headers)?;
        let order = route.order(&scope, key);
        Ok(Some(Identity { order, fingerprints, token }))
    }
}

/// The key, from the first source that has one.
fn key(route: &Route, params: &Params, head: &Parts, body: &[u8]) -> Result<Option<Key>, Problem> {
    let query = head.uri.query().unwrap_or_default();
    // Forwarding unprotected what upstream may find a key in would charge as often as it comes.
    let must_read = MustRead::Apparent;
    let view = View { headers: &head.headers, query, params: Some(params), body, must_read };
    for source in &route.tuning.key {
        let key = source.key(&view).map_err(|error| match error {
            // The connection is left in a known state, but what came over it is not what it must be.
            BadValue::Body(_) => Problem::new(Name::BadRequest, error.to_string()).closing(),
            error => Problem::new(Name::KeyInvalid, error.to_string()),
        })?;
        if key.is_some() {
            return Ok(key);
        }
    }
    if route.tuning.key_required || route.tuning.token == TokenUse::Required {
        let sources: Vec<_> = route.tuning.key.iter().map(ToString::to_string).collect();
        let detail = format!("Looked in {}.", sources.join(", "));
        return Err(Problem::new(Name::KeyMissing, detail));
    }
    Ok(None)
}

/// The caller's partition of keys.
pub(super) fn scope(route: &Route, headers: &HeaderMap) -> Result<String, Problem> {
    route.scope_of(headers).ok_or_else(|| {
        let detail = "A header that partitions keys occurs twice or is not plain ASCII.";
        Problem::new(Name::BadRequest, detail)
    })
}

/// Digests of who asks, one per secret.
pub(super) fn callers(secrets: &Secrets, route: &Route, headers: &HeaderMap) -> String {
    joined(secrets.digests(CALLER, &caller_parts(route, headers)))
}

/// Digests of what is asked, one per secret.
fn fingerprints<'a>(
    secrets: &Secrets,
    (route, mut parts): (&Route, Vec<&'a [u8]>),
    head: &'a Parts,
    body: &'a [u8],
) -> Result<String, Problem> {
    if route.tuning.fingerprint == Fingerprint::Off {
        return Ok(joined(secrets.digests(REQUEST, &parts)));
    }
    let query = without_ignored(route, head.uri.query().unwrap_or_default());
    let Substance { now, before } = substance(route, &head.headers, body)?;
    parts.extend([head.method.as_str().as_bytes(), head.uri.path().as_bytes(), &query]);
    parts.push(&now);
    let mut fingerprints = joined(secrets.digests(REQUEST, &parts));
    if let Some(before) = &before {
        parts.pop();
        parts.push(before);
        fingerprints.push(',');
        fingerprints.push_str(&joined(secrets.digests(REQUEST, &parts)));
    }
    Ok(fingerprints)
}

fn caller_parts<'a>(route: &'a Route, headers: &'a HeaderMap) -> Vec<&'a [u8]> {
    let mut parts: Vec<&[u8]> = Vec::with_capacity(8);
    let named = |name: &'a HeaderName| {
        headers.get_all(name).iter().map(move |value| (name.as_str().as_bytes(), value.as_bytes()))
    };
    for (name, value) in route.tuning.caller.iter().flat_map(named) {
        parts.extend([name, value]);
    }
    // Sets the caller's headers apart from what follows, however many there are.
    parts.push(b"");
    parts
}

fn without_ignored<'a>(route: &Route, query: &'a str) -> Cow<'a, [u8]> {
    match route.tuning.fingerprint_ignore.is_empty() {
        true => Cow::Borrowed(query.as_bytes()),
        false => {
            Cow::Owned(form::without(query.as_bytes(), &route.tuning.fingerprint_ignore.fields))
        }
    }
}

fn substance<'a>(
    route: &Route,
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<Substance<'a>, Problem> {
    let ignore = &route.tuning.fingerprint_ignore;
    let as_json = route.tuning.fingerprint == Fingerprint::Json;
    let only = |now| Ok(Substance { now, before: None });
    if body.is_empty() || (!as_json && ignore.is_empty()) {
        return only(Cow::Borrowed(body));
    }
    if is_form(headers) && !ignore.is_empty() {
        return only(Cow::Owned(form::without(body, &ignore.fields)));
    }
    let (now, before) = match json::canonical(body, &ignore.members) {
        Ok(now) if ignore.fields.is_empty() => return only(Cow::Owned(now)),
        Ok(now) => (now, json::canonical(body, &ignore.pointers).map(Cow::Owned).ok()),
        Err(error) if is_json(headers) => {
            let detail = format!("The body cannot be read: {error}");
            return Err(Problem::new(Name::BadRequest, detail).closing());
        }
        // What does not claim to be JSON is XML without these fields, or else the bytes it is.
        Err(_) if ignore.fields.is_empty() => return only(Cow::Borrowed(body)),
        Err(_) => match xml::without(body, &ignore.fields) {
            Ok(now) => (now, Some(Cow::Borrowed(body))),
            Err(_) => return only(Cow::Borrowed(body)),
        },
    };
    let before = before.filter(|before| **before != *now);
    Ok(Substance { now: Cow::Owned(now), before })
}

fn presented(route: &Route, headers: &HeaderMap) -> Result<Option<Presented>, Problem> {
    if route.tuning.token == TokenUse::Off {
        return Ok(None);
    }
    let mut lines = headers.get_all(token::HEADER).iter();
    match (lines.next(), lines.next()) {
        (None, _) if route.tuning.token == TokenUse::Optional => Ok(None),
        (None, _) => {
            Err(Problem::new(Name::TokenMissing, "Fetch a token and send it as Payment-Token."))
        }
        (Some(line), None) => Ok(Some(
            Presented::parse(line.as_bytes())
                .unwrap_or_else(|| Presented { hash: NEVER_ISSUED.to_owned(), kept_in: None }),
        )),
        (Some(_), Some(_)) => Err(Problem::new(Name::BadRequest, "More than one Payment-Token.")),
    }
}

pub(super) fn joined(digests: impl Iterator<Item = Digest>) -> String {
    let mut text = String::with_capacity(Digest::LETTERS);
    for digest in digests {
        if !text.is_empty() {
            text.push(',');
        }
        digest.write(&mut text);
    }
    text
}
