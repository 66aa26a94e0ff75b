//! `cut`: a body breaks off after so many of its bytes. A longer body only; a shorter one passes.

use super::{At, Deed, Kind, Side};

pub(in crate::fault) const KIND: Kind = Kind {
    word: "cut",
    at: &[
        At::UpstreamRequest,
        At::UpstreamResponse,
        At::Response,
        At::Query,
        At::Cancel,
        At::Callback,
    ],
    of_call: Side::After,
    takes: "expected a number of bytes, 0 or more",
    read: |value| Some(Deed::Cut(usize::try_from(value.as_u64()?).ok()?)),
};
