//! One multiplexed connection to one server that heals itself.
//!
//! A command shares the connection with every other command of its thread: no checkout, no lock
//! held while waiting. What this file adds to the library's connection is the truth about failure:
//! whether a command was sent at all. It never sends a command twice.

use super::confirm::{Confirm, Confirming};
use super::connection::Connection;
use super::letter::Letter;
use super::place::{Address, Place};
use super::wire::{NO_DATABASE, Silence};
use crate::store::error::StoreError;
use redis::{Client, ConnectionInfo, Pipeline, RedisError, Value};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// After a failed attempt to connect, or the second connection in a row that ended before it gave one
/// answer, others fail at once for so long instead of queueing up: at first, doubling, and at the
/// longest. A part of it is chance, so that replicas part.
const RECONNECT_PAUSES: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_millis(400));

/// So many commands in a row without an answer, and the connection is given up.
const SILENT_COMMANDS: u32 = 3;

/// Error words that say this connection is of no more use: its server writes no longer (behind a
/// name that points to the primary, the next connection finds the new one), or wants a login.
const USELESS: [&str; 4] = ["READONLY", "MASTERDOWN", "NOAUTH", "WRONGPASS"];

/// Which server of a place it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// One that the URLs name, by its number.
    Listed(usize),
    /// One that others told of.
    Told(Address),
}

/// A connection to one Redis server.
pub(super) struct Node {
    place: Arc<Place>,
    at: At,
    timeout: Duration,
    slot: Mutex<Slot>,
    connecting: tokio::sync::Mutex<()>,
    confirming: Confirming,
}

#[derive(Default)]
struct Slot {
    connection: Option<Connection>,
    /// Counts connections, so that a late failure of an old one does not drop its successor.
    generation: u64,
    silent: u32,
    /// Whether this connection gave an answer that is no error: one may be accepted and told that
    /// there are too many, or be closed at once.
    answered: bool,
    /// Connections in a row that could not be made or gave none.
    failures: u32,
    /// Until when no other is tried, and why.
    barred: Option<(Instant, StoreError)>,
}

impl Slot {
    /// No connection was to be had, or it was of no use.
    fn fail(&mut self, error: StoreError) {
        let (first, longest) = RECONNECT_PAUSES;
        let pause = first.saturating_mul(1 << self.failures.min(8)).min(longest);
        let chance = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.barred = Some((Instant::now() + pause.mul_f64(1.0 - chance / 4.0), error));
    }

    /// Gives the connection up; one that never answered counts as one that could not be made.
    fn give_up(&mut self) {
        if self.connection.take().is_none() || self.answered {
            return;
        }
        // One may break by accident: what was lost with it is asked again at once.
        if self.failures == 0 {
            self.failures = 1;
        } else {
            self.fail(StoreError::Unreached("it closes connections before it answers".into()));
        }
    }
}

impl Node {
    /// A node that connects on its first command, taking `timeout` for it at the most.
    pub(super) fn new(place: Arc<Place>, at: At, timeout: Duration) -> Node {
        Node {
            place,
            at,
            timeout,
            slot: Mutex::default(),
            connecting: tokio::sync::Mutex::new(()),
            confirming: Confirming::default(),
        }
    }

    /// Sends one letter and waits for its answer until its deadline; an error of Redis' is an
    /// answer.
    pub(super) async fn deliver(&self, letter: &Letter<'_>) -> Result<Value, StoreError> {
        match letter.confirm {
            None => self.send(letter).await,
            Some(confirm) => Box::pin(self.send_confirmed(letter, confirm)).await,
        }
    }

    async fn send(&self, letter: &Letter<'_>) -> Result<Value, StoreError> {
        let (mut connection, generation) = self.connected(letter.deadline).await?;
        match connection.put(letter).await {
            Ok(value) => {
                self.heard(generation, &value);
                Ok(value)
            }
            Err(silence) => Err(self.silent(generation, silence)),
        }
    }

    /// Asks several questions at once; each answer may be an error of Redis'.
    pub(super) async fn ask(
        &self,
        questions: &Pipeline,
        deadline: tokio::time::Instant,
    ) -> Result<Vec<Value>, StoreError> {
        let (mut connection, generation) = self.connected(deadline).await?;
        match connection.ask(questions, deadline).await {
            Ok(values) => {
                values.iter().for_each(|value| self.heard(generation, value));
                Ok(values)
            }
            Err(silence) => Err(self.silent(generation, silence)),
        }
    }

    /// On a connection of its own, on which replicas then confirm what was promised.
    async fn send_confirmed(
        &self,
        letter: &Letter<'_>,
        confirm: &Confirm,
    ) -> Result<Value, StoreError> {
        let sent =
            self.confirming.send(|| self.client(), letter, confirm, (&self.place, self.timeout));
        tokio::time::timeout_at(letter.deadline, sent)
            .await
            .unwrap_or_else(|_| Err(StoreError::Lost("replicas took too long".into())))
    }

