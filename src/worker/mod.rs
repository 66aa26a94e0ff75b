//! What runs without being asked, beside the requests and never in their way.

mod agenda;
mod call;
pub mod dispatch;
mod metrics;
pub mod reload;
pub mod resolve;
pub mod survey;

pub use metrics::ResolveMetrics;

use std::time::Duration;

/// A pause between three quarters of this one and all of it: replicas that began together part.
fn jitter(pause: Duration) -> Duration {
    // Without randomness they stay together; nothing but load depends on it.
    let part = getrandom::u32().unwrap_or_default();
    pause.mul_f64(1.0 - f64::from(part) / f64::from(u32::MAX) / 4.0)
}
