//! `body`: upstream's answer has this body instead of its own, under its own status. So it can be
//! made to say "still paying", or anything else its routes' outcome rules look for.

use super::{ANSWERS, Deed, Kind, Side};
use bytes::Bytes;

/// The longest, in bytes.
const LONGEST: usize = 8 * 1024;

pub(in crate::fault) const KIND: Kind = Kind {
    word: "body",
    at: ANSWERS,
    of_call: Side::After,
    takes: "expected a text of up to 8192 bytes",
    read: |value| {
        let text = value.as_str().filter(|text| text.len() <= LONGEST)?;
        Some(Deed::Body(Bytes::copy_from_slice(text.as_bytes())))
    },
};
