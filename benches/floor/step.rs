//! A command with the words of one of Onceward's, for a script that does nothing.

use crate::BenchError;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Digits of a number.
const DIGITS: usize = 16;

/// A command's words.
pub(super) type Words = Vec<Vec<u8>>;

/// The least letters of what takes as many values as there are orders: a partition's name has fewer.
const FRESH: usize = 8;

/// What stands before a partition's number, of two digits, in a key; and how many there are. Nothing
/// else in a word begins so.
const PARTITION: &[u8] = b"{p";
const PARTITIONS: u64 = 64;

/// The command as it goes over the wire. Redis' Lua keeps one copy of equal words, so where words of
/// Onceward's differ from command to command, these do.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Step {
    command: Vec<u8>,
    /// Where a number goes that no other command has.
    each: Vec<Range<usize>>,
    /// Where a number goes that all commands about an order have.
    order: Vec<Range<usize>>,
    /// Where its partition's goes, in the keys.
    partition: Vec<Range<usize>>,
}

impl Step {
    /// The script `sha` with the words that `one` gave another script, as did `again`, about the same
    /// order where the step is taken more than once, and `other`, about another order.
    ///
    /// # Errors
    /// When they are not as many words.
    pub(super) fn of(sha: &str, [one, again, other]: [&Words; 3]) -> Result<Step, BenchError> {
        if [again, other].iter().any(|words| words.len() != one.len()) {
            return Err(BenchError::Wrong("two payments told Redis so many words each".into()));
        }
        let (mut each, mut order, mut partition) = (Vec::new(), Vec::new(), Vec::new());
        let mut command = format!("*{}\r\n", one.len()).into_bytes();
        for (place, word) in one.iter().enumerate() {
            // EVALSHA, the script, its words.
            let said = if place == 1 { sha.as_bytes() } else { word };
            command.extend_from_slice(format!("${}\r\n", said.len()).as_bytes());
            let here = |range: Range<usize>| command.len() + range.start..command.len() + range.end;
            match (fresh(word, &again[place]), fresh(word, &other[place])) {
                (Some(range), _) => each.push(here(range)),
                (None, range) => order.extend(range.map(here)),
            }
            if let Some(at) = memmem::find(word, PARTITION) {
                partition.push(here(at + PARTITION.len()..at + PARTITION.len() + 2));
            }
            command.extend_from_slice(said);
            command.extend_from_slice(b"\r\n");
        }
        Ok(Step { command, each, order, partition })
    }

    /// Adds the command to those that are leaving, its own number in it and that of its order.
    pub(super) fn put(&self, each: u64, order: u64, out: &mut Vec<u8>) {
        let begins = out.len();
        out.extend_from_slice(&self.command);
        for (ranges, number) in [(&self.each, each), (&self.order, order)] {
            let number = digits(number);
            for Range { start, end } in ranges.iter().cloned() {
                let letters = &mut out[begins + start..begins + end];
                letters.copy_from_slice(&number[DIGITS - (end - start)..]);
            }
        }
        let partition = order % PARTITIONS;
        let digits = [b'0' + (partition / 10) as u8, b'0' + (partition % 10) as u8];
        for Range { start, end } in self.partition.iter().cloned() {
            out[begins + start..begins + end].copy_from_slice(&digits);
        }
    }
}

/// Where a word is to differ, if two do: the end of the part in which they differ, no more of it than
/// a number takes. A name that differs, such as an attempt's, which counts up, does so in all letters.
fn fresh(word: &[u8], other: &[u8]) -> Option<Range<usize>> {
    if word == other {
        return None;
    }
    let same = |(one, other): &(&u8, &u8)| one == other;
    let start = word.iter().zip(other).take_while(same).count();
    let alike = word[start..].iter().rev().zip(other.iter().rev()).take_while(same).count();
    let end = word.len() - alike;
    let of_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let before = word[..start].iter().rev().take_while(of_name).count();
    let end = end + word[end..].iter().take_while(of_name).count();
    let range = (start - before).max(end.saturating_sub(DIGITS))..end;
    (range.len() >= FRESH).then_some(range)
}

/// A number in as many digits.
fn digits(number: u64) -> [u8; DIGITS] {
    std::array::from_fn(|place| b"0123456789abcdef"[(number >> (60 - 4 * place)) as usize & 15])
}
