//! `lose`: what passes here does not arrive, and nobody is told. Whoever waits for it waits until
//! its own patience ends, or until the rule is removed: then it arrives after all.
//!
//! Of a call it is the answer that is lost: upstream has acted. Before a Redis command it is the
//! command, after it the answer.

use super::{ANYWHERE, Deed, Kind, Side, TRUE, when_true};

pub(in crate::fault) const KIND: Kind = Kind {
    word: "lose",
    at: ANYWHERE,
    of_call: Side::After,
    takes: TRUE,
    read: |value| when_true(value, Deed::Lose),
};
