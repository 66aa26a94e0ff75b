//! The text of one element of an XML body, as WeChat Pay v2 posts it.
//!
//! Promises: well-formed XML in UTF-8 of at most [`MAX_DEPTH`] levels, the one element with a given
//! local name, and the text without some of its root's children. Refuses every document type, so
//! there are no entities to expand and nothing to fetch. Refuses to know namespaces and attributes.

use quick_xml::Reader;
use quick_xml::events::{BytesDecl, Event};
use std::ops::Range;
use thiserror::Error;

/// Most elements inside one another.
pub const MAX_DEPTH: usize = 64;

/// Why a text cannot be relied upon. The messages never repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadXml {
    /// Not UTF-8, or declared to be something else.
    #[error("the XML is not UTF-8")]
    NotUtf8,
    /// Not well-formed.
    #[error("the XML is malformed")]
    Malformed,
    /// A document type.
    #[error("the XML holds a document type")]
    Doctype,
    /// An entity other than the five predefined ones, or a reference to no character.
    #[error("the XML holds an unknown entity")]
    Entity,
    /// More than [`MAX_DEPTH`] levels.
    #[error("the XML is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The element appears twice.
    #[error("an XML element appears twice")]
    Twice,
    /// The element holds other elements.
    #[error("an XML element that should hold text holds elements")]
    Nested,
}

/// The trimmed text of the one element with the local name `name`, at any depth; `None` when there
/// is none. Text, CDATA and character references are joined; comments are left out.
///
/// # Errors
/// [`BadXml`] when the element appears twice or holds elements, and whenever the whole text is not
/// well-formed within the limits.
pub fn element(bytes: &[u8], name: &str) -> Result<Option<String>, BadXml> {
    let (mut inside, mut found) = (false, None::<String>);
    walk(utf8(bytes)?, |step, _, _| {
        match step {
            Step::Start(_) if inside => return Err(BadXml::Nested),
            Step::Start(local) if local == name => {
                if found.replace(String::new()).is_some() {
                    return Err(BadXml::Twice);
                }
                inside = true;
            }
            Step::Start(_) => {}
            Step::Text(text) => {
                if let (true, Some(found)) = (inside, &mut found) {
                    found.push_str(text);
                }
            }
            // Nothing nests in the wanted element.
            Step::End => inside = false,
        }
        Ok(())
    })?;
    Ok(found.map(|found| found.trim_matches(is_space).to_owned()))
}

/// The text without those children of its root whose local names are in `ignore`; all else as it
/// is, to the byte.
///
/// # Errors
/// [`BadXml`] whenever the whole text is not well-formed within the limits.
pub fn without(bytes: &[u8], ignore: &[String]) -> Result<Vec<u8>, BadXml> {
    let text = utf8(bytes)?;
    // The reader passes over it, and counts places from behind it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = Vec::with_capacity(text.len());
    let (mut kept, mut cutting) = (0, false);
    walk(text, |step, level, place| {
        match step {
            Step::Start(local) if level == CHILD && ignore.iter().any(|name| name == local) => {
                out.extend_from_slice(&text.as_bytes()[kept..place.start]);
                cutting = true;
            }
            Step::End if level == CHILD && std::mem::take(&mut cutting) => kept = place.end,
            _ => {}
        }
        Ok(())
    })?;
    out.extend_from_slice(&text.as_bytes()[kept..]);
    Ok(out)
}

/// Whether an element can bear this local name (XML Namespaces 1.0, NCName, less strict about signs
/// beyond ASCII).
pub fn is_local_name(name: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    let goes_on = |c: char| begins(c) || c.is_ascii_digit() || matches!(c, '-' | '.');
    name.starts_with(begins) && name.chars().all(|c| goes_on(c) && !c.is_whitespace())
}

/// The level of the root's children; the root's is 1.
const CHILD: usize = 2;

