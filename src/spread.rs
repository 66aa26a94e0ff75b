//! Counters and histograms of which every thread has a part of its own.
//!
//! A number that several cores write goes from one core's cache to the other's at every request, some
//! 50 ns each time; and it is read a few times a minute. So each thread writes to its own part, and who
//! reads adds the parts up.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};
use std::cell::OnceCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::available_parallelism;

/// Parts there are at the most; threads beyond that share them.
const MOST: usize = 32;

/// One value a thread.
#[derive(Debug)]
pub struct Spread<T>(Arc<[Part<T>]>);

/// Far enough from the next for two cores not to meet: they fetch two lines of 64 bytes at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part<T>(T);

impl<T> Spread<T> {
    /// A part for every thread that matters; `make` makes one.
    pub fn new(make: impl Fn() -> T) -> Spread<T> {
        Spread((0..parts()).map(|_| Part(make())).collect())
    }

    /// This thread's part.
    pub fn mine(&self) -> &T {
        &self.0[place()].0
    }

    /// Everybody's.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|Part(part)| part)
    }
}

impl<T> Clone for Spread<T> {
    fn clone(&self) -> Spread<T> {
        Spread(self.0.clone())
    }
}

impl<T: Default> Default for Spread<T> {
    fn default() -> Spread<T> {
        Spread::new(T::default)
    }
}

/// One for each thread of the data plane, and one for the rest.
fn parts() -> usize {
    static PARTS: OnceLock<usize> = OnceLock::new();
    *PARTS.get_or_init(|| available_parallelism().map_or(1, usize::from).min(MOST - 1) + 1)
}

/// Which part is this thread's: threads take turns at them, in the order in which they first count.
fn place() -> usize {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: OnceCell<usize> = const { OnceCell::new() };
    }
    PLACE.with(|place| *place.get_or_init(|| TAKEN.fetch_add(1, Ordering::Relaxed) % parts()))
}

/// A count that only rises.
#[derive(Clone, Debug, Default)]
pub struct Counter(Spread<AtomicU64>);

impl Counter {
    /// Counts one.
    pub fn inc(&self) {
        self.0.mine().fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted.
    pub fn get(&self) -> u64 {
        self.0.all().map(|part| part.load(Ordering::Relaxed)).sum()
    }
}

impl TypedMetric for Counter {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for Counter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.encode_counter::<NoLabelSet, _, u64>(&self.get(), None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// How often values were at most so large.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Rising.
    bounds: &'static [f64],
    seen: Spread<Mutex<Seen>>,
}

/// What a thread saw.
#[derive(Debug)]
struct Seen {
    sum: f64,
    /// By bound; behind them those above all bounds.
    counts: Box<[u64]>,
}

impl Histogram {
    /// Nothing seen yet; `bounds` rise.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        let none = || Mutex::new(Seen { sum: 0.0, counts: vec![0; bounds.len() + 1].into() });
        Histogram { bounds, seen: Spread::new(none) }
    }

    /// Counts a value.
    pub fn observe(&self, value: f64) {
        let above = self.bounds.iter().position(|bound| value <= *bound);
        let mut seen = self.seen.mine().lock().unwrap_or_else(PoisonError::into_inner);
        seen.sum += value;
        seen.counts[above.unwrap_or(self.bounds.len())] += 1;
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let mut buckets: Vec<_> = bounds.map(|bound| (bound, 0)).collect();
        let mut sum = 0.0;
        for part in self.seen.all() {
            let seen = part.lock().unwrap_or_else(PoisonError::into_inner);
            sum += seen.sum;
            for ((_, all), counted) in buckets.iter_mut().zip(&seen.counts) {
                *all += counted;
            }
        }
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::histogram;
    use prometheus_client::registry::{Metric, Registry};

    // Their sums are exact, in whichever order they are added.
    const BOUNDS: [f64; 3] = [0.125, 1.0, 2.5];
    const VALUES: [f64; 6] = [0.0, 0.125, 0.25, 2.5, 2.75, 1024.0];

    fn told(metric: impl Metric) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register("some", "Some", metric);
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn what_any_thread_counts_counts() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * MOST {
                scope.spawn(|| (0..1000).for_each(|_| counter.inc()));
            }
        });
        assert_eq!(counter.get(), 2 * MOST as u64 * 1000);
        assert!(told(counter).contains("# TYPE some counter\nsome_total 64000\n"));
    }

    #[test]
    fn a_histogram_tells_what_the_librarys_tells() {
        let (ours, theirs) = (Histogram::new(&BOUNDS), histogram::Histogram::new(BOUNDS));
        for value in VALUES {
            std::thread::scope(|scope| scope.spawn(|| ours.observe(value)).join().unwrap());
            theirs.observe(value);
        }
        assert_eq!(told(ours), told(theirs));
    }

    #[test]
    fn a_thread_keeps_its_part_and_parts_are_apart() {
        let spread: Spread<AtomicU64> = Spread::default();
        assert!(std::ptr::eq(spread.mine(), spread.mine()));
        let mut places: Vec<_> = spread.all().map(|part| std::ptr::from_ref(part).addr()).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 128));
    }
}
