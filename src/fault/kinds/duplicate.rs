//! `duplicate`: what passes here arrives twice, both copies at once: a caller's request is handled
//! twice and its caller gets the second answer; upstream gets the same call twice, key and fence and
//! all, and the first answer counts; Redis gets a command twice and the second answer counts.

use super::{At, Deed, Kind, Side, TRUE, when_true};

pub(in crate::fault) const KIND: Kind = Kind {
    word: "duplicate",
    at: &[At::Request, At::UpstreamRequest, At::Query, At::Cancel, At::Callback, At::RedisBefore],
    of_call: Side::Before,
    takes: TRUE,
    read: |value| when_true(value, Deed::Duplicate),
};
