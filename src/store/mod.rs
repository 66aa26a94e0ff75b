//! The store: the only room that speaks Redis.
//!
//! Every decision is one script and one typed function here. The store knows states, fences and
//! leases; what an answer of the payment service means, it never learns.

pub mod attention;
pub mod callbacks;
pub mod cancel;
pub mod conclude;
pub mod error;
pub mod faulty;
pub mod finished;
pub mod history;
mod lifecycle;
pub mod link;
pub mod listing;
pub mod metrics;
pub mod names;
pub mod orders;
mod parts;
pub mod queue;
pub mod record;
pub mod request;
pub mod resolve;
pub mod restore;
pub mod script;
pub mod server;
pub mod settled;
pub mod survey;
pub mod text;
pub mod tokens;

pub use error::StoreError;

pub use metrics::StoreMetrics;

use crate::fault::Faults;
use crate::model::seal::Secrets;
use faulty::Way;
use history::{History, Looks};
use link::{Confirm, Link};
use names::Names;
use redis::{Cmd, Value};
use script::{Reply, Script};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the store needs to know.
#[derive(Clone)]
pub struct Config {
    /// Prefix of every name.
    pub namespace: String,
    /// Replicas that must confirm a claim; 0 asks none.
    pub wait_replicas: u32,
    /// How long they may take.
    pub wait_timeout: Duration,
    /// Who writes: this replica's name in the orders' histories; no spaces.
    pub by: String,
    /// What is known of every partition's history.
    pub history: Arc<History>,
    /// Keys that bodies are sealed with.
    pub secrets: Arc<Secrets>,
}

/// One thread's way to Redis.
pub struct Store {
    link: Arc<Link>,
    /// What must be confirmed by replicas before anything is sent.
    confirm: Option<Confirm>,
    names: Names,
    config: Config,
    looks: Looks,
    metrics: StoreMetrics,
    faults: Faults,
}

impl Store {
    /// A store that sends its commands over `link`.
    pub fn new(config: Config, link: Arc<Link>, metrics: StoreMetrics) -> Store {
        let confirm = (config.wait_replicas > 0).then_some(Confirm {
            replicas: config.wait_replicas,
            timeout: config.wait_timeout,
            promises: is_granted,
        });
        let names = Names::new(&config.namespace);
        let (looks, faults) = (Looks::default(), Faults::default());
        Store { link, confirm, names, config, looks, metrics, faults }
    }

    /// The same, to whose commands accidents may happen.
    pub fn with_faults(self, faults: Faults) -> Store {
        Store { faults, ..self }
    }

    /// Names of this store's namespace.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// How long one command may take.
    pub fn timeout(&self) -> Duration {
        self.link.timeout()
    }

    /// Sends one command, timed and counted under `name`.
    async fn send(&self, name: &'static str, command: &Cmd) -> Result<Value, StoreError> {
        let started = Instant::now();
        let answer = match self.faults.are_on() {
            false => self.link.send_at(started.into(), command).await,
            true => self.send_faulty(name, command, Way::Shared).await,
        };
        self.metrics.command(name, started.elapsed(), answer.as_ref().err());
        answer
    }

    /// Likewise, to one of the servers that are written to.
    async fn send_to(
        &self,
        name: &'static str,
        shard: usize,
        command: &Cmd,
    ) -> Result<Value, StoreError> {
        let started = Instant::now();
        let answer = match self.faults.are_on() {
            false => self.link.send_to(shard, command).await,
            true => self.send_faulty(name, command, Way::To(shard)).await,
        };
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
                Box::pin(self.send(script.name, &command)).await
            }
            answer => answer,
        };
        Reply::open(script, answer?)
    }

    /// Runs a script that may let something happen. Where replicas are to confirm that, it runs on
    /// a connection of its own and ends when enough of them have what it wrote.
    async fn run_confirmed(
        &self,
        script: &'static Script,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<(String, Reply), StoreError> {
        let Some(confirm) = &self.confirm else {
            return self.run(script, keys, arguments).await;
        };
        let mut command = script.by_text(keys);
        arguments(&mut command);
        let started = Instant::now();
        let answer = match self.faults.are_on() {
            false => self.link.send_confirmed(&command, confirm).await,
            true => self.send_faulty(script.name, &command, Way::Confirmed(*confirm)).await,
        };
        self.metrics.command(script.name, started.elapsed(), answer.as_ref().err());
        Reply::open(script, answer?)
    }
}

/// Whether something will be sent upstream, or was accepted, on the strength of this reply.
fn is_granted(reply: &Value) -> bool {
    script::word(reply).is_some_and(|word| [&b"granted"[..], b"queued"].contains(&word))
}
