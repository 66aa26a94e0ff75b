//! One sidecar of an actor's own: the real guard, store and resolver in a runtime that stands still
//! unless it is the actor's turn, and a gate where the rest of the world should be.
//!
//! The runtime's clock stands still as well: it moves only when the actor does nothing but wait for
//! it. Nothing here ends because a test took long.

use super::gate::Gate;
use arc_swap::ArcSwap;
use onceward::config::Config;
use onceward::fault::Faults;
use onceward::guard::{Guard, GuardMetrics, hints};
use onceward::model::identity::AttemptIds;
use onceward::store::finished::Finished;
use onceward::store::history::History;
use onceward::store::link::Link;
use onceward::store::settled::Waiters;
use onceward::store::{self, Store, StoreMetrics};
use onceward::trace::Tracer;
use onceward::upstream::{self, Upstream};
use onceward::worker::ResolveMetrics;
use onceward::worker::resolve::Resolver;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::TaskTracker;

/// Bound on a command to Redis and the like, by a clock that hardly moves.
const LONG: Duration = Duration::from_secs(30 * 24 * 3600);

/// Polls without news after which whoever brings bytes is given the processor, for so long at a time.
const BUSY: u32 = 32;
const NAP: Duration = Duration::from_micros(50);

/// After so many naps in a row the actor is taken to wait for its clock, and that moves on by so
/// much. The shortest time that matters is a channel's 4 s: 1280 naps.
const NAPS: u32 = 8;
const TICK: Duration = Duration::from_millis(25);

/// An address of our own: thousands of ports are taken and left here, and what other tests still
/// send to a port they had before must not arrive.
const UPSTREAM: &str = "127.77.0.1:0";

/// Bytes of answers a sidecar remembers.
const MEMORY: usize = 1 << 20;

/// A sidecar; what ran in it is gone when it is dropped, as after a kill -9.
pub struct Sidecar {
    pub gate: Gate,
    pub runtime: Runtime,
    store: Arc<Store>,
    client: Arc<Upstream>,
    upstream: upstream::Config,
    socket: PathBuf,
}

/// What is counted in one run, by all sidecars together.
pub struct Counts {
    registry: Registry,
    pub guard: GuardMetrics,
    pub resolve: ResolveMetrics,
}

/// What one run makes of a sidecar.
pub struct Rooms {
    pub guard: Arc<Guard>,
    pub resolver: Resolver,
    /// Stands for this sidecar in the names of its attempts.
    pub sign: String,
}

impl Sidecar {
    pub fn start(folder: &Path) -> Sidecar {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let socket = folder.join(format!("{}.sock", COUNT.fetch_add(1, Ordering::Relaxed)));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .event_interval(1)
            .build()
            .expect("a runtime");
        let gate = Gate::default();
        let listener = std::net::TcpListener::bind(UPSTREAM).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let authority = listener.local_addr().expect("its address").to_string();
        runtime.spawn({
            let (gate, socket) = (gate.clone(), socket.clone());
            async move { gate.stand_for_redis(&socket).await }
        });
        runtime.spawn({
            let gate = gate.clone();
            async move {
                gate.stand_for_upstream(TcpListener::from_std(listener).expect("a socket")).await
            }
        });
        let config = store::Config {
            namespace: "explore".into(),
            wait_replicas: 0,
            wait_timeout: LONG,
            by: "replica".into(),
            secrets: Arc::new(onceward::model::seal::Secrets::none()),
            history: Arc::new(History::new(Duration::ZERO)),
        };
        let url = format!("unix://{}", socket.display());
        let place = Config::load(&HashMap::from([("ONCEWARD_REDIS_URL".to_owned(), url)]));
        let place = place.unwrap_or_else(|problems| panic!("{problems:?}")).redis;
        let metrics = StoreMetrics::new(&mut Registry::default());
        let link = Arc::new(Link::new(place, LONG));
        // A connection that has answered before: whether this is a sidecar's first run decides nothing.
        let known = runtime.block_on(async {
            tokio::task::yield_now().await;
            let ping = redis::cmd("PING");
            tokio::select! { known = link.send(&ping) => known, () = busy() => unreachable!() }
        });
        known.expect("the gate stands where Redis should be");
        let store = Arc::new(Store::new(config, link, metrics));
        let upstream = upstream::Config { authority, connect_timeout: LONG };
        let client = Arc::new(Upstream::new(upstream.clone()));
        Sidecar { gate, runtime, store, client, upstream, socket }
    }

    pub fn names(&self) -> &store::names::Names {
        self.store.names()
    }

    /// Everything anew but for what it is connected to.
    pub fn rooms(&self, config: &Config, counts: &Counts) -> Rooms {
        let (_entered, (hints, _)) = (self.runtime.enter(), hints());
        let attempts = Arc::new(AttemptIds::new().expect("random bits"));
        // 80 random bits and the first of a count that never gets far.
        let sign = attempts.next().as_str()[..14].to_owned();
        let finished = Arc::new(Finished::new(MEMORY, &mut Registry::default()));
        let guard = Guard {
            store: self.store.clone(),
            upstream: self.client.clone(),
            authority: self.upstream.authority.clone(),
            waiters: Arc::new(Waiters::new(finished.clone())),
            finished,
            attempts: attempts.clone(),
            max_queued: 1000,
            redis_timeout: LONG,
            running: TaskTracker::new(),
            metrics: counts.guard.clone(),
            hints: hints.clone(),
            leftovers: AtomicUsize::new(0),
            tracer: Tracer::default(),
        };
        let resolver = Resolver {
            store: self.store.clone(),
            routes: Arc::new(ArcSwap::from_pointee(config.routes.clone())),
            upstream: Upstream::new(self.upstream.clone()),
            authority: self.upstream.authority.clone(),
            turns: attempts,
            metrics: counts.resolve.clone(),
            guard: counts.guard.clone(),
            hints,
            unable: Arc::default(),
            faults: Faults::default(),
            tracer: Tracer::default(),
        };
        Rooms { guard: Arc::new(guard), resolver, sign }
    }

    /// Lets it go on until something stands at its gate (true) or it is over (false).
    pub fn proceed(&self, over: impl Fn() -> bool) -> bool {
        let began = Instant::now();
        self.runtime.block_on(async {
            let mut quiet = 0;
            loop {
                if !self.gate.is_free() {
                    return true;
                }
                if over() {
                    return false;
                }
                tokio::task::yield_now().await;
                quiet += 1;
                if quiet > BUSY {
                    std::thread::sleep(NAP);
                }
                if quiet == BUSY + NAPS {
                    quiet = BUSY;
                    tokio::time::advance(TICK).await;
                    assert!(began.elapsed() < crate::support::PATIENCE, "an actor is stuck");
                }
            }
        })
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Counts {
    pub fn new() -> Counts {
        let mut registry = Registry::default();
        let guard = GuardMetrics::new(&mut registry);
        let resolve = ResolveMetrics::new(&mut registry);
        Counts { registry, guard, resolve }
    }

    /// Alarms raised so far, of any kind.
    pub fn alarms(&self) -> u64 {
        self.total("alarms_total")
    }

    /// The sum of all samples of a counter.
    pub fn total(&self, name: &str) -> u64 {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &self.registry).expect("text");
        let samples = page.lines().filter_map(|line| line.strip_prefix(name));
        let counts = samples.filter(|rest| rest.starts_with(['{', ' ']));
        counts.filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

/// Keeps a runtime from taking its clock for all that is waited for.
async fn busy() {
    loop {
        tokio::task::yield_now().await;
    }
}
