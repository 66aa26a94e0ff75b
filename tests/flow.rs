//! The whole payment flow, against the sandbox as a process of its own: its ledger is the judge.

use crate::resolve::{answering, asking, routes, state, to};
use crate::support::client::Call;
use crate::support::dice::Dice;
use crate::support::redis::Redis;
use crate::support::sandbox::Sandbox;
use crate::support::sidecar::{Builder, Sidecar};
use crate::support::upstream::Act;
use crate::support::{PATIENCE, until};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

const SEED: u64 = 0x0dd5_eed5_ca1a_b1e5;
const ORDERS: usize = 200;
/// Callers that pay at the same time, one order after the other.
const CALLERS: usize = 40;
const KILLS: usize = 6;

/// What the shoppers' codes make of it; `slow-400` orders are cancelled by their callers.
const CODES: [&str; 10] = [
    "at-once",
    "slow-500",
    "paying-ok-800",
    "paying-forever",
    "silent",
    "dies",
    "error-500",
    "declined",
    "early-reset-1",
    "slow-400",
];

/// The development routes with short times. SETTLE_DELAY leaves the sandbox time to read what a
/// killed sidecar sent it, on a busy disk too.
fn hurried() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dev/routes.json");
    let mut routes: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (field, time) in [
        ("lock_ttl", "1s"),
        ("query_interval", "500ms"),
        ("settle_delay", "5s"),
        ("resolve_deadline", "10s"),
        ("cancel_interval", "500ms"),
        ("upstream_timeout", "1500ms"),
        ("duplicate_wait", "500ms"),
    ] {
        routes["routes"][0][field] = time.into();
    }
    routes.to_string()
}

/// Until an order that is unknown now must be final: RESOLVE_DEADLINE, one cancel, the survey that
/// finds what a killed sidecar held, a second run of what never arrived, and a busy machine.
const ALL_FINAL: Duration = PATIENCE;

fn order(n: usize) -> String {
    format!("order-{n}")
}

