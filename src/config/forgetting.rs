//! An UNKNOWN_TTL that is too short: an order that is forgotten while its outcome is open is a new one
//! to its next duplicate, which is paid again (no-silent-rerun).

use super::read::{Problem, Values};
use super::vars;
use crate::route::{Pace, Tuning};
use humantime::format_duration;
use std::time::Duration;

/// What is wrong with it where orders are asked about or cancelled: that takes until
/// RESOLVE_DEADLINE, or until the payment is old enough to be cancelled; the last answer may have to
/// wait for SETTLE_DELAY, and the cancel that comes of it for CANCEL_INTERVAL.
pub(super) fn while_asked_about(
    tuning: &Tuning,
    pace: &Pace,
    values: &Values<'_>,
) -> Option<Problem> {
    let var = vars::var("UNKNOWN_TTL");
    let least = tuning.resolve_deadline.max(pace.cancel_delay);
    let least = least.saturating_add(tuning.settle_delay).saturating_add(tuning.cancel_interval);
    (tuning.unknown_ttl < least).then(|| Problem {
        at: values.name_of(var),
        what: format!(
            "{} is too short{}: an order would be forgotten while it is asked about or cancelled, \
             and the same payment would run again; expected at least {}, RESOLVE_DEADLINE (or a \
             longer cancel_delay), SETTLE_DELAY and CANCEL_INTERVAL together",
            format_duration(tuning.unknown_ttl),
            values.heir_of(var),
            format_duration(least),
        ),
    })
}

/// What is to be said of one that may be as it is: nobody asks about the route's orders, or the
/// payment itself may take longer than its record is kept.
pub(super) fn remark(tuning: &Tuning, values: &Values<'_>) -> Option<Problem> {
    let (var, least) = (vars::var("UNKNOWN_TTL"), while_paid(tuning));
    (tuning.unknown_ttl < least).then(|| Problem {
        at: values.name_of(var),
        what: format!(
            "{} is short{}: an order of unknown outcome is forgotten while its payment may be on \
             its way, and the same payment then runs again; {} and more outlast UPSTREAM_TIMEOUT \
             with SETTLE_DELAY, and two leases",
            format_duration(tuning.unknown_ttl),
            values.heir_of(var),
            format_duration(least),
        ),
    })
}

/// How long a payment may be under way, with time to find its holder dead.
fn while_paid(tuning: &Tuning) -> Duration {
    let sent = tuning.upstream_timeout.saturating_add(tuning.settle_delay);
    sent.max(tuning.lock_ttl.saturating_mul(2))
}
