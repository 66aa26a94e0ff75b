//! Whether the Sentinels that are named answer, and agree.

use crate::doctor::Finding;

pub(in crate::doctor) fn agreement(answers: &[(String, Option<String>)]) -> Finding {
    const CHECK: &str = "sentinels";
    let mut named: Vec<&String> = answers.iter().filter_map(|(_, named)| named.as_ref()).collect();
    let heard = named.len();
    named.sort();
    named.dedup();
    let silent = answers.iter().filter(|(_, named)| named.is_none());
    let silent: Vec<&str> = silent.map(|(sentinel, _)| sentinel.as_str()).collect();
    let found = match named.as_slice() {
        [] => "none names a primary".to_owned(),
        [one] => format!("{heard} of {} name {one}", answers.len()),
        several => format!("they name {} primaries", several.len()),
    };
    if heard == 0 {
        let advice = "check REDIS_URL (the Sentinels), REDIS_MASTER_NAME and their password";
        Finding::fail(CHECK, found, advice)
    } else if named.len() > 1 {
        Finding::warn(CHECK, found, "a failover is under way, or they have lost each other")
    } else if !silent.is_empty() {
        let found = format!("{found}, no answer from {}", silent.join(", "));
        Finding::warn(CHECK, found, "fewer of them may not be enough for the next failover")
    } else if answers.len() < 3 {
        Finding::warn(CHECK, found, "name all of them, and have at least three")
    } else {
        Finding::ok(CHECK, found)
    }
}
