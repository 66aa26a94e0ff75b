//! What survives a restart of Redis, and what survives the loss of its machine.

use super::untold;
use crate::doctor::{Finding, facts::Facts};

pub(in crate::doctor) fn persistence(facts: &Facts) -> Finding {
    const CHECK: &str = "persistence";
    let failed = |field| facts.info(field).is_some_and(|status| status != "ok");
    let snapshots = facts.setting("save").map(|schedule| !schedule.is_empty());

    match (facts.info("aof_enabled"), facts.setting("appendfsync"), snapshots) {
        (None, _, _) => untold(CHECK, "aof_enabled"),
        (Some("1"), _, _) if failed("aof_last_write_status") => Finding::fail(
            CHECK,
            "append-only file on, its last write failed",
            "Redis refuses every claim until the disk can be written again",
        ),
        (Some("1"), Some(fsync @ ("everysec" | "always")), _) => {
            Finding::ok(CHECK, format!("append-only file, appendfsync {fsync}"))
        }
        (Some("1"), Some(fsync), _) => Finding::warn(
            CHECK,
            format!("append-only file, appendfsync {fsync}"),
            "a crash of the machine loses the claims of up to half a minute, and a retry may then \
             charge twice; CONFIG SET appendfsync everysec",
        ),
        (Some("1"), None, _) => Finding::warn(
            CHECK,
            "append-only file, appendfsync not told",
            "make sure it is everysec or always: a claim lost in a crash can charge twice",
        ),
        (Some(_), _, Some(true)) if failed("rdb_last_bgsave_status") => Finding::fail(
            CHECK,
            "snapshots only, the last one failed",
            "Redis refuses every claim until it can save; look into its log, then turn the \
             append-only file on",
        ),
        (Some(_), _, Some(true)) => Finding::warn(
            CHECK,
            "snapshots only",
            "a crash loses every claim since the last snapshot, and a retry may then charge twice; \
             CONFIG SET appendonly yes",
        ),
        (Some(_), _, Some(false)) => Finding::fail(
            CHECK,
            "none",
            "a restart forgets every claim and every stored response, and the next retry charges \
             again; CONFIG SET appendonly yes",
        ),
        (Some(_), _, None) => Finding::warn(
            CHECK,
            "no append-only file; whether snapshots are taken is not told",
            "a claim lost in a restart can charge twice; turn the append-only file on",
        ),
    }
}

pub(in crate::doctor) fn replicas(facts: &Facts, wait_replicas: u32) -> Finding {
    const CHECK: &str = "replicas";
    if facts.info("redis_mode") == Some("sentinel") {
        return Finding::fail(
            CHECK,
            "this is a Sentinel, not the Redis it watches",
            "set REDIS_MODE=sentinel, and examine the master it names",
        );
    }
    match facts.info("role") {
        Some("master") => master(CHECK, facts, wait_replicas),
        Some(_) => Finding::fail(
            CHECK,
            "this is a read-only replica",
            "claims can be written to the master only; let REDIS_URL point there, or set \
             REDIS_MODE=sentinel so that a failover is followed",
        ),
        None => untold(CHECK, "role"),
    }
}

fn master(check: &'static str, facts: &Facts, wait_replicas: u32) -> Finding {
    let online = facts.online_replicas();
    // Told only where `min-replicas-to-write` is set: replicas that lag little enough.
    let good = facts.number("min_slaves_good_slaves");
    let needed = facts.setting("min-replicas-to-write").and_then(|count| count.parse().ok());
    let found = format!("master, {online} online, {wait_replicas} awaited per claim");

    if online < u64::from(wait_replicas) {
        Finding::fail(
            check,
            found,
            "no claim can be confirmed by that many: bring replicas up, or lower \
             REDIS_WAIT_REPLICAS",
        )
    } else if let (Some(good), Some(needed)) = (good, needed)
        && good < needed
    {
        Finding::fail(
            check,
            format!("{found}, {good} good, min-replicas-to-write {needed}"),
            "Redis refuses every claim until enough replicas follow closely",
        )
    } else if online > 0 && wait_replicas == 0 {
        Finding::warn(
            check,
            found,
            "an acknowledged claim can be lost in a failover, and a retry may then charge twice; \
             REDIS_WAIT_REPLICAS=1 narrows that",
        )
    } else {
        Finding::ok(check, found)
    }
}
