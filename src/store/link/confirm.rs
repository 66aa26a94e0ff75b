//! Claims that wait for replicas, on connections of their own: `WAIT` blocks its connection and
//! speaks of what that connection wrote.

use super::letter::Letter;
use super::node::{unreached, useless};
use super::place::Place;
use crate::store::error::StoreError;
use deadpool_redis::{Hook, Manager, Pool, Runtime};
use redis::{AsyncConnectionConfig, Client, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many claims may wait for replicas at once, per thread and server.
const CONNECTIONS: usize = 32;

/// What is to be confirmed, and by whom.
#[derive(Clone, Copy)]
pub struct Confirm {
    /// So many replicas.
    pub replicas: u32,
    /// How long they may take.
    pub timeout: Duration,
    /// Whether something will be done on the strength of this answer; others need not be confirmed.
    pub promises: fn(&Value) -> bool,
}

/// The connections, opened as they are needed.
#[derive(Default)]
pub(super) struct Confirming {
    pool: Mutex<Option<Pool>>,
}

impl Confirming {
    /// Sends one command; where its answer is a promise, asks for the replicas' confirmation.
    pub(super) async fn send(
        &self,
        client: impl Fn() -> Result<Client, StoreError>,
        letter: &Letter<'_>,
        confirm: &Confirm,
        bounds: (&Arc<Place>, Duration),
    ) -> Result<Value, StoreError> {
        let pool = self.pool(client, bounds)?;
        let mut connection = pool.get().await.map_err(|error| {
            // Where Redis is and how one logs in may have changed: look anew the next time.
            self.forget();
            StoreError::Unreached(match error {
                deadpool_redis::PoolError::Backend(error) => unreached(&error).to_string(),
                error => error.to_string(),
            })
        })?;
        let value = letter.put(&mut connection).await?;
        if useless(&value) {
            self.forget();
        }
        if !(confirm.promises)(&value) {
            return Ok(value);
        }
        let mut wait = redis::cmd("WAIT");
        wait.arg(confirm.replicas).arg(confirm.timeout.as_millis() as u64);
        match super::said(connection.send_packed_command(&wait).await?)? {
            Value::Int(confirmed) if confirmed >= i64::from(confirm.replicas) => Ok(value),
            Value::Int(confirmed) => Err(StoreError::Unconfirmed {
                confirmed: confirmed.unsigned_abs(),
                wanted: confirm.replicas.into(),
            }),
            _ => Err(StoreError::Protocol { script: "WAIT", reply: "not a number".into() }),
        }
    }

    fn pool(
        &self,
        client: impl Fn() -> Result<Client, StoreError>,
        (place, timeout): (&Arc<Place>, Duration),
    ) -> Result<Pool, StoreError> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = &*pool {
            return Ok(pool.clone());
        }
        // The library's own bound on an answer, half a second, is neither ours nor WAIT's: the
        // letter's deadline bounds both.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(None);
        let info = client()?.get_connection_info().clone();
        let manager = Manager::new_with_config(info, config).map_err(|error| unreached(&error))?;
        let place = place.clone();
        let made = Pool::builder(manager)
            // Before anything can be sent over it.
            .post_create(Hook::sync_fn(move |_, _| {
                place.shift();
                Ok(())
            }))
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(timeout))
            .create_timeout(Some(timeout))
            .recycle_timeout(Some(timeout))
            .build()
            .map_err(|error| StoreError::Unreached(error.to_string()))?;
        *pool = Some(made.clone());
        Ok(made)
    }

    fn forget(&self) {
        *self.pool.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
