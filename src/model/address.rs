//! How a URL names an order: `{route}/{key}`, on both planes.
//!
//! Whoever writes one may encode more than it must be; both parts are read decoded.

use super::key::Key;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;

/// All but what RFC 3986 lets stand as it is (section 2.3).
pub const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An order's two parts as they stand in a path.
pub fn written(route: &str, key: &str) -> String {
    format!("{}/{}", segment(route), segment(key))
}

/// The order that two parts of a path name; `None` where they can name none.
pub fn read<'p>(route: &'p str, key: &str) -> Option<(Cow<'p, str>, Key)> {
    let route = percent_decode_str(route).decode_utf8().ok()?;
    let key = percent_decode_str(key).decode_utf8().ok()?;
    Some((route, Key::from_text(&key).ok()?))
}

/// A part that is all dots would lead elsewhere.
fn segment(text: &str) -> impl std::fmt::Display + '_ {
    let all_dots = text.bytes().all(|byte| byte == b'.');
    utf8_percent_encode(text, if all_dots { NON_ALPHANUMERIC } else { RESERVED })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_good_names_stand_as_they_are() {
        for (route, key, text) in [
            ("pay", "2024-0001", "pay/2024-0001"),
            ("pay-order_2.v1", "a~b", "pay-order_2.v1/a~b"),
            ("pay", "a/b?c#d%e", "pay/a%2Fb%3Fc%23d%25e"),
            (".", "..", "%2E/%2E%2E"),
        ] {
            assert_eq!(written(route, key), text);
            let (one, other) = text.split_once('/').unwrap();
            let found = read(one, other).unwrap();
            assert_eq!((&*found.0, found.1.as_str()), (route, key));
        }
    }

    #[test]
    fn what_was_encoded_without_need_is_read_and_what_names_no_order_is_not() {
        let (route, key) = read("pay%2Dorder%5f2%2Ev1", "2024%2d0001").unwrap();
        assert_eq!((&*route, key.as_str()), ("pay-order_2.v1", "2024-0001"));
        for (route, key) in [("pay", ""), ("pay", "a%20b"), ("pay", "%ff"), ("%ff", "1")] {
            assert!(read(route, key).is_none(), "{route} {key}");
        }
    }
}
