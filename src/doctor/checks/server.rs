//! What kind of server this is: version, cluster, scripting.

use super::untold;
use crate::doctor::{
    Finding,
    facts::Facts,
    link::{Link, Trouble},
};

/// The first Redis whose scripts can declare flags after `#!lua`.
const OLDEST_MAJOR: u32 = 7;

/// Touches no key, so that it runs on a replica and on any node of a cluster too.
const SCRIPT: &str = "#!lua flags=no-writes\nreturn ARGV[1]";

pub(in crate::doctor) fn version(facts: &Facts) -> Finding {
    const CHECK: &str = "version";
    // Valkey keeps `redis_version` for compatibility: the Redis its commands match.
    let Some(version) = facts.info("redis_version") else {
        return untold(CHECK, "redis_version");
    };
    let name = match facts.info("valkey_version") {
        Some(valkey) => format!("Valkey {valkey}"),
        None if facts.info("server_name") == Some("valkey") => {
            format!("Valkey (as Redis {version})")
        }
        None => version.to_owned(),
    };
    match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= OLDEST_MAJOR => Finding::ok(CHECK, name),
        Some(_) => Finding::fail(
            CHECK,
            name,
            "the scripts declare flags, which needs Redis 7.0 or later, or Valkey",
        ),
        None => Finding::warn(CHECK, name, "not a version known here; Redis 7.0 or later is"),
    }
}

pub(in crate::doctor) fn cluster(facts: &Facts, cluster_mode: bool) -> Finding {
    const CHECK: &str = "cluster";
    match (facts.info("cluster_enabled"), cluster_mode) {
        (Some("1"), true) => Finding::ok(CHECK, "enabled"),
        (Some("1"), false) => Finding::fail(
            CHECK,
            "enabled, but REDIS_MODE is not cluster",
            "most keys live on other nodes; set REDIS_MODE=cluster",
        ),
        (Some(_), true) => Finding::fail(
            CHECK,
            "disabled, but REDIS_MODE is cluster",
            "set REDIS_MODE to standalone or sentinel",
        ),
        (Some(_), false) => Finding::ok(CHECK, "disabled"),
        (None, _) => untold(CHECK, "cluster_enabled"),
    }
}

pub(in crate::doctor) async fn scripting(link: &Link) -> Finding {
    const CHECK: &str = "scripting";
    match run_both_ways(link).await {
        Ok(true) => Finding::ok(CHECK, "EVAL and EVALSHA run"),
        Ok(false) => Finding::fail(
            CHECK,
            "a script gave another answer than it should",
            "this is not a Redis that Onceward knows; use Redis 7.0 or later, or Valkey",
        ),
        Err(trouble) => Finding::fail(
            CHECK,
            trouble.to_string(),
            "every decision is one Lua script, and its first line is `#!lua`: Redis 7.0 or later",
        ),
    }
}

async fn run_both_ways(link: &Link) -> Result<bool, Trouble> {
    const WORD: &str = "onceward";
    let evaluated: String = link.ask(&["EVAL", SCRIPT, "0", WORD]).await?;
    let digest = redis::Script::new(SCRIPT).get_hash().to_owned();
    let by_digest: String = link.ask(&["EVALSHA", &digest, "0", WORD]).await?;
    Ok(evaluated == WORD && by_digest == WORD)
}
