//! What Redis tells of itself.

use super::{Store, StoreError};
use redis::Value;

impl Store {
    /// The eviction policy of each server that answers; none where it is not told.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn eviction_policies(&self) -> Result<Vec<String>, StoreError> {
        let mut info = redis::cmd("INFO");
        info.arg("memory");
        let mut policies = Vec::new();
        policies_in(&self.send("info", &info).await?, &mut policies);
        Ok(policies)
    }
}

/// One server answers with a text, a cluster with one for each.
fn policies_in(answer: &Value, policies: &mut Vec<String>) {
    match answer {
        Value::BulkString(bytes) => policies.extend(policy(&String::from_utf8_lossy(bytes))),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => {
            policies.extend(policy(text));
        }
        Value::Map(pairs) => pairs.iter().for_each(|(_, value)| policies_in(value, policies)),
        Value::Array(values) => values.iter().for_each(|value| policies_in(value, policies)),
        _ => {}
    }
}

fn policy(info: &str) -> Option<String> {
    let mut lines = info.lines();
    let policy = lines.find_map(|line| line.strip_prefix("maxmemory_policy:"))?;
    Some(policy.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_of_one_server_and_of_many() {
        let info = |policy: &str| {
            let text = format!("# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:{policy}\r\n");
            Value::BulkString(text.into_bytes())
        };
        let check = |answer: Value, expected: &[&str]| {
            let mut policies = Vec::new();
            policies_in(&answer, &mut policies);
            assert_eq!(policies, expected, "{answer:?}");
        };
        check(info("noeviction"), &["noeviction"]);
        check(Value::BulkString(b"# Memory\r\n".to_vec()), &[]);
        let node = |name: &str| Value::BulkString(name.into());
        let pairs = vec![(node("a"), info("noeviction")), (node("b"), info("allkeys-lru"))];
        check(Value::Map(pairs), &["noeviction", "allkeys-lru"]);
    }
}
