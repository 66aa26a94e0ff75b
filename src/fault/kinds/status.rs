//! `status`: somebody in between answers with this status and an empty body. Where nothing has
//! been sent, nothing is; where upstream has acted, its own answer is thrown away.

use super::{At, Deed, Kind, Side};
use hyper::StatusCode;

pub(in crate::fault) const KIND: Kind = Kind {
    word: "status",
    at: &[
        At::Request,
        At::UpstreamRequest,
        At::UpstreamResponse,
        At::Response,
        At::Query,
        At::Cancel,
        At::Callback,
    ],
    of_call: Side::After,
    takes: "expected a status from 200 to 599",
    read: |value| {
        let status = u16::try_from(value.as_u64()?).ok()?;
        let status = StatusCode::from_u16(status).ok()?;
        (200..600).contains(&status.as_u16()).then_some(Deed::Status(status))
    },
};
