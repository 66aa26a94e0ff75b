//! How things stand and how the last quarter of an hour went, kept by this process: a ring of
//! samples, and a stream of what is new for those who look.
//!
//! Nobody looking, it costs one look at the metrics every 5 s, less than a scrape of `/metrics`;
//! as long as somebody looks it is one a second, whoever looks and however many. Nothing here asks
//! Redis.

mod reading;
mod sample;

use crate::payload::{Payload, PayloadError};
use bytes::Bytes;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use reading::Reading;
use sample::{Now, Sample};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two samples.
const STEP: Duration = Duration::from_secs(5);

/// Samples kept: 15 minutes of them.
const KEPT: usize = 180;

/// Between two looks while somebody looks.
const LIVE: Duration = Duration::from_secs(1);

/// Those who may look at once; the next are told to ask again and again.
const VIEWERS: usize = 16;

/// Events a viewer may be behind by before it misses some.
const BEHIND: usize = 4;

type Viewer = mpsc::Sender<Result<Bytes, PayloadError>>;

/// The ring and those who look at it.
pub struct Overview {
    registry: Arc<Registry>,
    kept: Mutex<Kept>,
    joined: Notify,
}

struct Kept {
    samples: VecDeque<Sample>,
    /// Readings of the last STEP or a little more, for rates: the oldest first.
    recent: VecDeque<Reading>,
    sampled: Reading,
    viewers: Vec<Viewer>,
    /// Whether the end has come.
    over: bool,
}

/// All of it.
#[derive(Serialize)]
struct Document<'a> {
    /// Seconds between two samples.
    step: u64,
    /// How many samples there will be.
    kept: usize,
    samples: &'a VecDeque<Sample>,
    now: Now,
}

/// What is new.
#[derive(Serialize)]
struct News {
    now: Now,
    /// The latest sample, which may be known already.
    sample: Option<Sample>,
}

impl Overview {
    /// An empty ring over these metrics.
    pub fn new(registry: Arc<Registry>) -> Overview {
        let reading = read(&registry);
        let kept = Kept {
            samples: VecDeque::with_capacity(KEPT),
            recent: VecDeque::from([reading.clone()]),
            sampled: reading,
            viewers: Vec::new(),
            over: false,
        };
        Overview { registry, kept: Mutex::new(kept), joined: Notify::new() }
    }

    /// Takes samples until `stop`, and tells those who look; their streams end with it.
    pub async fn run(&self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            let mut next_sample = Instant::now() + STEP;
            loop {
                let pause = if self.kept().viewers.is_empty() { STEP } else { LIVE };
                tokio::select! {
                    () = tokio::time::sleep_until(next_sample.min(Instant::now() + pause)) => {}
                    () = self.joined.notified() => continue,
                }
                let due = Instant::now() >= next_sample;
                if due {
                    // After a pause of the whole machine there is one sample, not one for each missed.
                    next_sample = Instant::now() + STEP;
                }
                self.look(due);
            }
        })
        .await;
        let mut kept = self.kept();
        kept.over = true;
        kept.viewers.clear();
    }

    /// Everything, as a document.
    pub fn document(&self) -> Vec<u8> {
        let reading = read(&self.registry);
        let kept = self.kept();
        written(&kept.document(&reading))
    }

    /// A stream of events: everything first, then what is new; `None` when too many look already,
    /// or the process ends.
    pub fn stream(&self) -> Option<Payload> {
        let reading = read(&self.registry);
        let mut kept = self.kept();
        kept.viewers.retain(|viewer| !viewer.is_closed());
        if kept.over || kept.viewers.len() == VIEWERS {
            return None;
        }
        let (viewer, events) = mpsc::channel(BEHIND);
        // It is empty yet and has room.
        let _ = viewer.try_send(Ok(event("overview", &kept.document(&reading))));
        kept.viewers.push(viewer);
        drop(kept);
        self.joined.notify_one();
        Some(Payload::Relayed(events, None))
    }

    fn look(&self, due: bool) {
        let reading = read(&self.registry);
        let mut kept = self.kept();
        if due {
            let sample = Sample::between(&kept.sampled, &reading);
            if kept.samples.len() == KEPT {
                kept.samples.pop_front();
            }
            kept.samples.push_back(sample);
            kept.sampled = reading.clone();
        }
        // One reading stays that is at least a STEP old, so that no rate is taken over less.
        while kept.recent.get(1).is_some_and(|second| reading.when - second.when >= STEP) {
            kept.recent.pop_front();
        }
        if !kept.viewers.is_empty() {
            let now = kept.now(&reading);
            let news = event("news", &News { now, sample: kept.samples.back().copied() });
            // Who does not read in time misses this one; who has gone is forgotten.
            kept.viewers.retain(|viewer| match viewer.try_send(Ok(news.clone())) {
                Ok(()) => true,
                Err(refused) => matches!(refused, mpsc::error::TrySendError::Full(_)),
            });
        }
        kept.recent.push_back(reading);
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn now(&self, reading: &Reading) -> Now {
        Now::at(self.recent.front().unwrap_or(&self.sampled), reading)
    }

    fn document(&self, reading: &Reading) -> Document<'_> {
        Document {
            step: STEP.as_secs(),
            kept: KEPT,
            samples: &self.samples,
            now: self.now(reading),
        }
    }
}

