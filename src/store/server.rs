//! What the servers that are written to tell of themselves.

use super::orders::millis;
use super::{Store, StoreError, script};
use crate::model::identity::Partition;
use redis::Value;
use std::time::Duration;

/// How long the key is kept that is written to see whether one can be.
pub const PING_TTL: Duration = Duration::from_secs(10);

/// A server's eviction policy.
#[derive(Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Where the server is.
    pub server: String,
    /// The policy, as Redis calls it; `None` where it is not told.
    pub policy: Option<String>,
}

impl Store {
    /// Which servers that should be written to cannot be, and why; all is well when it is empty.
    ///
    /// # Errors
    /// The same of every one of them: no payment can be taken.
    pub async fn ping(&self) -> Result<Vec<String>, Vec<String>> {
        let servers = self.link.serving().await.map_err(|error| vec![error.to_string()])?;
        let mut away = Vec::new();
        for (server, partition) in &servers {
            if let Err(error) = self.ping_one(*partition).await {
                away.push(format!("{server}: {error}"));
            }
        }
        match away.len() == servers.len() {
            true => Err(away),
            false => Ok(away),
        }
    }

    /// Whether a script may write in a partition, by the way that claims go.
    ///
    /// # Errors
    /// When it may not, or Redis cannot be asked; asking again is safe.
    pub async fn ping_one(&self, partition: Partition) -> Result<(), StoreError> {
        let (word, reply) = self
            .run(&script::PING, &[&self.names.ping(partition)], |command| {
                command.arg(&self.config.by).arg(millis(PING_TTL));
            })
            .await?;
        match word.as_str() {
            "pong" => Ok(()),
            other => Err(reply.unknown(other)),
        }
    }

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