/// What a text is made of.
enum Step<'t> {
    /// An element of this local name begins.
    Start(&'t str),
    /// Text inside an element, or white space outside.
    Text(&'t str),
    /// The last element that began ends.
    End,
}

fn utf8(bytes: &[u8]) -> Result<&str, BadXml> {
    std::str::from_utf8(bytes).map_err(|_| BadXml::NotUtf8)
}

/// Goes through a text that is well-formed within the limits; tells each step, on which level it
/// is, and where in the text it stands.
fn walk(
    text: &str,
    mut tell: impl FnMut(Step<'_>, usize, Range<usize>) -> Result<(), BadXml>,
) -> Result<(), BadXml> {
    if !text.chars().all(is_allowed) {
        return Err(BadXml::Malformed);
    }
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_comments = true;
    reader.config_mut().expand_empty_elements = true;
    let (mut level, mut rooted) = (0, false);
    for index in 0_usize.. {
        let from = reader.buffer_position() as usize;
        let event = reader.read_event().map_err(|_| BadXml::Malformed)?;
        let place = from..reader.buffer_position() as usize;
        match event {
            Event::Start(start) => {
                let local = start.local_name().into_inner();
                // A `<` in an attribute is not well-formed: a lax reader might see elements there.
                if local.is_empty() || start.attributes_raw().contains('<') {
                    return Err(BadXml::Malformed);
                }
                if std::mem::replace(&mut rooted, true) && level == 0 {
                    return Err(BadXml::Malformed);
                }
                level += 1;
                if level > MAX_DEPTH {
                    return Err(BadXml::TooDeep);
                }
                tell(Step::Start(local), level, place)?;
            }
            // The reader has matched the tags.
            Event::End(_) => {
                tell(Step::End, level, place)?;
                level -= 1;
            }
            Event::Text(text) => {
                let text = text.xml10_content();
                if level == 0 && !text.chars().all(is_space) {
                    return Err(BadXml::Malformed);
                }
                tell(Step::Text(&text), level, place)?;
            }
            Event::CData(text) if level > 0 => {
                tell(Step::Text(&text.xml10_content()), level, place)?;
            }
            Event::GeneralRef(reference) if level > 0 => {
                let text = resolve(&reference)?;
                tell(Step::Text(text.encode_utf8(&mut [0; 4])), level, place)?;
            }
            Event::Decl(declaration) if index == 0 => check_encoding(&declaration)?,
            Event::DocType(_) => return Err(BadXml::Doctype),
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof if rooted && level == 0 => break,
            _ => return Err(BadXml::Malformed),
        }
    }
    Ok(())
}

/// A reader that believes the declaration would see other text than we do.
fn check_encoding(declaration: &BytesDecl<'_>) -> Result<(), BadXml> {
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("utf-8") => Ok(()),
        Some(Ok(_)) => Err(BadXml::NotUtf8),
        Some(Err(_)) => Err(BadXml::Malformed),
    }
}

/// The character a reference (what stands between `&` and `;`) means.
///
/// # Errors
/// When it is none of the five predefined ones and names no character.
pub fn resolve(reference: &str) -> Result<char, BadXml> {
    let number = match reference {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => reference.strip_prefix('#').ok_or(BadXml::Entity)?,
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    // `from_str_radix` would take a sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(BadXml::Entity);
    }
    let code = u32::from_str_radix(digits, radix).map_err(|_| BadXml::Entity)?;
    char::from_u32(code).filter(|c| is_allowed(*c)).ok_or(BadXml::Entity)
}

/// Char (XML 1.0, 2.2); surrogates are no `char` anyway.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// S (XML 1.0, 2.3).
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::noise;

    fn check(xml: &str, expect: Result<Option<&str>, BadXml>) {
        let found = element(xml.as_bytes(), "id");
        assert_eq!(found.as_ref().map(Option::as_deref), expect.as_ref().map(|e| *e), "{xml:.80}");
    }

    #[test]
    fn an_element_is_found_by_its_local_name_at_any_depth() {
        check("<id>1</id>", Ok(Some("1")));
        check("<x><id><![CDATA[20240001]]></id></x>", Ok(Some("20240001")));
        check("<x><y><w:id>1</w:id></y></x>", Ok(Some("1")));
        check("<x><id a='1' b=\"2\">1</id ></x>", Ok(Some("1")));
        check("<x><id></id></x>", Ok(Some("")));
        check("<x><id/></x>", Ok(Some("")));
        check("<x><ID>1</ID><idx>2</idx></x>", Ok(None));
        check("<x id='1'/>", Ok(None));
        check("<x><![CDATA[<id>1</id>]]><!-- <id>2</id> --></x>", Ok(None));
        check("\u{feff}<id>1</id>", Ok(Some("1")));
        check("<?xml version='1.0' encoding='UTF-8'?>\n<id>1</id>\n<!-- end -->", Ok(Some("1")));
    }

    #[test]
    fn text_is_joined_decoded_and_trimmed() {
        check("<id> \n a <![CDATA[<&]]>b<!-- c --> \t</id>", Ok(Some("a <&b")));
        check("<id>&lt;&gt;&amp;&quot;&apos;</id>", Ok(Some("<>&\"'")));
        check("<id>&#65;&#x42;&#x8ba2;&#x1F4B0;</id>", Ok(Some("AB订💰")));
        check("<id>a\r\nb</id>", Ok(Some("a\nb")));
        check("<id>&amp;lt;</id>", Ok(Some("&lt;")));
        check("<id>1<?pi 2?>3</id>", Ok(Some("13")));
    }

    #[test]
    fn an_element_that_may_be_read_in_two_ways_is_refused() {
        check("<x><id>1</id><id>1</id></x>", Err(BadXml::Twice));
        check("<x><id>1</id><y><z:id/></y></x>", Err(BadXml::Twice));
        check("<id>1<b>2</b></id>", Err(BadXml::Nested));
        check("<id><id>1</id></id>", Err(BadXml::Nested));
        check("<id><b/></id>", Err(BadXml::Nested));
    }

    #[test]
    fn document_types_and_entities_are_refused() {
        check("<!DOCTYPE x><id>1</id>", Err(BadXml::Doctype));
        check("<!doctype x><id>1</id>", Err(BadXml::Doctype));
        check("<!DOCTYPE x [<!ENTITY a 'b'>]><id>&a;</id>", Err(BadXml::Doctype));
        check("<!DOCTYPE x SYSTEM 'file:///etc/passwd'><id/>", Err(BadXml::Doctype));
        check("<x><!DOCTYPE x><id>1</id></x>", Err(BadXml::Doctype));
        check("<!ENTITY a 'b'><id>1</id>", Err(BadXml::Malformed));
        for entity in ["nbsp", "", "#", "#x", "#0", "#1", "#xD800", "#x110000", "#+65", "#X41"] {
            check(&format!("<id>&{entity};</id>"), Err(BadXml::Entity));
            check(&format!("<x>&{entity};<id>1</id></x>"), Err(BadXml::Entity));
        }
        check("<id>&#99999999999999999999;</id>", Err(BadXml::Entity));
    }

    #[test]
    fn only_well_formed_xml_is_read() {
        for xml in [
            "",
            " ",
            "1",
            "<id>1",
            "<x><id>1</x></id>",
            "<x><id>1</id>",
            "<id>1</id></x>",
            "</id>",
            "<id>1</id><x/>",
            "<id>1</id>1",
            "1<id>1</id>",
            "&lt;<id>1</id>",
            "<![CDATA[]]><id>1</id>",
            "<id>a & b</id>",
            "<id>&amp</id>",
            "<id>1</id><?xml version='1.0'?>",
            " <?xml version='1.0'?><id>1</id>",
            "<>1</>",
            "< id>1</ id>",
            "<x:>1</x:>",
            "<x a='<id>2</id>'><id>1</id></x>",
            "<x><!-- a -- b --><id>1</id></x>",
            "<id>1\0</id>",
            "<\0i\0d\0>",
            "<!-->",
            "<!--->",
            "<![CDATA[",
            "<?",
            "<id",
        ] {
            check(xml, Err(BadXml::Malformed));
        }
    }

    #[test]
    fn other_encodings_are_refused() {
        for encoding in ["GBK", "utf-16", "UTF-7", "utf8 "] {
            let xml = format!("<?xml version='1.0' encoding='{encoding}'?><id>1</id>");
            check(&xml, Err(BadXml::NotUtf8));
        }
        assert_eq!(element(b"<id>\xff</id>", "id"), Err(BadXml::NotUtf8));
        assert_eq!(element(b"\xff\xfe<\0i\0", "id"), Err(BadXml::NotUtf8));
        assert_eq!(element(b"<id>\xed\xa0\x80</id>", "id"), Err(BadXml::NotUtf8));
    }

    #[test]
    fn depth_is_capped() {
        let nest = |depth| format!("{}<id>1</id>{}", "<x>".repeat(depth), "</x>".repeat(depth));
        check(&nest(MAX_DEPTH - 1), Ok(Some("1")));
        check(&nest(MAX_DEPTH), Err(BadXml::TooDeep));
        check(&"<x>".repeat(1 << 18), Err(BadXml::TooDeep));
    }

    #[test]
    fn children_of_the_root_are_left_out_and_all_else_stays_to_the_byte() {
        let ignore = ["sign".to_owned(), "nonce".to_owned()];
        let check = |xml: &str, left: &str| {
            let found = without(xml.as_bytes(), &ignore).map(String::from_utf8);
            assert_eq!(found, Ok(Ok(left.to_owned())), "{xml}");
        };
        check("<x><a>1</a><sign>abc</sign></x>", "<x><a>1</a></x>");
        check("<x>\n<sign>1</sign>\n<b/>\n<nonce/> </x>", "<x>\n\n<b/>\n </x>");
        check("<x><w:sign a='>'><![CDATA[</sign>]]></w:sign>t</x>", "<x>t</x>");
        check("<x><sign><sign>1</sign><b/></sign><sign/>&amp;</x>", "<x>&amp;</x>");
        check("<?xml version='1.0'?><x><sign>订</sign>订</x>", "<?xml version='1.0'?><x>订</x>");
        check("\u{feff}<x><sign>1</sign><a/></x>", "<x><a/></x>");
        // What bears the name elsewhere is something else.
        for xml in ["<sign>1</sign>", "<x><y><sign>1</sign></y></x>", "<x sign='1'><signed/></x>"] {
            check(xml, xml);
        }
        assert_eq!(without(b"<x><sign>1</x>", &ignore), Err(BadXml::Malformed));
        assert_eq!(without(b"<x>\xff</x>", &ignore), Err(BadXml::NotUtf8));
        assert_eq!(without(b"{\"sign\":1}", &ignore), Err(BadXml::Malformed));
    }

    #[test]
    fn large_and_random_input_is_survived() {
        check(&"<".repeat(1 << 20), Err(BadXml::Malformed));
        check(&"&".repeat(1 << 20), Err(BadXml::Malformed));
        check(&"<!DOCTYPE x [".repeat(1 << 16), Err(BadXml::Malformed));
        check(&format!("<x>{}</x>", "<y/>".repeat(1 << 18)), Ok(None));
        let text = "a&#65;".repeat(1 << 17);
        check(&format!("<id>{text}</id>"), Ok(Some(&"aA".repeat(1 << 17))));
        for alphabet in [&noise::bytes()[..], b"<<>>//id!-[]CDATA&#;x?'\" "] {
            noise::each(40_000, alphabet, |input| {
                let _ = element(input, "id");
                let _ = element(&[b"<id>", input, b"</id>"].concat(), "id");
                let (whole, ignore) = ([b"<x>", input, b"</x>"].concat(), ["id".to_owned()]);
                if let Ok(left) = without(&whole, &ignore) {
                    assert_eq!(without(&left, &ignore), Ok(left));
                }
            });
        }
    }
}
