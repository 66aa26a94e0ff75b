//! Where in a request or an answer a value stands: `header:`, `json:`, `form:`, `query:`, `path:`,
//! `xml:`.

use super::field::Field;
use super::json::{self, Node};
use super::key::{BadKey, Key};
use super::path::Params;
use super::{form, xml};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName};
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
    /// The body is not what its type says.
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
    /// When it stands here twice, is of another kind, or the body is not what its type says.
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
    /// When it stands here twice, holds a JSON member that does, or the body is not what its type
    /// says.
    pub fn field(&self, view: &View<'_>) -> Result<Field, BadValue> {
        let text = match self {
            Source::Header(name) => {
                view.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
            }
            Source::Json(pointer) => {
                let field = self.in_json(view, |document| document.field(pointer))?;
                return Ok(field.unwrap_or(Field::Missing));
            }
            Source::Form(name) if is_form(view.headers) => self.in_form(view.body, name)?,
            Source::Form(_) => None,
            Source::Query(name) => self.in_form(view.query.as_bytes(), name)?,
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
    /// When it stands here twice, or the body is not what its type says.
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

    /// What is looked up in a body of JSON; `None` where the body is none.
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
            // A body that does not claim to be JSON need not be any.
            Err(_) if !says(view.headers, "json") => Ok(None),
            Err(error) => Err(BadValue::Body(error.to_string())),
        }
    }

    fn in_form(&self, pairs: &[u8], name: &str) -> Result<Option<String>, BadValue> {
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
            Err(_) if !says(view.headers, "xml") => Ok(None),
            Err(error) => Err(BadValue::Body(error.to_string())),
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
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().contains(what))
}
