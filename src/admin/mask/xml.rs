//! An XML body without its secrets: elements and their texts. Attributes, comments and whatever
//! else XML knows are left out.

use super::words::is_secret;
use super::{MASK, text};
use crate::model::xml::resolve;
use quick_xml::Reader;
use quick_xml::events::Event;

/// The body as it may be shown; `None` for one that is not well-formed.
pub(super) fn masked(body: &str) -> Option<String> {
    let mut reader = Reader::from_str(body);
    reader.config_mut().expand_empty_elements = true;
    let mut shown = Shown { text: String::new(), pending: String::new(), depth: 0, secret: None };
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => shown.start(tag.local_name().into_inner()),
            Event::End(tag) => shown.end(tag.local_name().into_inner()),
            Event::Text(piece) => shown.pending.push_str(&piece.xml10_content()),
            Event::CData(piece) => shown.pending.push_str(&piece.xml10_content()),
            Event::GeneralRef(reference) => shown.pending.push(resolve(&reference).ok()?),
            Event::Eof => {
                shown.flush();
                return Some(shown.text);
            }
            _ => {}
        }
    }
}

struct Shown {
    text: String,
    /// Text whose end has not come: a secret may be written in pieces.
    pending: String,
    depth: usize,
    /// How deep the secret element lies that we are in.
    secret: Option<usize>,
}

impl Shown {
    fn start(&mut self, name: &str) {
        self.flush();
        self.depth += 1;
        if self.secret.is_none() {
            self.text.push_str(&format!("<{name}>"));
            if is_secret(name) {
                self.secret = Some(self.depth);
                self.text.push_str(MASK);
            }
        }
    }

    fn end(&mut self, name: &str) {
        self.flush();
        if self.secret == Some(self.depth) {
            self.secret = None;
        }
        if self.secret.is_none() {
            self.text.push_str(&format!("</{name}>"));
        }
        self.depth -= 1;
    }

    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if self.secret.is_none() {
            self.text.push_str(&text::masked(&pending));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expect: Option<&str>) {
        assert_eq!(masked(body).as_deref(), expect, "{body}");
    }

    #[test]
    fn secrets_are_masked_by_name_and_by_look() {
        check("<a><code>OK</code></a>", Some("<a><code>OK</code></a>"));
        check("<a><sign>A<b>B</b>C</sign>D</a>", Some("<a><sign>********</sign>D</a>"));
        check("<a><![CDATA[4111111111111111]]></a>", Some("<a>************1111</a>"));
        check("<a t='4111111111111111'><!-- pin: 1 --><b/></a>", Some("<a><b></b></a>"));
    }

    #[test]
    fn a_number_written_in_pieces_is_one_number() {
        check("<a>411111&#49;<![CDATA[111111]]>111</a>", Some("<a>************1111</a>"));
    }

    #[test]
    fn what_is_not_well_formed_is_not_shown() {
        check("<a><b></a>", None);
        check("<a>&secret;</a>", None);
    }
}
