//! JSON as evidence: one member by its pointer, and one spelling for the fingerprint.
//!
//! Promises: the grammar of RFC 8259, at most [`MAX_DEPTH`] levels, every byte read a bounded
//! number of times, and no tree in memory. Refuses what two parsers may read in two ways: a member
//! that appears twice, a lone surrogate. Refuses to know what any member means.

use std::borrow::Cow;
use std::io::Write as _;
use std::ops::Range;

use super::field::Field;
use cursor::Cursor;
use thiserror::Error;

mod cursor;
mod number;

/// Most containers inside one another.
pub const MAX_DEPTH: usize = 64;

/// The byte order mark, in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a text cannot be relied upon. The messages never repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadJson {
    /// Not UTF-8.
    #[error("the JSON is not UTF-8")]
    NotUtf8,
    /// Not JSON, or a string with half a surrogate pair.
    #[error("the JSON is malformed")]
    Malformed,
    /// More than [`MAX_DEPTH`] levels.
    #[error("the JSON is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// One name twice in one object.
    #[error("a JSON member appears twice")]
    Twice,
    /// The pointer asked for is not one (RFC 6901, 3).
    #[error("not a JSON pointer")]
    Pointer,
}

/// What stands at a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A string, decoded.
    Text(Cow<'a, str>),
    /// A number without fraction and exponent: its digits as they stand, of any size.
    Integer(&'a str),
    /// Any other number, as it stands.
    Float(&'a str),
    /// An array, as it stands.
    Array(&'a str),
    /// An object, as it stands.
    Object(&'a str),
}

impl Node<'_> {
    /// The text of a string or the digits of an integer: what may be an order number.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            Node::Integer(digits) => Some(digits),
            _ => None,
        }
    }

    /// Whether it is this text: a string that says it, `true`, `false` or `null` as they are
    /// written, a number of its worth. Arrays and objects are no text's.
    pub fn is(&self, text: &str) -> bool {
        match self {
            Node::Null => text == "null",
            Node::Bool(true) => text == "true",
            Node::Bool(false) => text == "false",
            Node::Text(said) => said == text,
            Node::Integer(number) | Node::Float(number) => number::is_worth(number, text),
            Node::Array(_) | Node::Object(_) => false,
        }
    }
}

/// A text known to be JSON.
#[derive(Clone, Copy)]
pub struct Document<'a>(&'a str);

impl<'a> Document<'a> {
    /// Checks the whole text.
    ///
    /// # Errors
    /// [`BadJson`] unless it is one JSON value within the limits.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadJson> {
        let text = text(bytes)?;
        let mut cursor = Cursor::new(text);
        cursor.node()?;
        cursor.end()?;
        Ok(Self(text))
    }

    /// What stands at an RFC 6901 pointer; `None` when nothing does.
    ///
    /// # Errors
    /// [`BadJson::Twice`] when a member on the way appears twice (by decoded name),
    /// [`BadJson::Pointer`] when `pointer` is not one.
    pub fn at(&self, pointer: &str) -> Result<Option<Node<'a>>, BadJson> {
        if !is_pointer(pointer) {
            return Err(BadJson::Pointer);
        }
        Cursor::new(self.0).find(pointer)
    }

    /// The same, in its one spelling.
    ///
    /// # Errors
    /// Likewise; [`BadJson::Twice`] also when a member of what is found appears twice.
    pub fn field(&self, pointer: &str) -> Result<Field, BadJson> {
        let Some(node) = self.at(pointer)? else {
            return Ok(Field::Missing);
        };
        Ok(match node {
            Node::Null => Field::Null,
            Node::Text(text) => Field::Text(text.into_owned()),
            Node::Integer(digits) => Field::Text(digits.to_owned()),
            Node::Bool(is) => Field::Other(is.to_string()),
            Node::Float(number) => Field::Other(number.to_owned()),
            Node::Array(text) | Node::Object(text) => {
                let spelled = canonical(text.as_bytes(), &[])?;
                Field::Other(String::from_utf8(spelled).map_err(|_| BadJson::NotUtf8)?)
            }
        })
    }
}

/// One spelling of a JSON text: members sorted by the bytes of their names, no white space, one
/// way of writing a string, and without what stands at the pointers in `ignore`.
///
/// Numbers keep their text. Read as floats, 9007199254740992 and 9007199254740993 would be one
/// order or one amount; kept as text, the worst is that `1` and `1.0` differ and a retry is refused.
///
/// Entries of `ignore` that are not pointers leave nothing out.
///
/// # Errors
/// [`BadJson`]; a member that appears twice anywhere, ignored or not, is [`BadJson::Twice`].
pub fn canonical(bytes: &[u8], ignore: &[String]) -> Result<Vec<u8>, BadJson> {
    let text = text(bytes)?;
    let ignore = ignore.iter().map(String::as_str);
    let ignore: Vec<&str> = ignore.filter(|pointer| is_pointer(pointer)).collect();
    let mut cursor = Cursor::new(text);
    let mut out = Vec::with_capacity(text.len());
    cursor.write(&ignore, &mut out)?;
    cursor.end()?;
    if ignore.contains(&"") {
        out.clear();
    }
    Ok(out)
}

