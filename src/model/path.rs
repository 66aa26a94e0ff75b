//! Paths: the one spelling under which routes are matched, and the patterns of routes.
//!
//! Promises: spellings that a payment service may take for one path come out as one path, so that
//! nobody slips past protection by writing it otherwise. Refuses to know queries, methods and what
//! is sent upstream (the path as it came).

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// The one spelling of a request path (without query), or `None` when it has none: it does not
/// begin with `/`, or holds a bad percent escape, invalid UTF-8 or a control character.
///
/// Escapes are decoded except `%2F`, `%25` and `%3B`, which would change what the path says; so the
/// result is its own spelling. `.` and `..` are resolved, empty segments and a trailing slash
/// dropped, and `;parameters` of segments cut off: servlet containers ignore them when routing.
/// Only where such parameters stand on a `.` or `..` is the path refused, because services disagree
/// on where it leads.
pub fn normal(path: &str) -> Option<Cow<'_, str>> {
    if is_plain(path.as_bytes()) {
        return Some(Cow::Borrowed(path));
    }
    let segments = path.strip_prefix('/')?;
    if path.contains(char::is_control) || !escapes_well(path) {
        return None;
    }
    let plain = |segment| !matches!(segment, "" | "." | "..") && !segment.contains(['%', ';']);
    if segments.is_empty() || segments.split('/').all(plain) {
        return Some(Cow::Borrowed(path));
    }
    let mut out = String::with_capacity(path.len());
    for segment in segments.split('/') {
        let (name, parameters) = match segment.find(';') {
            Some(semicolon) => segment.split_at(semicolon),
            None => (segment, ""),
        };
        let decoded = percent_decode_str(name).decode_utf8().ok()?;
        match &*decoded {
            "" => {}
            "." | ".." if !parameters.is_empty() => return None,
            "." => {}
            ".." => out.truncate(out.rfind('/').unwrap_or(0)),
            name => {
                out.push('/');
                spell(name, &mut out)?;
            }
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    Some(Cow::Owned(out))
}

/// Whether a path is its own spelling at first sight, as most are: segments of letters, digits,
/// hyphens and underscores, each behind one slash.
fn is_plain(path: &[u8]) -> bool {
    let named = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    path.first() == Some(&b'/')
        && path.last().is_some_and(named)
        && path.windows(2).all(|two| named(&two[1]) || (two[1] == b'/' && named(&two[0])))
}

fn escapes_well(path: &str) -> bool {
    let mut tails = path.as_bytes().split(|byte| *byte == b'%').skip(1);
    tails.all(|tail| tail.len() >= 2 && tail[..2].iter().all(u8::is_ascii_hexdigit))
}

fn spell(name: &str, out: &mut String) -> Option<()> {
    for c in name.chars() {
        match c {
            '/' => out.push_str("%2F"),
            '%' => out.push_str("%25"),
            ';' => out.push_str("%3B"),
            c if c.is_control() => return None,
            c => out.push(c),
        }
    }
    Some(())
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadPattern {
    /// It does not begin with `/`.
    #[error("a path pattern begins with /")]
    Start,
    /// A query or a fragment, of which no path knows.
    #[error("a path pattern ends before ? and #: routes are told apart by their paths alone")]
    Query,
    /// A segment no normal path has: empty, `.`, `..`, with parameters or bad escapes.
    #[error("a path pattern holds a segment that no path can match")]
    Segment,
    /// A brace or a star inside a segment.
    #[error("{{name}} and * stand for a whole path segment")]
    Part,
    /// A name other than letters, digits, `-` and `_`, or none.
    #[error("a {{name}} consists of letters, digits, - and _")]
    Name,
    /// One name twice.
    #[error("a {{name}} appears twice")]
    Twice,
    /// A `*` before the end.
    #[error("a * may only end a path pattern")]
    Rest,
}

/// Which paths belong to a route: literal segments, `{name}` segments, and a trailing `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    segments: Vec<Segment>,
    rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Name(String),
}

impl Pattern {
    /// Reads a pattern. Literal segments may be spelled like any path; a trailing slash is dropped.
    ///
    /// # Errors
    /// [`BadPattern`] when it could never match as its writer meant.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let mut pattern = Self { text: text.to_owned(), segments: Vec::new(), rest: false };
        let inner = text.strip_prefix('/').ok_or(BadPattern::Start)?;
        if text.contains(['?', '#']) {
            return Err(BadPattern::Query);
        }
        if inner.is_empty() {
            return Ok(pattern);
        }
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        for segment in inner.split('/') {
            if pattern.rest {
                return Err(BadPattern::Rest);
            }
            if segment == "*" {
                pattern.rest = true;
            } else {
                let segment = Segment::parse(segment)?;
                if matches!(segment, Segment::Name(_)) && pattern.segments.contains(&segment) {
                    return Err(BadPattern::Twice);
                }
                pattern.segments.push(segment);
            }
        }
        Ok(pattern)
    }

    /// The named segments when a path in its [`normal`] spelling belongs to this pattern.
    /// A trailing `*` matches whatever is left, also nothing.
    pub fn matches(&self, normal_path: &str) -> Option<Params> {
        let inner = normal_path.strip_prefix('/')?;
        let mut given = inner.split('/').filter(|segment| !segment.is_empty());
        let mut params = Params(Vec::new());
        for segment in &self.segments {
            let found = given.next()?;
            match segment {
                Segment::Literal(literal) if literal == found => {}
                Segment::Literal(_) => return None,
                // The key `a/b` is the same key here as in a body.
                Segment::Name(name) => {
                    let text = percent_decode_str(found).decode_utf8().ok()?;
                    params.0.push((name.clone(), text.into_owned()));
                }
            }
        }
        (self.rest || given.next().is_none()).then_some(params)
    }

    /// Whether it has a segment `{name}`.
    pub fn has(&self, name: &str) -> bool {
        let mut segments = self.segments.iter();
        segments.any(|segment| matches!(segment, Segment::Name(own) if own == name))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, BadPattern> {
        if let Some(name) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if name.is_empty() || !name.chars().all(good) {
                return Err(BadPattern::Name);
            }
            return Ok(Self::Name(name.to_owned()));
        }
        if text.contains(['{', '}', '*']) {
            return Err(BadPattern::Part);
        }
        let path = format!("/{text}");
        let spelled = normal(&path).ok_or(BadPattern::Segment)?;
        if spelled == "/" || text.contains(';') {
            return Err(BadPattern::Segment);
        }
        Ok(Self::Literal(spelled[1..].to_owned()))
    }
}

