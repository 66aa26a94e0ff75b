//! An UNKNOWN_TTL that is too short: an order that is forgotten while its outcome is open is a new one
//! to its next duplicate, which is paid again (no-silent-rerun).

use super::read::Problem;
use super::routes::place;
use crate::route::{Pace, Route, Routes, Tuning};
use humantime::format_duration;
use std::sync::Arc;
use std::time::Duration;

/// What is wrong with it where orders are asked about or cancelled: that takes until
/// RESOLVE_DEADLINE, or until the payment is old enough to be cancelled; the last answer may have to
/// wait for SETTLE_DELAY, and the cancel that comes of it for CANCEL_INTERVAL.
pub(super) fn while_asked_about(tuning: &Tuning, pace: &Pace) -> Option<String> {
    let least = tuning.resolve_deadline.max(pace.cancel_delay);
    let least = least.saturating_add(tuning.settle_delay).saturating_add(tuning.cancel_interval);
    (tuning.unknown_ttl < least).then(|| {
        format!(
            "{} is too short: an order would be forgotten while it is asked about or cancelled, \
             and the same payment would run again; expected at least {}, RESOLVE_DEADLINE (or a \
             longer cancel_delay), SETTLE_DELAY and CANCEL_INTERVAL together",
            format_duration(tuning.unknown_ttl),
            format_duration(least),
        )
    })
}

/// What is to be said of routes that may be as they are: nobody asks about their orders, or the
/// payment itself may take longer than its record is kept. `named`: by ROUTES, and not by variables
/// alone.
pub(super) fn remarks(routes: &Routes, named: bool) -> Vec<Problem> {
    let remark = |(index, route): (usize, &Arc<Route>)| {
        let tuning = &route.tuning;
        let least = while_paid(tuning);
        if route.callback.is_some() || tuning.unknown_ttl >= least {
            return None;
        }
        let at = match named {
            true => format!("{}.unknown_ttl", place(index, &route.name)),
            false => "ONCEWARD_UNKNOWN_TTL".to_owned(),
        };
        let what = format!(
            "{} is short: an order of unknown outcome is forgotten while its payment may be on its \
             way, and the same payment then runs again; {} and more outlast UPSTREAM_TIMEOUT with \
             SETTLE_DELAY, and two leases",
            format_duration(tuning.unknown_ttl),
            format_duration(least),
        );
        Some(Problem { at, what })
    };
    routes.0.iter().enumerate().filter_map(remark).collect()
}

/// How long a payment may be under way, with time to find its holder dead.
fn while_paid(tuning: &Tuning) -> Duration {
    let sent = tuning.upstream_timeout.saturating_add(tuning.settle_delay);
    sent.max(tuning.lock_ttl.saturating_mul(2))
}
