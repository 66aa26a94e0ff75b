//! What an upstream answer means for its order.
//!
//! Rules of the route speak first; where none of them matches, the contract's table (section 4).

use super::source::{BadValue, MustRead, Source, View};
use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, StatusCode};

/// What an answer says about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It happened.
    Succeeded,
    /// It did not and will not.
    Failed,
    /// It is not decided, or cannot be told.
    Unknown,
    /// Upstream declined to begin: as if it had not been sent.
    Declined,
    /// A query's word: no such order.
    Absent,
    /// A cancel's word: it is cancelled.
    Cancelled,
}

impl Meaning {
    /// The meaning of a rule's `means`.
    pub fn from_word(word: &str) -> Option<Meaning> {
        use Meaning::{Absent, Cancelled, Declined, Failed, Succeeded, Unknown};
        let all = [Succeeded, Failed, Unknown, Declined, Absent, Cancelled];
        all.into_iter().find(|meaning| meaning.word() == word)
    }

    /// As a rule's `means` says it.
    pub fn word(self) -> &'static str {
        match self {
            Meaning::Succeeded => "succeeded",
            Meaning::Failed => "failed",
            Meaning::Unknown => "unknown",
            Meaning::Declined => "declined",
            Meaning::Absent => "absent",
            Meaning::Cancelled => "cancelled",
        }
    }
}

/// One rule: all it names must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Statuses it speaks of; empty for any.
    pub status: Vec<u16>,
    /// Where in the answer, and which of these texts stands there.
    pub at: Option<(Source, Vec<String>)>,
    /// What the answer means then.
    pub means: Meaning,
}

/// Why a rule cannot tell whether it speaks of an answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The body is larger than is read.
    #[error("the body is too large to be read")]
    TooLarge,
    /// It is not what the rule reads: cut short, of another kind or told wrong; or it says twice
    /// what the rule reads.
    #[error(transparent)]
    Bad(#[from] BadValue),
}

impl Rule {
    /// Whether it has to read the body.
    pub fn reads_body(&self) -> bool {
        self.at.as_ref().is_some_and(|(source, _)| source.is_in_body())
    }

    fn is_about(&self, status: StatusCode) -> bool {
        self.status.is_empty() || self.status.contains(&status.as_u16())
    }

    fn speaks_of(&self, answer: &Answer<'_>) -> Result<bool, Unreadable> {
        if !self.is_about(answer.status) {
            return Ok(false);
        }
        let Some((source, texts)) = &self.at else {
            return Ok(true);
        };
        let body = match answer.body {
            None if source.is_in_body() => return Err(Unreadable::TooLarge),
            body => body.unwrap_or_default(),
        };
        Ok(source.is_one_of(&answer.view(body, answer.must_read()), texts)?)
    }

    /// Whether it has to read the body, and can.
    fn reads(&self, answer: &Answer<'_>) -> bool {
        let (Some((source, _)), Some(body)) = (&self.at, answer.body) else {
            return false;
        };
        let view = answer.view(body, MustRead::Any);
        source.is_in_body() && self.is_about(answer.status) && source.is_one_of(&view, &[]).is_ok()
    }
}

/// What came of a request, as rules look at it.
struct Answer<'a> {
    status: StatusCode,
    headers: &'a HeaderMap,
    /// `None` where it is larger than is read.
    body: Option<&'a [u8]>,
}

impl Answer<'_> {
    fn view<'v>(&'v self, body: &'v [u8], must_read: MustRead) -> View<'v> {
        View { headers: self.headers, query: "", params: None, body, must_read }
    }

    /// By its status alone it would count as a success: so what it says must be known. An error may
    /// be the page of a gateway, which knows nothing of the rules.
    fn must_read(&self) -> MustRead {
        match self.status.as_u16() {
            200..=399 => MustRead::Any,
            _ => MustRead::Declared,
        }
    }
}

/// What an answer to an attempt means; `body` is `None` where it is larger than is read.
///
/// # Errors
/// When a rule has to read what cannot be read: it may have spoken of this answer, whatever its
/// status and whatever later rules say. Nobody knows then what upstream meant.
pub fn of_attempt(
    rules: &[Rule],
    status: StatusCode,
    headers: &HeaderMap,
    body: Option<&[u8]>,
) -> Result<Meaning, Unreadable> {
    let said = first_that_speaks(rules, &Answer { status, headers, body })?;
    Ok(said.unwrap_or_else(|| by_status(status, headers)))
}

