//! A response as it is stored and replayed: status, the headers worth keeping, the body's bytes.

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{StatusCode, header};

/// A response worth keeping.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredResponse {
    /// The status as upstream gave it.
    pub status: StatusCode,
    /// The headers that may be shown again.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Bytes,
}

/// What a record holds of a response.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// No response: none has come, or the order was settled without one.
    Nothing,
    /// One came, but it was over the cap of what is stored.
    TooLarge(StatusCode),
    /// The response.
    Response(StoredResponse),
}

/// The headers of a response that may be stored: not those of one connection, not `Date`, nothing
/// that authenticates anybody, and not the length, which the body tells.
pub fn keepable(headers: &HeaderMap) -> HeaderMap {
    let is_hop_by_hop = hop_by_hop(headers);
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if !is_hop_by_hop(name) && !is_volatile(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

fn is_volatile(name: &HeaderName) -> bool {
    match name.as_str() {
        "date" | "content-length" => true,
        // What a browser may do with an answer is nobody's credential, whatever its name holds.
        name => !name.starts_with("access-control-") && is_secretive(name),
    }
}

/// Whether some part of a name marks the header as somebody's credential.
fn is_secretive(name: &str) -> bool {
    let begins = |rest: &[u8]| match rest[0] {
        b'a' => [&b"auth"[..], b"api-key", b"apikey"].iter().any(|part| rest.starts_with(part)),
        b'c' => rest.starts_with(b"cookie") || rest.starts_with(b"credential"),
        b'p' => rest.starts_with(b"passw"),
        b's' => rest.starts_with(b"secret") || rest.starts_with(b"session"),
        b't' => rest.starts_with(b"token"),
        _ => false,
    };
    (0..name.len()).any(|at| begins(&name.as_bytes()[at..]))
}

/// Whether a header belongs to its connection in every message (RFC 9110, section 7.6.1, with the
/// `Proxy-Connection` it knows of).
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Which headers of a message belong to its connection: those that always do, and those that its
/// `Connection` names.
fn hop_by_hop(headers: &HeaderMap) -> impl Fn(&HeaderName) -> bool {
    // Looked up once: few messages have one, and all their headers are asked about.
    let lines = headers.get_all(header::CONNECTION);
    move |name| is_hop_by_hop(name.as_str()) || lines.iter().any(|line| names(line, name))
}

/// Takes off a message what belongs to its connection, and what is `gone` besides.
pub fn strip(headers: &mut HeaderMap, gone: impl Fn(&HeaderName) -> bool) {
    let is_hop_by_hop = hop_by_hop(headers);
    let gone = |name: &&HeaderName| is_hop_by_hop(name) || gone(name);
    let names: Vec<_> = headers.keys().filter(gone).cloned().collect();
    drop(is_hop_by_hop);
    for name in names {
        headers.remove(name);
    }
}

/// Whether a comma-separated header value names a header.
fn names(value: &HeaderValue, name: &HeaderName) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|word| word.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Headers as one string: a line each, `name: value\r\n`, in their order.
pub fn pack(headers: &HeaderMap) -> Vec<u8> {
    let mut packed = Vec::with_capacity(headers.len() * 40);
    for (name, value) in headers {
        packed.extend_from_slice(name.as_str().as_bytes());
        packed.extend_from_slice(b": ");
        packed.extend_from_slice(value.as_bytes());
        packed.extend_from_slice(b"\r\n");
    }
    packed
}

/// The headers of such a string, in its memory; `None` when it is not one.
pub fn unpack(packed: &Bytes) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut at = 0;
    while at < packed.len() {
        // A name holds no colon, a value no end of line.
        let colon = at + memchr::memchr(b':', &packed[at..])?;
        let end = colon + memchr::memchr(b'\r', &packed[colon..])?;
        let value = colon + 2;
        if value > end || packed[colon + 1] != b' ' || packed.get(end + 1) != Some(&b'\n') {
            return None;
        }
        let name = HeaderName::from_bytes(&packed[at..colon]).ok()?;
        headers.append(name, HeaderValue::from_maybe_shared(packed.slice(value..end)).ok()?);
        at = end + 2;
    }
    Some(headers)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn what_identifies_or_ages_is_not_kept() {
        let all = headers(&[
            ("content-type", "text/plain"),
            ("date", "today"),
            ("set-cookie", "id=1"),
            ("www-authenticate", "Basic"),
            ("authorization", "Bearer x"),
            ("x-auth-token", "x"),
            ("my-api-key", "x"),
            ("apikey", "x"),
            ("x-passwd", "x"),
            ("client-secret-id", "x"),
            ("x-session", "x"),
            ("credentials", "x"),
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("location", "/orders/1"),
            ("x-ap", "a cas tok"),
            ("access-control-allow-credentials", "true"),
        ]);
        let kept = keepable(&all);
        let plain = [
            ("content-type", "text/plain"),
            ("location", "/orders/1"),
            ("x-ap", "a cas tok"),
            ("access-control-allow-credentials", "true"),
        ];
        assert_eq!(kept, headers(&plain));
    }

    #[test]
    fn packed_headers_come_back_as_they_were() {
        let mut all = headers(&[("a", "1"), ("b", ""), ("c", "x: y")]);
        all.append("a", HeaderValue::from_bytes(b"\xfe").unwrap());
        assert_eq!(unpack(&pack(&all).into()).unwrap(), all);
        assert_eq!(unpack(&Bytes::new()).unwrap(), HeaderMap::new());
        for torn in [&b"a: 1"[..], b"a 1\r\n", b": 1\r\n", b"\r\n"] {
            assert_eq!(unpack(&Bytes::from_static(torn)), None);
        }
    }
}
