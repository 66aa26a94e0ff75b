//! Orders that are due, but that nobody here can ask about or cancel: their route is not among those
//! of this replica, or lacks the call. Others may have it (a rolling update), so they stay due in
//! Redis as they are, and this replica passes them over for a while, or until its routes change.
//! Entries of the buffer that cannot be sent from here are passed over by the same rules.

use crate::model::identity::Partition;
use crate::route::Routes;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// For how long such an order is passed over.
pub(super) const HELD: Duration = Duration::from_secs(600);

/// Orders remembered in one partition, about 100 bytes each.
const MOST: usize = 1000;

/// What is remembered, of those routes.
#[derive(Default)]
pub struct Unable(Mutex<Known>);

#[derive(Default)]
struct Known {
    routes: Option<Arc<Routes>>,
    /// Until when, in each partition.
    orders: HashMap<u8, HashMap<Box<str>, Instant>>,
}

impl Unable {
    /// What is known under these routes; what was known under others is forgotten.
    fn under(&self, routes: &Arc<Routes>) -> MutexGuard<'_, Known> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.routes.as_ref().is_some_and(|known| Arc::ptr_eq(known, routes)) {
            *known = Known { routes: Some(routes.clone()), orders: HashMap::new() };
        }
        known
    }

    /// Remembers an order for `HELD`, or as long as `most` where that is shorter; whether there was
    /// room for it.
    pub(super) fn note(
        &self,
        routes: &Arc<Routes>,
        (partition, id): (Partition, &str),
        most: Option<Duration>,
    ) -> bool {
        let mut known = self.under(routes);
        let orders = known.orders.entry(partition.number()).or_default();
        if orders.len() >= MOST {
            let now = Instant::now();
            orders.retain(|_, until| *until > now);
        }
        let room = orders.len() < MOST || orders.contains_key(id);
        if room {
            let until = Instant::now() + most.map_or(HELD, |most| most.min(HELD));
            orders.insert(id.into(), until);
        }
        room
    }

    /// Whether it is one of them.
    pub(super) fn knows(&self, routes: &Arc<Routes>, (partition, id): (Partition, &str)) -> bool {
        let mut known = self.under(routes);
        let Some(orders) = known.orders.get_mut(&partition.number()) else {
            return false;
        };
        match orders.get(id) {
            Some(until) if *until > Instant::now() => true,
            Some(_) => {
                orders.remove(id);
                false
            }
            None => false,
        }
    }

    /// How many of a partition there are, which may come first of all that are due there.
    pub(super) fn count(&self, routes: &Arc<Routes>, partition: Partition) -> u32 {
        let known = self.under(routes);
        known.orders.get(&partition.number()).map_or(0, HashMap::len) as u32
    }

    /// Takes those out of what is due that are to be passed over, and forgets those that are not due
    /// any more, or were passed over for long enough.
    pub(super) fn pass_over(
        &self,
        routes: &Arc<Routes>,
        partition: Partition,
        due: &mut Vec<String>,
    ) {
        let mut known = self.under(routes);
        let Some(orders) = known.orders.get_mut(&partition.number()) else {
            return;
        };
        let now = Instant::now();
        let all: HashSet<&str> = due.iter().map(String::as_str).collect();
        orders.retain(|id, until| *until > now && all.contains(&**id));
        due.retain(|id| !orders.contains_key(id.as_str()));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn due(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_is_passed_over_for_a_while_or_until_the_routes_change() {
        let (unable, routes) = (Unable::default(), Arc::new(Routes::default()));
        let mut partitions = Partition::all();
        let (one, other) = (partitions.next().unwrap(), partitions.next().unwrap());
        let left = |routes, partition, ids: &[&str]| {
            let mut due = due(ids);
            unable.pass_over(routes, partition, &mut due);
            due
        };
        assert!(unable.note(&routes, (one, "a"), None));
        assert!(unable.note(&routes, (one, "b"), Some(Duration::from_secs(60))));
        assert_eq!(left(&routes, one, &["a", "b", "c"]), ["c"]);
        assert_eq!(left(&routes, other, &["a", "b", "c"]), ["a", "b", "c"]);
        assert_eq!(unable.count(&routes, one), 2);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(left(&routes, one, &["a", "b"]), ["b"]);
        assert!(unable.knows(&routes, (one, "a")));
        tokio::time::advance(HELD).await;
        assert!(!unable.knows(&routes, (one, "a")));
        assert_eq!(left(&routes, one, &["a", "b"]), ["a", "b"]);
        // One that somebody took is not due; when it is again, this replica looks again.
        assert!(unable.note(&routes, (one, "a"), None));
        assert_eq!(left(&routes, one, &[]), [""; 0]);
        assert_eq!(left(&routes, one, &["a"]), ["a"]);
        assert!(unable.note(&routes, (one, "a"), None));
        let changed = Arc::new(Routes::default());
        assert_eq!(left(&changed, one, &["a"]), ["a"]);
        assert_eq!(unable.count(&changed, one), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn it_remembers_so_many_and_no_more() {
        let (unable, routes) = (Unable::default(), Arc::new(Routes::default()));
        let partition = Partition::all().next().unwrap();
        for n in 0..MOST {
            assert!(unable.note(&routes, (partition, &n.to_string()), None));
        }
        assert!(!unable.note(&routes, (partition, "more"), None));
        assert!(unable.note(&routes, (partition, "0"), None));
        assert!(
            unable.knows(&routes, (partition, "0")) && !unable.knows(&routes, (partition, "more"))
        );
        assert_eq!(unable.count(&routes, partition) as usize, MOST);
        tokio::time::advance(HELD * 2).await;
        assert!(unable.note(&routes, (partition, "more"), None));
        assert_eq!(unable.count(&routes, partition), 1);
    }
}
