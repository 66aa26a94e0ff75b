//! When the turns of an order come that is unknown or being cancelled.

use crate::model::identity::{AttemptId, Order};
use crate::model::order::State;
use crate::route::{Call, Route};
use crate::store::record::Record;
use crate::store::resolve::AdoptAsk;
use std::time::{Duration, SystemTime};

/// Each turn is so much longer than the one before, up to so many times the first.
const BACK_OFF: f64 = 1.5;
const LONGEST: f64 = 10.0;

/// A turn is up to this part of it longer, at random, so that orders that became unknown together
/// are not asked about together for ever.
const JITTER: f64 = 0.1;

/// When to look again at an order that nobody here knows how to ask about.
pub(super) const HELD: Duration = Duration::from_secs(600);

/// How an order is taken: as its route says, or left alone for long where nobody can ask. `chance`
/// is from 0 to 1.
pub fn asking<'a>(
    route: Option<&Route>,
    order: &'a Order,
    turn: &'a AttemptId,
    seen: &'a Record,
    chance: f64,
) -> AdoptAsk<'a> {
    let Some(route) = route else {
        let (query, cancel) = (HELD, HELD);
        return AdoptAsk { order, turn, seen, query, cancel, cancel_from: None, deadline: None };
    };
    let (tuning, pace) = (&route.tuning, &route.pace);
    let wait = |call: &Option<Call>, interval: Duration, steady: bool| match call {
        Some(_) if steady => interval,
        Some(_) => back_off(interval, seen.asks, chance),
        None => HELD,
    };
    let cancel = match seen.state {
        State::Cancelling => wait(&route.cancel, tuning.cancel_interval, false),
        // The turn in which an order comes to be cancelled is the first of its kind.
        _ => tuning.cancel_interval,
    };
    AdoptAsk {
        order,
        turn,
        seen,
        query: wait(&route.query, tuning.query_interval, pace.steady),
        cancel,
        cancel_from: may_cancel_from(route, seen),
        deadline: route.cancel.as_ref().map(|_| tuning.resolve_deadline),
    }
}

/// When an order may be cancelled upstream: once its payment is old enough. By Redis' clock, which
/// wrote its history; this machine's has no say, it may be minutes off.
pub(super) fn may_cancel_from(route: &Route, seen: &Record) -> Option<SystemTime> {
    let mut claims = seen.history.iter().filter(|line| line.to == State::InFlight.word());
    let paid = claims.next_back().map(|line| line.at).or(seen.created);
    paid.map(|paid| paid + route.pace.cancel_delay)
}

/// How long a turn is after so many of them.
fn back_off(interval: Duration, asks: u64, chance: f64) -> Duration {
    let times = BACK_OFF.powi(asks.min(100) as i32).min(LONGEST);
    interval.mul_f64(times * (1.0 + JITTER * chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_grow_longer_up_to_ten_times_the_first() {
        let interval = Duration::from_secs(4);
        for (asks, seconds) in [(0, 4.0), (1, 6.0), (2, 9.0), (6, 40.0), (u64::MAX, 40.0)] {
            assert_eq!(back_off(interval, asks, 0.0).as_secs_f64(), seconds, "{asks}");
        }
        assert_eq!(back_off(interval, 0, 1.0).as_secs_f64(), 4.4);
    }
}
