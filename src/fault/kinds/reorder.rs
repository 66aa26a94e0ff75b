//! `reorder`: what passes here is held until the next that the rule is about has passed, ten
//! seconds at most.

use super::{ANYWHERE, Deed, Kind, Side, TRUE, when_true};

pub(in crate::fault) const KIND: Kind = Kind {
    word: "reorder",
    at: ANYWHERE,
    of_call: Side::Before,
    takes: TRUE,
    read: |value| when_true(value, Deed::Reorder),
};
