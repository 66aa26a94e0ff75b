//! What is open: counts for the gauges, and the orders whose lease should have run out.

use super::error::StoreError;
use super::{Store, script};
use crate::model::identity::Partition;
use futures_util::future::try_join_all;
use redis::Value;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What is open in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// How many orders are in flight.
    pub in_flight: u64,
    /// How many are unknown.
    pub unknown: u64,
    /// How many are being cancelled.
    pub cancelling: u64,
    /// How long the oldest of them has been.
    pub oldest_unknown: Option<Duration>,
    /// How many entries the queue holds.
    pub queued: u64,
    /// How long the oldest of them has been there.
    pub oldest_queued: Option<Duration>,
    /// Ids of orders that [`Store::lapse`] should look at: those whose lease should have run out,
    /// those to be asked about or cancelled.
    pub due: Vec<String>,
    /// Those of the unknown orders that were asked for, the oldest first.
    pub some_unknown: Vec<Unknown>,
}

/// An order of unknown outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Its id.
    pub id: String,
    /// For how long it has been so.
    pub age: Duration,
}

/// For how much longer Redis keeps a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// It is gone.
    Gone,
    /// So long.
    For(Duration),
    /// Until somebody takes it away.
    Always,
}

impl Store {
    /// Whether anything is open in one partition: one cheap command, for most partitions are idle
    /// most of the time.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn anything_open(&self, partition: Partition) -> Result<bool, StoreError> {
        let mut exists = redis::cmd("EXISTS");
        exists
            .arg(self.names.due(partition))
            .arg(self.names.unknown(partition))
            .arg(self.names.cancelling(partition))
            .arg(self.names.queue(partition));
        Ok(self.send("exists", &exists).await? != Value::Int(0))
    }

    /// What is open in one partition; `limit` bounds how many that are due are told of, `places` says
    /// which of the unknown orders are, the oldest being the first, in place 0.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn survey(
        &self,
        partition: Partition,
        limit: u32,
        places: RangeInclusive<u32>,
    ) -> Result<Survey, StoreError> {
        let (due, unknown) = (self.names.due(partition), self.names.unknown(partition));
        let cancelling = self.names.cancelling(partition);
        let queue = self.names.queue(partition);
        let (word, mut reply) = self
            .run(&script::SURVEY, &[due, unknown, cancelling, &queue], |command| {
                command.arg(limit).arg(places.start()).arg(places.end());
            })
            .await?;
        match word.as_str() {
            "survey" => {}
            other => return Err(reply.unknown(other)),
        }
        let now: u64 = reply.number()?;
        let in_flight: u64 = reply.number()?;
        let (unknown, cancelling) = (reply.number()?, reply.number()?);
        let since: u64 = reply.number()?;
        let (queued, queued_since): (u64, u64) = (reply.number()?, reply.number()?);
        let ids: usize = reply.number()?;
        let due = (0..ids).map(|_| reply.text()).collect::<Result<_, _>>()?;
        let age = |since: u64| Duration::from_millis(now.saturating_sub(since));
        let mut some_unknown = Vec::with_capacity(reply.remaining() / 2);
        while reply.remaining() > 0 {
            some_unknown.push(Unknown { id: reply.text()?, age: age(reply.number()?) });
        }
        Ok(Survey {
            in_flight,
            unknown,
            cancelling,
            oldest_unknown: (unknown > 0).then(|| age(since)),
            queued,
            oldest_queued: (queued > 0).then(|| age(queued_since)),
            due,
            some_unknown,
        })
    }

    /// For how much longer the records of these orders of one partition are kept: a cheap command
    /// each, and all of them on their way before the first is answered.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn left(
        &self,
        partition: Partition,
        ids: impl Iterator<Item = &str>,
    ) -> Result<Vec<Left>, StoreError> {
        try_join_all(ids.map(async |id| {
            let mut left = redis::cmd("PTTL");
            left.arg(self.names.of(partition, "order", id));
            match self.send("pttl", &left).await? {
                Value::Int(-2) => Ok(Left::Gone),
                Value::Int(-1) => Ok(Left::Always),
                Value::Int(left) => Ok(Left::For(Duration::from_millis(left.unsigned_abs()))),
                other => Err(StoreError::Protocol { script: "PTTL", reply: format!("{other:?}") }),
            }
        }))
        .await
    }
}
