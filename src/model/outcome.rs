//! What an upstream answer means for its order.
//!
//! Rules of the route speak first; where none of them matches, the contract's table (section 4).

use super::source::{Source, View};
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

/// Whether a rule speaks of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    /// It might, but the answer is not what its type says, cut short or told wrong, or says twice
    /// what the rule would read.
    Unreadable,
}

impl Rule {
    fn matches(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Match {
        if !self.status.is_empty() && !self.status.contains(&status.as_u16()) {
            return Match::No;
        }
        let Some((source, texts)) = &self.at else {
            return Match::Yes;
        };
        let view = View { headers, query: "", params: None, body };
        match source.is_one_of(&view, texts) {
            Ok(true) => Match::Yes,
            Ok(false) => Match::No,
            Err(_) => Match::Unreadable,
        }
    }
}

/// What an answer to an attempt means. Where a rule would have to read what cannot be read, nobody
/// knows what upstream meant, whatever its status.
pub fn of_attempt(rules: &[Rule], status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Meaning {
    let mut readable = true;
    for rule in rules {
        match rule.matches(status, headers, body) {
            Match::Yes => return rule.means,
            Match::No => {}
            Match::Unreadable => readable = false,
        }
    }
    match by_status(status, headers) {
        Meaning::Succeeded | Meaning::Failed if !readable => Meaning::Unknown,
        meaning => meaning,
    }
}

/// What an answer to a query or a cancel call means: its own rules or nothing. Such calls have no
/// table to fall back on: an error or garbage settles nothing.
pub fn of_call(
    rules: &[Rule],
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<Meaning> {
    let speaks = |rule: &&Rule| rule.matches(status, headers, body) == Match::Yes;
    rules.iter().find(speaks).map(|rule| rule.means)
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
        assert_eq!(of_attempt(&[], status, &headers, b""), means, "{status} {retry_after}");
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
            of_attempt(&rules, StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
        };
        assert_eq!(of(200, r#"{"data":{"status":"USERPAYING"}}"#), Meaning::Unknown);
        assert_eq!(of(200, r#"{"data":{"status":7}}"#), Meaning::Failed);
        assert_eq!(of(201, r#"{"data":{"status":7}}"#), Meaning::Succeeded);
        assert_eq!(of(200, r#"{"data":{"status":"PAID"}}"#), Meaning::Succeeded);
        assert_eq!(of(200, ""), Meaning::Succeeded);
        // Cut short, it may have said anything.
        assert_eq!(of(200, r#"{"data":{"status":"USERP"#), Meaning::Unknown);
        assert_eq!(of(404, "not JSON"), Meaning::Unknown);
        assert_eq!(of(429, "not JSON"), Meaning::Declined);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let plain = of_attempt(&rules, StatusCode::OK, &headers, b"not JSON");
        assert_eq!(plain, Meaning::Succeeded, "it does not say that it is JSON");
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // What answers a query is told by its rules alone.
        let of_query = |body: &str| of_call(&rules, StatusCode::OK, &headers, body.as_bytes());
        assert_eq!(of_query(r#"{"data":{"status":7}}"#), Some(Meaning::Failed));
        assert_eq!(of_query(r#"{"data":{"status":"PAID"}}"#), None);
        assert_eq!(of_query("not JSON"), None);
    }

    #[test]
    fn a_rule_matches_any_value_by_its_text_and_a_number_by_its_worth() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let check = |text: &str, value: &str, matches: bool| {
            let at = Some((Source::Json("/a".into()), vec!["no".into(), text.into()]));
            let rules = [Rule { status: vec![], at, means: Meaning::Unknown }];
            let body = format!(r#"{{"a":{value}}}"#);
            let means = of_attempt(&rules, StatusCode::OK, &headers, body.as_bytes());
            let expect = if matches { Meaning::Unknown } else { Meaning::Succeeded };
            assert_eq!(means, expect, "{text} {value}");
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
                let means = of_attempt(&[rule(source)], status, &headers, body.as_bytes());
                assert_eq!(means, Meaning::Unknown, "{status} {body}");
            }
            let of_query = of_call(&[rule(source)], StatusCode::OK, &headers, body.as_bytes());
            assert_eq!(of_query, None, "{body}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let elsewhere = br#"{"s":"Q","t":1,"t":2}"#;
        let means = of_attempt(&[rule("json:/s")], StatusCode::OK, &headers, elsewhere);
        assert_eq!(means, Meaning::Succeeded, "no rule reads what stands there twice");
    }
}