/// The text in these bytes, without a byte order mark before it: readers may pass over one (RFC
/// 8259, 8.1), and many do.
fn text(bytes: &[u8]) -> Result<&str, BadJson> {
    std::str::from_utf8(unmarked(bytes)).map_err(|_| BadJson::NotUtf8)
}

/// These bytes without the byte order mark before them.
pub fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// Whether a text is an RFC 6901 pointer: empty, or `/` before each token and `~0`, `~1` only.
pub fn is_pointer(text: &str) -> bool {
    (text.is_empty() || text.starts_with('/'))
        && text.split('~').skip(1).all(|s| s.starts_with(['0', '1']))
}

/// The first token of a pointer, decoded, and the pointer from there on.
fn step(pointer: &str) -> Option<(Cow<'_, str>, &str)> {
    let tokens = pointer.strip_prefix('/')?;
    let (token, rest) = tokens.split_at(tokens.find('/').unwrap_or(tokens.len()));
    let token = if token.contains('~') {
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    };
    Some((token, rest))
}

/// The pointers that pass through `name`, from there on.
fn below<'p>(pointers: &[&'p str], name: &str) -> Vec<&'p str> {
    let steps = pointers.iter().filter_map(|pointer| step(pointer));
    steps.filter(|(token, _)| token == name).map(|(_, rest)| rest).collect()
}

impl<'a> Cursor<'a> {
    /// Passes over one value, keeping what stands at `pointer` inside it.
    fn find(&mut self, pointer: &str) -> Result<Option<Node<'a>>, BadJson> {
        let Some((token, rest)) = step(pointer) else {
            return self.node().map(Some);
        };
        let mut found = None;
        match self.peek() {
            Some(b'{') => {
                let mut seen = false;
                self.members(&mut |cursor, name| {
                    if name != token {
                        return cursor.node().map(drop);
                    }
                    if std::mem::replace(&mut seen, true) {
                        return Err(BadJson::Twice);
                    }
                    found = cursor.find(rest)?;
                    Ok(())
                })?;
            }
            Some(b'[') => {
                // Only the plain decimal is an index: not `01`, `+1`, `-`.
                let wanted = token.parse::<usize>().ok();
                let wanted = wanted.filter(|index| index.to_string() == token);
                self.items(&mut |cursor, index| {
                    if Some(index) != wanted {
                        return cursor.node().map(drop);
                    }
                    found = cursor.find(rest)?;
                    Ok(())
                })?;
            }
            _ => drop(self.node()?),
        }
        Ok(found)
    }

    /// Passes over one value, writing its one spelling. Parts at an arrived (empty) pointer are
    /// written too and then taken back, so that a member twice inside them is still found.
    fn write(&mut self, ignore: &[&str], out: &mut Vec<u8>) -> Result<(), BadJson> {
        match self.peek() {
            Some(b'{') => self.write_object(ignore, out),
            Some(b'[') => {
                let start = out.len();
                self.items(&mut |cursor, index| {
                    let below = match ignore {
                        [] => Vec::new(),
                        _ => below(ignore, &index.to_string()),
                    };
                    let from = out.len();
                    out.push(b',');
                    cursor.write(&below, out)?;
                    if below.contains(&"") {
                        out.truncate(from);
                    }
                    Ok(())
                })?;
                enclose(out, start, b'[', b']');
                Ok(())
            }
            _ => {
                let from = self.place();
                match self.node()? {
                    Node::Text(text) => quote(&text, out),
                    _ => out.extend_from_slice(self.since(from).as_bytes()),
                }
                Ok(())
            }
        }
    }

    fn write_object(&mut self, ignore: &[&str], out: &mut Vec<u8>) -> Result<(), BadJson> {
        let start = out.len();
        let mut members: Vec<(Cow<'a, str>, Range<usize>)> = Vec::new();
        self.members(&mut |cursor, name| {
            let below = below(ignore, &name);
            let from = out.len();
            out.push(b',');
            quote(&name, out);
            out.push(b':');
            cursor.write(&below, out)?;
            if below.contains(&"") {
                out.truncate(from);
            }
            members.push((name, from..out.len()));
            Ok(())
        })?;
        // Written first and put in order afterwards: each byte moves once a level, where sorting
        // before writing would scan everything again at each level.
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return Err(BadJson::Twice);
            }
            let written = out.split_off(start);
            for (_, range) in members {
                out.extend_from_slice(&written[range.start - start..range.end - start]);
            }
        }
        enclose(out, start, b'{', b'}');
        Ok(())
    }
}

/// Every part begins with a comma; the first one becomes the bracket.
fn enclose(out: &mut Vec<u8>, start: usize, open: u8, close: u8) {
    match out.get_mut(start) {
        Some(comma) => *comma = open,
        None => out.push(open),
    }
    out.push(close);
}

fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            // Writing to a Vec cannot fail.
            ..0x20 => drop(write!(out, "\\u{byte:04x}")),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
