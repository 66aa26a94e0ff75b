//! `stop`: the sidecar begins to drain, as by SIGTERM, and what passes here goes on.

use super::{ANYWHERE, Deed, Kind, Side, TRUE, when_true};

pub(in crate::fault) const KIND: Kind = Kind {
    word: "stop",
    at: ANYWHERE,
    of_call: Side::Before,
    takes: TRUE,
    read: |value| when_true(value, Deed::Stop),
};
