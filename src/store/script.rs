//! The scripts of `lua/`: loaded once, called by their hash, loaded again when Redis forgot them.

use super::error::StoreError;
use redis::{Cmd, Value};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

/// What scripts have in common, in parts divided by empty lines; each uses only what stands above it.
const COMMON: &str = include_str!("../../lua/common.lua");

/// A script with the parts of [`COMMON`] it needs, before the first paragraph that speaks of one:
/// Redis runs a script's text from the top at each call, and a function that nobody calls takes its
/// time all the same.
fn with_parts(script: &str) -> String {
    let common: HashSet<&str> = COMMON.split("\n\n").flat_map(declared).collect();
    let stands_alone = |paragraph: &&str| {
        paragraph.starts_with(' ') || !words(paragraph).any(|word| common.contains(word))
    };
    let paragraphs = script.split("\n\n").take_while(stands_alone);
    let above: usize = paragraphs.map(|paragraph| paragraph.len() + "\n\n".len()).sum();
    let (short, long) = script.split_at(above.min(script.len()));
    // From the last part up, for each uses only what stands above it.
    let (mut spoken_of, mut text): (HashSet<&str>, _) = (words(long).collect(), long.to_owned());
    for part in COMMON.trim_end().rsplit("\n\n") {
        if declared(part).any(|name| spoken_of.contains(name)) {
            spoken_of.extend(words(part));
            text = format!("{part}\n\n{text}");
        }
    }
    format!("{short}{text}")
}

/// What a part declares.
fn declared(part: &str) -> impl Iterator<Item = &str> {
    let lines = part.lines().filter_map(|line| line.strip_prefix("local "));
    lines.filter_map(|line| words(line.strip_prefix("function ").unwrap_or(line)).next())
}

/// The words of Lua code, its comments aside.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("--"));
    lines.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
}

/// One script and what its header promises.
#[derive(Debug)]
pub struct Script {
    /// Its file's name without `.lua`; the metric label.
    pub name: &'static str,
    text: String,
    sha: String,
}

impl Script {
    fn new(name: &'static str, source: &str) -> Script {
        // Redis wants the `#!lua` line first.
        let (shebang, rest) = source.split_once('\n').unwrap_or((source, ""));
        let text = format!("{shebang}\n{}", with_parts(rest));
        let sha = redis::Script::new(&text).get_hash().to_owned();
        Script { name, text, sha }
    }

    /// The call by hash; names and arguments are appended by the caller, in the header's order.
    pub fn by_hash(&self, keys: &[&str]) -> Cmd {
        Script::call("EVALSHA", &self.sha, keys)
    }

    /// The call by text, which also loads it.
    pub fn by_text(&self, keys: &[&str]) -> Cmd {
        Script::call("EVAL", &self.text, keys)
    }

    fn call(verb: &str, script: &str, keys: &[&str]) -> Cmd {
        let mut command = Cmd::with_capacity(3 + keys.len() + 18, ROOM);
        command.arg(verb).arg(script).arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        command
    }
}

/// Bytes of a call that most find room in: a settle with a short answer.
const ROOM: usize = 2048;

macro_rules! scripts {
    ($($constant:ident $name:literal)*) => {
        $(
            #[doc = concat!("`lua/", $name, ".lua`")]
            pub static $constant: LazyLock<Script> = LazyLock::new(|| {
                Script::new($name, include_str!(concat!("../../lua/", $name, ".lua")))
            });
        )*
        /// Every script.
        pub fn all() -> Vec<&'static Script> {
            vec![$(&$constant),*]
        }
    };
}

scripts! {
    ISSUE_TOKEN "issue_token"
    BIND_TOKEN "bind_token"
    CLAIM "claim"
    RENEW "renew"
    SETTLE "settle"
    ABANDON "abandon"
    LAPSE "lapse"
    RESTORE "restore"
    LOOK "look"
    SURVEY "survey"
    RECALL "recall"
    PING "ping"
    ACCEPT_CALLBACK "accept_callback"
    SETTLE_CALLBACK "settle_callback"
    DROP_CALLBACK "drop_callback"
    CONCLUDE "conclude"
    ADOPT "adopt"
    HOLD "hold"
    RESOLVE "resolve"
    RELEASE "release"
    CANCEL "cancel"
    ENQUEUE "enqueue"
    TAKE "take"
    DRAFT "draft"
    DEQUEUE "dequeue"
    PUT_BACK "put_back"
    DEAD_LETTER "dead_letter"
}

