//! `delay`: what passes here is so much later. A call is made so much later.

use super::{ANYWHERE, Deed, Kind, Side};
use std::time::Duration;

/// The longest: nothing waits without an end.
pub(in crate::fault) const LONGEST: Duration = Duration::from_secs(600);

pub(in crate::fault) const KIND: Kind = Kind {
    word: "delay",
    at: ANYWHERE,
    of_call: Side::Before,
    takes: "expected a time such as \"2s\", up to 10m",
    read: |value| {
        let time = humantime::parse_duration(value.as_str()?).ok()?;
        (!time.is_zero() && time <= LONGEST).then_some(Deed::Delay(time))
    },
};
