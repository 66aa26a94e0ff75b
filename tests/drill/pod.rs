//! What runs: replicas that are started again when they end, behind one address, as behind a
//! Kubernetes Service; their Redis; the payment service, whose callbacks come in by that address.

use crate::support::dice::Dice;
use crate::support::liar::Liar;
use crate::support::redis::Redis;
use crate::support::sandbox::Sandbox;
use crate::support::sidecar::{Builder, Sidecar};
use crate::support::until;
use onceward::model::identity::Partition;
use onceward::store::names::Names;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What the names in Redis begin with unless configured otherwise.
const NAMESPACE: &str = "onceward";

/// Replicas.
pub const REPLICAS: usize = 3;

/// Where Debian and Ubuntu keep what gives a process another clock.
const OTHER_CLOCK: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/// How far the replicas' clocks are apart.
const CLOCKS: [&str; REPLICAS] = ["+0", "+7m", "-4m"];

pub struct Pod {
    pub redis: Mutex<Redis>,
    pub sandbox: Sandbox,
    /// Stands between the replicas and the sandbox.
    pub liar: Liar,
    replicas: [Mutex<Sidecar>; REPLICAS],
    builders: [Builder; REPLICAS],
    /// Where each listens just now.
    addresses: Arc<Mutex<[SocketAddr; REPLICAS]>>,
    /// How often one was started again.
    pub restarts: AtomicUsize,
    /// Whether the clocks are apart.
    pub clocks: bool,
    /// Rises when Redis is about to lose everything, and again once it has.
    life: AtomicUsize,
}

impl Pod {
    pub fn start() -> Pod {
        let redis = Redis::start_with(&["--appendonly", "yes"]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = format!("http://{}/notify", listener.local_addr().unwrap());
        let sandbox = Sandbox::notifying(&service);
        let liar = Liar::before(sandbox.port());
        let preload = OTHER_CLOCK.into_iter().find(|path| Path::new(path).exists());
        let builders = CLOCKS.map(|clock| {
            let build = Builder::default()
                .set("REDIS_URL", &redis.url())
                .set("UPSTREAM", &liar.url())
                .set("UPSTREAM_CONNECT_TIMEOUT", "5s")
                .set("REDIS_TIMEOUT", "1s")
                .set("DRAIN_TIMEOUT", "3s")
                .set("LOG", "error,onceward::cli=info")
                .set("FAULTS", "on")
                .set("ROUTES", &hurried());
            match preload {
                Some(preload) if clock != "+0" => build.clock(preload, clock),
                _ => build,
            }
        });
        let replicas = [0, 1, 2].map(|n| Mutex::new(builders[n].start()));
        let addresses = [0, 1, 2].map(|n| held(&replicas[n]).address);
        let addresses = Arc::new(Mutex::new(addresses));
        serve(listener, addresses.clone());
        let clocks = preload.is_some();
        Pod {
            redis: Mutex::new(redis),
            sandbox,
            liar,
            replicas,
            builders,
            addresses,
            restarts: AtomicUsize::new(0),
            clocks,
            life: AtomicUsize::new(0),
        }
    }

    /// Which of Redis' lives this is; what was told in one is not known in the next.
    pub fn life(&self) -> usize {
        self.life.load(Ordering::SeqCst)
    }

    /// Redis ends and begins anew with nothing. Meanwhile no replica begins: one that knew no Redis
    /// before would take this one for the first there is, until those who did have looked.
    pub fn lose_everything(&self, pause: Duration) {
        let replicas = [0, 1, 2].map(|n| self.replica(n));
        let mut redis = held(&self.redis);
        self.life.fetch_add(1, Ordering::SeqCst);
        redis.kill();
        std::thread::sleep(pause);
        redis.restart_empty();
        self.life.fetch_add(1, Ordering::SeqCst);
        until("some replica says in each partition that there was another Redis", || {
            let marks = Partition::all().map(|partition| Names::new(NAMESPACE).history(partition));
            marks.into_iter().all(|mark| {
                let gone = redis.command(&["HGET", &mark, "gone"]);
                gone.parse::<u64>().is_ok()
            })
        });
        drop(replicas);
    }

    /// Where a replica listens.
    pub fn at(&self, n: usize) -> SocketAddr {
        held(&self.addresses)[n % REPLICAS]
    }

    /// Any replica, for as long as it is held.
    pub fn any(&self, dice: &mut Dice) -> (usize, MutexGuard<'_, Sidecar>) {
        let n = dice.below(REPLICAS as u64) as usize;
        (n, self.replica(n))
    }

    /// One replica, running: one that has ended is started again, as a kubelet does.
    pub fn replica(&self, n: usize) -> MutexGuard<'_, Sidecar> {
        let mut replica = held(&self.replicas[n]);
        if replica.has_ended() {
            self.restarts.fetch_add(1, Ordering::SeqCst);
            *replica = self.builders[n].start();
            held(&self.addresses)[n] = replica.address;
        }
        replica
    }

    /// Takes every rule off and sees to it that everything runs.
    pub fn heal(&self) {
        for n in 0..REPLICAS {
            self.replica(n).heal_all();
        }
    }
}

/// What a panicking thread held is as good as it was: the panic fails the test by itself.
pub fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The development routes with short times. SETTLE_DELAY outlasts every delay that is played.
fn hurried() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dev/routes.json");
    let text = std::fs::read_to_string(path).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    // Routes stand alone, or beside the lifecycles they follow.
    let routes = match document.get_mut("routes") {
        Some(routes) => routes,
        None => &mut document,
    };
    for (field, time) in [
        ("lock_ttl", "1s"),
        ("query_interval", "500ms"),
        ("settle_delay", "6s"),
        ("resolve_deadline", "12s"),
        ("cancel_interval", "500ms"),
        ("upstream_timeout", "1500ms"),
        ("duplicate_wait", "500ms"),
    ] {
        let pay = routes.as_array_mut().unwrap().iter_mut().find(|route| route["name"] == "pay");
        pay.unwrap()[field] = time.into();
    }
    document.to_string()
}

/// Passes every connection on to the next replica.
fn serve(listener: TcpListener, addresses: Arc<Mutex<[SocketAddr; REPLICAS]>>) {
    std::thread::spawn(move || {
        for (n, caller) in listener.incoming().flatten().enumerate() {
            let to = held(&addresses)[n % REPLICAS];
            let Ok(replica) = TcpStream::connect(to) else {
                continue;
            };
            let (Ok(caller_in), Ok(replica_in)) = (caller.try_clone(), replica.try_clone()) else {
                continue;
            };
            std::thread::spawn(move || pass(caller_in, replica));
            std::thread::spawn(move || pass(replica_in, caller));
        }
    });
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
