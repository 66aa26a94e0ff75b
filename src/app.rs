//! Config -> everything that runs: threads, stacks, listeners, workers, and their common end.
//!
//! One current-thread runtime per core, each with a listener of its own on the shared port
//! (`SO_REUSEPORT`), its own connection to Redis and its own connections upstream: nothing a
//! request needs is shared between threads but counters. One runtime more serves the admin plane
//! and the workers, so that neither a flood of payments nor a drain keeps anybody from asking how
//! we are.

mod threads;

use crate::admin::overview::Overview;
use crate::admin::{self, Admin};
use crate::config::{Config, Environment};
use crate::fault::Faults;
use crate::guard::{BodyMemory, Guard, GuardMetrics, Hints, Places, hints};
use crate::http::trace::HttpMetrics;
use crate::http::{self, Plane};
use crate::lines;
use crate::model::identity::AttemptIds;
use crate::route::Routes;
use crate::serve;
use crate::store::finished::Finished;
use crate::store::history::History;
use crate::store::link::Link;
use crate::store::settled::Waiters;
use crate::store::{self, Store, StoreMetrics};
use crate::trace::{self, Exporter, SpanMetrics, Tracer};
use crate::upstream::{self, Upstream};
use crate::worker::dispatch::{DispatchMetrics, Dispatcher};
use crate::worker::eviction::{Eviction, EvictionMetrics};
use crate::worker::resolve::Resolver;
use crate::worker::survey::{SurveyMetrics, Surveyor};
use crate::worker::unable::Unable;
use crate::worker::{ResolveMetrics, reload};
use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::available_parallelism;
use threads::Threads;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why the sidecar could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens on an address of ours.
    #[error("{0}: {1} is taken, another process listens there")]
    Taken(&'static str, SocketAddr),
    /// An address cannot be listened on.
    #[error("{0}: {1} cannot be listened on: {2}")]
    Listen(&'static str, SocketAddr, #[source] io::Error),
    /// No random bits.
    #[error("the system has no randomness to give: {0}")]
    Random(getrandom::Error),
    /// A thread or a runtime could not be made.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] io::Error),
}

/// What all threads share.
#[derive(Clone)]
struct Shared {
    config: Config,
    routes: Arc<ArcSwap<Routes>>,
    places: Arc<Places>,
    memory: Arc<BodyMemory>,
    waiters: Arc<Waiters>,
    history: Arc<History>,
    finished: Arc<Finished>,
    attempts: Arc<AttemptIds>,
    by: String,
    store_metrics: StoreMetrics,
    guard_metrics: GuardMetrics,
    http_metrics: HttpMetrics,
    hints: Hints,
    faults: Faults,
    tracer: Tracer,
    stop: CancellationToken,
}

/// How a sidecar ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All that was under way ended before.
    Drained,
    /// Draining took too long: what was under way was dropped, its orders lapse to unknown.
    CutShort,
    /// A data thread ended by itself, and the others after it: somebody should start it again.
    Broken,
}

impl End {
    /// How two that ran side by side ended.
    fn and(self, other: End) -> End {
        match (self, other) {
            (End::Broken, _) | (_, End::Broken) => End::Broken,
            (End::CutShort, _) | (_, End::CutShort) => End::CutShort,
            (End::Drained, End::Drained) => End::Drained,
        }
    }
}

