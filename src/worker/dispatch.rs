//! Sends what the buffer holds: any replica takes entries, claims their orders and sees them through.
//!
//! An entry leaves its stream only after the order's record moved on. One that is in the hands of a
//! worker that died is taken over by another: an order that is still queued is sent, one that had
//! been claimed is unknown by then and is not. One that this replica cannot send, because it lacks the
//! order's route or secret, it hands back to those that can.

use super::hand::Hand;
use super::unable::Unable;
use super::{chance, jitter};
use crate::fault::{Carry, Faults};
use crate::guard::{Guard, GuardMetrics, Payment};
use crate::model::key::Key;
use crate::model::order::State;
use crate::route::Routes;
use crate::store::StoreError;
use crate::store::queue::{DeadLetter, Dequeue, Entry};
use crate::trace::{self, Kind};
use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Orders being sent at once, per replica.
const AT_ONCE: usize = 64;

/// Entries in hand, those that wait for their next try included; some hundred bytes each.
const IN_HAND: usize = 1024;

/// Entries taken by one command.
const BATCH: usize = 32;

/// Tries after which an order becomes a dead letter, whichever replicas made them.
const TRIES: u32 = 10;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What upstream may ask for before the next try, in Retry-After; less is heeded as it is.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// An order that no replica could send, whichever took it, is a dead letter after so long.
const NOBODYS: Duration = Duration::from_secs(24 * 3600);

/// Entries taken by one command beside those that are wanted, because they are known to be others'.
const OTHERS: usize = 256;

/// Routes whose orders were told to be others', to tell of each once.
const TOLD: usize = 100;

/// Past the longest lease, an entry may be in somebody's hands for so much longer.
const IDLE: Duration = Duration::from_secs(1);

/// What the worker counts.
#[derive(Clone)]
pub struct DispatchMetrics {
    dispatched: Family<Result_, Counter>,
    dead: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result_ {
    result: &'static str,
}

impl DispatchMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> DispatchMetrics {
        let metrics = DispatchMetrics { dispatched: Family::default(), dead: Counter::default() };
        registry.register(
            "dispatched",
            "Entries that left the buffer by where their order stood then; tries after which it \
             was still queued: retried; and those handed back to replicas that can send them: left",
            metrics.dispatched.clone(),
        );
        registry.register(
            "dead_letters",
            "Orders that could not be sent too often, or by nobody for a day, and became unknown",
            metrics.dead.clone(),
        );
        for state in [State::Succeeded, State::Failed, State::Unknown] {
            let _ = metrics.dispatched.get_or_create(&Result_ { result: state.word() });
        }
        metrics
    }

    fn count(&self, result: &'static str) {
        self.dispatched.get_or_create(&Result_ { result }).inc();
    }
}

/// The worker.
pub struct Dispatcher {
    /// Sends.
    pub guard: Arc<Guard>,
    /// The routes in force.
    pub routes: Arc<ArcSwap<Routes>>,
    /// The pause before an order's second try; the next ones double.
    pub retry: Duration,
    /// What is counted.
    pub metrics: DispatchMetrics,
    /// Raises alarms.
    pub alarms: GuardMetrics,
    /// Accidents on demand.
    pub faults: Faults,
}

/// What is going on.
struct Bench {
    dispatcher: Dispatcher,
    sending: Semaphore,
    hand: Hand,
    /// Entries that this replica cannot send.
    others: Unable,
    /// Whose orders they are, and why, as far as that was told.
    told: Mutex<HashSet<(String, &'static str)>>,
    stop: CancellationToken,
}

/// What one try came to.
enum Tried {
    /// The entry is gone.
    Over,
    /// The order is queued as before; how often it was tried, and when it may be tried again.
    Failed(u32, Duration),
    /// Somebody else has the order, or it is not to be tried yet, for so long.
    Later(Duration),
    /// It cannot be sent from here: why, and its route.
    Unable(&'static str, String),
}

impl Dispatcher {
    /// Takes and sends until `stop`, then finishes what is being sent and hands back the rest.
    pub async fn run(self, stop: CancellationToken) {
        let (in_hand, sending) = (Arc::new(Semaphore::new(IN_HAND)), Semaphore::new(AT_ONCE));
        let running = TaskTracker::new();
        let bench = Arc::new(Bench {
            dispatcher: self,
            sending,
            hand: Hand::default(),
            others: Unable::default(),
            told: Mutex::default(),
            stop: stop.clone(),
        });
        bench.clone().pull(&in_hand, &running).await;
        running.close();
        running.wait().await;
        let guard = &bench.dispatcher.guard;
        guard.running.close();
        guard.running.wait().await;
    }

