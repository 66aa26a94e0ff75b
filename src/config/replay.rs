//! REPLAY_HEADER: a name of its own, or answers would say something else than they mean.

use crate::model::response::is_hop_by_hop;
use hyper::header::HeaderName;

/// Headers that belong to one request or say where a message ends, beside those of every hop.
const OF_THE_CONNECTION: [&str; 3] = ["content-length", "expect", "host"];

/// Headers that callers, payment services and this sidecar say other things by.
const TAKEN: [&str; 44] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expires",
    "forwarded",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-modified",
    "link",
    "location",
    "origin",
    "payment-token",
    "pragma",
    "prefer",
    "preference-applied",
    "range",
    "referer",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "traceparent",
    "tracestate",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-request-id",
];

/// Reads the replay marker's name.
pub(super) fn header(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::try_from(text).map_err(|_| "expected a header's name".to_owned())?;
    let word = name.as_str();
    let own = ["onceward-", "x-forwarded-", "access-control-"];
    if is_hop_by_hop(word) || OF_THE_CONNECTION.contains(&word) {
        Err(format!("{word} belongs to the connection; expected a name of its own"))
    } else if TAKEN.contains(&word) || own.iter().any(|prefix| word.starts_with(prefix)) {
        Err(format!("{word} means something else already; expected a name of its own"))
    } else {
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_has_a_name_of_its_own() {
        for name in ["Idempotent-Replayed", "X-Replayed", "idempotency-replayed", "Replay"] {
            assert!(header(name).is_ok(), "{name}");
        }
        for (name, says) in [
            ("", "expected a header's name"),
            ("a b", "expected a header's name"),
            ("Content-Length", "content-length belongs to the connection"),
            ("transfer-encoding", "belongs to the connection"),
            ("Onceward-State", "means something else already"),
            ("onceward-replayed", "means something else already"),
            ("Content-Type", "means something else already"),
            ("Date", "means something else already"),
            ("Payment-Token", "means something else already"),
            ("X-Forwarded-For", "means something else already"),
        ] {
            assert!(header(name).is_err_and(|told| told.contains(says)), "{name}");
        }
    }

    #[test]
    fn what_is_refused_can_be_found() {
        let sorted = |names: &[&str]| names.is_sorted_by(|a, b| a < b);
        assert!(sorted(&OF_THE_CONNECTION) && sorted(&TAKEN));
    }
}
