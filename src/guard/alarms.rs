//! The latest alarms of this process, for those who look at it: what, when, about which order. The
//! counters tell how many there were; this tells where to begin.

use crate::model::identity::Order;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// How many are remembered; the oldest go first.
const REMEMBERED: usize = 200;

/// One alarm.
#[derive(Clone, Debug)]
pub struct Raised {
    /// When, by this machine's clock.
    pub at: SystemTime,
    /// Its kind, as it is counted.
    pub kind: &'static str,
    /// The order it is about, where one is known.
    pub order: Option<Order>,
}

/// The latest ones, oldest first.
#[derive(Debug, Default)]
pub struct Alarms(Mutex<VecDeque<Raised>>);

impl Alarms {
    /// Remembers one.
    pub(super) fn raise(&self, kind: &'static str, order: Option<&Order>) {
        let mut alarms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if alarms.len() == REMEMBERED {
            alarms.pop_front();
        }
        alarms.push_back(Raised { at: SystemTime::now(), kind, order: order.cloned() });
    }

    /// All that are remembered, oldest first.
    pub fn all(&self) -> Vec<Raised> {
        let alarms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        alarms.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_no_more_than_that() {
        let alarms = Alarms::default();
        for _ in 0..REMEMBERED {
            alarms.raise("dead-letter", None);
        }
        alarms.raise("not-cancellable", None);
        let all = alarms.all();
        assert_eq!(all.len(), REMEMBERED);
        assert_eq!(all.last().map(|alarm| alarm.kind), Some("not-cancellable"));
    }
}
