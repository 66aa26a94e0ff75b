//! When which order is to be looked at: each at most once, the earliest first, so many at the most.

use crate::model::identity::Partition;
use std::collections::{BTreeMap, HashMap};
use tokio::time::Instant;

/// Orders at the most, some 200 bytes each; others wait for the look around.
const MOST: usize = 10_000;

/// An order's place in time; the number tells those of one moment apart.
type Place = (Instant, u64);

/// Orders and their times.
#[derive(Default)]
pub(super) struct Agenda {
    times: BTreeMap<Place, (Partition, Box<str>)>,
    places: HashMap<Box<str>, Place>,
    count: u64,
}

impl Agenda {
    /// Notes an order; one that is noted already comes at the earlier of both times.
    pub(super) fn note(&mut self, at: Instant, partition: Partition, id: Box<str>) {
        match self.places.get(&id) {
            Some(place) if place.0 <= at => return,
            Some(place) => {
                self.times.remove(place);
            }
            None if self.places.len() >= MOST => return,
            None => {}
        }
        self.count += 1;
        let place = (at, self.count);
        self.places.insert(id.clone(), place);
        self.times.insert(place, (partition, id));
    }

    /// The next time there is.
    pub(super) fn next(&self) -> Option<Instant> {
        self.times.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next order.
    pub(super) fn take(&mut self) -> Option<(Partition, Box<str>)> {
        let (_, (partition, id)) = self.times.pop_first()?;
        self.places.remove(&id);
        Some((partition, id))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_order_comes_once_at_its_earliest_time() {
        let (now, partition) = (Instant::now(), Partition::numbered(0).unwrap());
        let mut agenda = Agenda::default();
        for (id, seconds) in [("a", 5), ("b", 3), ("a", 1), ("b", 9), ("c", 2)] {
            agenda.note(now + Duration::from_secs(seconds), partition, id.into());
        }
        assert_eq!(agenda.next(), Some(now + Duration::from_secs(1)));
        let taken: Vec<_> = std::iter::from_fn(|| agenda.take()).map(|(_, id)| id).collect();
        assert_eq!(taken, ["a".into(), "c".into(), "b".into()] as [Box<str>; 3]);
        assert_eq!(agenda.next(), None);
    }

    #[test]
    fn it_holds_so_many_and_no_more() {
        let (now, partition) = (Instant::now(), Partition::numbered(0).unwrap());
        let mut agenda = Agenda::default();
        for n in 0..MOST + 10 {
            agenda.note(now, partition, n.to_string().into());
        }
        assert_eq!(std::iter::from_fn(|| agenda.take()).count(), MOST);
    }
}
