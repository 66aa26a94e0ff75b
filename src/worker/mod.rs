//! What runs without being asked, beside the requests and never in their way.

mod agenda;
mod call;
mod metrics;
pub mod reload;
pub mod resolve;
pub mod survey;

pub use metrics::ResolveMetrics;
