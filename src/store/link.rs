//! One multiplexed connection to Redis that heals itself.
//!
//! A command shares the connection with every other command of its thread: no checkout, no lock
//! held while waiting. What this file adds to the library's connection is the truth about failure:
//! whether a command was sent at all. It never sends a command twice.

use super::error::StoreError;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, Value};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After a failed attempt to connect, others fail at once for this long instead of queueing up.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// So many commands in a row without an answer, and the connection is given up.
const SILENT_COMMANDS: u32 = 3;

/// A connection to one Redis.
pub struct Link {
    client: Client,
    timeout: Duration,
    slot: Mutex<Slot>,
    connecting: tokio::sync::Mutex<()>,
}

/// An answer that is an error of Redis', as one.
pub(super) fn said(value: Value) -> Result<Value, StoreError> {
    match value {
        Value::ServerError(error) => Err(RedisError::from(error).into()),
        value => Ok(value),
    }
}

#[derive(Default)]
struct Slot {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a late failure of an old one does not drop its successor.
    generation: u64,
    silent: u32,
    failed: Option<(Instant, StoreError)>,
}

impl Link {
    /// A link that connects on its first command; `timeout` bounds each command, connecting
    /// included.
    pub fn new(client: Client, timeout: Duration) -> Link {
        Link { client, timeout, slot: Mutex::default(), connecting: tokio::sync::Mutex::new(()) }
    }

    /// Sends one command and waits for its answer, no longer than the timeout.
    ///
    /// # Errors
    /// [`StoreError`] says whether the command may have taken effect.
    pub async fn send(&self, command: &Cmd) -> Result<Value, StoreError> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        let (mut connection, generation) = match self.standing() {
            Some(standing) => standing,
            None => tokio::time::timeout_at(deadline, self.connect())
                .await
                .map_err(|_| StoreError::Unreached("connecting took too long".into()))??,
        };
        match tokio::time::timeout_at(deadline, connection.send_packed_command(command)).await {
            Ok(Ok(value)) => {
                self.heard(generation);
                said(value)
            }
            Ok(Err(error)) => {
                if error.is_unrecoverable_error() || error.is_io_error() {
                    self.drop_connection(generation);
                }
                Err(error.into())
            }
            Err(_) => {
                self.unheard(generation);
                Err(StoreError::Lost(format!("none within {:?}", self.timeout)))
            }
        }
    }

    fn standing(&self) -> Option<(MultiplexedConnection, u64)> {
        let slot = self.slot();
        slot.connection.clone().map(|connection| (connection, slot.generation))
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, u64), StoreError> {
        let _only_one = self.connecting.lock().await;
        if let Some(standing) = self.standing() {
            return Ok(standing);
        }
        if let Some((when, error)) = &self.slot().failed
            && when.elapsed() < RECONNECT_PAUSE
        {
            return Err(error.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(None);
        let made = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut slot = self.slot();
        match made {
            Ok(connection) => {
                slot.generation += 1;
                slot.silent = 0;
                slot.failed = None;
                slot.connection = Some(connection.clone());
                Ok((connection, slot.generation))
            }
            Err(error) => {
                // Only the system's own words: Redis may quote a password it does not like.
                let error = StoreError::Unreached(match error.is_io_error() {
                    true => error.to_string(),
                    false => error.category().to_owned(),
                });
                slot.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn heard(&self, generation: u64) {
        let mut slot = self.slot();
        if slot.generation == generation {
            slot.silent = 0;
        }
    }

    fn unheard(&self, generation: u64) {
        let mut slot = self.slot();
        slot.silent += 1;
        if slot.generation == generation && slot.silent >= SILENT_COMMANDS {
            slot.connection = None;
        }
    }

    fn drop_connection(&self, generation: u64) {
        let mut slot = self.slot();
        if slot.generation == generation {
            slot.connection = None;
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