    /// How long an entry may be in somebody's hands: past the end of any lease.
    fn idle(&self) -> Duration {
        let routes = self.routes.load();
        routes.0.iter().map(|route| route.tuning.lock_ttl).max().unwrap_or_default() + IDLE
    }

    /// How long what is not final is kept.
    fn keep(&self) -> Duration {
        self.routes.load().unknown_ttl()
    }
}

impl Bench {
    /// Takes entries until the replica is told to stop. A command that takes some is seen to its end:
    /// nobody would know of what it took.
    async fn pull(self: Arc<Self>, places: &Arc<Semaphore>, running: &TaskTracker) {
        let (guard, stop) = (&self.dispatcher.guard, &self.stop);
        while let Some(told) = stop.run_until_cancelled(guard.waiters.queues.next()).await {
            for partition in told {
                // Whoever has no hand free takes nothing: others may.
                while let Some(Ok(place)) =
                    stop.run_until_cancelled(places.clone().acquire_owned()).await
                {
                    let wanted = (places.available_permits() + 1).min(BATCH);
                    let routes = self.dispatcher.routes.load_full();
                    let others = self.others.count(&routes, partition) as usize;
                    let (limit, idle) = (wanted + others.min(OTHERS), self.dispatcher.idle());
                    let taken = guard.store.take(partition, limit, idle).await;
                    let mut taken = taken.unwrap_or_else(|error| {
                        // The next round of the survey tells of it again.
                        tracing::debug!(%error, %partition, "a queue could not be taken from");
                        Vec::new()
                    });
                    // Theirs go back before anything else, and wake nobody: they were told.
                    let theirs = |entry: &mut Entry| {
                        self.others.knows(&routes, (partition, entry.name.as_str()))
                    };
                    for entry in taken.extract_if(.., theirs) {
                        self.put_back(&entry, false).await;
                    }
                    let full = taken.len() >= wanted;
                    let mut first = Some(place);
                    for entry in taken {
                        let place =
                            first.take().or_else(|| places.clone().try_acquire_owned().ok());
                        if place.is_none() {
                            self.put_back(&entry, false).await;
                        } else if let Some(grip) = self.hand.hold(&entry) {
                            let bench = self.clone();
                            running.spawn(async move {
                                bench.see_through(&entry).await;
                                drop((grip, place));
                            });
                        }
                    }
                    if !full {
                        break;
                    }
                }
            }
        }
    }

    /// Tries until the entry is gone; hands it back when the replica is told to stop before.
    async fn see_through(&self, entry: &Entry) {
        let mut rounds = 0;
        while !self.stop.is_cancelled() {
            rounds += 1;
            let mut least = Duration::ZERO;
            match self.attempt(entry).await {
                Ok(Tried::Over) => return,
                Ok(Tried::Failed(tries, asked)) => {
                    // Others may have tried before.
                    rounds = rounds.max(tries);
                    self.dispatcher.metrics.count("retried");
                    let why = || format!("dead letter: {tries} tries, not sent");
                    if tries >= TRIES && self.bury(entry, why()).await {
                        return;
                    }
                    least = asked;
                }
                Ok(Tried::Later(left)) => least = left,
                Ok(Tried::Unable(why, route)) => {
                    if self.leave(entry, why, route).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, order = entry.id, "an entry could not be worked on");
                }
            }
            let pause = jitter(pause(self.dispatcher.retry, rounds)).max(later(least));
            self.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        self.put_back(entry, true).await;
    }

    async fn put_back(&self, entry: &Entry, tell: bool) {
        if let Err(error) = self.dispatcher.guard.store.put_back(entry, tell).await {
            // Another worker takes it over when it has been idle for long enough.
            tracing::debug!(%error, order = entry.id, "an entry could not be handed back");
        }
    }

