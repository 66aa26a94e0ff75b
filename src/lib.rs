//! Onceward: a reverse-proxy sidecar that makes payments happen once.

pub mod sandbox;
