//! Looks around the partitions: counts what is open, finds orders in flight whose holder died, and
//! tells the resolver of those to be asked about. Where Redis lost its history, it finds out first.
//!
//! Every replica does so at its leisure; finding the same order twice changes nothing. What is about
//! to be forgotten, `expiring` looks for.

use super::expiring::Rounds;
use super::stuck::Stuck;
use super::unable::Unable;
use crate::guard::{GuardMetrics, Hints};
use crate::model::identity::{PARTITIONS, Partition};
use crate::model::order::State;
use crate::route::Routes;
use crate::store::orders::Lapse;
use crate::store::settled::Waiters;
use crate::store::survey::Survey;
use crate::store::{Store, StoreError};
use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One look at one partition. All of them take 5 s and cost Redis 13 commands a second.
const STEP: Duration = Duration::from_millis(5000 / PARTITIONS as u64);

/// Orders taken from one partition at a time, beside those that cannot be looked at or
/// called about.
const AT_ONCE: u32 = 100;

/// What the last round saw.
#[derive(Clone)]
pub struct SurveyMetrics {
    orders: Family<InState, Gauge>,
    oldest_unknown: Gauge,
    queue_depth: Gauge,
    oldest_queued: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

impl SurveyMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> SurveyMetrics {
        let metrics = SurveyMetrics {
            orders: Family::default(),
            oldest_unknown: Gauge::default(),
            queue_depth: Gauge::default(),
            oldest_queued: Gauge::default(),
        };
        registry.register(
            "orders",
            "Orders that are not final, by state, of all replicas, as of the last 5 s",
            metrics.orders.clone(),
        );
        registry.register_with_unit(
            "unknown_oldest_age",
            "How long the oldest order of unknown outcome has been so",
            Unit::Seconds,
            metrics.oldest_unknown.clone(),
        );
        registry.register(
            "queue_depth",
            "Entries in the buffer, those being sent included, as of the last 5 s",
            metrics.queue_depth.clone(),
        );
        registry.register_with_unit(
            "queue_oldest_age",
            "How long the oldest entry has been in the buffer",
            Unit::Seconds,
            metrics.oldest_queued.clone(),
        );
        // A family without a member is not shown at all.
        metrics.set(&Seen::default());
        metrics
    }

    fn set(&self, seen: &Seen) {
        let set = |state, count: u64| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.orders.get_or_create(&InState { state }).set(count);
        };
        set("in_flight", seen.in_flight);
        set("unknown", seen.unknown);
        set("cancelling", seen.cancelling);
        self.oldest_unknown.set(seen.oldest_unknown.as_secs().try_into().unwrap_or(i64::MAX));
        self.queue_depth.set(seen.queued.try_into().unwrap_or(i64::MAX));
        self.oldest_queued.set(seen.oldest_queued.as_secs().try_into().unwrap_or(i64::MAX));
    }
}

#[derive(Default)]
struct Seen {
    in_flight: u64,
    unknown: u64,
    cancelling: u64,
    oldest_unknown: Duration,
    queued: u64,
    oldest_queued: Duration,
}

/// The worker.
pub struct Surveyor {
    /// Where orders are.
    pub store: Arc<Store>,
    /// What it sees.
    pub metrics: SurveyMetrics,
    /// Counts the leases it finds lost.
    pub guard: GuardMetrics,
    /// The routes in force.
    pub routes: Arc<ArcSwap<Routes>>,
    /// Told of orders to be asked about.
    pub hints: Hints,
    /// Those that nobody here can make a call about.
    pub unable: Arc<Unable>,
    /// Tells the worker of queues that hold something.
    pub queues: Arc<Waiters>,
}

