//! Faults on demand: each does at its place what the README's table says, to those it is about, and
//! leaves nothing behind.

mod accidents;
mod bytes;
mod caller;
mod calls;
mod network;
mod redis;
mod rules;
mod upstream;

use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, Sidecar, sidecar};
use crate::support::upstream::Upstream;

/// A sidecar that plays accidents, in front of a service that answers.
fn playing(redis: &Redis, upstream: &Upstream) -> Builder {
    sidecar(redis, upstream).set("FAULTS", "on").set("DUPLICATE_WAIT", "0s")
}

/// All three.
fn play() -> (Redis, Upstream, Sidecar) {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = playing(&redis, &upstream).start();
    (redis, upstream, onceward)
}
