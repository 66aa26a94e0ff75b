//! What a callback route says about a channel's notifications and upstream's acknowledgement.

use crate::model::field::Field;
use crate::model::order::State;
use crate::model::source::{BadValue, Source, View};
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
    /// Which texts; `None` for any at all.
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

    /// The state a notification settles its order in, if any. What no rule speaks of, or cannot be
    /// read, settles nothing.
    pub fn tells(&self, view: &View<'_>) -> Option<State> {
        if self.outcome.is_empty() {
            return Some(State::Succeeded);
        }
        self.outcome.iter().find(|rule| rule.matches(view)).and_then(|rule| rule.means)
    }
}

impl Tells {
    fn matches(&self, view: &View<'_>) -> bool {
        match (self.at.field(view), &self.texts) {
            (Ok(field), Some(texts)) => field.is_one_of(texts),
            (Ok(Field::Text(text)), None) => !text.is_empty(),
            _ => false,
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
            let view = View { headers, query: "", params: None, body };
            source.field(&view).is_ok_and(|field| field.is_one_of(texts))
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
}
