//! A record as it lies in Redis, as far as the two ways need it that nearly all go: what a duplicate is
//! answered from is read here, and what becomes of a first attempt's record is written here, so that
//! Lua need not take texts apart and put them together. `lua/common.lua` says how one is written.

use super::parts;
use crate::model::identity::AttemptId;
use crate::model::order::State;
use crate::model::trace::TraceContext;
use bytes::Bytes;
use memchr::memmem;
use std::time::Instant;

/// A record as a claim left it, if nothing else has come to be known of its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// All of it.
    text: Vec<u8>,
    /// Where its fingerprint ends, and where its first line does.
    fingerprint: usize,
    line: usize,
    /// When it was claimed, ms since 1970 by Redis' clock, and when this was heard here.
    at: u64,
    heard: Instant,
}

/// What a first line says of a first attempt under way, before its name and behind it.
const UNDER_WAY: &[u8] = b" in_flight open 1 ";
const SINCE: &[u8] = b" 1 none 0 ";

impl Begun {
    /// The record that the first claim of an order leaves; `asked` is its part of what was asked.
    pub(super) fn first(
        (attempt, at, by): (&AttemptId, u64, &str),
        fingerprints: &str,
        token: &str,
        asked: &[u8],
    ) -> Begun {
        let now = at.to_string();
        let fingerprint = fingerprints.split(',').next().unwrap_or_default().as_bytes();
        let token = if token.is_empty() { "-" } else { token };
        let mut text = Vec::with_capacity(fingerprint.len() + token.len() + asked.len() + 192);
        let (attempt, now) = (attempt.as_str().as_bytes(), now.as_bytes());
        put(&mut text, &[b"3 ", fingerprint]);
        let fingerprint = text.len();
        put(&mut text, &[UNDER_WAY, attempt, SINCE, now, b" ", token.as_bytes()]);
        put(&mut text, &[b" ", now, b"\n"]);
        let line = text.len();
        put(&mut text, &[now, b" none in_flight ", by.as_bytes(), b" claimed\n", asked]);
        Begun { text, fingerprint, line, at, heard: Instant::now() }
    }

    /// Whether it is what this attempt's claim left, under this fence.
    pub(super) fn is_of(&self, attempt: &AttemptId, fence: u64) -> bool {
        let behind = self.text.get(self.fingerprint + UNDER_WAY.len()..).unwrap_or_default();
        let behind = behind.strip_prefix(attempt.as_str().as_bytes());
        fence == 1 && behind.is_some_and(|behind| behind.starts_with(SINCE))
    }

    /// Its first line.
    pub(super) fn line(&self) -> &[u8] {
        &self.text[..self.line]
    }

    /// The record of this attempt's end, with room for what was answered behind it.
    pub(super) fn ended(
        &self,
        attempt: &AttemptId,
        (to, by, why): (State, &str, &str),
        room: usize,
    ) -> Vec<u8> {
        let passed = u64::try_from(self.heard.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = self.at.saturating_add(passed).to_string();
        let (line, rest) = self.text.split_at(self.line);
        let (fingerprint, line) = line.split_at(self.fingerprint);
        let updated = now.len() + " \n".len();
        let line = &line[UNDER_WAY.len()..line.len().saturating_sub(updated)];
        let (attempt, to, now) =
            (attempt.as_str().as_bytes(), to.word().as_bytes(), now.as_bytes());
        let mut text = Vec::with_capacity(self.text.len() + by.len() + why.len() + room + 128);
        put(
            &mut text,
            &[fingerprint, b" ", to, b" done 1 ", line, b" ", now, b" settled=", attempt],
        );
        put(
            &mut text,
            &[b"\n", now, b" in_flight ", to, b" ", by.as_bytes(), b" ", why.as_bytes()],
        );
        put(&mut text, &[b"\n", rest]);
        text
    }
}

fn put(text: &mut Vec<u8>, words: &[&[u8]]) {
    for word in words {
        text.extend_from_slice(word);
    }
}

/// What a duplicate needs of a record.
pub(super) struct Text {
    /// Where its order stands.
    pub(super) state: State,
    /// Its fence.
    pub(super) fence: u64,
    /// The part of what was answered.
    pub(super) answered: Bytes,
    /// The span of the attempt it is about, where that is in a trace that is kept.
    pub(super) trace: Option<TraceContext>,
}

/// What stands before what was asked, on a line of its own, and that part's length.
const ASKED: &[u8] = b"\nasked ";

impl Text {
    /// Reads a record; `None` for what is none.
    pub(super) fn read(raw: Vec<u8>) -> Option<Text> {
        let raw = Bytes::from(raw);
        let line = raw.split(|byte| *byte == b'\n').next()?;
        let mut words = std::str::from_utf8(line).ok()?.split(' ').skip(2);
        let state = State::from_word(words.next()?)?;
        let fence = words.nth(1)?.parse().ok()?;
        let length_at = memmem::find(&raw[line.len()..], ASKED)? + line.len() + ASKED.len();
        let digits = raw[length_at..].iter().position(|byte| *byte == b'\n')?;
        let length = std::str::from_utf8(&raw[length_at..length_at + digits]).ok()?;
        let asked_at = length_at + digits + 1;
        let answered_at = asked_at.checked_add(length.parse().ok()?)?;
        let asked = raw.get(asked_at..answered_at)?;
        let trace = parts::word_of(asked, "trace").and_then(TraceContext::from_stored);
        Some(Text { state, fence, answered: raw.slice(answered_at..), trace })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const WRITTEN: &[u8] = b"3 print succeeded done 7 attempt 2 none 0 1 - 2 settled=attempt\n\
        2 in_flight succeeded by upstream asked 9\n1 none in_flight by claimed\n\
        asked 13\n\x81\xa3key\xa7\nasked yes 200 0\nbody";

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let text = Text::read(WRITTEN.to_vec()).unwrap();
        assert_eq!((text.state, text.fence, text.trace), (State::Succeeded, 7, None));
        assert_eq!(text.answered, b"yes 200 0\nbody"[..]);
    }

    #[test]
    fn what_is_cut_short_is_no_record() {
        let asked_ends = WRITTEN.len() - b"yes 200 0\nbody".len();
        for end in 0..asked_ends {
            assert!(Text::read(WRITTEN[..end].to_vec()).is_none(), "{end}");
        }
        assert!(Text::read(WRITTEN[..asked_ends].to_vec()).unwrap().answered.is_empty());
        let endless = b"3 p succeeded done 1 a\nasked 18446744073709551615\nx";
        assert!(Text::read(endless.to_vec()).is_none());
    }
}
