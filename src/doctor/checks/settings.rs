//! Settings of ours that decide how much Redis must bear.

use std::time::Duration;

use humantime::format_duration;

use crate::doctor::Finding;

/// A lease is renewed at a third of its life, so that a renewal may be lost without losing it.
const RENEWALS_PER_LEASE: u32 = 3;

pub(in crate::doctor) fn lease(lock_ttl: Duration, timeout: Duration) -> Finding {
    const CHECK: &str = "lease";
    let found = format!(
        "LOCK_TTL {}, REDIS_TIMEOUT {}",
        format_duration(lock_ttl),
        format_duration(timeout)
    );
    if timeout < lock_ttl / RENEWALS_PER_LEASE {
        Finding::ok(CHECK, found)
    } else {
        Finding::warn(
            CHECK,
            found,
            "one slow renewal costs the lease, and the order becomes unknown; keep the timeout \
             below a third of the lease",
        )
    }
}

pub(in crate::doctor) fn secret(set: bool) -> Finding {
    const CHECK: &str = "secret";
    if set {
        Finding::ok(CHECK, "set")
    } else {
        Finding::warn(
            CHECK,
            "not set",
            "fingerprints are unkeyed and bodies are stored in clear; set SECRET",
        )
    }
}
