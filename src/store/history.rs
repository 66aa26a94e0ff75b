//! Whether Redis still knows what it acknowledged.
//!
//! A server that was promoted, restarted or emptied may have lost a claim that was acknowledged, and
//! with it the only thing between an order and its second payment. Each partition holds a mark that
//! names the server seen last (`recall.lua`). It is looked at after every new connection, and costs
//! nothing in between.

use super::error::StoreError;
use super::orders::millis;
use super::{Store, script};
use crate::model::identity::{PARTITIONS, Partition};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What this process knows of every partition's history, on whichever thread it learned it.
pub struct History {
    /// How long orders are asked about before they are sent; zero: never.
    window: Duration,
    /// The server seen last, by partition.
    seen: [Mutex<String>; PARTITIONS as usize],
    /// When somebody was last told that history was lost.
    told: Mutex<Option<Instant>>,
}

/// What one way to Redis found in every partition. Each way looks for itself: while servers change
/// places, two threads may be speaking to two of them.
pub(super) struct Looks([Mutex<Look>; PARTITIONS as usize]);

/// One partition's last look.
#[derive(Default, Clone, Copy)]
struct Look {
    /// At which stand of the connections; 0 for never.
    stand: u64,
    /// Until when its orders are asked about, and since when the server before is gone.
    doubt: Option<(Instant, Option<Instant>)>,
}

/// A partition in which an acknowledged claim may have been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// For how long nobody can have begun to act on such a claim; `None` where nobody knows of a
    /// server that could have acknowledged one.
    pub gone: Option<Duration>,
}

/// What a look at a partition's mark found.
#[derive(Debug, PartialEq, Eq)]
pub struct Recall {
    /// Whether it is another server than the one seen last, or an empty one.
    pub forgot: bool,
    /// For how long orders are still to be asked about; zero when they are not.
    pub left: Duration,
    /// For how long the server before it is known to be gone, if any was known.
    pub gone: Option<Duration>,
    /// Its name for itself.
    pub server: String,
}

impl History {
    /// Nothing is known yet; orders are asked about for `window`, never if that is zero.
    pub fn new(window: Duration) -> History {
        let seen = std::array::from_fn(|_| Mutex::default());
        History { window, seen, told: Mutex::default() }
    }

    fn seen(&self, partition: Partition) -> std::sync::MutexGuard<'_, String> {
        let seen = &self.seen[usize::from(partition.number())];
        seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time to say so: 64 partitions find out one by one, and once is enough.
    fn to_tell(&self) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.is_none_or(|told| told.elapsed() > self.window);
        if due {
            *told = Some(Instant::now());
        }
        due
    }
}

impl Default for Looks {
    fn default() -> Looks {
        Looks(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Looks {
    fn of(&self, partition: Partition) -> std::sync::MutexGuard<'_, Look> {
        let look = &self.0[usize::from(partition.number())];
        look.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Another number whenever another server may be behind our commands.
    pub fn stand(&self) -> u64 {
        self.link.stand()
    }

    /// Whether a claim of this partition's may have been lost by Redis after it was acknowledged, so
    /// that upstream is to be asked before anything is sent. Asked after a claim was granted, it
    /// speaks of the server that granted it, or of a later one.
    ///
    /// # Errors
    /// When Redis would have to be asked and cannot be.
    pub async fn in_doubt(&self, partition: Partition) -> Result<Option<Doubt>, StoreError> {
        let window = self.config.history.window;
        if window.is_zero() {
            return Ok(None);
        }
        // Before the look: what changes meanwhile is looked at again.
        let stand = self.link.stand();
        let mut look = *self.looks.of(partition);
        // Somebody who knew a server before this one may have said so since.
        let begun = matches!(look.doubt, Some((until, None)) if until > Instant::now());
        if look.stand != stand || begun {
            let asked = Instant::now();
            let recall = self.recall(partition, window).await?;
            look = self.noted(partition, (stand, asked), recall);
        }
        let now = Instant::now();
        Ok(look
            .doubt
            .filter(|(until, _)| *until > now)
            .map(|(_, gone)| Doubt { gone: gone.map(|gone| now.saturating_duration_since(gone)) }))
    }

    /// Looks at a partition's mark, and makes it where it is missing or another server's.
    ///
    /// # Errors
    /// When Redis cannot be asked; asking again is safe.
    pub async fn recall(
        &self,
        partition: Partition,
        window: Duration,
    ) -> Result<Recall, StoreError> {
        let history = self.names.history(partition);
        let seen = self.config.history.seen(partition).clone();
        let (word, mut reply) = self
            .run(&script::RECALL, &[&history], |command| {
                command.arg(millis(window)).arg(&seen).arg(&self.config.by);
            })
            .await?;
        let forgot = match word.as_str() {
            "remembers" => false,
            "forgot" => true,
            other => return Err(reply.unknown(other)),
        };
        let left = Duration::from_millis(reply.number()?);
        let gone = reply.text()?;
        let gone = match gone.parse() {
            Ok(millis) => Some(Duration::from_millis(millis)),
            Err(_) => None,
        };
        let server = reply.text()?;
        self.config.history.seen(partition).clone_from(&server);
        Ok(Recall { forgot, left, gone, server })
    }

    /// Keeps what a look found that was begun at `asked`.
    fn noted(&self, partition: Partition, at: (u64, Instant), recall: Recall) -> Look {
        let (stand, asked) = at;
        if recall.forgot {
            self.metrics.forgot();
            if self.config.history.to_tell() {
                tracing::warn!(
                    %partition, window = ?recall.left,
                    "Redis is another instance or empty: orders are asked about before they \
                     are sent, where their route has a query"
                );
            }
        }
        // Redis read its clock after we read ours. The while ends later than that, by our clock, and
        // the server before was gone later too: by less than the answer took.
        let answered = Instant::now();
        let gone = recall.gone.map(|gone| answered.checked_sub(gone).unwrap_or(asked));
        let doubt = (!recall.left.is_zero()).then(|| (answered + recall.left, gone));
        let found = Look { stand, doubt };
        let mut look = self.looks.of(partition);
        // A look that was begun earlier and ended later says nothing.
        if stand >= look.stand {
            *look = found;
        }
        found
    }
}