/// The named segments of one matched path, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// The text of the segment `{name}`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| *own == name);
        found.map(|(_, text)| text.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::model::noise;

    fn check(path: &str, expect: Option<&str>) {
        assert_eq!(normal(path).as_deref(), expect, "{path}");
        if let Some(expect) = expect {
            assert_eq!(normal(expect).as_deref(), expect.into(), "its own spelling");
        }
    }

    fn check_match(pattern: &str, path: &str, expect: Option<&[(&str, &str)]>) {
        let pattern = Pattern::parse(pattern).unwrap();
        let path = normal(path).unwrap();
        let found = pattern.matches(&path).map(|params| params.0);
        let owned = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs.map(|(n, t)| (n.to_string(), t.to_string())).collect()
        };
        assert_eq!(found, expect.map(owned), "{pattern} {path}");
    }

    #[test]
    fn a_plain_path_is_not_copied() {
        for path in ["/", "/order/pay", "/a.b/..c/...", "/订单", "/a b/~*{}"] {
            assert!(matches!(normal(path), Some(Cow::Borrowed(same)) if same == path));
        }
    }

    #[test]
    fn other_spellings_of_a_path_are_that_path() {
        for path in [
            "/order/pay",
            "/order/pay/",
            "//order///pay//",
            "/order/p%61y",
            "/%6frder/%70%61%79",
            "/./order/./pay/.",
            "/x/../order/pay",
            "/order/pay/x/..",
            "/../../order/pay",
            "/x/%2e%2E/order/%2e/pay",
            "/order/pay;jsessionid=1",
            "/order;a=1;b/pay;",
            "/;a/order/pay/;b",
            "/order/pay;%2F%3B",
        ] {
            check(path, Some("/order/pay"));
        }
        check("/%E8%AE%A2%e5%8d%95", Some("/订单"));
        check("/a/..", Some("/"));
        check("/..", Some("/"));
        check("//", Some("/"));
        check("/a%20b%3F%23", Some("/a b?#"));
    }

    #[test]
    fn other_paths_stay_other_paths() {
        check("/order%2Fpay", Some("/order%2Fpay"));
        check("/order%2fpay", Some("/order%2Fpay"));
        check("/order%252Fpay", Some("/order%252Fpay"));
        check("/p%2561y", Some("/p%2561y"));
        check("/order/pay%3Ba", Some("/order/pay%3Ba"));
        check("/%2e%2e%2fa", Some("/..%2Fa"));
        check("/Order/Pay", Some("/Order/Pay"));
        check("/order\\pay", Some("/order\\pay"));
    }

    #[test]
    fn a_path_without_one_spelling_is_refused() {
        for path in [
            "",
            "*",
            "order",
            "http://a/",
            "/%",
            "/%1",
            "/%zz",
            "/%+1",
            "/a%",
            "/%%",
            "/%00",
            "/a\0",
            "/%0a",
            "/a\tb",
            "/%7f",
            "/%FF",
            "/%C0%AF",
            "/%ED%A0%80",
            "/%C2%80",
            "/a;%",
            "/a/..;/b",
            "/a/.;x/b",
            "/a/%2e%2e;/b",
            "/a;\n",
        ] {
            check(path, None);
        }
    }

    #[test]
    fn patterns_match_whole_paths() {
        check_match("/", "/", Some(&[]));
        check_match("/", "/a", None);
        check_match("/order/pay", "/order/pay/", Some(&[]));
        check_match("/order/pay/", "/order/pay", Some(&[]));
        check_match("/order/pay", "/order/pay/x", None);
        check_match("/order/pay", "/order", None);
        check_match("/order/pay", "/order%2Fpay", None);
        check_match("/订", "/%E8%AE%A2", Some(&[]));
        check_match("/%e8%ae%a2", "/订", Some(&[]));
    }

    #[test]
    fn names_take_one_segment_and_are_decoded() {
        check_match("/o/{id}", "/o/1", Some(&[("id", "1")]));
        check_match("/o/{id}/{v-2}", "/o/1/x", Some(&[("id", "1"), ("v-2", "x")]));
        check_match("/o/{id}", "/o/a%2Fb%25%3B;v=1", Some(&[("id", "a/b%;")]));
        check_match("/o/{id}", "/o/", None);
        check_match("/o/{id}", "/o/1/2", None);
        check_match("/{id}/pay", "/1/cancel", None);
    }

    #[test]
    fn a_star_takes_the_rest_and_nothing() {
        for path in ["/", "/a", "/a/b"] {
            check_match("/*", path, Some(&[]));
        }
        check_match("/a/*", "/a", Some(&[]));
        check_match("/a/*", "/a/b/c", Some(&[]));
        check_match("/a/*", "/ab", None);
        check_match("/a/{id}/*", "/a/1/x", Some(&[("id", "1")]));
        check_match("/a/{id}/*", "/a", None);
    }

    #[test]
    fn patterns_that_cannot_mean_what_they_say_are_refused() {
        for (pattern, expect) in [
            ("", BadPattern::Start),
            ("a", BadPattern::Start),
            ("*", BadPattern::Start),
            ("/a//b", BadPattern::Segment),
            ("//", BadPattern::Segment),
            ("/a/../b", BadPattern::Segment),
            ("/a/.", BadPattern::Segment),
            ("/a/%2e", BadPattern::Segment),
            ("/a%", BadPattern::Segment),
            ("/a;b", BadPattern::Segment),
            ("/a\n", BadPattern::Segment),
            ("/a*", BadPattern::Part),
            ("/**", BadPattern::Part),
            ("/a{id}", BadPattern::Part),
            ("/{id}.json", BadPattern::Part),
            ("/{id", BadPattern::Part),
            ("/{}", BadPattern::Name),
            ("/{a b}", BadPattern::Name),
            ("/{{a}}", BadPattern::Name),
            ("/{*}", BadPattern::Name),
            ("/{a}/{a}", BadPattern::Twice),
            ("/*/a", BadPattern::Rest),
            ("/*/*", BadPattern::Rest),
        ] {
            assert_eq!(Pattern::parse(pattern), Err(expect), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_shows_itself_and_knows_its_names() {
        let pattern = Pattern::parse("/a/{id}/").unwrap();
        assert_eq!((pattern.as_str(), pattern.to_string()), ("/a/{id}/", "/a/{id}/".to_owned()));
        assert!(pattern.has("id") && !pattern.has("a"));
        assert_eq!(pattern.matches("/a/1").unwrap().get("x"), None);
        assert_eq!(pattern.matches("/a/1").unwrap().get("id"), Some("1"));
        assert_eq!(pattern.matches("a/1"), None);
        assert!(pattern.matches("/a/%FF").is_none(), "not a normal path");
    }

    #[test]
    fn large_and_random_input_is_survived() {
        check(&"/".repeat(1 << 20), Some("/"));
        check(&"/a/..".repeat(1 << 18), Some("/"));
        check(&format!("{}{}", "/a".repeat(1 << 18), "/..".repeat(1 << 18)), Some("/"));
        check(&format!("/{}", "%".repeat(1 << 20)), None);
        for alphabet in [&noise::bytes()[..], b"//..%2EFf5B;a{}*"] {
            noise::each(40_000, alphabet, |input| {
                let text = format!("/{}", String::from_utf8_lossy(input));
                let pattern = Pattern::parse(&text);
                let Some(path) = normal(&text) else { return };
                check(&path, Some(&path));
                assert!(path == "/" || !path.ends_with('/') && !path.contains("//"));
                if let Ok(pattern) = pattern {
                    let _ = pattern.matches(&path);
                }
            });
        }
    }
}
