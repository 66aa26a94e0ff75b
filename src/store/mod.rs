//! The store: the only room that speaks Redis.
//!
//! Every decision is one script and one typed function here. The store knows states, fences and
//! leases; what an answer of the payment service means, it never learns.

pub mod callbacks;
pub mod cancel;
pub mod conclude;
pub mod error;
pub mod link;
pub mod metrics;
pub mod names;
pub mod orders;
pub mod queue;
pub mod record;
pub mod request;
pub mod resolve;
pub mod script;
pub mod settled;
pub mod survey;
pub mod tokens;

pub use error::StoreError;

pub use metrics::StoreMetrics;

use crate::model::seal::Secrets;
use link::Link;
use names::Names;
use redis::{Cmd, Value};
use script::{Reply, Script};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the store needs to know.
#[derive(Clone)]
pub struct Config {
    /// Where Redis is.
    pub url: String,
    /// Bound on one command, connecting included.
    pub timeout: Duration,
    /// Prefix of every name.
    pub namespace: String,
    /// Replicas that must confirm a claim; 0 asks none.
    pub wait_replicas: u32,
    /// How long they may take.
    pub wait_timeout: Duration,
    /// Who writes: this replica's name in the orders' histories; no spaces.
    pub by: String,
    /// Keys that bodies are sealed with.
    pub secrets: Arc<Secrets>,
}

/// One thread's way to Redis.
pub struct Store {
    link: Arc<Link>,
    /// Connections of their own for claims that wait for replicas: `WAIT` blocks its connection
    /// and speaks of what that connection wrote.
    confirming: Option<deadpool_redis::Pool>,
    names: Names,
    config: Config,
    metrics: StoreMetrics,
}

impl Store {
    /// A store that sends its commands over `link`.
    ///
    /// # Errors
    /// When the URL is not one of a Redis.
    pub fn new(
        config: Config,
        link: Arc<Link>,
        metrics: StoreMetrics,
    ) -> Result<Store, redis::RedisError> {
        let confirming = match config.wait_replicas {
            0 => None,
            _ => Some(confirming_pool(&config)?),
        };
        let names = Names::new(&config.namespace);
        Ok(Store { link, confirming, names, config, metrics })
    }

    /// Names of this store's namespace.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Whether Redis answers; the reason when it does not.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.send("ping", &redis::cmd("PING")).await.map(drop)
    }

    /// Sends one command, timed and counted under `name`.
    async fn send(&self, name: &'static str, command: &Cmd) -> Result<Value, StoreError> {
        let started = Instant::now();
        let answer = self.link.send(command).await;
        self.metrics.command(name, started.elapsed(), answer.as_ref().err());
        answer
    }

    /// Runs a script by its hash, by its text when Redis does not know the hash.
    async fn run(
        &self,
        script: &'static Script,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<(String, Reply), StoreError> {
        let mut command = script.by_hash(keys);
        arguments(&mut command);
        let answer = match self.send(script.name, &command).await {
            Err(StoreError::Declined(word)) if word == "NOSCRIPT" => {
                let mut command = script.by_text(keys);
                arguments(&mut command);
                self.send(script.name, &command).await
            }
            answer => answer,
        };
        Reply::open(script, answer?)
    }

    /// Runs the claim on a connection of its own; one that was granted waits until enough replicas
    /// have what it wrote.
    async fn run_confirmed(
        &self,
        pool: &deadpool_redis::Pool,
        script: &'static Script,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<(String, Reply), StoreError> {
        let started = Instant::now();
        let answer = tokio::time::timeout(
            self.config.timeout + self.config.wait_timeout,
            self.confirmed(pool, script, keys, arguments),
        )
        .await
        .unwrap_or_else(|_| Err(StoreError::Lost("replicas took too long".into())));
        self.metrics.command(script.name, started.elapsed(), answer.as_ref().err());
        Reply::open(script, answer?)
    }

    async fn confirmed(
        &self,
        pool: &deadpool_redis::Pool,
        script: &'static Script,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, StoreError> {
        let mut connection =
            pool.get().await.map_err(|error| StoreError::Unreached(error.to_string()))?;
        let mut command = script.by_text(keys);
        arguments(&mut command);
        let value = link::said(connection.send_packed_command(&command).await?)?;
        if !is_granted(&value) {
            return Ok(value);
        }
        let wanted = self.config.wait_replicas;
        let mut wait = redis::cmd("WAIT");
        wait.arg(wanted).arg(self.config.wait_timeout.as_millis() as u64);
        match link::said(connection.send_packed_command(&wait).await?)? {
            Value::Int(confirmed) if confirmed >= i64::from(wanted) => Ok(value),
            Value::Int(confirmed) => Err(StoreError::Unconfirmed {
                confirmed: confirmed.unsigned_abs(),
                wanted: wanted.into(),
            }),
            _ => Err(StoreError::Protocol { script: "WAIT", reply: "not a number".into() }),
        }
    }
}

/// Whether something will be sent upstream, or was accepted, on the strength of this reply.
fn is_granted(reply: &Value) -> bool {
    let promises = [b"granted".to_vec(), b"queued".to_vec()].map(Value::BulkString);
    matches!(reply, Value::Array(values)
        if values.first().is_some_and(|word| promises.contains(word)))
}

/// How many claims may wait for replicas at once, per thread.
const CONFIRMING_CONNECTIONS: usize = 32;

fn confirming_pool(config: &Config) -> Result<deadpool_redis::Pool, redis::RedisError> {
    let manager = deadpool_redis::Manager::new(config.url.as_str())?;
    let pool = deadpool_redis::Pool::builder(manager)
        .max_size(CONFIRMING_CONNECTIONS)
        .runtime(deadpool_redis::Runtime::Tokio1)
        .wait_timeout(Some(config.timeout))
        .create_timeout(Some(config.timeout))
        .recycle_timeout(Some(config.timeout))
        .build();
    pool.map_err(|_| redis::RedisError::from((redis::ErrorKind::Client, "pool without a runtime")))
}
