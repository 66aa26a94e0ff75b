//! `pad`: upstream's answer is followed by so many spaces: JSON stays JSON, and grows past any cap.

use super::{ANSWERS, Deed, Kind, Side};

/// The most bytes.
const MOST: u64 = 64 * 1024 * 1024;

pub(in crate::fault) const KIND: Kind = Kind {
    word: "pad",
    at: ANSWERS,
    of_call: Side::After,
    takes: "expected a number of bytes from 1 to 67108864",
    read: |value| {
        let bytes = value.as_u64().filter(|bytes| (1..=MOST).contains(bytes))?;
        Some(Deed::Pad(usize::try_from(bytes).ok()?))
    },
};
