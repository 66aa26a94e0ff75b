//! Where in a request or an answer a value stands: `header:`, `json:`, `form:`, `query:`, `path:`,
//! `xml:`.

use super::field::Field;
use super::json::{self, Node};
use super::key::{BadKey, Key};
use super::path::Params;
use super::{form, xml};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use std::fmt;

/// One place a value may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A header.
    Header(HeaderName),
    /// A JSON pointer into the body.
    Json(String),
    /// A field of a form body.
    Form(String),
    /// A parameter of the query string.
    Query(String),
    /// A `{name}` of the route's path.
    Path(String),
    /// The one XML element of that name in the body.
    Xml(String),
}

/// What sources read from.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The query string, undecoded; empty where there is none.
    pub query: &'a str,
    /// What the route's path matched.
    pub params: Option<&'a Params>,
    /// The whole body; empty while it has not been read.
    pub body: &'a [u8],
    /// Which bodies must be readable.
    pub must_read: MustRead,
}

/// Which bodies a source must be able to read. It is an error where it cannot; any other body is
/// of another kind, and nothing stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MustRead {
    /// One whose type says that it is what the source reads.
    Declared,
    /// That, and one that somebody may take for it: it begins like it, or is encoded.
    Apparent,
    /// Any that is not empty.
    Any,
}

impl View<'_> {
    /// Whether a body that cannot be read as this ought to be: its type has the word `named`, and it
    /// begins with one of `begins`.
    fn ought_to_be(&self, named: &str, begins: &[u8]) -> bool {
        match self.must_read {
            MustRead::Declared => says(self.headers, named),
            MustRead::Apparent => {
                says(self.headers, named)
                    || is_encoded(self.headers)
                    || begin(self.body).is_some_and(|first| begins.contains(&first))
            }
            MustRead::Any => true,
        }
    }
}

/// A value that is there but cannot be used. No message repeats the value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// It is no key.
    #[error("the key in {0}: {1}")]
    Key(String, BadKey),
    /// It stands there more than once.
    #[error("{0} stands there more than once")]
    Twice(String),
    /// It is neither a string nor an integer.
    #[error("{0} is neither a string nor an integer")]
    Kind(String),
    /// The body is not what it must be.
    #[error("the body cannot be read: {0}")]
    Body(String),
}

