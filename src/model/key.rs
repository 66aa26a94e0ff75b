//! A key: the order number or idempotency key that names one order.
//!
//! Promises: a [`Key`] is 1 to 255 visible ASCII characters, the quoted and the bare form are the
//! same key wherever they stand, and no key looks like a quoted one. Refuses to know where the text
//! was found and which route it is for.

use std::fmt;

use thiserror::Error;

/// Longest key, in characters after unquoting.
pub const MAX_LEN: usize = 255;

/// An order number or idempotency key: 1 to [`MAX_LEN`] characters of 0x21 to 0x7e.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<str>);

/// Why a text is no key. The messages never repeat the text: it may be a card number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadKey {
    /// Nothing is left after trimming and unquoting.
    #[error("the key is empty")]
    Empty,
    /// More than [`MAX_LEN`] characters.
    #[error("the key is longer than {MAX_LEN} characters")]
    TooLong,
    /// A space, a control character, or anything outside ASCII.
    #[error("the key holds a character that is not visible ASCII")]
    Character,
    /// A comma in the bare form: two header lines may have been joined.
    #[error("the key header holds a list")]
    List,
    /// A quote that does not open or close the whole value, or a bad escape inside quotes.
    #[error("the key is not a well-formed quoted string")]
    Quote,
    /// Something after the closing quote: parameters, or a second item.
    #[error("the key is more than one quoted string")]
    Trailing,
    /// A quote at the beginning of what stands in the quotes: the next to read it would take the
    /// key for a quoted one.
    #[error("the key begins with a quote")]
    Quoted,
}

impl Key {
    /// Reads one header value: an sf-string (RFC 8941, 3.3.3) or the bare text real clients send.
    ///
    /// # Errors
    /// [`BadKey`] for anything but exactly one key.
    pub fn from_header(value: &[u8]) -> Result<Self, BadKey> {
        let value = trim(value);
        if value.starts_with(b"\"") {
            return Self::told(value);
        }
        if value.contains(&b',') {
            return Err(BadKey::List);
        }
        if value.contains(&b'"') {
            return Err(BadKey::Quote);
        }
        Self::visible(value)
    }

    /// Reads a value from a body, path or query: an sf-string, or the text as it stands, with the
    /// commas and quotes in it.
    ///
    /// # Errors
    /// [`BadKey`] when it is not 1 to [`MAX_LEN`] visible ASCII characters, or half a quoted string.
    pub fn from_text(text: &str) -> Result<Self, BadKey> {
        Self::told(text.as_bytes())
    }

    /// Takes a key as it was written into Redis, to the letter.
    ///
    /// # Errors
    /// [`BadKey`] when it never was one.
    pub fn stored(text: &str) -> Result<Self, BadKey> {
        Self::visible(text.as_bytes())
    }

