//! `reset`: the connection is refused where nothing has been sent, and breaks where something was.
//!
//! A call is refused: upstream hears nothing of it.

use super::{ANYWHERE, Deed, Kind, Side, TRUE, when_true};

pub(in crate::fault) const KIND: Kind = Kind {
    word: "reset",
    at: ANYWHERE,
    of_call: Side::Before,
    takes: TRUE,
    read: |value| when_true(value, Deed::Reset),
};
