//! What runs without being asked, beside the requests and never in their way.

pub mod reload;
pub mod survey;
