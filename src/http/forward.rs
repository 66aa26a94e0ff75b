//! A request's head as it goes upstream: its own, less what belongs to the connection it came on,
//! less what only Onceward may say, plus where it came from.

use super::{Config, Peer};
use crate::model::response::strip;
use hyper::header::{EXPECT, Entry, HOST, HeaderMap, HeaderName, HeaderValue, TRAILER, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Uri, Version, header};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Rewrites a head for upstream. `upgrade` keeps the wish to change protocols.
pub(super) fn towards_upstream(head: &mut Parts, peer: &Peer, config: &Config, upgrade: bool) {
    let wish = if upgrade { head.headers.get(UPGRADE).cloned() } else { None };
    strip(&mut head.headers, |name| is_ours(name.as_str(), config) || *name == EXPECT);
    if let Some(wish) = wish {
        head.headers.insert(UPGRADE, wish);
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    let host = forwarded(&mut head.headers, peer);
    if host.is_none()
        && let Ok(host) = HeaderValue::from_str(&config.upstream)
    {
        head.headers.insert(HOST, host);
    }
    // Origin form: the host stands in Host.
    if head.uri.authority().is_some() {
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        head.uri = target.parse().unwrap_or_else(|_| Uri::from_static("/"));
    }
    head.version = Version::HTTP_11;
}

/// Whether a header is not passed on, as one that only Onceward may send or that poses as one.
pub(super) fn is_ours(name: &str, config: &Config) -> bool {
    is_own(name, config) || poses(name, config)
}

/// Whether a header is one that only Onceward may send.
fn is_own(name: &str, config: &Config) -> bool {
    name.starts_with("onceward-") || name == config.replay_header.as_str()
}

/// Whether a header would be taken for one that we write, by whoever makes no difference between
/// `_` and `-` in names, as CGI and its heirs do.
fn poses(name: &str, config: &Config) -> bool {
    if !name.as_bytes().contains(&b'_') {
        return false;
    }
    let hyphens = name.replace('_', "-");
    let written = [KEY, FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST];
    is_own(&hyphens, config) || written.iter().any(|written| *written == *hyphens)
}

/// Whether a request asks to change protocols, and may: not to HTTP once more, for in a tunnel
/// nobody would see the payments. Who asks for that is answered in the protocol it asked in.
pub(super) fn may_upgrade(headers: &HeaderMap) -> bool {
    let once_more = |protocol: &[u8]| {
        let name = protocol.split(|byte| *byte == b'/').next();
        let name = name.unwrap_or_default().trim_ascii();
        let http = [&b"http"[..], b"h2c", b"h2", b"tls"];
        http.iter().any(|http| name.eq_ignore_ascii_case(http))
    };
    wants_upgrade(headers)
        && !headers
            .get_all(UPGRADE)
            .iter()
            .any(|line| line.as_bytes().split(|byte| *byte == b',').any(once_more))
}

/// Whether a request asks to change protocols.
fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
}

/// Whether a request announces trailers.
pub(super) fn announces_trailers(headers: &HeaderMap) -> bool {
    headers.contains_key(TRAILER)
}

/// Says where a request came from; the host it named.
fn forwarded(headers: &mut HeaderMap, peer: &Peer) -> Option<HeaderValue> {
    if let Entry::Vacant(place) = headers.entry(FORWARDED_FOR) {
        place.insert(peer.address().clone());
    } else if let Some(through) = behind(headers, peer) {
        headers.insert(FORWARDED_FOR, through);
    }
    if let Entry::Vacant(place) = headers.entry(FORWARDED_PROTO) {
        place.insert(HeaderValue::from_static("http"));
    }
    let host = headers.get(HOST).cloned();
    if let Some(host) = &host
        && let Entry::Vacant(place) = headers.entry(FORWARDED_HOST)
    {
        place.insert(host.clone());
    }
    host
}

/// The addresses a request came through, the caller's last.
fn behind(headers: &HeaderMap, peer: &Peer) -> Option<HeaderValue> {
    let before = headers.get_all(&FORWARDED_FOR).iter();
    let all: Vec<_> =
        before.chain([peer.address()]).filter_map(|value| value.to_str().ok()).collect();
    HeaderValue::try_from(all.join(", ")).ok()
}
