//! `forget`: Redis has lost what it acknowledged of this order, and another server answers from now
//! on, as after a failover.

use super::{At, Deed, Kind, Side, TRUE, when_true};

pub(in crate::fault) const KIND: Kind = Kind {
    word: "forget",
    at: &[At::RedisBefore],
    of_call: Side::Before,
    takes: TRUE,
    read: |value| when_true(value, Deed::Forget),
};
