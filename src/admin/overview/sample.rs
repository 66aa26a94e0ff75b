//! Two readings compared: rates and delays, as the console draws them.

use super::reading::{Buckets, Reading};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// One point of every plot: what went on between two readings, and what stood at the later one.
/// Rates are per second and of this replica; orders and queue are of all replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Ms since 1970.
    pub(super) at: u64,
    /// Requests that were sent upstream or accepted into the buffer.
    pub(super) first: f64,
    /// Requests answered from the store.
    pub(super) replay: f64,
    /// Requests answered by a problem.
    pub(super) refused: f64,
    /// Requests that were no payments: unprotected, tokens, looks at an order.
    pub(super) other: f64,
    /// Duplicates that wait.
    pub(super) waiting: f64,
    pub(super) in_flight: f64,
    pub(super) unknown: f64,
    pub(super) cancelling: f64,
    pub(super) queued: f64,
    /// How long the payment service took, in seconds; nothing where it was not asked.
    pub(super) upstream: Option<Delay>,
    /// How long Redis took.
    pub(super) redis: Option<Delay>,
    /// Redis commands without a usable answer, a second.
    pub(super) redis_errors: f64,
}

/// How long something took, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Delay {
    /// Half of them at most.
    pub(super) p50: f64,
    /// 99 of 100 at most.
    pub(super) p99: f64,
}

/// How an outcome is drawn.
fn kind(outcome: &str) -> usize {
    match outcome {
        "first" | "accepted" | "unacknowledged" => 0,
        "replay" | "document" => 1,
        "passed" | "bypassed" | "token" | "order" => 3,
        // Every other outcome is a problem's name.
        _ => 2,
    }
}

impl Sample {
    /// What went on from one reading to the next.
    pub(super) fn between(earlier: &Reading, now: &Reading) -> Sample {
        let seconds = now.when.duration_since(earlier.when).as_secs_f64().max(0.001);
        let mut rates = [0.0; 4];
        for (outcome, count) in &now.requests {
            let before = earlier.requests.get(outcome).copied().unwrap_or_default();
            rates[kind(outcome)] += (count - before) / seconds;
        }
        let [first, replay, refused, other] = rates;
        let orders = |state: &str| now.orders.get(state).copied().unwrap_or_default();
        Sample {
            at: ms(now.at),
            first,
            replay,
            refused,
            other,
            waiting: now.waiting,
            in_flight: orders("in_flight"),
            unknown: orders("unknown"),
            cancelling: orders("cancelling"),
            queued: now.queued,
            upstream: delay(&now.upstream.since(&earlier.upstream)),
            redis: delay(&now.redis.since(&earlier.redis)),
            redis_errors: (now.redis_errors - earlier.redis_errors) / seconds,
        }
    }
}

/// Everything that is shown as it stands.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Now {
    #[serde(flatten)]
    pub(super) sample: Sample,
    /// Seconds.
    pub(super) oldest_unknown: f64,
    /// Seconds.
    pub(super) oldest_queued: f64,
    /// How long leases were held since this replica started.
    pub(super) leases: Vec<Lease>,
    pub(super) renewals: BTreeMap<String, f64>,
    pub(super) settled: BTreeMap<String, f64>,
    pub(super) alarms: BTreeMap<String, f64>,
}

/// How long one route's attempts held their lease.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Lease {
    pub(super) route: String,
    /// Upper bounds in seconds; the last is `null`, it has none.
    pub(super) bounds: Vec<f64>,
    /// How many fell into each.
    pub(super) counts: Vec<f64>,
    pub(super) held: Option<Delay>,
}

impl Now {
    /// How things stand at `now`, rates taken since `earlier`.
    pub(super) fn at(earlier: &Reading, now: &Reading) -> Now {
        Now {
            sample: Sample::between(earlier, now),
            oldest_unknown: now.oldest_unknown,
            oldest_queued: now.oldest_queued,
            leases: now.leases.iter().map(|(route, buckets)| lease(route, buckets)).collect(),
            renewals: now.renewals.clone(),
            settled: now.settled.clone(),
            alarms: now.alarms.clone(),
        }
    }
}

fn lease(route: &str, buckets: &Buckets) -> Lease {
    let mut fewer = 0.0;
    let inside = buckets.counts.iter().map(|count| {
        let inside = count - fewer;
        fewer = *count;
        inside
    });
    Lease {
        route: route.to_owned(),
        counts: inside.collect(),
        bounds: buckets.bounds.clone(),
        held: delay(buckets),
    }
}

fn delay(buckets: &Buckets) -> Option<Delay> {
    Some(Delay { p50: buckets.quantile(0.5)?, p99: buckets.quantile(0.99)? })
}

fn ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rates_are_counted_by_what_a_caller_got() {
        let earlier = Reading::of("onceward_requests_total{route=\"a\",outcome=\"first\"} 10\n");
        let mut now = Reading::of(concat!(
            "onceward_requests_total{route=\"a\",outcome=\"first\"} 30\n",
            "onceward_requests_total{route=\"a\",outcome=\"document\"} 2\n",
            "onceward_requests_total{route=\"a\",outcome=\"payload-mismatch\"} 4\n",
            "onceward_requests_total{route=\"\",outcome=\"passed\"} 6\n",
        ));
        now.when = earlier.when + Duration::from_secs(2);
        let sample = Sample::between(&earlier, &now);
        let rates = (sample.first, sample.replay, sample.refused, sample.other);
        assert_eq!(rates, (10.0, 1.0, 2.0, 3.0));
        assert_eq!(sample.upstream, None, "nobody was asked");
    }
}
