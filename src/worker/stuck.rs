//! Orders that cannot be looked at though Redis answers: a later release wrote their records, or
//! somebody by hand. They keep nobody from the orders behind them, and are told of once.

use crate::model::identity::{PARTITIONS, Partition};
use crate::store::StoreError;
use std::collections::HashSet;

/// Orders remembered in one partition, about 100 bytes each.
const MOST: usize = 1000;

/// Those that were met in each partition when it was looked at last.
pub(super) struct Stuck(Vec<HashSet<Box<str>>>);

impl Default for Stuck {
    fn default() -> Stuck {
        Stuck(vec![HashSet::new(); usize::from(PARTITIONS)])
    }
}

impl Stuck {
    /// How many of a partition there are, which come first of all that are due there.
    pub(super) fn count(&self, partition: Partition) -> u32 {
        self.0[usize::from(partition.number())].len() as u32
    }

    /// These it is by now, and why; whether any was not among those before, of which the log tells.
    pub(super) fn met(&mut self, partition: Partition, now: &[(String, StoreError)]) -> bool {
        let known = &mut self.0[usize::from(partition.number())];
        let mut new = now.iter().filter(|(id, _)| !known.contains(id.as_str()));
        let first = new.next();
        if let Some((id, error)) = first {
            tracing::warn!(
                order = id, %error, %partition, others = new.count(),
                "an order could not be looked at, though Redis answers: is its record of a later \
                 release, or changed by hand?"
            );
        }
        let told = first.is_some();
        *known = now.iter().take(MOST).map(|(id, _)| id.as_str().into()).collect();
        told
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_told_of_once_until_it_could_be_looked_at() {
        let mut stuck = Stuck::default();
        let mut partitions = Partition::all();
        let (one, other) = (partitions.next().unwrap(), partitions.next().unwrap());
        let these = |ids: &[&str]| -> Vec<(String, StoreError)> {
            let trouble = || StoreError::Declined("FORMAT".into());
            ids.iter().map(|id| ((*id).to_owned(), trouble())).collect()
        };
        let looks: [(&[&str], bool); 7] = [
            (&[], false),
            (&["a"], true),
            (&["a"], false),
            (&["a", "b"], true),
            (&["b"], false),
            (&["a", "b"], true),
            (&[], false),
        ];
        for (ids, told) in looks {
            assert_eq!(stuck.met(one, &these(ids)), told, "{ids:?}");
            assert_eq!(stuck.count(one), ids.len() as u32);
        }
        assert_eq!(stuck.count(other), 0);
        let many: Vec<_> = (0..MOST + 5).map(|n| n.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        stuck.met(other, &these(&many));
        assert_eq!(stuck.count(other), MOST as u32);
    }
}
