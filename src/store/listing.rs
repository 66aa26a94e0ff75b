//! All orders there are, a page at a time, for the admin plane.
//!
//! `SCAN` gives as many names as lie together, however few were asked for. What finds no room on a
//! page goes by name into the mark of the next one: nobody has to remember where a list stood.
//!
//! A page is held in memory while it is written: it ends early where its responses are large.

use super::Store;
use super::error::StoreError;
use super::record::Record;
use crate::model::identity::Partition;
use crate::model::order::State;
use crate::model::response::Kept;
use redis::Value;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

/// How many steps of `SCAN` one page of up to [`MOST`] orders may take, so that a rare state costs a
/// bounded look. A longer page takes as many for each of its parts.
const STEPS: usize = 50;

/// Fewest names a step looks at: a page of one order is not to take a step for each.
const LEAST: usize = 10;

/// Most names a step looks at: those that find no room on a page that ends early make up its mark,
/// which has to fit into a request.
const MOST: usize = 100;

/// Bytes of responses after which a page ends: of the largest that are stored by default, four.
const ROOM: usize = 4 * 1024 * 1024;

/// One page of a list of orders.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The orders.
    pub orders: Vec<Record>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<Mark>,
}

/// Where a page begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// Where `SCAN` goes on; 0 at the beginning, and again once it has been round.
    at: u64,
    /// Orders it came across that are on no page yet.
    met: VecDeque<(Partition, String)>,
}

impl Store {
    /// A page of at most `limit` orders in `state` (any, without one), and fewer where their responses
    /// are large, as `SCAN` comes across them: in no order, and an order may appear on two pages where
    /// Redis moves its keys meanwhile.
    ///
    /// # Errors
    /// When Redis cannot be asked.
    pub async fn orders(
        &self,
        state: Option<State>,
        from: Mark,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let Mark { mut at, mut met } = from;
        let (mut orders, mut over) = (Vec::new(), at == 0 && !met.is_empty());
        let (mut bytes, most_steps) = (0, STEPS * limit.div_ceil(MOST));
        let full = |orders: &Vec<Record>, bytes| orders.len() == limit || bytes >= ROOM;
        // A Cluster is scanned node by node; the mark says at which we are.
        let shards = self.link.shards().await?.len().max(1) as u64;
        for steps in 0.. {
            while !full(&orders, bytes)
                && let Some((partition, id)) = met.pop_front()
            {
                if let Some(record) = self.listed(partition, &id).await?
                    && record.state != State::None
                    && state.is_none_or(|state| state == record.state)
                {
                    bytes += response_bytes(&record);
                    orders.push(record);
                }
            }
            if (over && met.is_empty()) || full(&orders, bytes) || steps == most_steps {
                break;
            }
            let room = (limit - orders.len()).clamp(LEAST, MOST);
            let found = self.step(shards, &mut at, room).await?;
            met.extend(found.iter().filter_map(|name| {
                let (partition, id) = self.names.parse(name)?;
                Some((partition, id.to_owned()))
            }));
            over = at == 0;
        }
        let next = (!over || !met.is_empty()).then_some(Mark { at, met });
        Ok(Page { orders, next })
    }

    /// The names one step of `SCAN` comes across; `at` moves on.
    async fn step(
        &self,
        shards: u64,
        at: &mut u64,
        count: usize,
    ) -> Result<Vec<String>, StoreError> {
        let (shard, cursor) = (*at % shards, *at / shards);
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(self.names.all_records()).arg("COUNT").arg(count);
        let (next, found) = scanned(self.send_to("scan", shard as usize, &scan).await?)?;
        *at = match next {
            0 => (shard + 1) % shards,
            next => next.saturating_mul(shards).saturating_add(shard),
        };
        Ok(found)
    }
}

fn response_bytes(record: &Record) -> usize {
    match &record.kept {
        Kept::Response(response) => response.body.len(),
        Kept::Nothing | Kept::TooLarge(_) => 0,
    }
}

fn scanned(value: Value) -> Result<(u64, Vec<String>), StoreError> {
    redis::from_redis_value(value)
        .map_err(|error| StoreError::Protocol { script: "SCAN", reply: error.to_string() })
}

/// `17`, or `17.05<id>.63<id>`: where to go on, and partition and id of each order that was met.
impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.at)?;
        self.met
            .iter()
            .try_for_each(|(partition, id)| write!(out, ".{:02}{id}", partition.number()))
    }
}

/// A text that is no mark of ours.
#[derive(Debug, PartialEq, Eq)]
pub struct BadMark;

impl FromStr for Mark {
    type Err = BadMark;

    fn from_str(text: &str) -> Result<Mark, BadMark> {
        let mut parts = text.split('.');
        let at = parts.next().and_then(|at| at.parse().ok()).ok_or(BadMark)?;
        let order = |part: &str| {
            let (number, id) = part.split_at_checked(2)?;
            let partition = Partition::numbered(number.parse().ok()?)?;
            is_id(id).then(|| (partition, id.to_owned()))
        };
        let met: Option<_> = parts.map(order).collect();
        Ok(Mark { at, met: met.ok_or(BadMark)? })
    }
}

/// Whether a text is made of what ids are: it becomes part of a name in Redis.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_as_it_was_written_and_nothing_else_does() {
        for text in ["0", "17", "17.05abc-_9", "0.63x.00y"] {
            assert_eq!(text.parse::<Mark>().unwrap().to_string(), text);
        }
        let wrong = [
            "",
            "x",
            "-1",
            "1.0",
            "18446744073709551616",
            "1.",
            "1.05",
            "1.64a",
            "1.05a*",
            "1.0éa",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Mark>(), Err(BadMark), "{text}");
        }
    }
}
