//! What the counters say at one moment, read from the very page that `/metrics` shows: the console
//! and a scraper never differ, and counting costs what it cost before.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

/// One look at the metrics.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// By this machine's wall clock, for people.
    pub(super) at: SystemTime,
    /// When, for rates.
    pub(super) when: Instant,
    /// Requests by outcome, of all routes.
    pub(super) requests: BTreeMap<String, f64>,
    /// Duplicates that wait for the first.
    pub(super) waiting: f64,
    /// Orders that are not final, by state.
    pub(super) orders: BTreeMap<String, f64>,
    /// Seconds the oldest unknown order has been so.
    pub(super) oldest_unknown: f64,
    /// Entries in the buffer.
    pub(super) queued: f64,
    /// Seconds the oldest of them has been there.
    pub(super) oldest_queued: f64,
    /// Seconds the payment service took.
    pub(super) upstream: Buckets,
    /// Seconds Redis took, any command.
    pub(super) redis: Buckets,
    /// Redis commands without a usable answer.
    pub(super) redis_errors: f64,
    /// Seconds attempts held their lease, by route.
    pub(super) leases: BTreeMap<String, Buckets>,
    /// Lease renewals by result.
    pub(super) renewals: BTreeMap<String, f64>,
    /// Attempts by the state they ended in.
    pub(super) settled: BTreeMap<String, f64>,
    /// Alarms by kind.
    pub(super) alarms: BTreeMap<String, f64>,
}

impl Reading {
    /// Reads a page in the OpenMetrics text format, as this process writes it.
    pub(super) fn of(page: &str) -> Reading {
        let mut reading = Reading {
            at: SystemTime::now(),
            when: Instant::now(),
            requests: BTreeMap::new(),
            waiting: 0.0,
            orders: BTreeMap::new(),
            oldest_unknown: 0.0,
            queued: 0.0,
            oldest_queued: 0.0,
            upstream: Buckets::default(),
            redis: Buckets::default(),
            redis_errors: 0.0,
            leases: BTreeMap::new(),
            renewals: BTreeMap::new(),
            settled: BTreeMap::new(),
            alarms: BTreeMap::new(),
        };
        for line in page.lines() {
            if let Some((name, labels, value)) = sample(line) {
                reading.take(name, labels, value);
            }
        }
        reading
    }

    fn take(&mut self, name: &str, labels: &str, value: f64) {
        let add = |sums: &mut BTreeMap<String, f64>, by: &str| {
            *sums.entry(label(labels, by)).or_default() += value;
        };
        match name {
            "requests_total" => add(&mut self.requests, "outcome"),
            "orders" => add(&mut self.orders, "state"),
            "renewals_total" => add(&mut self.renewals, "result"),
            "settled_total" => add(&mut self.settled, "state"),
            "alarms_total" => add(&mut self.alarms, "kind"),
            "waiters" => self.waiting = value,
            "unknown_oldest_age_seconds" => self.oldest_unknown = value,
            "queue_depth" => self.queued = value,
            "queue_oldest_age_seconds" => self.oldest_queued = value,
            "redis_errors_total" => self.redis_errors += value,
            "upstream_duration_seconds_bucket" => self.upstream.add(labels, value),
            "redis_duration_seconds_bucket" => self.redis.add(labels, value),
            "lease_held_seconds_bucket" => {
                self.leases.entry(label(labels, "route")).or_default().add(labels, value);
            }
            _ => {}
        }
    }
}

/// A histogram: how many took at most so long.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Buckets {
    /// Upper bounds in seconds, rising; the last is infinite.
    pub(super) bounds: Vec<f64>,
    /// How many took at most that long.
    pub(super) counts: Vec<f64>,
}

impl Buckets {
    fn add(&mut self, labels: &str, value: f64) {
        let bound = match label(labels, "le").as_str() {
            "+Inf" => f64::INFINITY,
            text => text.parse().unwrap_or(f64::INFINITY),
        };
        match self.bounds.iter().position(|known| *known == bound) {
            Some(at) => self.counts[at] += value,
            None => {
                self.bounds.push(bound);
                self.counts.push(value);
            }
        }
    }

    /// What came since `earlier`.
    pub(super) fn since(&self, earlier: &Buckets) -> Buckets {
        let before = |at: usize| earlier.counts.get(at).copied().unwrap_or_default();
        let counts = self.counts.iter().enumerate().map(|(at, count)| count - before(at)).collect();
        Buckets { bounds: self.bounds.clone(), counts }
    }