fn read(registry: &Registry) -> Reading {
    let mut page = String::with_capacity(16 * 1024);
    // Writing to a String cannot fail.
    let _ = encode(&mut page, registry);
    Reading::of(&page)
}

fn written(document: &impl Serialize) -> Vec<u8> {
    // Texts and numbers: they always serialize.
    serde_json::to_vec(document).unwrap_or_default()
}

fn event(name: &str, document: &impl Serialize) -> Bytes {
    let mut event = format!("event: {name}\ndata: ").into_bytes();
    event.extend(written(document));
    event.extend(b"\n\n");
    event.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn overview() -> Overview {
        Overview::new(Arc::new(Registry::with_prefix("onceward")))
    }

    #[test]
    fn the_ring_is_bounded() {
        let overview = overview();
        for _ in 0..2 * KEPT {
            overview.look(true);
        }
        let kept = overview.kept();
        assert_eq!(kept.samples.len(), KEPT);
    }

    #[test]
    fn readings_for_rates_are_bounded_too() {
        let overview = overview();
        for second in 1..100_u64 {
            // As if they were taken a second apart.
            for reading in &mut overview.kept().recent {
                reading.when -= LIVE;
            }
            overview.look(false);
            assert!(overview.kept().recent.len() <= 8, "after {second} s");
        }
    }

    #[tokio::test]
    async fn who_looks_gets_everything_first_and_then_what_is_new() {
        let overview = overview();
        let mut stream = overview.stream().unwrap();
        overview.look(true);
        for name in ["event: overview\ndata: {", "event: news\ndata: {"] {
            let event = stream.frame().await.unwrap().unwrap().into_data().unwrap();
            let event = String::from_utf8(event.to_vec()).unwrap();
            assert!(event.starts_with(name) && event.ends_with("}\n\n"), "{event}");
        }
    }

    #[tokio::test]
    async fn those_who_look_are_counted_and_forgotten_when_they_leave() {
        let overview = overview();
        let streams: Vec<_> = (0..VIEWERS).map(|_| overview.stream().unwrap()).collect();
        assert!(overview.stream().is_none());
        drop(streams);
        assert!(overview.stream().is_some());
    }

    #[tokio::test]
    async fn a_viewer_that_does_not_read_holds_nothing_up() {
        let overview = overview();
        let _stream = overview.stream().unwrap();
        for _ in 0..10 * BEHIND {
            overview.look(false);
        }
        assert_eq!(overview.kept().viewers.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn streams_end_with_the_process() {
        let overview = Arc::new(overview());
        let stop = CancellationToken::new();
        let stream = overview.stream().unwrap();
        let looking = async {
            let all = stream.collect().await.unwrap().to_bytes();
            assert!(all.starts_with(b"event: overview"));
        };
        let ending = async {
            tokio::time::sleep(3 * LIVE).await;
            stop.cancel();
        };
        tokio::join!(overview.run(stop.clone()), looking, ending);
    }
}
