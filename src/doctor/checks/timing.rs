//! How fast Redis answers, and what it takes the time to be.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::doctor::{Finding, link::Link};

const PINGS: usize = 50;
/// A protected request waits for Redis at least twice, so that above this it is felt.
const SLOW: Duration = Duration::from_millis(5);
/// Pinging ends after this many timeouts, so that a slow server does not hold the report up.
const PATIENCE: u32 = 10;

/// A clock off by more than this is worth a word.
const CLOCK_OFF: Duration = Duration::from_secs(60);

pub(in crate::doctor) async fn latency(link: &Link, timeout: Duration) -> Finding {
    const CHECK: &str = "latency";
    let begun = Instant::now();
    let mut times = Vec::with_capacity(PINGS);
    while times.len() < PINGS && (times.is_empty() || begun.elapsed() < timeout * PATIENCE) {
        let sent = Instant::now();
        match link.ask::<redis::Value>(&["PING"]).await {
            Ok(_) => times.push(sent.elapsed()),
            Err(trouble) => {
                return Finding::fail(
                    CHECK,
                    format!("PING {}: {trouble}", times.len() + 1),
                    "every request depends on an answer in time",
                );
            }
        }
    }
    judge(CHECK, times, timeout)
}

fn judge(check: &'static str, mut times: Vec<Duration>, timeout: Duration) -> Finding {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let max = times.last().copied().unwrap_or_default();
    let found = format!("median {}, max {}, {} pings", ms(median), ms(max), times.len());

    // One slow answer among fifty may be a hiccup of either machine; half of them are a state.
    if median > timeout / 2 {
        Finding::fail(
            check,
            found,
            "most commands come near REDIS_TIMEOUT, and one that misses it is refused; move Redis \
             closer or raise the timeout",
        )
    } else if median > SLOW || max > timeout / 2 {
        Finding::warn(check, found, "every protected request waits for Redis at least twice")
    } else {
        Finding::ok(check, found)
    }
}

pub(in crate::doctor) async fn clock(link: &Link) -> Finding {
    const CHECK: &str = "clock";
    let sent = SystemTime::now();
    let (seconds, micros) = match link.ask::<(u64, u64)>(&["TIME"]).await {
        Ok(time) => time,
        Err(trouble) => {
            return Finding::fail(
                CHECK,
                format!("TIME: {trouble}"),
                "leases are judged by the time of Redis",
            );
        }
    };
    // Redis read its clock somewhere between our two readings.
    let ours = sent + sent.elapsed().unwrap_or_default() / 2;
    let theirs = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros);
    let (off, direction) = match theirs.duration_since(ours) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let found = format!("{} {direction} ours", ms(off));
    if off > CLOCK_OFF {
        Finding::warn(
            CHECK,
            found,
            "harmless to claims, because the clock of Redis alone judges them; but times in \
             answers and in logs will not match",
        )
    } else {
        Finding::ok(CHECK, found)
    }
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn verdict(times: &[u64]) -> Verdict {
        let times = times.iter().copied().map(Duration::from_millis).collect();
        judge("latency", times, Duration::from_millis(500)).verdict
    }

    #[test]
    fn latency_is_judged_by_the_median_and_a_hiccup_is_only_a_warning() {
        assert_eq!(verdict(&[1, 1, 2]), Verdict::Ok);
        assert_eq!(verdict(&[1, 6, 9]), Verdict::Warn);
        assert_eq!(verdict(&[1, 1, 300]), Verdict::Warn);
        assert_eq!(verdict(&[1, 300, 300]), Verdict::Fail);
    }
}
