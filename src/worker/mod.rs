//! What runs without being asked, beside the requests and never in their way.

mod agenda;
pub mod dispatch;
pub mod eviction;
mod expiring;
mod hand;
mod metrics;
pub mod reload;
pub mod resolve;
pub mod schedule;
mod stuck;
pub mod survey;
mod turn;
pub mod unable;

pub use metrics::ResolveMetrics;

use std::time::Duration;

/// The part of UNKNOWN_TTL after which somebody is called about an order, for the last time.
const LAST_CALL: f64 = 0.9;

/// A pause between three quarters of this one and all of it: replicas that began together part.
fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(1.0 - chance() / 4.0)
}

/// From 0 to 1; 0 where the system has no randomness to give: nothing but load depends on it.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX)
}