/// A text that names no source, and why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no source: {1}")]
pub struct BadSource(String, &'static str);

impl Source {
    /// Reads `json:/orderId` and the like.
    ///
    /// # Errors
    /// When the text is none of the six.
    pub fn parse(text: &str) -> Result<Source, BadSource> {
        let bad = |why| BadSource(text.to_owned(), why);
        let expected = "header:, json:/, form:, query:, path: or xml: and a name";
        let (kind, name) = text.split_once(':').ok_or_else(|| bad(expected))?;
        if name.is_empty() {
            return Err(bad(expected));
        }
        Ok(match kind {
            "header" => Source::Header(HeaderName::try_from(name).map_err(|_| bad(expected))?),
            "json" if !name.starts_with('/') => return Err(bad(expected)),
            "json" if !json::is_pointer(name) => {
                return Err(bad("a JSON pointer has ~ as ~0, and / within a name as ~1"));
            }
            "json" => Source::Json(name.to_owned()),
            "form" => Source::Form(name.to_owned()),
            "query" => Source::Query(name.to_owned()),
            "path" => Source::Path(name.to_owned()),
            "xml" if !xml::is_local_name(name) => {
                return Err(bad("xml: takes the name of one element, without path and prefix"));
            }
            "xml" => Source::Xml(name.to_owned()),
            _ => return Err(bad(expected)),
        })
    }

    /// Whether the body must have been read.
    pub fn is_in_body(&self) -> bool {
        matches!(self, Source::Json(_) | Source::Form(_) | Source::Xml(_))
    }

    /// The key that stands here, if any does.
    ///
    /// # Errors
    /// When something stands here that is no key, or stands here twice.
    pub fn key(&self, view: &View<'_>) -> Result<Option<Key>, BadValue> {
        let bad = |error| BadValue::Key(self.to_string(), error);
        if let Source::Header(name) = self {
            let mut lines = view.headers.get_all(name).iter();
            let Some(line) = lines.next() else {
                return Ok(None);
            };
            if lines.next().is_some() {
                return Err(BadValue::Twice(self.to_string()));
            }
            return Key::from_header(line.as_bytes()).map(Some).map_err(bad);
        }
        self.text(view)?.map(|text| Key::from_text(&text).map_err(bad)).transpose()
    }

    /// The text that stands here, if any does: a string, or an integer's digits.
    ///
    /// # Errors
    /// When it stands here twice, is of another kind, or the body cannot be read and must be.
    pub fn text(&self, view: &View<'_>) -> Result<Option<String>, BadValue> {
        match self.field(view)? {
            Field::Missing => Ok(None),
            Field::Text(text) => Ok(Some(text)),
            Field::Null | Field::Other(_) => Err(BadValue::Kind(self.to_string())),
        }
    }

    /// What stands here, of whatever kind.
    ///
    /// # Errors
    /// When it stands here twice, holds a JSON member that does, or the body cannot be read and
    /// must be.
    pub fn field(&self, view: &View<'_>) -> Result<Field, BadValue> {
        let text = match self {
            Source::Header(name) => {
                view.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
            }
            Source::Json(pointer) => {
                let field = self.in_json(view, |document| document.field(pointer))?;
                return Ok(field.unwrap_or(Field::Missing));
            }
            Source::Form(name) => self.in_form(view, name)?,
            Source::Query(name) => self.in_pairs(view.query.as_bytes(), name)?,
            Source::Path(name) => {
                view.params.and_then(|params| params.get(name)).map(str::to_owned)
            }
            Source::Xml(name) => self.in_xml(view, name)?,
        };
        Ok(text.map_or(Field::Missing, Field::Text))
    }

    /// Whether one of these texts stands here. In JSON a value of any kind may: `true`, `false` and
    /// `null` as they are written, a number by its worth; an array or an object never does.
    ///
    /// # Errors
    /// When it stands here twice, or the body cannot be read and must be.
    pub fn is_one_of(&self, view: &View<'_>, texts: &[String]) -> Result<bool, BadValue> {
        match self {
            Source::Json(pointer) => {
                let node = self.in_json(view, |document| document.at(pointer))?.flatten();
                Ok(node.is_some_and(|node| texts.iter().any(|text| node.is(text))))
            }
            _ => Ok(self.text(view)?.is_some_and(|found| texts.contains(&found))),
        }
    }

    /// Whether anything is said here: a text that is not empty, a number, or `true`.
    ///
    /// # Errors
    /// As [`Source::is_one_of`].
    pub fn is_said(&self, view: &View<'_>) -> Result<bool, BadValue> {
        match self {
            Source::Json(pointer) => {
                let node = self.in_json(view, |document| document.at(pointer))?.flatten();
                Ok(match node {
                    Some(Node::Text(text)) => !text.is_empty(),
                    Some(Node::Integer(_) | Node::Float(_) | Node::Bool(true)) => true,
                    _ => false,
                })
            }
            _ => Ok(self.text(view)?.is_some_and(|found| !found.is_empty())),
        }
    }

    /// What is looked up in a body of JSON; `None` where the body is of another kind.
    fn in_json<'v, T>(
        &self,
        view: &View<'v>,
        look: impl FnOnce(json::Document<'v>) -> Result<T, json::BadJson>,
    ) -> Result<Option<T>, BadValue> {
        if view.body.is_empty() {
            return Ok(None);
        }
        match json::Document::parse(view.body).and_then(look) {
            Ok(found) => Ok(Some(found)),
            Err(json::BadJson::Twice) => Err(BadValue::Twice(self.to_string())),
            Err(error) if view.ought_to_be("json", b"{[") => Err(BadValue::Body(error.to_string())),
            Err(_) => Ok(None),
        }
    }

    fn in_form(&self, view: &View<'_>, name: &str) -> Result<Option<String>, BadValue> {
        let bad = |why: &str| Err(BadValue::Body(why.to_owned()));
        if !is_form(view.headers) {
            return match view.must_read {
                MustRead::Any if !view.body.is_empty() => bad("it is no form"),
                _ => Ok(None),
            };
        }
        match self.in_pairs(view.body, name)? {
            // Compressed it reads well: as one field of a strange name.
            None if is_encoded(view.headers) && !view.body.is_empty() => bad("it is encoded"),
            found => Ok(found),
        }
    }

    fn in_pairs(&self, pairs: &[u8], name: &str) -> Result<Option<String>, BadValue> {
        form::field(pairs, name).map_err(|error| match error {
            form::BadForm::Twice => BadValue::Twice(self.to_string()),
            other => BadValue::Body(other.to_string()),
        })
    }

    fn in_xml(&self, view: &View<'_>, name: &str) -> Result<Option<String>, BadValue> {
        if view.body.is_empty() {
            return Ok(None);
        }
        match xml::element(view.body, name) {
            Ok(text) => Ok(text),
            Err(xml::BadXml::Twice) => Err(BadValue::Twice(self.to_string())),
            Err(error) if view.ought_to_be("xml", b"<") => Err(BadValue::Body(error.to_string())),
            Err(_) => Ok(None),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Header(name) => write!(f, "header:{name}"),
            Source::Json(pointer) => write!(f, "json:{pointer}"),
            Source::Form(name) => write!(f, "form:{name}"),
            Source::Query(name) => write!(f, "query:{name}"),
            Source::Path(name) => write!(f, "path:{name}"),
            Source::Xml(name) => write!(f, "xml:{name}"),
        }
    }
}

/// Whether the body says it is a form.
pub fn is_form(headers: &HeaderMap) -> bool {
    says(headers, "x-www-form-urlencoded")
}

/// Whether the body says it is JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    says(headers, "json")
}

