//! The scripts, each through its typed function and a real Redis.

mod abandon;
pub mod bench;
mod callback;
mod cancel;
mod claim;
mod conclude;
mod drift;
mod format;
pub mod header;
mod lease;
mod lifecycle;
mod model;
mod names;
mod outage;
mod queue;
mod recall;
mod rerun;
mod resolve;
mod response;
mod rows;
mod schedule;
mod settle;
mod survey;
mod token;
pub mod tour;
mod trace;
mod ways;