    async fn attempt(&self, entry: &Entry) -> Result<Tried, StoreError> {
        let Ok(_place) = self.sending.acquire().await else {
            return Ok(Tried::Later(Duration::ZERO));
        };
        // The wait for a place may have been long.
        if self.stop.is_cancelled() {
            return Ok(Tried::Later(Duration::ZERO));
        }
        let Dispatcher { guard, metrics, faults, .. } = &self.dispatcher;
        let mut asked = Duration::ZERO;
        if let Some(draft) = guard.store.draft(entry).await? {
            if !draft.later.is_zero() {
                return Ok(Tried::Later(draft.later));
            }
            let route = self.dispatcher.routes.load().named(&draft.route).cloned();
            match (route, Key::stored(&draft.key), draft.request) {
                (Some(route), Ok(key), Some((head, body))) => {
                    let order = route.order(&draft.scope, key);
                    let subject = faults.order(&route.name, order.key.as_str());
                    // One payment, one trace: what was accepted there is sent here.
                    let parent = draft.trace.or_else(|| trace::told(&head.headers));
                    let span = guard.tracer.begin("dispatch", Kind::Consumer, parent);
                    span.about(&order);
                    let payment = Payment {
                        order,
                        route,
                        fingerprints: draft.fingerprint,
                        callers: draft.caller,
                        token: None,
                        grant_from: &[State::Queued],
                        head,
                        body: body.into(),
                        place: None,
                        span,
                    };
                    let after = guard.dispatch(payment).on_behalf_of(subject).await;
                    asked = after.unwrap_or_default().min(LONGEST_ASKED);
                }
                (None, ..) => return Ok(Tried::Unable("its route is not known here", draft.route)),
                _ => return Ok(Tried::Unable("its request cannot be read here", draft.route)),
            }
        }
        let turn = guard.attempts.next();
        let times = (self.dispatcher.keep(), asked);
        Ok(match guard.store.dequeue(entry, &turn, times).await? {
            Dequeue::Removed(state) => {
                metrics.count(state.word());
                Tried::Over
            }
            Dequeue::Open { state: State::Queued, tries } => Tried::Failed(tries, asked),
            Dequeue::Open { .. } => Tried::Later(Duration::ZERO),
        })
    }

    /// Leaves an entry to replicas that can send it; whether it is out of this one's hands.
    async fn leave(&self, entry: &Entry, why: &'static str, route: String) -> bool {
        if age(entry) > NOBODYS {
            return self
                .bury(entry, format!("dead letter: nobody could send it for a day, {why}"))
                .await;
        }
        let routes = self.dispatcher.routes.load_full();
        if !self.others.note(&routes, (entry.partition, &entry.name), None) {
            return false;
        }
        self.tell(entry, why, route);
        self.dispatcher.metrics.count("left");
        self.put_back(entry, true).await;
        true
    }

    /// Tells of a route's orders once.
    fn tell(&self, entry: &Entry, why: &'static str, route: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD && !told.contains(&(route.clone(), why)) {
            tracing::warn!(
                order = entry.id,
                route,
                why,
                "queued orders are left to replicas that can send them: do all have the same ROUTES \
                 and SECRET?"
            );
            told.insert((route, why));
        }
    }

    /// Moves an order to the dead letters; whether that is settled.
    async fn bury(&self, entry: &Entry, why: String) -> bool {
        let Dispatcher { guard, metrics, alarms, .. } = &self.dispatcher;
        match guard.store.dead_letter(entry, self.dispatcher.keep(), &why).await {
            Ok(DeadLetter::Dead) => {
                metrics.dead.inc();
                metrics.count("dead");
                alarms.alarm("dead-letter", None);
                tracing::error!(order = entry.id, why, "a queued order could not be sent");
                true
            }
            // Somebody else has it: look again.
            Ok(DeadLetter::Moved(_)) | Err(_) => false,
        }
    }
}

/// For how long an entry has been in the buffer: it is named after the ms it was made in.
fn age(entry: &Entry) -> Duration {
    let made = entry.name.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(u64::MAX);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(made))
}

/// At least so long, and up to a tenth more: not all that wait are to come at once.
fn later(least: Duration) -> Duration {
    least.mul_f64(1.0 + chance() / 10.0)
}

/// How long to wait after so many tries.
fn pause(first: Duration, tries: u32) -> Duration {
    first.saturating_mul(1 << (tries.max(1) - 1).min(20)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let first = Duration::from_millis(250);
        for (tries, millis) in [(0, 250), (1, 250), (2, 500), (5, 4000), (9, 60_000), (99, 60_000)]
        {
            assert_eq!(pause(first, tries), Duration::from_millis(millis), "{tries}");
        }
    }
}