/// What an answer to a query or a cancel call means: its own rules or nothing. Such calls have no
/// table to fall back on: an error, garbage, or what a rule cannot read settles nothing.
pub fn of_call(
    rules: &[Rule],
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<Meaning> {
    first_that_speaks(rules, &Answer { status, headers, body: Some(body) }).ok().flatten()
}

fn first_that_speaks(rules: &[Rule], answer: &Answer<'_>) -> Result<Option<Meaning>, Unreadable> {
    for rule in rules {
        match rule.speaks_of(answer) {
            Ok(true) => return Ok(Some(rule.means)),
            Ok(false) => {}
            // A service may answer in JSON or in XML, and its route have rules for either.
            Err(Unreadable::Bad(BadValue::Body(_)))
                if rules.iter().any(|other| other.reads(answer)) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(None)
}

/// The contract's table, where no rule speaks.
fn by_status(status: StatusCode, headers: &HeaderMap) -> Meaning {
    match status.as_u16() {
        429 => Meaning::Declined,
        503 if headers.contains_key(RETRY_AFTER) => Meaning::Declined,
        200..=399 => Meaning::Succeeded,
        400..=499 => Meaning::Failed,
        _ => Meaning::Unknown,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use hyper::header::{CONTENT_TYPE, HeaderValue};

    fn check(status: u16, retry_after: bool, means: Meaning) {
        let mut headers = HeaderMap::new();
        if retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        let status = StatusCode::from_u16(status).unwrap();
        for body in [Some(&b""[..]), Some(b"{"), None] {
            let got = of_attempt(&[], status, &headers, body);
            assert_eq!(got, Ok(means), "{status} {retry_after}");
        }
    }

    #[test]
    fn the_contracts_table() {
        check(200, false, Meaning::Succeeded);
        check(204, false, Meaning::Succeeded);
        check(302, false, Meaning::Succeeded);
        check(400, false, Meaning::Failed);
        check(409, true, Meaning::Failed);
        check(429, false, Meaning::Declined);
        check(429, true, Meaning::Declined);
        check(500, false, Meaning::Unknown);
        check(500, true, Meaning::Unknown);
        check(503, true, Meaning::Declined);
        check(503, false, Meaning::Unknown);
        check(504, false, Meaning::Unknown);
        check(599, false, Meaning::Unknown);
    }

    #[test]
    fn a_rule_speaks_before_the_table_and_the_first_that_matches_wins() {
        let rule = |status: &[u16], text: &str, means| Rule {
            status: status.to_vec(),
            at: Some((Source::Json("/data/status".into()), vec![text.into()])),
            means,
        };
        let rules = [rule(&[], "USERPAYING", Meaning::Unknown), rule(&[200], "7", Meaning::Failed)];
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let of = |status, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            of_attempt(&rules, status, &headers, Some(body.as_bytes())).unwrap()
        };
        assert_eq!(of(200, r#"{"data":{"status":"USERPAYING"}}"#), Meaning::Unknown);
        assert_eq!(of(200, r#"{"data":{"status":7}}"#), Meaning::Failed);
        assert_eq!(of(201, r#"{"data":{"status":7}}"#), Meaning::Succeeded);
        assert_eq!(of(200, r#"{"data":{"status":"PAID"}}"#), Meaning::Succeeded);
        assert_eq!(of(200, ""), Meaning::Succeeded);
        // What answers a query is told by its rules alone.
        let of_query = |body: &str| of_call(&rules, StatusCode::OK, &headers, body.as_bytes());
        assert_eq!(of_query(r#"{"data":{"status":7}}"#), Some(Meaning::Failed));
        assert_eq!(of_query(r#"{"data":{"status":"PAID"}}"#), None);
        assert_eq!(of_query("not JSON"), None);
    }

    /// A 402 is declined; then `{"s": "P"}` means failed; then a 409 succeeded.
    fn three_rules() -> [Rule; 3] {
        let at = Some((Source::Json("/s".into()), vec!["P".into()]));
        [
            Rule { status: vec![402], at: None, means: Meaning::Declined },
            Rule { status: vec![], at, means: Meaning::Failed },
            Rule { status: vec![409], at: None, means: Meaning::Succeeded },
        ]
    }

    /// What they make of an answer of this type; `None` where they cannot tell.
    fn of(kind: &str, status: u16, body: Option<&[u8]>) -> Option<Meaning> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        of_attempt(&three_rules(), StatusCode::from_u16(status).unwrap(), &headers, body).ok()
    }

    #[test]
    fn a_call_is_not_told_by_a_rule_behind_one_that_cannot_be_read() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let of = |status, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            of_call(&three_rules(), status, &headers, body.as_bytes())
        };
        assert_eq!(of(409, r#"{"s":"Q"}"#), Some(Meaning::Succeeded));
        assert_eq!(of(409, r#"{"s":"P"#), None);
        assert_eq!(of(402, r#"{"s":"P"#), Some(Meaning::Declined));
    }

    #[test]
    fn where_a_rule_has_to_read_what_cannot_be_read_no_status_and_no_later_rule_tells() {
        for status in [200, 302, 404, 409, 429, 500, 503] {
            for cut in [&b"not JSON"[..], br#"{"s":"P"#, b"\x1f\x8b\x08", b"\n"] {
                assert_eq!(of("application/json", status, Some(cut)), None, "{status}");
            }
            for kind in ["application/json", "text/html"] {
                assert_eq!(of(kind, status, None), None, "{status} {kind}");
            }
        }
        // A rule before it that reads no body tells.
        assert_eq!(of("application/json", 402, Some(b"{")), Some(Meaning::Declined));
        assert_eq!(of("application/json", 402, None), Some(Meaning::Declined));
    }

    #[test]
    fn an_empty_answer_and_a_gateways_error_go_by_later_rules_and_their_status() {
        for (kind, body) in
            [("application/json", &b""[..]), ("text/html", b"<h1>Busy</h1>"), ("", b"{\"s\":")]
        {
            for (status, means) in [
                (404, Meaning::Failed),
                (409, Meaning::Succeeded),
                (429, Meaning::Declined),
                (503, Meaning::Declined),
                (500, Meaning::Unknown),
            ] {
                assert_eq!(of(kind, status, Some(body)), Some(means), "{kind} {status}");
            }
        }
        assert_eq!(of("application/json", 200, Some(b"")), Some(Meaning::Succeeded));
        assert_eq!(of("text/html", 429, Some(br#"{"s":"P"}"#)), Some(Meaning::Failed));
    }

    #[test]
    fn an_answer_of_another_kind_is_no_success_whatever_its_type() {
        for kind in ["text/html; charset=GBK", "text/plain", "application/xml", "image/png", ""] {
            for body in [
                &b"<R><s>P</s></R>"[..],
                b"<h1>Log in</h1>",
                b"{\"s\":\"P\",\"m\":\"\xb2\xe2\"}",
                b"{\"s\":\"P\",}",
                b"{\"s\":\"P\"}\n<!-- 0.1s -->",
                b"success",
                b"\x1f\x8b\x08",
            ] {
                for status in [200, 201, 302, 399] {
                    assert_eq!(of(kind, status, Some(body)), None, "{kind} {status} {body:?}");
                }
            }
            let marked = b"\xef\xbb\xbf{\"s\":\"P\"}";
            assert_eq!(of(kind, 200, Some(marked)), Some(Meaning::Failed), "{kind}");
            for other in [&br#"{"t":"P"}"#[..], b"7"] {
                assert_eq!(of(kind, 200, Some(other)), Some(Meaning::Succeeded), "{kind}");
            }
        }
    }

    #[test]
    fn a_call_is_not_told_by_a_page_that_is_no_answer() {
        let at = Some((Source::Json("/s".into()), vec!["P".into()]));
        let rules = [
            Rule { status: vec![], at, means: Meaning::Unknown },
            Rule { status: vec![200], at: None, means: Meaning::Succeeded },
            Rule { status: vec![404], at: None, means: Meaning::Absent },
        ];
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        let of = |status, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            of_call(&rules, status, &headers, body.as_bytes())
        };
        assert_eq!(of(200, "<h1>Log in</h1>"), None);
        assert_eq!(of(200, r#"{"s":"Q"}"#), Some(Meaning::Succeeded));
        assert_eq!(of(200, ""), Some(Meaning::Succeeded));
        assert_eq!(of(404, "<h1>No such page</h1>"), Some(Meaning::Absent));
    }

    #[test]
    fn where_there_are_rules_for_two_kinds_an_answer_of_either_can_be_read() {
        let rule = |status: &[u16], source: &str, means| Rule {
            status: status.to_vec(),
            at: Some((Source::parse(source).unwrap(), vec!["P".into()])),
            means,
        };
        let rules = [
            rule(&[], "json:/s", Meaning::Unknown),
            rule(&[], "xml:s", Meaning::Failed),
            rule(&[500], "form:s", Meaning::Failed),
        ];
        let check = |kind: &str, body: &str, means: Option<Meaning>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
            let got = of_attempt(&rules, StatusCode::OK, &headers, Some(body.as_bytes()));
            assert_eq!(got.ok(), means, "{kind} {body}");
        };
        for kind in ["text/plain", "application/json", "application/xml"] {
            check(kind, r#"{"s":"P"}"#, Some(Meaning::Unknown));
            check(kind, r#"{"s":"Q"}"#, Some(Meaning::Succeeded));
            check(kind, "<x><s>P</s></x>", Some(Meaning::Failed));
            check(kind, "<x><s>Q</s></x>", Some(Meaning::Succeeded));
            for neither in ["<x><s>P", r#"{"s":"P"#, "s=P", "<x><s>P</s><s>P</s></x>"] {
                check(kind, neither, None);
            }
        }
        // What reads forms has no say about this status.
        check("application/x-www-form-urlencoded", "s=P", None);
    }

    #[test]
    fn a_rule_about_a_header_speaks_of_an_answer_of_any_size() {
        let at = Some((Source::parse("header:x-paid").unwrap(), vec!["no".into()]));
        let rules = [Rule { status: vec![], at, means: Meaning::Failed }];
        let mut headers = HeaderMap::new();
        assert_eq!(of_attempt(&rules, StatusCode::OK, &headers, None), Ok(Meaning::Succeeded));
        headers.insert("x-paid", HeaderValue::from_static("no"));
        assert_eq!(of_attempt(&rules, StatusCode::OK, &headers, None), Ok(Meaning::Failed));
    }

    #[test]
    fn a_rule_matches_any_value_by_its_text_and_a_number_by_its_worth() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let check = |text: &str, value: &str, matches: bool| {
            let at = Some((Source::Json("/a".into()), vec!["no".into(), text.into()]));
            let rules = [Rule { status: vec![], at, means: Meaning::Unknown }];
            let body = format!(r#"{{"a":{value}}}"#);
            let means = of_attempt(&rules, StatusCode::OK, &headers, Some(body.as_bytes()));
            let expect = if matches { Meaning::Unknown } else { Meaning::Succeeded };
            assert_eq!(means, Ok(expect), "{text} {value}");
        };
        for word in ["true", "false", "null"] {
            check(word, word, true);
            check(word, &format!("\"{word}\""), true);
            check("1", word, false);
            check("0", word, false);
        }
        check("true", "false", false);
        for one in ["1", "\"1\"", "1.0", "10e-1"] {
            check("1", one, true);
        }
        check("1", "\"1.0\"", false);
        check("1.5", "1.50", true);
        check("1.50", "1.5", true);
        check("1.5", "-1.5", false);
        check("", "\"\"", true);
        for none in ["{}", "[]", "[1]", "{\"a\":1}"] {
            for text in ["", "1", "null", none] {
                check(text, none, false);
            }
        }
    }

    #[test]
    fn what_a_rule_reads_and_stands_there_twice_is_not_known() {
        let rule = |source: &str| Rule {
            status: vec![],
            at: Some((Source::parse(source).unwrap(), vec!["P".into()])),
            means: Meaning::Failed,
        };
        for (kind, source, body) in [
            ("application/json", "json:/s", r#"{"s":"P","s":"Q"}"#),
            ("application/json", "json:/s", r#"{"s":"Q","s":"Q"}"#),
            ("application/json", "json:/a/s", r#"{"a":{"s":"Q"},"a":{}}"#),
            ("text/plain", "json:/s", r#"{"s":"P","\u0073":"Q"}"#),
            ("text/xml", "xml:s", "<x><s>P</s><s>Q</s></x>"),
            ("application/x-www-form-urlencoded", "form:s", "s=P&s=Q"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            for status in [StatusCode::OK, StatusCode::PAYMENT_REQUIRED] {
                let means = of_attempt(&[rule(source)], status, &headers, Some(body.as_bytes()));
                assert!(matches!(means, Err(Unreadable::Bad(_))), "{status} {body}");
            }
            let of_query = of_call(&[rule(source)], StatusCode::OK, &headers, body.as_bytes());
            assert_eq!(of_query, None, "{body}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let elsewhere = br#"{"s":"Q","t":1,"t":2}"#;
        let means = of_attempt(&[rule("json:/s")], StatusCode::OK, &headers, Some(elsewhere));
        assert_eq!(means, Ok(Meaning::Succeeded), "no rule reads what stands there twice");
    }
}
