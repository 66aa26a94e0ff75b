//! Whether Redis may throw a claim away, and whether there is room for the next one.

use super::untold;
use crate::doctor::{Finding, facts::Facts};

/// Above this share of `maxmemory`, in percent, it is time to act.
const FULL_PERCENT: u64 = 80;

pub(in crate::doctor) fn eviction(facts: &Facts) -> Finding {
    const CHECK: &str = "eviction";
    match facts.setting("maxmemory-policy").or(facts.info("maxmemory_policy")) {
        Some("noeviction") => Finding::ok(CHECK, "noeviction"),
        Some(policy) => Finding::fail(
            CHECK,
            policy,
            "Redis may drop a claim or a stored response to make room, and the next retry charges \
             again; CONFIG SET maxmemory-policy noeviction",
        ),
        None => untold(CHECK, "maxmemory_policy"),
    }
}

pub(in crate::doctor) fn room(facts: &Facts) -> Finding {
    const CHECK: &str = "memory";
    let max = facts.setting("maxmemory").and_then(|bytes| bytes.parse().ok());
    let (Some(used), Some(max)) =
        (facts.number("used_memory"), max.or_else(|| facts.number("maxmemory")))
    else {
        return untold(CHECK, "used_memory and maxmemory");
    };
    if max == 0 {
        return Finding::warn(
            CHECK,
            format!("{} MiB used, no limit", mib(used)),
            "a Redis that outgrows its machine is killed, a limited one refuses the next claim, \
             which is safe; set maxmemory below what the machine or container has",
        );
    }
    let found = format!("{} of {} MiB used", mib(used), mib(max));
    if used >= max {
        Finding::fail(CHECK, found, "Redis refuses every new claim; give it more memory")
    } else if used / (max / 100).max(1) >= FULL_PERCENT {
        Finding::warn(CHECK, found, "once full, Redis refuses every new claim; give it more memory")
    } else {
        Finding::ok(CHECK, found)
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
