//! Metrics of one name that labels tell apart, found again without hashing the labels and without a
//! lock that other threads want.
//!
//! Labels take few values here: routes, scripts, outcomes. A thread looks through those it has met.

use prometheus_client::metrics::family::Family;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// The metrics of one name.
#[derive(Clone)]
pub struct Labelled<L, M>(Arc<Inner<L, M>>);

struct Inner<L, M> {
    family: Family<L, M>,
    /// Those that were used here.
    met: Mutex<Vec<(L, M)>>,
}

impl<L: Clone + Hash + Eq, M: Clone> Labelled<L, M> {
    /// None yet; `make` makes one.
    pub fn new(make: fn() -> M) -> Labelled<L, M> {
        Labelled::of(Family::new_with_constructor(make))
    }

    fn of(family: Family<L, M>) -> Labelled<L, M> {
        Labelled(Arc::new(Inner { family, met: Mutex::default() }))
    }

    /// What is registered.
    pub fn family(&self) -> Family<L, M> {
        self.0.family.clone()
    }

    /// The same metrics, for another thread.
    pub fn apart(&self) -> Labelled<L, M> {
        Labelled::of(self.family())
    }

    /// Counts with the metric of `labels`, which are the only ones that `is` knows.
    pub fn count<R>(
        &self,
        is: impl Fn(&L) -> bool,
        labels: impl FnOnce() -> L,
        count: impl FnOnce(&M) -> R,
    ) -> R {
        let mut met = self.0.met.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, metric)) = met.iter().find(|(labels, _)| is(labels)) {
            return count(metric);
        }
        let labels = labels();
        debug_assert!(is(&labels), "they are found again by what they are");
        let metric = self.0.family.get_or_create(&labels).clone();
        let counted = count(&metric);
        met.push((labels, metric));
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn threads_count_into_the_same_metrics_and_labels_apart() {
        let here: Labelled<String, Counter> = Labelled::new(Counter::default);
        let there = here.apart();
        let count = |metrics: &Labelled<String, Counter>, label: &str| {
            let is = |known: &String| known == label;
            metrics.count(is, || label.to_owned(), Counter::inc);
        };
        for (metrics, label) in [(&here, "a"), (&there, "a"), (&here, "b"), (&here, "a")] {
            count(metrics, label);
        }
        let of = |label: &str| here.family().get_or_create(&label.to_owned()).get();
        assert_eq!((of("a"), of("b")), (3, 1));
    }
}