fn paying(n: usize) -> Call {
    let code = CODES[n % CODES.len()];
    let wish = format!(r#"{{"orderId":"{}","amount":"9.90","authCode":"{code}"}}"#, order(n));
    Call::post("/order/pay").json(&wish)
}

#[test]
fn two_hundred_orders_with_sidecars_killed_all_end_and_none_is_charged_twice() {
    println!("seed {SEED:#x}");
    let (redis, sandbox) = (Redis::start(), Sandbox::start());
    let build = Builder::default()
        .set("REDIS_URL", &redis.url())
        .set("REDIS_TIMEOUT", "5s")
        .set("UPSTREAM", &sandbox.url)
        .set("UPSTREAM_CONNECT_TIMEOUT", "10s")
        .set("ROUTES", &hurried());
    let (mut victim, b, c) = (build.start(), build.start(), build.start());
    let addresses = Mutex::new([victim.address, b.address, c.address]);
    let at = |n: usize| -> SocketAddr { addresses.lock().unwrap()[n % 3] };
    let (next, cut) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (next, cut, at) = (&next, &cut, &at);
            scope.spawn(move || {
                let mut dice = Dice::new(SEED ^ (caller as u64 + 1));
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n >= ORDERS {
                        return;
                    }
                    sleep(dice.pause(400));
                    let (copied, cancelled) = (dice.pause(200), dice.pause(400));
                    // The first, its copy and its cancel go to a sidecar each.
                    std::thread::scope(|scope| {
                        scope.spawn(move || {
                            sleep(copied);
                            paying(n).try_send(at(n + 1))
                        });
                        if CODES[n % CODES.len()] == "slow-400" {
                            scope.spawn(move || {
                                sleep(cancelled);
                                let path = format!("/_onceward/orders/pay/{}/cancel", order(n));
                                Call::post(&path).try_send(at(n + 2))
                            });
                        }
                        if paying(n).try_send(at(n)).is_none() {
                            cut.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            });
        }
        let mut dice = Dice::new(SEED);
        for _ in 0..KILLS {
            sleep(Duration::from_millis(200) + dice.pause(500));
            victim.kill();
            victim = build.start();
            addresses.lock().unwrap()[0] = victim.address;
        }
    });
    assert!(cut.load(Ordering::SeqCst) > 0, "no kill met an order");
    let sent = begun.elapsed();

    let (ends, retried) = all_end(&b, begun, sent + ALL_FINAL);
    let last = ends.values().map(|(_, when)| *when).max().unwrap();

    for n in 0..ORDERS {
        let answers = [&victim, &b, &c].map(|one| paying(n).send(one.address));
        for answer in &answers[1..] {
            assert_eq!((answer.status, answer.text()), (answers[0].status, answers[0].text()));
        }
    }

    // Nothing of this moved money again: what stands there now is all there is.
    let ledger = sandbox.ledger();
    let (mut counts, mut charged, mut refunded) = (BTreeMap::new(), 0, 0);
    for (n, (state, _)) in &ends {
        let (charges, refunds) = (ledger.charges(&order(*n)), ledger.refunds(&order(*n)));
        let code = CODES[n % CODES.len()];
        let told = format!("{} {code}: {state}, {charges} charges, {refunds} refunds", order(*n));
        match state.as_str() {
            "succeeded" => assert_eq!((charges, refunds), (1, 0), "{told}"),
            "failed" => assert_eq!((charges, refunds), (0, 0), "{told}"),
            _ => assert!(charges <= 1 && refunds == charges, "{told}"),
        }
        match code {
            "declined" => assert_eq!(state, "failed", "{told}"),
            "paying-forever" => assert_eq!(state, "cancelled", "{told}"),
            // Whichever came first: the payment, the cancel, or the cancel at the sandbox only.
            "slow-400" => {}
            _ => assert!(state == "succeeded" || state == "cancelled", "{told}"),
        }
        *counts.entry(state.clone()).or_insert(0) += 1;
        charged += charges;
        refunded += refunds;
    }
    let lost = b.metric("onceward_lost_leases_total") + c.metric("onceward_lost_leases_total");
    println!(
        "{counts:?}, {charged} charges, {refunded} refunds; {} calls cut, {lost} leases lost, \
         {retried} sent again; all sent after {sent:?}, the last final after {last:?}",
        cut.load(Ordering::SeqCst),
    );
}

/// Waits until every order is final, sending again what never reached upstream, as its caller
/// would. Returns how and when each ended, and how many were sent again.
fn all_end(
    onceward: &Sidecar,
    begun: Instant,
    deadline: Duration,
) -> (BTreeMap<usize, (String, Duration)>, usize) {
    let (mut ends, mut retried) = (BTreeMap::new(), 0);
    while ends.len() < ORDERS {
        let late = begun.elapsed() > deadline;
        for n in 0..ORDERS {
            if ends.contains_key(&n) {
                continue;
            }
            let state = state(onceward, &order(n));
            match state.as_str() {
                "succeeded" | "failed" | "cancelled" => {
                    ends.insert(n, (state, begun.elapsed()));
                    continue;
                }
                "in_flight" | "unknown" | "cancelling" => {}
                _ => {
                    retried += 1;
                    drop(paying(n).begin(onceward.address));
                }
            }
            assert!(!late, "{} {} is still {state}", order(n), CODES[n % CODES.len()]);
        }
        sleep(Duration::from_millis(50));
    }
    (ends, retried)
}

/// Orders left unknown, and what they may cost a sidecar: resident memory in KiB, and descriptors,
/// which are bounded by the calls that run at once. Connections to Redis may not grow at all.
const UNKNOWN: usize = 1000;
const MOST_GROWN: u64 = 8 * 1024;
const MOST_OPENED: usize = 64;

#[test]
fn while_many_orders_are_unknown_memory_and_connections_stay_flat() {
    let redis = Redis::start();
    let upstream = answering(|| Act::Reset, |_| Act::ok(r#"{"status":"paying"}"#));
    let patient = routes(|route| {
        route["query_interval"] = "1s".into();
        route["lock_ttl"] = "10s".into();
    });
    let onceward = asking(&redis, &upstream).set("ROUTES", &patient).start();
    let leave = |from: usize, to: usize| {
        let next = AtomicUsize::new(from);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::SeqCst);
                        if n >= to {
                            return;
                        }
                        let left = Call::pay(&n.to_string()).send(onceward.address);
                        assert_eq!((left.status, left.state()), (502, "unknown"));
                    }
                });
            }
        });
    };
    let asked = || {
        let queries = to(&upstream, "/result").into_iter().map(|query| query.target);
        queries.collect::<BTreeSet<String>>().len()
    };
    // What the first payments and queries need is no growth.
    leave(0, 64);
    until("the first are asked about", || asked() == 64);
    let (memory, open, clients) = (memory(&onceward), descriptors(&onceward), clients(&redis));
    leave(64, 64 + UNKNOWN);
    until("all are asked about", || asked() == 64 + UNKNOWN);
    let grown = self::memory(&onceward).saturating_sub(memory);
    let opened = descriptors(&onceward).saturating_sub(open);
    let joined = self::clients(&redis);
    println!("{grown} KiB, {opened} descriptors on {open}, {joined} clients of Redis on {clients}");
    assert!(grown < MOST_GROWN, "{grown} KiB on {memory}");
    assert!(opened <= MOST_OPENED, "{opened} descriptors on {open}");
    assert_eq!(joined, clients, "connections to Redis");
    assert_eq!(onceward.metric("onceward_waiters"), 0.0);
    assert_eq!(state(&onceward, "500"), "unknown");
    assert_eq!(to(&upstream, "/pay").len(), 64 + UNKNOWN);
}

/// Resident memory in KiB.
fn memory(onceward: &Sidecar) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", onceward.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn descriptors(onceward: &Sidecar) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", onceward.pid())).unwrap().count()
}

fn clients(redis: &Redis) -> usize {
    redis.command(&["CLIENT", "LIST"]).lines().filter(|line| line.contains("id=")).count()
}
