//! `crash`: the process ends where it stands, as by kill -9: nothing is told, flushed or given
//! back. Of a call: upstream has acted.

use super::{ANYWHERE, Deed, Kind, Side, TRUE, when_true};

pub(in crate::fault) const KIND: Kind = Kind {
    word: "crash",
    at: ANYWHERE,
    of_call: Side::After,
    takes: TRUE,
    read: |value| when_true(value, Deed::Crash),
};