/// A script's reply, read from the front.
#[derive(Debug)]
pub struct Reply {
    script: &'static str,
    values: Values,
}

/// A list, or a text of words and how much of it was read.
#[derive(Debug)]
enum Values {
    List(std::vec::IntoIter<Value>),
    Text(Vec<u8>, usize),
}

/// The word a reply begins with.
pub fn word(reply: &Value) -> Option<&[u8]> {
    match reply {
        Value::Array(values) => values.first().and_then(word),
        Value::BulkString(text) => text.split(|byte| *byte == b' ').next(),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

impl Reply {
    /// The reply and its first word; one that is a text is made of words.
    ///
    /// # Errors
    /// When it does not begin with a word.
    pub fn open(script: &'static Script, value: Value) -> Result<(String, Reply), StoreError> {
        let values = match value {
            Value::Array(values) => Values::List(values.into_iter()),
            Value::BulkString(text) => Values::Text(text, 0),
            other => return Err(protocol(script.name, format!("{other:?}"))),
        };
        let mut reply = Reply { script: script.name, values };
        let word = reply.text()?;
        Ok((word, reply))
    }

    /// The next value's bytes.
    ///
    /// # Errors
    /// When there is none.
    pub fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        Ok(self.next()?.into_owned())
    }

    /// The next value as text.
    ///
    /// # Errors
    /// When there is none or it is not UTF-8.
    pub fn text(&mut self) -> Result<String, StoreError> {
        self.read("text", |text| Some(text.to_owned()))
    }

    /// The next value as a number.
    ///
    /// # Errors
    /// When there is none or it is not one.
    pub fn number<N: std::str::FromStr>(&mut self) -> Result<N, StoreError> {
        self.read("a number", |text| text.parse().ok())
    }

    /// The next value, as `read` takes it.
    ///
    /// # Errors
    /// When there is none, it is not UTF-8, or `read` makes nothing of it.
    pub fn read<T>(
        &mut self,
        what: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let script = self.script;
        let bytes = self.next()?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| protocol(script, "bytes that are not text".into()))?;
        read(text).ok_or_else(|| protocol(script, format!("{text:?} for {what}")))
    }

    /// A word of a text is read where it lies.
    fn next(&mut self) -> Result<Cow<'_, [u8]>, StoreError> {
        let next = match &mut self.values {
            Values::List(values) => values.next(),
            Values::Text(text, read) => {
                let rest = text.get(*read..).filter(|rest| !rest.is_empty());
                let word = rest.and_then(|rest| rest.split(|byte| *byte == b' ').next());
                *read += word.map_or(0, |word| word.len() + 1);
                match word {
                    Some(word) => return Ok(word.into()),
                    None => None,
                }
            }
        };
        match next {
            Some(Value::BulkString(bytes)) => Ok(bytes.into()),
            Some(Value::SimpleString(text)) => Ok(text.into_bytes().into()),
            Some(Value::Int(number)) => Ok(number.to_string().into_bytes().into()),
            other => Err(protocol(self.script, format!("{other:?} for a string"))),
        }
    }

    /// All of a reply that is one text, as it was before anything was read.
    pub fn all(self) -> Vec<u8> {
        match self.values {
            Values::Text(text, _) => text,
            Values::List(_) => Vec::new(),
        }
    }

    /// What is left.
    pub fn remaining(&self) -> usize {
        match &self.values {
            Values::List(values) => values.len(),
            Values::Text(text, read) => {
                let rest = text.get(*read..).filter(|rest| !rest.is_empty());
                rest.map_or(0, |rest| 1 + rest.iter().filter(|byte| **byte == b' ').count())
            }
        }
    }

    /// The error for a word the header does not list.
    pub fn unknown(self, word: &str) -> StoreError {
        protocol(self.script, word.to_owned())
    }
}

fn protocol(script: &'static str, reply: String) -> StoreError {
    StoreError::Protocol { script, reply }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// A word of theirs that a part declares would put that part before them, at every call.
    #[test]
    fn nothing_stands_before_the_short_ways() {
        let ends = [(&CLAIM, "return {'done', raw,"), (&SETTLE, "return 'settled'")];
        for (script, end) in ends {
            let short = script.text.find(end).unwrap();
            assert!(!script.text[..short].contains("local function"), "{}", script.name);
            assert!(script.text[short..].contains("local function"), "{}", script.name);
        }
    }
}