impl Surveyor {
    /// Goes round until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            // The first round does not dawdle: a replica that just started knows nothing yet.
            let mut pause = Duration::ZERO;
            let mut recalled = 0;
            let (mut rounds, mut stuck) = (Rounds::default(), Stuck::default());
            loop {
                let mut seen = Seen::default();
                let mut whole = true;
                for partition in Partition::all() {
                    tokio::time::sleep(pause).await;
                    self.recall(&mut recalled).await;
                    let unable = self.unable.count(&self.routes.load(), partition);
                    let limit = AT_ONCE + stuck.count(partition) + unable;
                    let looked = self.look(partition, limit, &mut seen, &mut rounds).await;
                    whole &= looked.is_ok();
                    let done = match looked {
                        Ok(Some(survey)) => self.see_to(partition, survey, &mut stuck).await,
                        looked => looked.map(drop),
                    };
                    if let Err(error) = done {
                        tracing::debug!(%error, %partition, "a partition could not be looked at");
                        pause = STEP;
                    }
                }
                // A round with gaps would tell of fewer orders than there are.
                if whole {
                    self.metrics.set(&seen);
                }
                pause = STEP;
            }
        })
        .await;
    }

    /// Looks at every partition's mark as soon as another server may be there. Payments look as well,
    /// but a partition's first may come hours later; and of all replicas those who knew the server
    /// before have to say so before one that did not takes an empty server for a beginning.
    async fn recall(&self, recalled: &mut u64) {
        let stand = self.store.stand();
        if stand == *recalled || !self.routes.load().can_ask() {
            return;
        }
        let mut all = true;
        for partition in Partition::all() {
            let doubt = self.store.in_doubt(partition).await;
            match self.store.of_one(partition, doubt).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, %partition, "its mark could not be looked at");
                    all = false;
                }
                Err(error) => {
                    tracing::debug!(%error, %partition, "no mark could be looked at");
                    return;
                }
            }
        }
        if all {
            *recalled = stand;
        }
    }

    /// Counts what is open in a partition, and finds what is to be seen to there.
    async fn look(
        &self,
        partition: Partition,
        limit: u32,
        seen: &mut Seen,
        rounds: &mut Rounds,
    ) -> Result<Option<Survey>, StoreError> {
        if !self.store.anything_open(partition).await? {
            return Ok(None);
        }
        let survey = self.store.survey(partition, limit, rounds.places(partition)).await?;
        seen.in_flight += survey.in_flight;
        seen.unknown += survey.unknown;
        seen.cancelling += survey.cancelling;
        seen.queued += survey.queued;
        seen.oldest_queued = seen.oldest_queued.max(survey.oldest_queued.unwrap_or_default());
        if survey.queued > 0 {
            self.queues.queues.tell(partition);
        }
        seen.oldest_unknown = seen.oldest_unknown.max(survey.oldest_unknown.unwrap_or_default());
        rounds.looked_at(partition, survey.unknown);
        Ok(Some(survey))
    }

    /// Sees to each order by itself: what is wrong with one record keeps nobody from the next.
    async fn see_to(
        &self,
        partition: Partition,
        mut survey: Survey,
        stuck: &mut Stuck,
    ) -> Result<(), StoreError> {
        self.last_call(partition, &survey.some_unknown).await?;
        let keep = self.routes.load().unknown_ttl();
        self.unable.pass_over(&self.routes.load(), partition, &mut survey.due);
        let mut unread = Vec::new();
        for id in survey.due {
            let lapse = self.store.lapse(partition, &id, None, keep).await;
            let lapse = match self.store.of_one(partition, lapse).await? {
                Ok(lapse) => lapse,
                Err(error) => {
                    unread.push((id, error));
                    continue;
                }
            };
            match lapse {
                Lapse::Lapsed(fence) => {
                    self.guard.lapsed();
                    tracing::warn!(
                        order = id,
                        fence,
                        "an attempt lost its lease: its outcome is unknown"
                    );
                    // Whether and when it is to be asked about, the resolver finds out.
                    self.hints.tell(partition, &id, Duration::ZERO);
                }
                Lapse::Moved(State::Unknown | State::Cancelling) => {
                    self.hints.tell(partition, &id, Duration::ZERO);
                }
                Lapse::Held(_) | Lapse::Moved(_) => {}
            }
        }
        stuck.met(partition, &unread);
        Ok(())
    }
}
