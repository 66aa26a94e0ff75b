//! When the turns of an order come that is unknown or being cancelled.

use crate::model::identity::{AttemptId, Order};
use crate::model::order::State;
use crate::route::{Route, Tuning};
use crate::store::record::Record;
use crate::store::resolve::AdoptAsk;
use std::time::{Duration, SystemTime};

/// Each turn is so much longer than the one before, up to so many times the first.
const BACK_OFF: f64 = 1.5;
const LONGEST: f64 = 10.0;

/// A turn is up to this part of it longer, at random, so that orders that became unknown together
/// are not asked about together for ever.
const JITTER: f64 = 0.1;

/// For how long a turn is held at a time, while its call takes longer than until the next one. Who
/// dies in its turn delays the order by no more than that.
pub(super) const HOLD: Duration = Duration::from_secs(3);

/// How an order is taken: as its route says, or left to others where nobody here can make the call.
/// `chance` is from 0 to 1.
pub fn asking<'a>(
    route: Option<&Route>,
    order: &'a Order,
    turn: &'a AttemptId,
    seen: &'a Record,
    chance: f64,
) -> AdoptAsk<'a> {
    let hold = HOLD;
    let Some(route) = route else {
        let (query, cancel, cancel_from, deadline) = (None, None, None, None);
        return AdoptAsk { order, turn, seen, query, cancel, hold, cancel_from, deadline };
    };
    let (tuning, pace) = (&route.tuning, &route.pace);
    let wait = |interval: Duration, steady: bool| match steady {
        true => interval,
        false => back_off(interval, seen.asks, chance),
    };
    let cancel = match seen.state {
        State::Cancelling => wait(tuning.cancel_interval, false),
        // The turn in which an order comes to be cancelled is the first of its kind.
        _ => tuning.cancel_interval,
    };
    AdoptAsk {
        order,
        turn,
        seen,
        query: route.query.as_ref().map(|_| wait(tuning.query_interval, pace.steady)),
        cancel: route.cancel.as_ref().map(|_| cancel),
        hold,
        cancel_from: may_cancel_from(route, seen),
        deadline: route.cancel.as_ref().map(|_| tuning.resolve_deadline),
    }
}

/// How long a query may take, but not into the time in which its order is to be cancelled by more than
/// one cancel may wait for the next.
pub(super) fn query_patience(tuning: &Tuning, seen: &Record, left: Option<Duration>) -> Duration {
    let ends = left.map_or(Duration::MAX, |left| left.max(tuning.cancel_interval));
    patience(tuning.upstream_timeout, tuning.query_interval, seen.asks).min(ends)
}

/// How long a cancel call may take.
pub(super) fn cancel_patience(tuning: &Tuning, seen: &Record) -> Duration {
    let calls = if seen.state == State::Cancelling { seen.asks } else { 0 };
    patience(tuning.upstream_timeout, tuning.cancel_interval, calls)
}

/// How long a call may take after so many: UPSTREAM_TIMEOUT, which is less than ten times the usual
/// intervals. Where calls are to follow each other faster, one whose answer is lost does not keep the
/// next one off for all that time: the first is given up after ten intervals, each later one after
/// twice as long.
fn patience(most: Duration, interval: Duration, calls: u64) -> Duration {
    let times = LONGEST as u32 * (1 << calls.min(20));
    most.min(interval.saturating_mul(times))
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
    fn a_call_may_take_upstream_timeout_in_the_end_and_ten_intervals_at_once() {
        let second = Duration::from_secs;
        for (interval, calls, seconds) in
            [(3, 0, 30), (5, 0, 30), (1, 0, 10), (1, 1, 20), (1, 2, 30), (1, u64::MAX, 30)]
        {
            let allowed = patience(second(30), second(interval), calls);
            assert_eq!(allowed, second(seconds), "{interval} {calls}");
        }
    }

    #[test]
    fn turns_grow_longer_up_to_ten_times_the_first() {
        let interval = Duration::from_secs(4);
        for (asks, seconds) in [(0, 4.0), (1, 6.0), (2, 9.0), (6, 40.0), (u64::MAX, 40.0)] {
            assert_eq!(back_off(interval, asks, 0.0).as_secs_f64(), seconds, "{asks}");
        }
        assert_eq!(back_off(interval, 0, 1.0).as_secs_f64(), 4.4);
    }
}
