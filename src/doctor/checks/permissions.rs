//! What this user may do: every command the sidecar needs, and one real lease.

use crate::doctor::{
    Finding, Patient,
    link::{Link, Trouble},
};

/// A key of the doctor's lives no longer than this, even if taking it away fails; milliseconds.
const KEY_TTL_MS: &str = "10000";

/// Every command the sidecar needs, as a call that changes nothing where it is allowed: it meets
/// no such key, or a fault in its arguments that Redis sees only after the permissions.
fn needed<'a>(key: &'a str, channel: &'a str) -> Vec<(&'static str, Vec<&'a str>)> {
    const NO_SUCH_DIGEST: &str = "0000000000000000000000000000000000000000";
    const SCRIPT: &str = "#!lua flags=no-writes\nreturn 1";
    vec![
        ("PING", vec!["PING"]),
        ("TIME", vec!["TIME"]),
        ("INFO", vec!["INFO", "server"]),
        ("EVAL", vec!["EVAL", SCRIPT, "1", key]),
        ("EVALSHA", vec!["EVALSHA", NO_SUCH_DIGEST, "1", key]),
        ("SET", vec!["SET", key, "1", "NX", "PX", "0"]),
        ("GET", vec!["GET", key]),
        ("GETRANGE", vec!["GETRANGE", key, "0", "0"]),
        ("DEL", vec!["DEL", key]),
        ("EXISTS", vec!["EXISTS", key]),
        ("PTTL", vec!["PTTL", key]),
        ("PEXPIRE", vec!["PEXPIRE", key, "1"]),
        ("PEXPIREAT", vec!["PEXPIREAT", key, "1"]),
        ("PEXPIRETIME", vec!["PEXPIRETIME", key]),
        ("HSET", vec!["HSET", key, "field", "value", "field-without-value"]),
        ("HGET", vec!["HGET", key, "field"]),
        ("HGETALL", vec!["HGETALL", key]),
        ("HMGET", vec!["HMGET", key, "field"]),
        ("HDEL", vec!["HDEL", key, "field"]),
        ("ZADD", vec!["ZADD", key, "XX", "1", "member"]),
        ("ZREM", vec!["ZREM", key, "member"]),
        ("ZCARD", vec!["ZCARD", key]),
        ("ZSCORE", vec!["ZSCORE", key, "member"]),
        ("ZINTERCARD", vec!["ZINTERCARD", "1", key]),
        ("ZRANGE", vec!["ZRANGE", key, "0", "0"]),
        ("ZRANGEBYSCORE", vec!["ZRANGEBYSCORE", key, "0", "0"]),
        ("PERSIST", vec!["PERSIST", key]),
        ("XADD", vec!["XADD", key, "NOMKSTREAM", "*", "field", "value"]),
        ("XGROUP CREATE", vec!["XGROUP", "CREATE", key, "group", "0"]),
        ("XREADGROUP", vec!["XREADGROUP", "GROUP", "group", "me", "STREAMS", key, ">"]),
        ("XAUTOCLAIM", vec!["XAUTOCLAIM", key, "group", "me", "0", "0-0"]),
        ("XPENDING", vec!["XPENDING", key, "group", "-", "+", "1"]),
        ("XCLAIM", vec!["XCLAIM", key, "group", "me", "0", "0-1"]),
        ("XACK", vec!["XACK", key, "group", "0-1"]),
        ("XDEL", vec!["XDEL", key, "0-1"]),
        ("XLEN", vec!["XLEN", key]),
        ("XRANGE", vec!["XRANGE", key, "-", "+", "COUNT", "1"]),
        ("PUBLISH", vec!["PUBLISH", channel, "1"]),
        ("SUBSCRIBE", vec!["SUBSCRIBE", channel]),
        ("WAIT", vec!["WAIT", "0", "1"]),
        ("UNWATCH", vec!["UNWATCH"]),
        ("SCAN", vec!["SCAN", "0", "MATCH", key, "COUNT", "1"]),
    ]
}

/// What is needed in a Cluster besides.
const IN_A_CLUSTER: [(&str, &[&str]); 2] =
    [("CLUSTER SLOTS", &["CLUSTER", "SLOTS"]), ("ASKING", &["ASKING"])];