    /// A connection that hears what is published.
    pub(super) async fn subscription(&self) -> Result<redis::aio::PubSub, StoreError> {
        tokio::time::timeout(self.timeout, self.client()?.get_async_pubsub())
            .await
            .map_err(|_| StoreError::Unreached("connecting took too long".into()))?
            .map_err(|error| unreached(&error))
    }

    /// Where it is, where others told of it.
    pub(super) fn address(&self) -> Option<&Address> {
        match &self.at {
            At::Told(address) => Some(address),
            At::Listed(_) => None,
        }
    }

    /// How one connects to it, as its files have it now.
    pub(super) fn info(&self) -> Result<ConnectionInfo, StoreError> {
        let servers = self.place.servers();
        match &self.at {
            At::Told(address) => Ok(servers.at(address)),
            At::Listed(index) => servers
                .listed
                .get(*index)
                .cloned()
                .ok_or_else(|| StoreError::Unreached("this server is no longer named".into())),
        }
    }

    fn client(&self) -> Result<Client, StoreError> {
        Client::open(self.info()?).map_err(|error| unreached(&error))
    }

    async fn connected(
        &self,
        deadline: tokio::time::Instant,
    ) -> Result<(Connection, u64), StoreError> {
        match self.standing() {
            Some(standing) => Ok(standing),
            None => tokio::time::timeout_at(deadline, Box::pin(self.connect()))
                .await
                .map_err(|_| StoreError::Unreached("connecting took too long".into()))?,
        }
    }

    fn standing(&self) -> Option<(Connection, u64)> {
        let slot = self.slot();
        let connection = slot.connection.as_ref().filter(|connection| connection.is_open())?;
        Some((connection.clone(), slot.generation))
    }

    async fn connect(&self) -> Result<(Connection, u64), StoreError> {
        let _only_one = self.connecting.lock().await;
        if let Some(standing) = self.standing() {
            return Ok(standing);
        }
        {
            let mut slot = self.slot();
            // It has ended, or there is none.
            slot.give_up();
            if let Some((until, error)) = &slot.barred
                && Instant::now() < *until
            {
                return Err(error.clone());
            }
        }
        let made = match self.info() {
            Ok(info) => {
                Connection::open(info, self.timeout).await.map_err(|error| unreached(&error))
            }
            Err(error) => Err(error),
        };
        // Before anything can be sent over it.
        self.place.shift();
        let mut slot = self.slot();
        match made {
            Ok(connection) => {
                slot.generation += 1;
                slot.silent = 0;
                slot.answered = false;
                slot.connection = Some(connection.clone());
                Ok((connection, slot.generation))
            }
            Err(error) => {
                slot.fail(error.clone());
                Err(error)
            }
        }
    }

    fn heard(&self, generation: u64, value: &Value) {
        let useless = useless(value);
        let mut slot = self.slot();
        if slot.generation == generation {
            slot.silent = 0;
            if !slot.answered && !matches!(value, Value::ServerError(_)) {
                (slot.answered, slot.failures) = (true, 0);
            }
            if useless {
                slot.connection = None;
            }
        }
    }

    fn silent(&self, generation: u64, silence: Silence) -> StoreError {
        match silence {
            Silence::Late => self.unheard(generation),
            Silence::Broken(error) => self.broken(generation, error),
        }
    }

    fn unheard(&self, generation: u64) -> StoreError {
        let mut slot = self.slot();
        slot.silent += 1;
        if slot.generation == generation && slot.silent >= SILENT_COMMANDS {
            slot.connection = None;
        }
        StoreError::Lost(format!("none within {:?}", self.timeout))
    }

    fn broken(&self, generation: u64, error: RedisError) -> StoreError {
        if error.is_unrecoverable_error() || error.is_io_error() {
            let mut slot = self.slot();
            if slot.generation == generation {
                slot.give_up();
            }
        }
        error.into()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where it is, without anything that is secret.
impl fmt::Display for Node {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.info() {
            Ok(info) => info.addr().fmt(out),
            Err(_) => out.write_str("nowhere"),
        }
    }
}

/// Whether an answer says that its connection is of no more use.
pub(super) fn useless(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if USELESS.contains(&error.code()))
}

/// Why there is no connection: only the system's own words, for Redis may quote a password it does
/// not like.
pub(super) fn unreached(error: &RedisError) -> StoreError {
    let said = error.to_string();
    StoreError::Unreached(match error.is_io_error() {
        true => said,
        false if said.starts_with(NO_DATABASE) => {
            "it refused the database that REDIS_URL names".into()
        }
        false => error.category().to_owned(),
    })
}
