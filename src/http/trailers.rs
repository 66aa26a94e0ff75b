//! Trailers of what is not protected: they pass where they are announced, and to whom asked for
//! them. hyper sends no others.

use hyper::header::{CONNECTION, HeaderMap, HeaderValue, TE, TRAILER};

const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// What a message says of trailers; taken before [`crate::model::response::strip`], for it belongs
/// to the connection, and put back in our own words.
#[derive(Default)]
pub(super) struct Trailers {
    wanted: bool,
    announced: Option<HeaderValue>,
}

impl Trailers {
    /// What a request says; of those it announces, the ones that are `gone` are not passed on.
    pub(super) fn of(headers: &HeaderMap, gone: impl Fn(&str) -> bool) -> Trailers {
        Trailers { wanted: are_wanted(headers), announced: announced(headers, gone) }
    }

    /// What an answer says to a caller who asked for trailers.
    pub(super) fn of_answer(headers: &HeaderMap) -> Trailers {
        let own = |name: &str| name.starts_with("onceward-");
        Trailers { wanted: false, announced: announced(headers, own) }
    }

    /// Says it to the next one.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        if self.wanted {
            headers.insert(TE, TRAILERS);
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
        if let Some(announced) = self.announced {
            headers.insert(TRAILER, announced);
        }
    }
}

/// Whether trailers are asked for.
pub(super) fn are_wanted(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(TE).iter();
    lines.any(|line| words(line).any(|word| word.eq_ignore_ascii_case("trailers")))
}

/// The trailers announced, but for those that are `gone`.
fn announced(headers: &HeaderMap, gone: impl Fn(&str) -> bool) -> Option<HeaderValue> {
    let names = headers.get_all(TRAILER).iter().flat_map(words).map(str::to_ascii_lowercase);
    let names: Vec<_> = names.filter(|name| !gone(name)).collect();
    if names.is_empty() {
        return None;
    }
    HeaderValue::try_from(names.join(", ")).ok()
}

/// The words of a comma-separated line.
fn words(line: &HeaderValue) -> impl Iterator<Item = &str> {
    line.to_str().unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn check(lines: &[(&'static str, &'static str)], te: Option<&str>, trailer: Option<&str>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let trailers = Trailers::of(&headers, |name| name == "x-own");
        let mut told = HeaderMap::new();
        trailers.tell(&mut told);
        let said = |name: &str| told.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((said("te"), said("trailer")), (te, trailer), "{lines:?}");
        assert_eq!(said("connection"), te.map(|_| "te"));
    }

    #[test]
    fn what_is_wanted_and_announced_is_told_and_nothing_else() {
        check(&[], None, None);
        check(&[("te", "gzip;q=0.5, Trailers")], Some("trailers"), None);
        check(&[("te", "gzip"), ("connection", "te")], None, None);
        check(&[("trailer", "X-A,, x-b"), ("trailer", "x-c")], None, Some("x-a, x-b, x-c"));
        check(&[("trailer", "X-Own, x-a")], None, Some("x-a"));
        check(&[("trailer", "x-own")], None, None);
    }
}
