//! `error`: Redis answers with this error word and does nothing: `OOM`, `READONLY`, `NOSCRIPT`.

use super::{At, Deed, Kind, Side};

pub(in crate::fault) const KIND: Kind = Kind {
    word: "error",
    at: &[At::RedisBefore],
    of_call: Side::Before,
    takes: "expected an error word of Redis' such as \"OOM\"",
    read: |value| {
        let word = value.as_str()?;
        let is_word =
            (2..=32).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase());
        is_word.then(|| Deed::Error(word.to_owned()))
    },
};