fn says(headers: &HeaderMap, what: &str) -> bool {
    let what = what.as_bytes();
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        value.as_bytes().windows(what.len()).any(|part| part.eq_ignore_ascii_case(what))
    })
}

/// Whether a body is compressed or the like, by its own word.
fn is_encoded(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(CONTENT_ENCODING).iter();
    encodings
        .map(|encoding| encoding.as_bytes().trim_ascii())
        .any(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity"))
}

/// A body's first byte after white space and byte order marks, and after the zeros that fill up
/// the letters of wider encodings.
fn begin(body: &[u8]) -> Option<u8> {
    let passed = |byte: u8| byte.is_ascii_whitespace() || b"\xef\xbb\xbf\xfe\xff\0".contains(&byte);
    body.iter().copied().find(|byte| !passed(*byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    const FORM: &str = "application/x-www-form-urlencoded";

    /// The key that stands in a request; `Err` where it is to be refused.
    fn key(source: &str, kind: &str, encoding: &str, body: &[u8]) -> Result<Option<String>, ()> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_bytes(kind.as_bytes()).unwrap());
        headers.insert(CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap());
        let must_read = MustRead::Apparent;
        let view = View { headers: &headers, query: "", params: None, body, must_read };
        let key = Source::parse(source).unwrap().key(&view);
        key.map(|key| key.map(|key| key.as_str().to_owned())).map_err(drop)
    }

    #[test]
    fn a_request_that_begins_like_what_holds_the_key_must_be_readable() {
        for kind in ["text/plain", "text/plain; charset=gbk", "application/octet-stream", FORM, ""]
        {
            for body in [
                &b"{\"id\":\"1\",\"m\":\"\xb2\xe2\"}"[..],
                b" \r\n{\"id\":\"1\",}",
                b"\xef\xbb\xbf{\"id\":\"1\"",
                b"{\"id\":\"1\",\"m\":NaN}",
                b"[{\"id\":\"1\"}",
                b"{\0\"\0i\0d\0\"\0:\x001\0}\0",
                b"\xfe\xff\0{\0\"",
            ] {
                assert_eq!(key("json:/id", kind, "", body), Err(()), "{kind} {body:?}");
                assert_eq!(key("xml:id", kind, "", body), Ok(None), "{kind} {body:?}");
            }
            for body in [&b"<x><id>1</id>"[..], b"\n<?xml version='1.0' encoding='GBK'?><id>1</id>"]
            {
                assert_eq!(key("xml:id", kind, "", body), Err(()), "{kind} {body:?}");
                assert_eq!(key("json:/id", kind, "", body), Ok(None), "{kind} {body:?}");
            }
            for other in [&b"id=1"[..], b"hello", b"\x1f\x8b\x08", b"\"id", b""] {
                assert_eq!(key("json:/id", kind, "identity", other), Ok(None), "{kind} {other:?}");
                assert_eq!(key("xml:id", kind, "", other), Ok(None), "{kind} {other:?}");
            }
            let marked = b"\xef\xbb\xbf{\"id\":\"1\"}";
            assert_eq!(key("json:/id", kind, "", marked), Ok(Some("1".into())), "{kind}");
        }
    }

    #[test]
    fn an_encoded_request_is_one_nobody_knows_the_key_of() {
        for kind in ["application/octet-stream", "text/plain", FORM, ""] {
            for source in ["json:/id", "xml:id"] {
                assert_eq!(key(source, kind, "gzip", b"\x1f\x8b\x08"), Err(()), "{kind} {source}");
            }
            assert_eq!(key("json:/id", kind, "gzip", br#"{"id":1}"#), Ok(Some("1".into())));
            assert_eq!(key("json:/id", kind, "gzip", b""), Ok(None));
        }
        assert_eq!(key("form:id", FORM, "br", b"\x0b\x02"), Err(()));
        assert_eq!(key("form:id", FORM, "", b"\x0b\x02"), Ok(None));
        assert_eq!(key("form:id", FORM, "br", b"id=1"), Ok(Some("1".into())));
        assert_eq!(key("form:id", "text/plain", "br", b"\x0b\x02"), Ok(None));
    }

    #[test]
    fn a_type_is_read_whatever_else_its_line_holds() {
        let mut headers = HeaderMap::new();
        for (kind, json) in [
            (&b"Application/JSON; charset=\xe9"[..], true),
            (b"text/json", true),
            (b"text/\xe9", false),
            (b"js", false),
        ] {
            headers.insert(CONTENT_TYPE, HeaderValue::from_bytes(kind).unwrap());
            assert_eq!(is_json(&headers), json, "{kind:?}");
        }
    }
}