    /// The unquoted text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn told(text: &[u8]) -> Result<Self, BadKey> {
        let Some(quoted) = text.strip_prefix(b"\"") else {
            return Self::visible(text);
        };
        match Self::visible(&unquote(quoted)?)? {
            key if key.0.starts_with('"') => Err(BadKey::Quoted),
            key => Ok(key),
        }
    }

    fn visible(text: &[u8]) -> Result<Self, BadKey> {
        if text.is_empty() {
            return Err(BadKey::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(BadKey::TooLong);
        }
        if !text.iter().all(u8::is_ascii_graphic) {
            return Err(BadKey::Character);
        }
        let text = std::str::from_utf8(text).map_err(|_| BadKey::Character)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Optional white space is space and tab (RFC 9110, 5.6.3), less than `trim_ascii` takes.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The text of an sf-string whose opening quote is already taken.
fn unquote(quoted: &[u8]) -> Result<Vec<u8>, BadKey> {
    let mut text = Vec::new();
    let mut rest = quoted.iter();
    loop {
        match rest.next() {
            None => return Err(BadKey::Quote),
            Some(b'"') => break,
            Some(b'\\') => match rest.next() {
                Some(escaped @ (b'"' | b'\\')) => text.push(*escaped),
                _ => return Err(BadKey::Quote),
            },
            Some(plain) => text.push(*plain),
        }
    }
    match rest.as_slice() {
        [] => Ok(text),
        _ => Err(BadKey::Trailing),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::model::noise;

    fn check(header: &[u8], expect: Result<&str, BadKey>) {
        let key = Key::from_header(header);
        assert_eq!(key.as_ref().map(Key::as_str).map_err(|e| *e), expect);
    }

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        for header in ["order-1", "\"order-1\"", " \t order-1\t ", " \"order-1\" "] {
            check(header.as_bytes(), Ok("order-1"));
        }
    }

    #[test]
    fn quoted_strings_are_unescaped() {
        check(br#""a\"b\\c""#, Ok(r#"a"b\c"#));
        check(br#""a,b;c=1""#, Ok("a,b;c=1"));
        check(br"a\b", Ok(r"a\b"));
        check(br#""a\b""#, Err(BadKey::Quote));
        check(br#""a\"#, Err(BadKey::Quote));
    }

    #[test]
    fn anything_but_one_key_is_refused() {
        check(b"", Err(BadKey::Empty));
        check(b" \t ", Err(BadKey::Empty));
        check(b"\"\"", Err(BadKey::Empty));
        check(b"a,b", Err(BadKey::List));
        check(b"a, a", Err(BadKey::List));
        check(b",", Err(BadKey::List));
        check(br#""a", "a""#, Err(BadKey::Trailing));
        check(br#""a";v=1"#, Err(BadKey::Trailing));
        check(br#""a"b"#, Err(BadKey::Trailing));
        check(br#""a" b"#, Err(BadKey::Trailing));
        check(br#"""""#, Err(BadKey::Trailing));
        check(br#"""#, Err(BadKey::Quote));
        check(br#""a"#, Err(BadKey::Quote));
        check(br#"a""#, Err(BadKey::Quote));
        check(br#"a"b"c"#, Err(BadKey::Quote));
    }

    #[test]
    fn only_visible_ascii_is_a_key() {
        for header in [&b"a b"[..], b"\"a b\"", b"a\tb", b"a\0", b"a\x7f", b"\xff", b"\n"] {
            check(header, Err(BadKey::Character));
        }
        check("订单".as_bytes(), Err(BadKey::Character));
        check("\u{a0}a".as_bytes(), Err(BadKey::Character));
        check(b"!~", Ok("!~"));
    }

    #[test]
    fn length_counts_after_unquoting() {
        let longest = "k".repeat(MAX_LEN);
        check(longest.as_bytes(), Ok(&longest));
        check(format!("\"{longest}\"").as_bytes(), Ok(&longest));
        let escaped = "\\\\".repeat(MAX_LEN);
        check(format!("\"{escaped}\"").as_bytes(), Ok(&"\\".repeat(MAX_LEN)));
        check(format!("{longest}k").as_bytes(), Err(BadKey::TooLong));
        check(&vec![b'k'; 1 << 20], Err(BadKey::TooLong));
    }

    #[test]
    fn text_from_elsewhere_is_taken_as_it_stands_or_unquoted() {
        for text in ["a,b", "a\"b", "a\"", "20240001", "a\\\"b"] {
            assert_eq!(Key::from_text(text).unwrap().as_str(), text);
        }
        for (text, key) in [("\"a\"", "a"), (r#""a,\"b\\""#, r#"a,"b\"#)] {
            assert_eq!(Key::from_text(text).unwrap().as_str(), key);
            check(text.as_bytes(), Ok(key));
        }
        assert_eq!(Key::from_text("\"a"), Err(BadKey::Quote));
        assert_eq!(Key::from_text("\"a\"b\""), Err(BadKey::Trailing));
        assert_eq!(Key::from_text("\"a b\""), Err(BadKey::Character));
        assert_eq!(Key::from_text("\"\""), Err(BadKey::Empty));
        assert_eq!(Key::from_text(""), Err(BadKey::Empty));
        assert_eq!(Key::from_text(" a"), Err(BadKey::Character));
        assert_eq!(Key::from_text("é"), Err(BadKey::Character));
        assert_eq!(Key::from_text(&"k".repeat(256)), Err(BadKey::TooLong));
    }

    #[test]
    fn no_key_looks_like_a_quoted_one() {
        for text in ["\"\\\"a\\\"\"", "\"\\\"a\"", "\"\\\"\""] {
            check(text.as_bytes(), Err(BadKey::Quoted));
            assert_eq!(Key::from_text(text), Err(BadKey::Quoted));
        }
        // One that an earlier release read stays the key of its order.
        assert_eq!(Key::stored("\"a\"").unwrap().as_str(), "\"a\"");
        assert_eq!(Key::stored("a b"), Err(BadKey::Character));
    }

    #[test]
    fn errors_never_repeat_the_value() {
        for header in [&b"secret,"[..], b"\"secret", b"\"secret\"x", b"secret "] {
            if let Err(error) = Key::from_header(header) {
                assert!(!format!("{error}{error:?}").contains("secret"));
            }
        }
    }

    #[test]
    fn noise_never_panics_and_every_key_survives_quoting() {
        for alphabet in [&noise::bytes()[..], b"ab\"\\, \t;"] {
            noise::each(20_000, alphabet, |input| {
                let Ok(key) = Key::from_header(input) else {
                    return;
                };
                let quoted = key.as_str().replace('\\', "\\\\").replace('"', "\\\"");
                check(format!("\"{quoted}\"").as_bytes(), Ok(key.as_str()));
                assert_eq!(Key::from_text(key.as_str()).unwrap(), key);
            });
        }
    }
}
