//! The buffer's workers under kill -9, and how soon they begin. `make flow ORDERS=10000` runs these
//! at length and prints the figures.

use crate::resolve::routes;
use crate::support::client::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, sidecar};
use crate::support::upstream::{Act, Upstream};
use crate::support::{PATIENCE, until};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Orders in `make test`; `make flow` takes more.
const ORDERS: usize = 300;

/// Callers that send at the same time, one order after the other.
const CALLERS: usize = 8;

/// So many accepted orders lie between two kills, and so many kills there are at the least.
const BETWEEN: usize = 500;
const KILLS: usize = 4;

fn orders() -> usize {
    match std::env::var("ONCEWARD_TEST_ORDERS") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{text} is not a number")),
        Err(_) => ORDERS,
    }
}

/// A payment service that takes its time, and knows what it has paid.
fn knowing(paid: &Arc<Mutex<HashMap<String, usize>>>) -> Upstream {
    let paid = paid.clone();
    Upstream::acting(move |_, request| match request.target.split_once("?id=") {
        Some((_, key)) if paid.lock().unwrap().contains_key(key) => Act::ok(r#"{"status":"paid"}"#),
        Some(_) => Act::status(404, "{}"),
        None => {
            let key = request.header("idempotency-key").unwrap().to_owned();
            *paid.lock().unwrap().entry(key).or_default() += 1;
            Act::ok(r#"{"status":"paid"}"#).after(Duration::from_millis(20))
        }
    })
}

/// Leases are short, so that what a killed worker held is taken over soon. SETTLE_DELAY leaves
/// upstream time to read what it was sent, on a busy machine too.
fn hurried(redis: &Redis, upstream: &Upstream) -> Builder {
    let routes = routes(|route| {
        route["mode"] = "async".into();
        route["lock_ttl"] = "1s".into();
        route["settle_delay"] = "5s".into();
        route.as_object_mut().unwrap().remove("cancel");
    });
    sidecar(redis, upstream).set("ROUTES", &routes).set("QUEUE_RETRY", "10ms")
}

#[test]
fn of_many_orders_each_has_one_effect_and_none_is_lost_when_workers_are_killed() {
    let orders = orders();
    let kills = KILLS.max(orders / BETWEEN);
    let (redis, paid) = (Redis::start(), Arc::default());
    let upstream = knowing(&paid);
    let build = hurried(&redis, &upstream);
    let mut sidecars = [(); 3].map(|()| build.start());
    let addresses = Mutex::new([0, 1, 2].map(|n: usize| sidecars[n].address));
    let (next, accepted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let send = |n: usize| accept(n, |turn| addresses.lock().unwrap()[(n + turn) % 3]);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n >= orders {
                        return;
                    }
                    send(n);
                    accepted.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for kill in 0..kills {
            let so_many = orders * (kill + 1) / (kills + 1);
            until("more are accepted", || accepted.load(Ordering::SeqCst) >= so_many);
            sidecars[kill % 3].kill();
            sidecars[kill % 3] = build.start();
            addresses.lock().unwrap()[kill % 3] = sidecars[kill % 3].address;
        }
    });
    let sent = begun.elapsed();

    // Upstream may never have heard of some: then they may run again, and their callers ask for it.
    let (mut ends, mut again) = (BTreeMap::<String, usize>::new(), 0);
    let mut open: Vec<usize> = (0..orders).collect();
    let deadline =
        Instant::now() + 2 * PATIENCE + Duration::from_millis(20) * u32::try_from(orders).unwrap();
    let at = sidecars[0].address;
    while !open.is_empty() {
        assert!(Instant::now() < deadline, "{} orders never ended: {open:?}", open.len());
        open.retain(|n| {
            let document = Call::get(&format!("/_onceward/orders/pay/{n}")).send(at);
            assert_ne!(document.status, 404, "order {n} is lost");
            let state = document.state().to_owned();
            if state == "none" {
                again += 1;
                send(*n);
            }
            let ended = matches!(state.as_str(), "succeeded" | "failed" | "cancelled");
            if ended {
                *ends.entry(state).or_default() += 1;
            }
            !ended
        });
        sleep(Duration::from_millis(20));
    }
    let paid = paid.lock().unwrap();
    let most = paid.values().max().copied().unwrap_or(0);
    let dead: f64 = sidecars.iter().map(|one| one.metric("onceward_dead_letters_total")).sum();
    println!(
        "{} accepted, {ends:?}, 0 unknown, {dead} dead, 0 lost; {} with an effect, {most} at the \
         most; {kills} workers killed, {again} sent again; accepted in {sent:.1?}, all ended in \
         {:.1?}",
        accepted.load(Ordering::SeqCst),
        paid.len(),
        begun.elapsed(),
    );
    assert_eq!((paid.len(), most), (orders, 1), "orders with an effect, and effects of one");
    assert_eq!(ends, BTreeMap::from([("succeeded".to_owned(), orders)]));
    assert_eq!(dead, 0.0);
    until("the buffer is empty", || redis.command(&["KEYS", "*:stream:*"]).is_empty());
}

/// Sends an order until somebody accepted it: a sidecar that is killed says nothing.
fn accept(n: usize, at: impl Fn(usize) -> SocketAddr) -> Reply {
    let deadline = Instant::now() + PATIENCE;
    let mut turn = 0;
    loop {
        match Call::pay(&n.to_string()).try_send(at(turn)) {
            Some(reply) if reply.status == 202 || reply.is_replay() => return reply,
            Some(reply) if reply.status < 500 => panic!("order {n}: {}", reply.text()),
            _ => {}
        }
        assert!(Instant::now() < deadline, "order {n} is not accepted");
        turn += 1;
        sleep(Duration::from_millis(5));
    }
}

/// Orders whose pick-up is measured.
const MEASURED: usize = 200;

#[test]
fn queued_orders_are_picked_up_by_their_hint_and_need_no_survey() {
    let redis = Redis::start();
    // A survey without this command sees nothing, and so tells of no queue.
    let survey = include_str!("../lua/survey.lua");
    assert!(survey.contains("'ZINTERCARD'"));
    redis.command(&["ACL", "SETUSER", "blind", "on", "nopass", "~*", "&*", "+@all", "-zintercard"]);
    let heard: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = heard.clone();
    let upstream = Upstream::acting(move |_, _| {
        noted.lock().unwrap().push(Instant::now());
        Act::ok("paid")
    });
    let onceward = sidecar(&redis, &upstream)
        .set("REDIS_URL", &redis.url().replace("redis://", "redis://blind:x@"))
        .set("ROUTES", r#"[{"name":"pay","path":"/pay","mode":"async"}]"#)
        .start();
    redis.command(&["ZADD", "onceward:{p00}:unknown:all", "1", "nobody"]);
    until("its surveys fail", || {
        onceward.metric(r#"onceward_redis_errors_total{kind="lost"}"#) >= 1.0
    });
    until("it listens for hints", || {
        redis.command(&["PUBSUB", "NUMSUB", "onceward:queued"]).ends_with('1')
    });
    let mut took: Vec<Duration> = (0..MEASURED)
        .map(|n| {
            let sent = Instant::now();
            assert_eq!(Call::pay(&n.to_string()).send(onceward.address).status, 202);
            upstream.heard(n + 1);
            heard.lock().unwrap()[n] - sent
        })
        .collect();
    took.sort_unstable();
    println!(
        "{MEASURED} orders, from sending one to upstream's hearing of it: median {:.1?}, 99 % {:.1?}, \
         longest {:.1?}",
        took[MEASURED / 2],
        took[MEASURED * 99 / 100],
        took[MEASURED - 1],
    );
    assert_eq!(upstream.calls(), MEASURED);
    until("the buffer is empty", || redis.command(&["KEYS", "*:stream:*"]).is_empty());
}
