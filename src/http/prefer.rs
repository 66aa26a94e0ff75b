//! Whether an order goes through the buffer: its route says so, or its caller prefers it
//! (RFC 7240, `Prefer: respond-async`) and its route leaves the choice.

use crate::route::Mode;
use hyper::header::{HeaderMap, HeaderValue};

/// Why an order goes through the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Its caller prefers it.
    Voiced,
    /// Its route always does.
    Silent,
}

/// Whether a payment of these headers goes through the buffer; `None` when it is to be answered when
/// it is paid. A wish that is granted here is not
/// passed on: upstream is to answer the worker in full.
pub(super) fn buffered(mode: Mode, headers: &mut HeaderMap) -> Option<Wish> {
    let voiced = mode != Mode::Sync && wants_async(headers);
    match mode {
        Mode::Sync => return None,
        Mode::Either if !voiced => return None,
        Mode::Async | Mode::Either => {}
    }
    if voiced {
        take_off(headers);
    }
    Some(if voiced { Wish::Voiced } else { Wish::Silent })
}

fn is_async(preference: &str) -> bool {
    let name = preference.split([';', '=']).next().unwrap_or_default();
    name.trim().eq_ignore_ascii_case("respond-async")
}

fn wants_async(headers: &HeaderMap) -> bool {
    let lines = headers.get_all("prefer").iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(is_async)
}

fn take_off(headers: &mut HeaderMap) {
    let lines: Vec<HeaderValue> = headers.get_all("prefer").iter().cloned().collect();
    headers.remove("prefer");
    for line in lines {
        let kept = match line.to_str() {
            Err(_) => Some(line),
            Ok(text) => {
                let rest: Vec<_> =
                    text.split(',').filter(|p| !is_async(p)).map(str::trim).collect();
                let rest = rest.join(", ");
                (!rest.is_empty()).then(|| HeaderValue::from_str(&rest).ok()).flatten()
            }
        };
        if let Some(kept) = kept {
            headers.append("prefer", kept);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_preference_is_read_and_taken_off_among_others() {
        for (line, wants, rest) in [
            ("respond-async", true, None),
            ("Respond-Async, wait=10", true, Some("wait=10")),
            ("return=minimal, respond-async; x=1", true, Some("return=minimal")),
            ("handling=lenient", false, Some("handling=lenient")),
            ("respond-asynchronously", false, Some("respond-asynchronously")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", line.parse().unwrap());
            assert_eq!(wants_async(&headers), wants, "{line}");
            take_off(&mut headers);
            assert_eq!(headers.get("prefer").map(|v| v.to_str().unwrap()), rest, "{line}");
        }
    }
}
