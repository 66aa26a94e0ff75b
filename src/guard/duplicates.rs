//! How often this process answered duplicates of an order from the store, for the orders that had
//! one of late.
//!
//! Kept in memory, because the alternative is a write to Redis for every replay: what costs nothing
//! but a read today would have to reach every replica and the disk. So it is this replica's count,
//! since its start, of the orders it remembers.

use crate::spread::Spread;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Orders that a thread remembers for certain. Up to twice as many are, at about 100 bytes each.
const REMEMBERED: usize = 4096;

/// What is remembered of an order's duplicates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Served {
    /// How many got the stored answer.
    pub times: u64,
    /// When the last one did, by this machine's clock.
    pub last: SystemTime,
}

/// The counts.
#[derive(Debug, Default)]
pub struct Duplicates(Spread<Mutex<Generations>>);

/// A thread's counts. Two generations: when the young one is full, the old one is forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<str>, Served>,
    old: HashMap<Box<str>, Served>,
}

impl Duplicates {
    /// Counts one; `id` is the order's.
    pub(super) fn served(&self, id: &str) {
        let now = SystemTime::now();
        let mut generations = self.0.mine().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = generations.young.get_mut(id) {
            *served = Served { times: served.times + 1, last: now };
            return;
        }
        if generations.young.len() == REMEMBERED {
            generations.old = std::mem::take(&mut generations.young);
        }
        let times = generations.old.remove(id).map_or(0, |served| served.times);
        generations.young.insert(id.into(), Served { times: times + 1, last: now });
    }

    /// What is remembered of an order.
    pub fn of(&self, id: &str) -> Option<Served> {
        let of = |generations: &Mutex<Generations>| {
            let generations = generations.lock().unwrap_or_else(PoisonError::into_inner);
            generations.young.get(id).or_else(|| generations.old.get(id)).copied()
        };
        let all = self.0.all().filter_map(of);
        all.reduce(|one, other| Served {
            times: one.times + other.times,
            last: one.last.max(other.last),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(duplicates: &Duplicates, id: &str) -> u64 {
        duplicates.of(id).map_or(0, |served| served.times)
    }

    #[test]
    fn an_order_whose_duplicates_keep_coming_is_not_forgotten() {
        let duplicates = Duplicates::default();
        for n in 0..3 * REMEMBERED {
            if n % 1000 == 0 {
                duplicates.served("busy");
            }
            duplicates.served(&n.to_string());
        }
        assert_eq!(times(&duplicates, "busy"), 13);
        assert_eq!(times(&duplicates, "0"), 0, "no more is kept than was promised");
        assert_eq!(times(&duplicates, &(3 * REMEMBERED - 1).to_string()), 1);
        let generations = duplicates.0.mine().lock().unwrap_or_else(PoisonError::into_inner);
        assert!(generations.young.len() + generations.old.len() <= 2 * REMEMBERED);
    }
}