pub(in crate::doctor) async fn permissions(link: &Link, patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "permissions";
    let namespace = patient.namespace;
    let (key, channel) = (key(patient, "none"), key(patient, "channel"));
    let mut needed = needed(&key, &channel);
    if patient.cluster_mode {
        needed.extend(IN_A_CLUSTER.map(|(name, call)| (name, call.to_vec())));
    }
    let user = link.ask::<String>(&["ACL", "WHOAMI"]).await.ok();

    let mut refused = Vec::new();
    for (name, call) in &needed {
        match allowed(link, user.as_deref(), call).await {
            Ok(true) => {}
            Ok(false) => refused.push(*name),
            Err(trouble) => {
                return Finding::fail(CHECK, format!("{name}: {trouble}"), "examine it again");
            }
        }
    }
    if refused.is_empty() {
        return Finding::ok(CHECK, format!("all {} commands allowed", needed.len()));
    }
    let rules = refused.iter().map(|name| format!(" +{}", name.to_lowercase().replace(' ', "|")));
    Finding::fail(
        CHECK,
        format!("refused: {}", refused.join(", ")),
        format!(
            "ACL SETUSER {} ~{namespace}:* &{namespace}:*{}",
            user.as_deref().unwrap_or("<user>"),
            rules.collect::<String>()
        ),
    )
}

/// Whether one call is allowed; an error only where that cannot be learned.
async fn allowed(link: &Link, user: Option<&str>, call: &[&str]) -> Result<bool, Trouble> {
    if let Some(user) = user {
        let mut dry_run = vec!["ACL", "DRYRUN", user];
        dry_run.extend(call);
        match link.ask::<String>(&dry_run).await {
            Ok(answer) => return Ok(answer == "OK"),
            Err(trouble @ (Trouble::Silent(_) | Trouble::Lost(_))) => return Err(trouble),
            // No dry run for this user, or none in this version: try the real thing.
            Err(_) => {}
        }
    }
    let answer = match call {
        ["SUBSCRIBE", channel] => link.subscribe(channel).await,
        _ => link.ask::<redis::Value>(call).await.map(drop),
    };
    match answer {
        Err(Trouble::NotAllowed(_)) => Ok(false),
        Err(trouble @ (Trouble::Silent(_) | Trouble::Lost(_))) => Err(trouble),
        // Any other refusal came from the command itself, so the user got past the permissions.
        Ok(()) | Err(Trouble::Elsewhere | Trouble::Refused(_)) => Ok(true),
    }
}

/// Takes, reads and gives back one lease: full memory, a broken disk or missing replicas make
/// Redis refuse writes to a user who may write.
pub(in crate::doctor) async fn writes(link: &Link, patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "writes";
    let key = key(patient, &nonce());
    let outcome = lease(link, &key).await;
    if outcome.is_err() {
        // A write that timed out may still have happened. If this fails too, the TTL cleans up.
        let _ = link.ask::<u64>(&["DEL", &key]).await;
    }
    match outcome {
        Ok(true) => Finding::ok(CHECK, "a lease was taken and given back"),
        Ok(false) => Finding::fail(
            CHECK,
            "a lease was not there after it was taken",
            "what is written here does not stay; do not use this server",
        ),
        Err(Trouble::Elsewhere) => Finding::ok(CHECK, "not tried: another node holds the key"),
        Err(trouble) => {
            Finding::fail(CHECK, trouble.to_string(), "no claim can be taken while this lasts")
        }
    }
}

async fn lease(link: &Link, key: &str) -> Result<bool, Trouble> {
    let set: Option<String> = link.ask(&["SET", key, "1", "NX", "PX", KEY_TTL_MS]).await?;
    let read: Option<String> = link.ask(&["GET", key]).await?;
    let deleted: u64 = link.ask(&["DEL", key]).await?;
    Ok(set.is_some() && read.is_some() && deleted == 1)
}

/// In a partition of this server's, like the keys of an order that falls there.
fn key(patient: &Patient<'_>, id: &str) -> String {
    let partition = patient.partition.map_or("p00".to_owned(), |partition| partition.to_string());
    format!("{}:{{{partition}}}:doctor:{id}", patient.namespace)
}

/// Two doctors at one bed must not take each other's lease for their own.
fn nonce() -> String {
    // Without randomness the process id still keeps two doctors on one machine apart.
    let number = getrandom::u64().unwrap_or_else(|_| std::process::id().into());
    format!("{number:016x}")
}
