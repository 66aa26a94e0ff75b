//! What the servers that are written to tell of themselves.

use super::{Store, StoreError};
use redis::Value;

/// A server's eviction policy.
#[derive(Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Where the server is.
    pub server: String,
    /// The policy, as Redis calls it; `None` where it is not told.
    pub policy: Option<String>,
}

impl Store {
    /// The eviction policy of each server that is written to and answers; and why the last one did
    /// not that does not.
    ///
    /// # Errors
    /// When it cannot be found out which servers there are.
    pub async fn evictions(&self) -> Result<(Vec<Eviction>, Option<StoreError>), StoreError> {
        let mut info = redis::cmd("INFO");
        info.arg("memory");
        let (mut told, mut silent) = (Vec::new(), None);
        for (shard, server) in self.link.shards().await?.into_iter().enumerate() {
            match self.send_to("info", shard, &info).await {
                Ok(answer) => told.push(Eviction { server, policy: policy(&answer) }),
                Err(error) => silent = Some(error),
            }
        }
        Ok((told, silent))
    }
}

fn policy(info: &Value) -> Option<String> {
    let text = match info {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text.into(),
        _ => return None,
    };
    let policy = text.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"))?;
    Some(policy.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_however_it_is_told() {
        let text = "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n";
        let verbatim =
            Value::VerbatimString { format: redis::VerbatimFormat::Text, text: text.into() };
        for told in [Value::BulkString(text.into()), verbatim] {
            assert_eq!(policy(&told).as_deref(), Some("allkeys-lru"), "{told:?}");
        }
        for nothing in [Value::BulkString(b"# Memory\r\n".to_vec()), Value::Nil] {
            assert_eq!(policy(&nothing), None, "{nothing:?}");
        }
    }
}
