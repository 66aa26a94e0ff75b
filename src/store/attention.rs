//! What waits for a person, oldest first: orders of unknown outcome, orders whose cancel is not
//! confirmed, dead letters.
//!
//! Each partition keeps its own in order; a page is merged from all of them. It costs one command a
//! partition and one an order shown, and only when somebody looks.

use super::Store;
use super::error::StoreError;
use super::record::Record;
use crate::model::identity::{Order, Partition};
use crate::model::order::State;
use crate::model::response::Kept;
use redis::Value;
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Orders of unknown outcome.
    Unknown,
    /// Orders whose cancel upstream has not confirmed.
    Cancelling,
    /// Queued orders that could not be sent, and have not ended since.
    Dead,
}

/// A place in a list: what comes after it is younger. Stays good while the list changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Since when it waits, ms since 1970.
    pub since: u64,
    /// The order's id.
    pub id: String,
}

/// One that waits.
#[derive(Clone, Debug)]
pub struct Waits {
    /// Its place.
    pub mark: Mark,
    /// Why it became a dead letter.
    pub why: Option<String>,
    /// The order, without its response.
    pub record: Record,
}

/// A page, oldest first.
#[derive(Debug, Default)]
pub struct WaitsPage {
    /// Those on it.
    pub waits: Vec<Waits>,
    /// Where the next one begins; `None` when this was the last.
    pub next: Option<Mark>,
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    mark: Mark,
    partition: u8,
    why: Option<String>,
}

impl Store {
    /// The oldest that wait, or those after a mark.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn waiting(
        &self,
        list: Waiting,
        after: Option<&Mark>,
        limit: usize,
    ) -> Result<WaitsPage, StoreError> {
        let mut page = WaitsPage::default();
        let mut after = after.cloned();
        // Entries whose order has moved on are passed over; a page may need a second look.
        loop {
            let mut entries = Vec::new();
            for partition in Partition::all() {
                entries.extend(self.entries(list, partition, after.as_ref(), limit).await?);
            }
            entries.sort();
            let more = entries.len() > limit;
            entries.truncate(limit);
            for entry in entries {
                if page.waits.len() == limit {
                    page.next = after;
                    return Ok(page);
                }
                after = Some(entry.mark.clone());
                if let Some(waits) = self.seen(list, entry).await? {
                    page.waits.push(waits);
                }
            }
            if !more {
                return Ok(page);
            }
        }
    }

    /// When upstream is next called about an order of unknown outcome, or one being cancelled;
    /// `None` for one that is held.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn due_at(&self, order: &Order) -> Result<Option<SystemTime>, StoreError> {
        let mut score = redis::cmd("ZSCORE");
        score.arg(self.names.due(order.partition)).arg(&*order.id);
        let due: Option<f64> = read("ZSCORE", self.send("list", &score).await?)?;
        Ok(due.map(|due| UNIX_EPOCH + Duration::from_millis(due as u64)))
    }

    /// The order of an entry, if it still waits.
    async fn seen(&self, list: Waiting, entry: Entry) -> Result<Option<Waits>, StoreError> {
        let Entry { mark, partition, why } = entry;
        let Some(partition) = Partition::numbered(partition) else {
            return Ok(None);
        };
        let mut record = self.listed(partition, &mark.id).await?;
        // Nobody is shown one here, and a page of large ones would be held until it is written.
        if let Some(record) = &mut record {
            record.kept = Kept::Nothing;
        }
        let waits = record.filter(|record| match list {
            Waiting::Unknown => record.state == State::Unknown,
            Waiting::Cancelling => record.state == State::Cancelling,
            Waiting::Dead => !record.state.is_final() && record.state != State::None,
        });
        Ok(waits.map(|record| Waits { mark, why, record }))
    }

    /// Those of one partition after a mark: as many as are wanted and one, or all there are.
    async fn entries(
        &self,
        list: Waiting,
        partition: Partition,
        after: Option<&Mark>,
        wanted: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let since = after.map_or(0, |after| after.since);
        let mut count = wanted + 1;
        loop {
            let mut entries = self.fetch(list, partition, since, count).await?;
            let all = entries.len() < count;
            if !all && let Some(last) = entries.last().map(|entry| entry.mark.since) {
                // There may be more of the same ms, which belong before some of these.
                entries.retain(|entry| entry.mark.since != last);
            }
            entries.retain(|entry| after.is_none_or(|after| entry.mark > *after));
            if all || entries.len() > wanted {
                return Ok(entries);
            }
            count *= 2;
        }
    }

    async fn fetch(
        &self,
        list: Waiting,
        partition: Partition,
        since: u64,
        count: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let index = match list {
            Waiting::Unknown => self.names.unknown(partition),
            Waiting::Cancelling => self.names.cancelling(partition),
            Waiting::Dead => return self.fetch_dead(partition, since, count).await,
        };
        let mut range = redis::cmd("ZRANGEBYSCORE");
        range.arg(index).arg(since).arg("+inf").arg("WITHSCORES").arg("LIMIT").arg(0).arg(count);
        let members: Vec<(String, f64)> = read("ZRANGEBYSCORE", self.send("list", &range).await?)?;
        let entry = |(id, score): (String, f64)| Entry {
            mark: Mark { since: score as u64, id },
            partition: partition.number(),
            why: None,
        };
        Ok(members.into_iter().map(entry).collect())
    }

    async fn fetch_dead(
        &self,
        partition: Partition,
        since: u64,
        count: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut range = redis::cmd("XRANGE");
        range.arg(self.names.dead(partition)).arg(since).arg("+").arg("COUNT").arg(count);
        let letters: Vec<(String, HashMap<String, String>)> =
            read("XRANGE", self.send("list", &range).await?)?;
        let entry = |(name, mut fields): (String, HashMap<String, String>)| {
            // An entry is named after the ms it was made in.
            let since = name.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or_default();
            let id = fields.remove("id").unwrap_or_default();
            Entry {
                mark: Mark { since, id },
                partition: partition.number(),
                why: fields.remove("why"),
            }
        };
        Ok(letters.into_iter().map(entry).collect())
    }
}

fn read<T: redis::FromRedisValue>(command: &'static str, value: Value) -> Result<T, StoreError> {
    redis::from_redis_value(value)
        .map_err(|error| StoreError::Protocol { script: command, reply: error.to_string() })
}
