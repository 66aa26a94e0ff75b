//! The one tokenizer of JSON, used for finding and for the canonical spelling alike.
//!
//! Promises: moves over the text once, forward, and never deeper than [`MAX_DEPTH`].
//! Refuses to know pointers, duplicates and order.

use std::borrow::Cow;

use super::{BadJson, MAX_DEPTH, Node};

/// A place in a text. After an error it is good for nothing more.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// Containers open here: the depth of the recursion.
    depth: usize,
}

/// What to do at each member or item; it must pass over the value.
type Step<'c, C, T> = &'c mut dyn FnMut(&mut C, T) -> Result<(), BadJson>;

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Passes over one value and says what it was.
    pub(super) fn node(&mut self) -> Result<Node<'a>, BadJson> {
        let next = self.peek();
        let from = self.place();
        match next {
            Some(b'{') => {
                self.members(&mut |cursor, _| cursor.node().map(drop))?;
                Ok(Node::Object(self.since(from)))
            }
            Some(b'[') => {
                self.items(&mut |cursor, _| cursor.node().map(drop))?;
                Ok(Node::Array(self.since(from)))
            }
            Some(b'"') => self.string().map(Node::Text),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            _ => self.number(),
        }
    }

    /// Calls `each` at the value of every member.
    pub(super) fn members(&mut self, each: Step<'_, Self, Cow<'a, str>>) -> Result<(), BadJson> {
        self.open(b'{')?;
        if self.close(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            self.take(b':')?;
            each(self, name)?;
            if self.close(b'}') {
                return Ok(());
            }
            self.take(b',')?;
        }
    }

    /// Calls `each` at every item.
    pub(super) fn items(&mut self, each: Step<'_, Self, usize>) -> Result<(), BadJson> {
        self.open(b'[')?;
        if self.close(b']') {
            return Ok(());
        }
        for index in 0.. {
            each(self, index)?;
            if self.close(b']') {
                break;
            }
            self.take(b',')?;
        }
        Ok(())
    }

    fn open(&mut self, bracket: u8) -> Result<(), BadJson> {
        self.take(bracket)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(BadJson::TooDeep);
        }
        Ok(())
    }

    fn close(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        if closes {
            self.at += 1;
            self.depth -= 1;
        }
        closes
    }

    /// The text since `from`, an earlier [`Cursor::place`].
    pub(super) fn since(&self, from: usize) -> &'a str {
        &self.text[from..self.at]
    }

    /// Where the cursor stands, in bytes.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    fn string(&mut self) -> Result<Cow<'a, str>, BadJson> {
        self.take(b'"')?;
        let mut decoded = String::new();
        loop {
            let rest = &self.text[self.at..];
            let stops = |byte: u8| matches!(byte, b'"' | b'\\' | ..0x20);
            let stop = rest.bytes().position(stops).ok_or(BadJson::Malformed)?;
            let plain = &rest[..stop];
            self.at += stop + 1;
            match rest.as_bytes()[stop] {
                // An escape never decodes to nothing: empty means there was none.
                b'"' if decoded.is_empty() => return Ok(Cow::Borrowed(plain)),
                b'"' => return Ok(Cow::Owned(decoded + plain)),
                b'\\' => {
                    decoded.push_str(plain);
                    decoded.push(self.escape()?);
                }
                _ => return Err(BadJson::Malformed),
            }
        }
    }

    fn escape(&mut self) -> Result<char, BadJson> {
        let letter = self.next().ok_or(BadJson::Malformed)?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.hex()?;
                if let 0xd800..=0xdbff = code {
                    self.word("\\u", ())?;
                    let low = self.hex()?.wrapping_sub(0xdc00);
                    if low > 0x3ff {
                        return Err(BadJson::Malformed);
                    }
                    code = 0x10000 + ((code - 0xd800) << 10) + low;
                }
                // Half a pair is nothing: parsers keep it, drop it or replace it.
                char::from_u32(code).ok_or(BadJson::Malformed)?
            }
            _ => return Err(BadJson::Malformed),
        })
    }

    fn hex(&mut self) -> Result<u32, BadJson> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        self.at += 4;
        digits
            .ok_or(BadJson::Malformed)?
            .iter()
            .try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
            .ok_or(BadJson::Malformed)
    }

    fn number(&mut self) -> Result<Node<'a>, BadJson> {
        let start = self.at;
        self.at += usize::from(self.next() == Some(b'-'));
        let zero = self.next() == Some(b'0');
        if self.digits()? > 1 && zero {
            return Err(BadJson::Malformed);
        }
        let whole = self.at;
        if self.next() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.next() {
            self.at += 1;
            self.at += usize::from(matches!(self.next(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        Ok(if self.at == whole { Node::Integer(text) } else { Node::Float(text) })
    }

    fn digits(&mut self) -> Result<usize, BadJson> {
        let start = self.at;
        while self.next().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        match self.at - start {
            0 => Err(BadJson::Malformed),
            count => Ok(count),
        }
    }

    fn word<T>(&mut self, word: &str, meaning: T) -> Result<T, BadJson> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(BadJson::Malformed);
        }
        self.at += word.len();
        Ok(meaning)
    }

    fn take(&mut self, wanted: u8) -> Result<(), BadJson> {
        if self.peek() != Some(wanted) {
            return Err(BadJson::Malformed);
        }
        self.at += 1;
        Ok(())
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), BadJson> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(BadJson::Malformed),
        }
    }

    /// The next byte after white space, which it passes over.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.next() {
            self.at += 1;
        }
        self.next()
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}
