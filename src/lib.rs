//! Onceward: a reverse-proxy sidecar that makes payments happen once.
//!
//! The rooms, in reading order; imports point only downward (ARCHITECTURE.md has the order, and who
//! may know the [`config`]):
//!
//! - [`cli`]: the commands. [`app`] builds everything from the [`config`] and runs it.
//! - [`http`]: the data plane's stack. [`admin`]: the admin plane.
//! - [`serve`]: sockets and their end. [`worker`]: what runs without being asked. [`answer`]: what
//!   Onceward itself says.
//! - [`guard`]: claim, forward, settle; the only room that sends a protected request upstream.
//! - [`store`]: the only room that speaks Redis. [`upstream`]: the way to the payment service.
//! - [`fault`]: accidents on demand, for testers; decides, and performs nothing. [`trace`]: where
//!   a request's time went, for OpenTelemetry.
//! - [`payload`]: the body type of both sides. [`route`]: which requests are orders. [`model`]: the vocabulary, without I/O. [`labelled`]:
//!   metrics that labels tell apart; [`spread`]: those that threads count apart.
//! - [`doctor`] examines a Redis, [`dev`] runs everything on one machine, [`sandbox`] is the
//!   payment service it runs. [`operate`] asks a running sidecar about an order.
//! - [`telemetry`] says what log lines look like, [`lines`] carries them out.

pub mod admin;
pub mod answer;
pub mod app;
pub mod cli;
pub mod config;
pub mod dev;
pub mod doctor;
pub mod fault;
pub mod guard;
pub mod http;
pub mod labelled;
pub mod lines;
pub mod model;
pub mod operate;
pub mod payload;
pub mod route;
pub mod sandbox;
pub mod serve;
pub mod spread;
pub mod store;
pub mod telemetry;
pub mod trace;
pub mod upstream;
pub mod worker;

/// Changes to a text, as a hostile or broken sender makes them: what `tests/fuzz` uses as well.
#[cfg(test)]
#[path = "../tests/fuzz/mutate.rs"]
mod mutate;
