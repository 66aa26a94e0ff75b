//! What the scripts are told of an order's part in a lifecycle, and what they tell of it.

use super::orders::millis;
use crate::model::identity::Order;
use crate::model::lifecycle::Standing;

/// An order's move as the scripts read it: `start from to keep_ms hold_ms`; empty without one.
pub(super) fn step(order: &Order) -> String {
    let Some(part) = &order.part else {
        return String::new();
    };
    let step = &part.step;
    let (from, keep, hold) = (step.from.join(","), millis(step.keep), millis(step.hold));
    format!("{} {from} {} {keep} {hold}", step.start, step.to)
}

/// The names a script gets, and behind them that of the order's lifecycle, if it has a part in one.
pub(super) fn keys<'a>(names: &[&'a str], lifecycle: &'a Option<String>) -> Vec<&'a str> {
    names.iter().copied().chain(lifecycle.as_deref()).collect()
}

/// Where an order's lifecycle stands, by the state and the mover in Redis.
pub(super) fn standing(order: &Order, state: String, mover: &str) -> Option<Standing> {
    let step = &order.part.as_ref()?.step;
    // Nobody has moved it yet.
    let state = if state.is_empty() { step.start.to_string() } else { state };
    Some(Standing { name: step.lifecycle.clone(), state, moving: !mover.is_empty() })
}
