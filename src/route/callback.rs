//! What a callback route says about a channel's notifications and upstream's acknowledgement.

use crate::model::field::Field;
use crate::model::order::State;
use crate::model::source::{BadValue, MustRead, Source, View};
use hyper::{HeaderMap, StatusCode};
use std::sync::Arc;

/// How the notifications of a route of kind `callback` are treated.
#[derive(Clone, Debug, PartialEq)]
pub struct Callback {
    /// The fields that, with the key, make one event.
    pub event: Vec<Source>,
    /// The fields that may not differ between its repeats.
    pub unchanged: Vec<Source>,
    /// What upstream's acknowledgement looks like.
    pub ack: Ack,
    /// The route whose order an acknowledged callback settles.
    pub settles: Option<Arc<str>>,
    /// What a notification says of that order; the first that matches. Without any, an acknowledged
    /// one says that it succeeded.
    pub outcome: Vec<Tells>,
}

/// What makes upstream's answer an acknowledgement: all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ack {
    /// Its statuses; empty for any 2xx.
    pub status: Vec<u16>,
    /// Its body, byte for byte, but for white space around it.
    pub body: Option<String>,
    /// Where in it, and which of these texts stands there.
    pub at: Option<(Source, Vec<String>)>,
}

/// What a notification tells when a text stands somewhere in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tells {
    /// Where.
    pub at: Source,
    /// Which texts; `None` for anything that says something ([`Source::is_said`]).
    pub texts: Option<Vec<String>>,
    /// The state it tells of; `None` when it settles nothing.
    pub means: Option<State>,
}

impl Callback {
    /// What stands in these fields.
    ///
    /// # Errors
    /// When one stands there twice or cannot be read.
    pub fn values(sources: &[Source], view: &View<'_>) -> Result<Vec<Field>, BadValue> {
        sources.iter().map(|source| source.field(view)).collect()
    }

    /// The state a notification settles its order in, if any. What no rule speaks of settles
    /// nothing; nor does what a rule cannot read, for a later one might say more than is known.
    pub fn tells(&self, view: &View<'_>) -> Option<State> {
        if self.outcome.is_empty() {
            return Some(State::Succeeded);
        }
        for rule in &self.outcome {
            if rule.matches(view).ok()? {
                return rule.means;
            }
        }
        None
    }
}

impl Tells {
    fn matches(&self, view: &View<'_>) -> Result<bool, BadValue> {
        match &self.texts {
            Some(texts) => self.at.is_one_of(view, texts),
            None => self.at.is_said(view),
        }
    }
}

impl Ack {
    /// Whether this answer is an acknowledgement.
    pub fn is_given(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> bool {
        let status = match self.status.is_empty() {
            true => status.is_success(),
            false => self.status.contains(&status.as_u16()),
        };
        let text = self.body.as_ref().is_none_or(|text| body.trim_ascii() == text.as_bytes());
        let there = self.at.as_ref().is_none_or(|(source, texts)| {
            let must_read = MustRead::Any;
            let view = View { headers, query: "", params: None, body, must_read };
            // What cannot be read acknowledges nothing.
            source.is_one_of(&view, texts).unwrap_or(false)
        });
        status && text && there
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn check(ack: &Ack, status: u16, body: &str, given: bool) {
        let status = StatusCode::from_u16(status).unwrap();
        let got = ack.is_given(status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(got, given, "{status} {body:?}");
    }

    #[test]
    fn without_more_any_2xx_acknowledges() {
        for (status, given) in [(200, true), (204, true), (302, false), (400, false), (500, false)]
        {
            check(&Ack::default(), status, "", given);
        }
    }

    #[test]
    fn an_acknowledging_body_is_exact_but_for_white_space_around_it() {
        let ack = Ack { status: vec![200], body: Some("success".into()), at: None };
        check(&ack, 200, "success", true);
        check(&ack, 200, " success\r\n", true);
        for body in ["", "SUCCESS", "success!", "\"success\"", "fail"] {
            check(&ack, 200, body, false);
        }
        check(&ack, 201, "success", false);
    }

    #[test]
    fn an_acknowledgement_may_stand_in_an_element() {
        let at = Some((Source::Xml("return_code".into()), vec!["SUCCESS".into()]));
        let ack = Ack { at, ..Ack::default() };
        check(&ack, 200, "<xml><return_code><![CDATA[SUCCESS]]></return_code></xml>", true);
        check(&ack, 200, "<xml><return_code>FAIL</return_code></xml>", false);
        check(&ack, 200, "<xml><return_code>SUCCESS</return_code>", false);
        check(&ack, 200, "SUCCESS", false);
    }

    #[test]
    fn an_acknowledgement_may_be_any_value_that_stands_there_once() {
        let at = Some((Source::Json("/ok".into()), vec!["true".into()]));
        let ack = Ack { at, ..Ack::default() };
        check(&ack, 200, r#"{"ok":true}"#, true);
        for body in [r#"{"ok":false}"#, r#"{"ok":true,"ok":true}"#, r#"{"ok":[true]}"#, "{}"] {
            check(&ack, 200, body, false);
        }
    }

    fn check_tells(body: &str, expect: Option<State>) {
        let tells = |at: &str, texts: Option<&str>, means| Tells {
            at: Source::parse(at).unwrap(),
            texts: texts.map(|text| vec![text.to_owned()]),
            means,
        };
        let own = Callback {
            event: vec![],
            unchanged: vec![],
            ack: Ack::default(),
            settles: None,
            outcome: vec![
                tells("json:/refund", None, None),
                tells("json:/paid", Some("true"), Some(State::Succeeded)),
                tells("json:/paid", Some("0.0"), Some(State::Failed)),
            ],
        };
        let headers = HeaderMap::new();
        let (body, must_read) = (body.as_bytes(), MustRead::Apparent);
        let view = View { headers: &headers, query: "", params: None, body, must_read };
        assert_eq!(own.tells(&view), expect, "{:?}", view.body);
    }

    #[test]
    fn a_notification_tells_by_the_text_of_any_value() {
        check_tells(r#"{"paid":true}"#, Some(State::Succeeded));
        check_tells(r#"{"paid":"true"}"#, Some(State::Succeeded));
        check_tells(r#"{"paid":0}"#, Some(State::Failed));
        check_tells(r#"{"paid":false}"#, None);
        check_tells(r#"{"paid":null}"#, None);
    }

    #[test]
    fn a_rule_without_texts_speaks_where_anything_is_said() {
        for refund in ["\"1\"", "1", "0.01", "true"] {
            check_tells(&format!(r#"{{"refund":{refund},"paid":true}}"#), None);
        }
        for none in ["\"\"", "null", "false", "{}", "[]"] {
            let body = format!(r#"{{"refund":{none},"paid":true}}"#);
            check_tells(&body, Some(State::Succeeded));
        }
    }

    #[test]
    fn what_a_rule_cannot_read_settles_nothing_whatever_later_rules_say() {
        check_tells(r#"{"refund":1,"refund":2,"paid":true}"#, None);
        check_tells(r#"{"paid":true,"paid":true}"#, None);
    }
}
