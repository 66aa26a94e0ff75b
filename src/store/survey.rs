//! What is open: counts for the gauges, the orders whose lease should have run out, and lists for
//! the admin plane.

use super::error::StoreError;
use super::record::Record;
use super::{Store, script};
use crate::model::identity::Partition;
use crate::model::order::State;
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

/// One page of a list of orders.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The orders.
    pub orders: Vec<Record>,
    /// Where the next page begins; 0 when this was the last.
    pub next: u64,
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

    /// A page of the orders in `state` (any, without one), as `SCAN` comes across them: in no
    /// order, and an order that changes meanwhile may appear on two pages. `cursor` is 0 for the
    /// first page, else the last page's `next`; `count` is how many names each step looks at.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn orders(
        &self,
        state: Option<State>,
        cursor: u64,
        count: usize,
    ) -> Result<Page, StoreError> {
        let mut page = Page { orders: Vec::new(), next: cursor };
        // A Cluster is scanned node by node; the cursor says at which we are.
        let shards = self.link.shards().await?.len().max(1) as u64;
        for _ in 0..STEPS {
            let (shard, cursor) = (page.next % shards, page.next / shards);
            let mut scan = redis::cmd("SCAN");
            let room = count.saturating_sub(page.orders.len()).max(1);
            scan.arg(cursor).arg("MATCH").arg(self.names.all_records()).arg("COUNT").arg(room);
            let (next, found) = scanned(self.send_to("scan", shard as usize, &scan).await?)?;
            page.next = match next {
                0 => (shard + 1) % shards,
                next => next.saturating_mul(shards).saturating_add(shard),
            };
            for name in found {
                let Some((partition, id)) = self.names.parse(&name) else {
                    continue;
                };
                if let Some(record) = self.look_at(partition, id).await?
                    && record.state != State::None
                    && state.is_none_or(|state| state == record.state)
                {
                    page.orders.push(record);
                }
            }
            if page.next == 0 || page.orders.len() >= count {
                break;
            }
        }
        Ok(page)
    }
}

/// How many steps of `SCAN` one page may take, so that a rare state costs a bounded look.
const STEPS: usize = 50;

fn scanned(value: Value) -> Result<(u64, Vec<String>), StoreError> {
    redis::from_redis_value(value)
        .map_err(|error| StoreError::Protocol { script: "SCAN", reply: error.to_string() })
}
