//! Promises, each against real parts. One binary: linking is the slow part of a test build.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests set the environment of what they spawn")]
#![allow(missing_docs, unreachable_pub, reason = "nobody imports this crate")]

mod support;

mod admin;
mod answers;
mod beyond;
mod buffer;
mod callback;
mod cancel;
mod chart;
mod console;
mod dev;
mod drift;
mod drill;
mod explore;
mod faults;
mod fields;
mod flow;
mod fuzz;
mod garbage;
mod hostile;
mod lifecycle;
mod log;
mod lua;
mod memory;
mod once;
mod operating;
mod orders;
mod outcome;
mod proxy;
mod resolve;
mod rooms;
mod runtime;
mod scope;
mod tokens;
mod traces;
mod trouble;
mod turns;
mod unread;
mod workers;