/// Runs the sidecar until `stop`, and then for as long as draining may take.
///
/// # Errors
/// When it could not start.
pub fn run(
    config: Config,
    environment: &dyn Environment,
    stop: CancellationToken,
    ready: impl FnOnce(SocketAddr, SocketAddr),
) -> Result<End, StartError> {
    let mut registry = Registry::with_prefix("onceward");
    lines::register(&mut registry);
    let survey_metrics = SurveyMetrics::new(&mut registry);
    let resolve_metrics = ResolveMetrics::new(&mut registry);
    let eviction_metrics = EvictionMetrics::new(&mut registry);
    let reload_metrics = reload::ReloadMetrics::new(&mut registry);
    let (hints, told) = hints();
    let (tracer, exporter) = traces(&config, &mut registry)?;
    let dispatch_metrics = DispatchMetrics::new(&mut registry);
    let finished = Arc::new(Finished::new(config.local_cache, &mut registry));
    let shared = Shared {
        routes: Arc::new(ArcSwap::from_pointee(config.routes.clone())),
        places: Arc::new(Places::new(config.max_in_flight)),
        memory: Arc::new(BodyMemory::new(config.body_memory, &mut registry)),
        waiters: Arc::new(Waiters::new(finished.clone())),
        finished,
        history: Arc::new(History::new(config.history_window)),
        attempts: Arc::new(AttemptIds::new().map_err(StartError::Random)?),
        by: replica_name(),
        store_metrics: StoreMetrics::new(&mut registry),
        guard_metrics: GuardMetrics::new(&mut registry),
        http_metrics: HttpMetrics::new(&mut registry),
        hints,
        faults: Faults::new(config.faults, &mut registry, stop.clone()),
        tracer,
        stop: stop.clone(),
        config,
    };
    let config = &shared.config;
    let threads = available_parallelism().map_or(1, usize::from);
    let listeners = bound("ONCEWARD_LISTEN", config.listen, threads)?;
    let admin_listener = bound("ONCEWARD_ADMIN_LISTEN", config.admin_listen, 1)?.remove(0);
    let addresses = (address(&listeners[0]), address(&admin_listener));
    let threads = Threads::start(&shared, listeners)?;
    ready(addresses.0, addresses.1);

    runtime()?.block_on(async {
        let link = shared.link();
        let store = Arc::new(shared.store(link.clone()));
        let unable = Arc::new(Unable::default());
        let surveyor = Surveyor {
            store: store.clone(),
            metrics: survey_metrics,
            guard: shared.guard_metrics.clone(),
            routes: shared.routes.clone(),
            hints: shared.hints.clone(),
            unable: unable.clone(),
            queues: shared.waiters.clone(),
        };
        let resolver = Resolver {
            store: store.clone(),
            routes: shared.routes.clone(),
            upstream: Upstream::new(shared.upstream()).with_faults(shared.faults.clone()),
            authority: config.upstream.clone(),
            turns: shared.attempts.clone(),
            metrics: resolve_metrics.clone(),
            guard: shared.guard_metrics.clone(),
            hints: shared.hints.clone(),
            unable,
            faults: shared.faults.clone(),
            tracer: shared.tracer.clone(),
        };
        let dispatcher = Dispatcher {
            guard: Arc::new(shared.guard(shared.link())),
            routes: shared.routes.clone(),
            retry: config.queue_retry,
            metrics: dispatch_metrics,
            alarms: shared.guard_metrics.clone(),
            faults: shared.faults.clone(),
        };
        let eviction = Eviction { store: store.clone(), metrics: eviction_metrics };
        let dispatching = async {
            let draining = async {
                stop.cancelled().await;
                tokio::time::sleep(config.drain_timeout).await;
            };
            tokio::select! {
                () = dispatcher.run(stop.clone()) => End::Drained,
                () = draining => {
                    tracing::warn!("sending what was queued took too long to end");
                    End::CutShort
                }
            }
        };
        let tokens = Arc::new(ArcSwap::from_pointee(config.admin_tokens.clone()));
        let registry = Arc::new(registry);
        let overview = Arc::new(Overview::new(registry.clone()));
        let admin = Admin {
            config: config.clone(),
            tokens: tokens.clone(),
            routes: shared.routes.clone(),
            store: store.clone(),
            registry,
            overview: overview.clone(),
            examined: Arc::default(),
            replica: shared.by.clone(),
            draining: stop.clone(),
            leaving: CancellationToken::new(),
            guard: shared.guard_metrics.clone(),
            metrics: resolve_metrics,
            hints: shared.hints.clone(),
            turns: shared.attempts.clone(),
            faults: shared.faults.clone(),
        };
        let over = CancellationToken::new();
        let admin =
            serve::serve(admin_listener, patience(config), admin::service(admin), over.clone());
        let watching = over.run_until_cancelled(link.watch());
        let listening = shared.waiters.listen(link.clone(), store.names().clone(), over.clone());
        let reload = reload::Reload { environment, metrics: reload_metrics, stop: over.clone() };
        let exporting = async {
            if let Some(exporter) = exporter {
                exporter.run(over.clone()).await;
            }
        };
        let ending = async {
            let end = dispatching.await.and(threads.ended().await);
            over.cancel();
            end
        };
        // The admin plane answers to the last: a drain can be watched.
        let (served, .., end) = tokio::join!(
            admin,
            listening,
            watching,
            reload.routes(config.routes_file.as_ref(), &shared.routes),
            reload.admin_tokens(&config.admin_token_files, &tokens),
            overview.run(over.clone()),
            surveyor.run(over.clone()),
            eviction.run(over.clone()),
            resolver.run(told, over.clone()),
            exporting,
            ending
        );
        served?;
        Ok(end)
    })
}