    /// How long the given part of them took at most, in seconds: somewhere in its bucket, in
    /// proportion. What is beyond the last bound took at least that long. `None` without any.
    pub(super) fn quantile(&self, part: f64) -> Option<f64> {
        let all = self.counts.last().copied().filter(|all| *all > 0.0)?;
        let wanted = all * part;
        let at = self.counts.iter().position(|count| *count >= wanted)?;
        let below = at.checked_sub(1);
        let floor = below.map_or(0.0, |below| self.bounds[below]);
        let fewer = below.map_or(0.0, |below| self.counts[below]);
        if self.bounds[at].is_infinite() {
            return Some(floor);
        }
        let inside = self.counts[at] - fewer;
        let share = if inside > 0.0 { (wanted - fewer) / inside } else { 1.0 };
        Some(floor + (self.bounds[at] - floor) * share)
    }
}

/// Our prefix, which every metric of ours has.
const PREFIX: &str = "onceward_";

/// A line's name without the prefix, its labels, its value.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let line = line.strip_prefix(PREFIX)?;
    let (what, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    match what.split_once('{') {
        Some((name, labels)) => Some((name, labels.strip_suffix('}')?, value)),
        None => Some((what, "", value)),
    }
}

/// A label's value, as it was before it was written: escaped are backslash, quote and line feed.
fn label(labels: &str, name: &str) -> String {
    let mut rest = labels;
    while let Some((key, quoted)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut escaped = false;
        let mut end = quoted.len();
        for (at, c) in quoted.char_indices() {
            match (escaped, c) {
                (true, 'n') => value.push('\n'),
                (true, c) => value.push(c),
                (false, '\\') => {}
                (false, '"') => {
                    end = at;
                    break;
                }
                (false, c) => value.push(c),
            }
            escaped = !escaped && c == '\\';
        }
        if key.trim_start_matches(',') == name {
            return value;
        }
        rest = quoted.get(end + 1..).unwrap_or_default();
    }
    String::new()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_by_what_it_says() {
        let reading = Reading::of(concat!(
            "# HELP onceward_requests Requests.\n",
            "onceward_requests_total{route=\"a\",outcome=\"first\"} 3\n",
            "onceward_requests_total{route=\"b\\\"},{c\",outcome=\"first\"} 4\n",
            "onceward_requests_total{route=\"a\",outcome=\"replay\"} 1\n",
            "onceward_orders{state=\"unknown\"} 2\n",
            "onceward_waiters 5\n",
            "onceward_redis_duration_seconds_bucket{le=\"0.001\",command=\"claim\"} 3\n",
            "onceward_redis_duration_seconds_bucket{le=\"+Inf\",command=\"claim\"} 4\n",
            "onceward_redis_duration_seconds_bucket{le=\"0.001\",command=\"settle\"} 1\n",
            "onceward_redis_duration_seconds_bucket{le=\"+Inf\",command=\"settle\"} 1\n",
            "onceward_lease_held_seconds_bucket{le=\"0.5\",route=\"x \\\\ y\"} 1\n",
            "# EOF\n",
        ));
        assert_eq!(reading.requests["first"], 7.0);
        assert_eq!(reading.requests["replay"], 1.0);
        assert_eq!((reading.orders["unknown"], reading.waiting), (2.0, 5.0));
        assert_eq!(reading.redis.counts, [4.0, 5.0]);
        assert_eq!(reading.leases.keys().collect::<Vec<_>>(), ["x \\ y"]);
    }

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let check = |counts: [f64; 3], part: f64, expect: Option<f64>| {
            let bounds = vec![0.1, 0.3, f64::INFINITY];
            let buckets = Buckets { bounds, counts: counts.to_vec() };
            let told = buckets.quantile(part).map(|told| (told * 1000.0).round() / 1000.0);
            assert_eq!(told, expect, "{counts:?} {part}");
        };
        check([0.0, 0.0, 0.0], 0.5, None);
        check([10.0, 10.0, 10.0], 0.5, Some(0.05));
        check([10.0, 20.0, 20.0], 0.75, Some(0.2));
        check([10.0, 20.0, 20.0], 1.0, Some(0.3));
        check([0.0, 0.0, 7.0], 0.99, Some(0.3));
    }

    #[test]
    fn what_came_between_two_looks_is_told_apart() {
        let of =
            |counts: &[f64]| Buckets { bounds: vec![1.0, f64::INFINITY], counts: counts.into() };
        assert_eq!(of(&[5.0, 9.0]).since(&of(&[2.0, 3.0])), of(&[3.0, 6.0]));
        assert_eq!(of(&[5.0, 9.0]).since(&Buckets::default()), of(&[5.0, 9.0]));
    }
}
