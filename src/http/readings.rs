//! Other ways in which a payment service may read a path: not the one we match, but in use.
//!
//! What runs behind WSGI or ASGI, and many a router, sees a path decoded, an encoded slash as a slash
//! among others. URL parsers of the browser's kind take a backslash for a slash, and what follows
//! two leading slashes for a host. Where such a reading leads to another order or another route,
//! nobody can say which one is meant.

use std::borrow::Cow;

/// Other readings of a path as it came; none for a plain one.
pub(super) fn others(path: &str) -> Vec<String> {
    if !path.starts_with("//") && memchr::memchr2(b'%', b'\\', path.as_bytes()).is_none() {
        return Vec::new();
    }
    let slashed = slashes(path);
    let hostless = path
        .replace('\\', "/")
        .strip_prefix("//")
        .map(|rest| slashes(&rest[rest.find('/').unwrap_or(rest.len())..]).into_owned());
    let mut readings = Vec::new();
    if let Cow::Owned(slashed) = slashed {
        readings.push(slashed);
    }
    readings.extend(hostless);
    readings
}

/// The path with a slash in place of everything that is taken for one.
fn slashes(path: &str) -> Cow<'_, str> {
    if !path.contains(['%', '\\']) {
        return Cow::Borrowed(path);
    }
    let mut out = path.replace('\\', "/");
    for spelling in ["%2f", "%2F", "%5c", "%5C"] {
        out = out.replace(spelling, "/");
    }
    if out == path {
        return Cow::Borrowed(path);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expect: &[&str]) {
        assert_eq!(others(path), expect, "{path}");
    }

    #[test]
    fn a_plain_path_is_read_in_one_way() {
        check("/", &[]);
        check("/order/pay", &[]);
        check("/order//pay", &[]);
        check("/order/p%61y", &[]);
    }

    #[test]
    fn whatever_is_taken_for_a_slash_may_be_one() {
        check("/order%2Fpay", &["/order/pay"]);
        check("/order%5cpay", &["/order/pay"]);
        check("/order\\pay", &["/order/pay"]);
    }

    #[test]
    fn two_leading_slashes_may_name_a_host() {
        check("//x/pay", &["/pay"]);
        check("//x", &[""]);
        check("/\\x/pay", &["//x/pay", "/pay"]);
        check("//x/y%2Fpay", &["//x/y/pay", "/y/pay"]);
    }
}