/// What begins spans, and what exports them; nothing where no collector is configured.
fn traces(
    config: &Config,
    registry: &mut Registry,
) -> Result<(Tracer, Option<Exporter>), StartError> {
    let metrics = SpanMetrics::new(registry);
    let Some(mut traces) = config.traces.clone() else {
        return Ok((Tracer::default(), None));
    };
    let instance = ("service.instance.id".to_owned(), replica_name());
    if traces.resource.iter().all(|(name, _)| *name != instance.0) {
        traces.resource.push(instance);
    }
    let (tracer, exporter) = trace::start(traces, metrics).map_err(StartError::Random)?;
    Ok((tracer, Some(exporter)))
}

impl Shared {
    fn link(&self) -> Arc<Link> {
        Arc::new(Link::new(self.config.redis.clone(), self.config.redis_timeout))
    }

    fn upstream(&self) -> upstream::Config {
        upstream::Config {
            authority: self.config.upstream.clone(),
            connect_timeout: self.config.upstream_connect_timeout,
        }
    }

    fn store(&self, link: Arc<Link>) -> Store {
        let config = store::Config {
            namespace: self.config.namespace.clone(),
            wait_replicas: self.config.redis_wait_replicas,
            wait_timeout: self.config.redis_wait_timeout,
            by: self.by.clone(),
            secrets: self.config.secrets.clone(),
            history: self.history.clone(),
        };
        Store::new(config, link, self.store_metrics.apart()).with_faults(self.faults.clone())
    }

    /// One thread's guard.
    fn guard(&self, link: Arc<Link>) -> Guard {
        Guard {
            store: Arc::new(self.store(link)),
            upstream: Arc::new(Upstream::new(self.upstream()).with_faults(self.faults.clone())),
            authority: self.config.upstream.clone(),
            waiters: self.waiters.clone(),
            finished: self.finished.clone(),
            attempts: self.attempts.clone(),
            max_queued: self.config.max_queued,
            redis_timeout: self.config.redis_timeout,
            running: TaskTracker::new(),
            metrics: self.guard_metrics.apart(),
            leftovers: Default::default(),
            tracer: self.tracer.clone(),
            hints: self.hints.clone(),
        }
    }

    /// One thread's data plane: its guard, and the plane around it.
    fn plane(&self, link: Arc<Link>) -> Plane {
        let guard = self.guard(link);
        Plane {
            config: http::Config {
                prefix: self.config.prefix.clone(),
                replay_header: self.config.replay_header.clone(),
                body_timeout: self.config.body_timeout,
                upstream_timeout: self.config.upstream_timeout,
                upstream: self.config.upstream.clone(),
            },
            routes: self.routes.clone(),
            secrets: self.config.secrets.clone(),
            guard: Arc::new(guard),
            places: self.places.clone(),
            memory: self.memory.clone(),
            metrics: self.http_metrics.apart(),
            faults: self.faults.clone(),
            stop: self.stop.clone(),
        }
    }

    /// What one data thread does all its life.
    async fn serve(&self, listener: TcpListener, link: Arc<Link>) -> Result<End, StartError> {
        let plane = Arc::new(self.plane(link));
        let running = plane.guard.running.clone();
        let patience = patience(&self.config);
        let serving = serve::serve(listener, patience, http::stack(plane), self.stop.clone());
        let draining = async {
            self.stop.cancelled().await;
            tokio::time::sleep(self.config.drain_timeout).await;
        };
        tokio::select! {
            served = async {
                serving.await?;
                // Attempts whose callers have left, outcomes still to be stored.
                running.close();
                running.wait().await;
                Ok(End::Drained)
            } => served,
            () = draining => {
                tracing::warn!(unfinished = running.len(), "draining took too long");
                Ok(End::CutShort)
            }
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// As many sockets on one address as there are threads.
fn bound(
    variable: &'static str,
    address: SocketAddr,
    threads: usize,
) -> Result<Vec<TcpListener>, StartError> {
    serve::bind(address, threads).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::Taken(variable, address),
        _ => StartError::Listen(variable, address, error),
    })
}

fn address(listener: &TcpListener) -> SocketAddr {
    // A bound socket has an address.
    listener.local_addr().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
}

/// How this replica signs what it writes.
fn replica_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().replace(' ', "-");
    let host = if host.is_empty() { "onceward" } else { &host };
    format!("{host}/{}", std::process::id())
}

/// How long callers' connections are waited for.
fn patience(config: &Config) -> serve::Patience {
    serve::Patience { head: config.header_timeout, idle: config.idle_timeout }
}
