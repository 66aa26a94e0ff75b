//! One command on its way, and what is asked of its delivery.

use super::confirm::Confirm;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::time::Instant;

/// A command on its way.
#[derive(Clone, Copy)]
pub(super) struct Letter<'a> {
    pub(super) command: &'a Cmd,
    /// Who must confirm what it writes.
    pub(super) confirm: Option<&'a Confirm>,
    /// When its sender stops waiting.
    pub(super) deadline: Instant,
    /// Whether it is for a node that takes the slot over at this moment: `ASKING` goes before it.
    pub(super) asking: bool,
}

impl Letter<'_> {
    /// Writes it to a connection and reads its answer.
    pub(super) async fn put(&self, connection: &mut MultiplexedConnection) -> RedisResult<Value> {
        if !self.asking {
            return connection.send_packed_command(self.command).await;
        }
        // In one piece: on a shared connection nothing may come between the two.
        let mut both = Pipeline::with_capacity(2);
        both.cmd("ASKING").add_command(self.command.clone());
        let answers = connection.send_packed_commands(&both, 1, 1).await?;
        Ok(answers.into_iter().next().unwrap_or(Value::Nil))
    }
}
