//! Lost history: a claim that Redis acknowledged and then forgot is not paid a second time, where
//! upstream can be asked.

use super::load::partition_of;
use crate::resolve::{routes, to};
use crate::support::client::{Call, Reply};
use crate::support::cluster::Cluster;
use crate::support::redis::Redis;
use crate::support::sidecar::{Builder, Sidecar, sidecar};
use crate::support::toxic::Toxic;
use crate::support::until;
use crate::support::upstream::{Act, Gate, Upstream};
use onceward::store::names::Names;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A primary and its replica; the replication goes through a proxy that can hold it, and payments
/// through one that can be pointed to the other, as a name or a virtual address is.
struct Pair {
    primary: Redis,
    replica: Redis,
    replication: Toxic,
    front: Toxic,
}

impl Pair {
    fn start() -> Pair {
        let primary = Redis::start();
        let replication = Toxic::before(primary.port);
        let through = replication.address.port().to_string();
        let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &through]);
        until("the replica follows", || replica.replication("master_link_status") == "up");
        let front = Toxic::before(primary.port);
        Pair { primary, replica, replication, front }
    }

    fn replicated(&self) {
        until("the replica has all of it", || {
            let offset = self.primary.replication("master_repl_offset");
            self.replica.replication("slave_repl_offset") == offset
        });
    }

    /// The primary dies, the replica takes its place.
    fn fail_over(&mut self) {
        self.primary.kill();
        assert_eq!(self.replica.command(&["REPLICAOF", "NO", "ONE"]), "OK");
        self.front.retarget(self.replica.port);
    }
}

/// What the payment service says of an order it was paid for.
type Charged = Arc<Mutex<BTreeMap<String, &'static str>>>;

/// A service with a ledger: a payment is entered before it is answered, a query reads. An order
/// called `slow` is heard at once and entered only when the gate opens.
fn service() -> (Upstream, Charged, Gate) {
    let (charged, gate) = (Charged::default(), Gate::default());
    let (ledger, slowly) = (charged.clone(), gate.clone());
    let upstream = Upstream::acting(move |_, request| {
        if let Some(key) = request.target.strip_prefix("/result?id=") {
            return match ledger.lock().unwrap().get(key) {
                Some(status) => Act::ok(&format!(r#"{{"status":"{status}"}}"#)),
                None => Act::status(404, "{}"),
            };
        }
        let Some(key) = request.header("idempotency-key").map(str::to_owned) else {
            return Act::status(500, "{}");
        };
        if key == "slow" {
            slowly.pass();
        }
        ledger.lock().unwrap().entry(key).or_insert("paid");
        Act::ok(r#"{"status":"paid"}"#)
    });
    (upstream, charged, gate)
}

/// A lease that outlasts any stall of the machine; `absent` is believed after so long.
fn build(redis: &Redis, upstream: &Upstream, (window, settle_delay): (&str, &str)) -> Builder {
    let routes = routes(|route| {
        route["lock_ttl"] = "30s".into();
        route["settle_delay"] = settle_delay.into();
        route["query_interval"] = "20ms".into();
    });
    sidecar(redis, upstream).set("ROUTES", &routes).set("HISTORY_WINDOW", window)
}

/// Longer than any test takes.
const LONG: &str = "600s";

fn charges(upstream: &Upstream, key: &str) -> usize {
    let payments = to(upstream, "/pay");
    payments.iter().filter(|request| request.header("idempotency-key") == Some(key)).count()
}

fn asked(upstream: &Upstream, key: &str) -> usize {
    let target = format!("/result?id={key}");
    upstream.requests().iter().filter(|request| request.target == target).count()
}

fn first_asked(onceward: &Sidecar, result: &str) -> f64 {
    onceward.metric(&format!(r#"onceward_asked_first_total{{result="{result}"}}"#))
}

/// Other keys whose orders are in the same partition.
fn neighbours(key: &str) -> impl Iterator<Item = String> {
    let home = partition_of("pay", key);
    let named = (0..).map(|n| format!("neighbour-{n}"));
    named.filter(move |name| partition_of("pay", name) == home)
}

/// The name of the mark in a key's partition.
fn mark(key: &str) -> String {
    Names::new("onceward").history(partition_of("pay", key))
}

fn until_answered(onceward: &Sidecar, key: &str) -> Reply {
    sent_until_answered(onceward, &Call::pay(key))
}

/// Each thread finds out for itself that its connection is gone.
fn sent_until_answered(onceward: &Sidecar, call: &Call) -> Reply {
    let mut reply = None;
    until("it is answered", || {
        let answer = call.send(onceward.address);
        let away = answer.problem() == "store-unavailable";
        reply = Some(answer);
        !away
    });
    reply.unwrap()
}

/// Pays an order whose claim is then lost, and pays it again; how often it was charged.
fn lose_a_claim(window: &str) -> (usize, Reply) {
    let (mut pair, (upstream, ..)) = (Pair::start(), service());
    let onceward =
        build(&pair.primary, &upstream, (window, "0s")).set("REDIS_URL", &pair.front.url()).start();
    // Its partition is known to the replica, mark and all.
    let before = neighbours("lost").next().unwrap();
    assert_eq!(Call::pay(&before).send(onceward.address).status, 200);
    pair.replicated();
    pair.replication.hold();
    assert_eq!(Call::pay("lost").send(onceward.address).status, 200);
    assert_eq!(charges(&upstream, "lost"), 1);
    pair.fail_over();
    let again = until_answered(&onceward, "lost");
    if window != "0s" {
        // The admin plane has a connection of its own, which it may find broken first.
        until("it is succeeded", || {
            let order = Call::get("/admin/orders/pay/lost").send(onceward.admin);
            order.status == 200 && order.json()["state"] == "succeeded"
        });
        assert_eq!(first_asked(&onceward, "succeeded"), 1.0);
        assert!(onceward.metric("onceward_history_lost_total") >= 2.0);
        // Nor may the other data thread have found out yet.
        let kept = until_answered(&onceward, &before);
        assert!(kept.is_replay(), "what was not lost stays");
    }
    (charges(&upstream, "lost"), again)
}

#[test]
fn a_claim_that_was_acknowledged_and_lost_is_not_paid_twice() {
    let (charges, again) = lose_a_claim(LONG);
    assert_eq!((again.status, again.text().as_str()), (200, r#"{"status":"paid"}"#));
    assert!(again.is_replay() && again.state() == "succeeded");
    assert_eq!(charges, 1);
}

#[test]
fn without_asking_a_lost_claim_is_paid_twice() {
    let (charges, again) = lose_a_claim("0s");
    assert_eq!((again.status, again.is_replay(), charges), (200, false, 2));
}

#[test]
fn after_a_failover_every_replica_asks_and_what_upstream_says_is_what_happens() {
    let (mut pair, (upstream, charged, _)) = (Pair::start(), service());
    let build = build(&pair.primary, &upstream, (LONG, "0s")).set("REDIS_URL", &pair.front.url());
    let a = build.start();
    for key in ["failed", "paying"] {
        let entry = if key == "failed" { "declined" } else { "paying" };
        charged.lock().unwrap().insert(key.to_owned(), entry);
    }
    let found = |times: f64| {
        until("every partition was looked at", || {
            a.metric("onceward_history_lost_total") >= 64.0 * times
        });
    };
    found(1.0);
    pair.replicated();
    pair.fail_over();

    // It had failed: that is its end, and nothing is sent.
    let failed = until_answered(&a, "failed");
    assert_eq!((failed.status, failed.state(), failed.is_replay()), (200, "failed", true));
    // It is still being paid: nobody knows yet, and it is asked about until somebody does.
    let paying = until_answered(&a, "paying");
    assert_eq!((paying.status, paying.problem().as_str()), (409, "outcome-unknown"));
    charged.lock().unwrap().insert("paying".to_owned(), "paid");
    until("it is known", || {
        let order = Call::get("/admin/orders/pay/paying").send(a.admin);
        order.status == 200 && order.json()["state"] == "succeeded"
    });
    for key in ["failed", "paying"] {
        assert_eq!(charges(&upstream, key), 0, "{key}");
    }

    // Nobody has heard of it: it is sent, once.
    let new = until_answered(&a, "new");
    assert_eq!((new.status, new.is_replay(), new.state()), (200, false, "succeeded"));
    assert_eq!((charges(&upstream, "new"), asked(&upstream, "new")), (1, 1));
    assert!(until_answered(&a, "new").is_replay());
    assert_eq!(asked(&upstream, "new"), 1, "only before it is sent");

    // A replica that starts later learns of it from Redis.
    found(2.0);
    let b = build.start();
    let next = neighbours("new").next().unwrap();
    assert_eq!(Call::pay(&next).send(b.address).status, 200);
    assert_eq!((charges(&upstream, &next), asked(&upstream, &next)), (1, 1));
    assert_eq!(b.metric("onceward_history_lost_total"), 0.0);
    assert_eq!(first_asked(&b, "absent"), 1.0);
    a.logs("Redis is another instance or empty");
}

/// Has a payment on its way upstream whose claim is then lost, and pays it again through another
/// replica; how often it was charged.
fn lose_a_claim_on_its_way(settle_delay: &str) -> usize {
    let (mut pair, (upstream, _, gate)) = (Pair::start(), service());
    let build = build(&pair.primary, &upstream, (LONG, settle_delay));
    let build = build.set("REDIS_URL", &pair.front.url());
    let (a, b) = (build.start(), build.start());
    // Both know the server that is to be lost.
    for (n, key) in neighbours("slow").take(2).enumerate() {
        assert_eq!(Call::pay(&key).send(if n == 0 { a.address } else { b.address }).status, 200);
    }
    pair.replicated();
    pair.replication.hold();
    let first = Call::pay("slow").begin(a.address);
    until("it is on its way", || charges(&upstream, "slow") == 1);
    pair.fail_over();
    let reply = std::thread::scope(|scope| {
        let again = scope.spawn(|| until_answered(&b, "slow"));
        until("absent was said, and the order waits or is sent", || match settle_delay {
            "0s" => charges(&upstream, "slow") == 2,
            _ => first_asked(&b, "absent-early") >= 1.0,
        });
        gate.open();
        again.join().unwrap()
    });
    assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"status":"paid"}"#));
    if settle_delay != "0s" {
        assert!(reply.is_replay());
        // The one that both began with was new.
        assert_eq!((first_asked(&b, "succeeded"), first_asked(&b, "absent")), (1.0, 1.0));
    }
    drop(first);
    charges(&upstream, "slow")
}

#[test]
fn an_absent_order_is_sent_only_when_a_lost_claim_cannot_be_on_its_way_any_more() {
    assert_eq!(lose_a_claim_on_its_way(LONG), 1);
}

#[test]
fn an_absent_order_that_is_believed_too_soon_is_paid_twice() {
    assert_eq!(lose_a_claim_on_its_way("0s"), 2);
}

#[test]
fn an_order_that_is_cancelled_while_upstream_is_asked_is_not_sent() {
    let (mut redis, (upstream, ..)) = (Redis::start(), service());
    let onceward = build(&redis, &upstream, (LONG, LONG)).start();
    let before = neighbours("late").next().unwrap();
    assert_eq!(Call::pay(&before).send(onceward.address).status, 200, "a beginning is no loss");
    redis.restart();
    let again = std::thread::scope(|scope| {
        let reply = scope.spawn(|| until_answered(&onceward, "late"));
        until("it waits", || first_asked(&onceward, "absent-early") >= 1.0);
        let cancel = Call::post("/_onceward/orders/pay/late/cancel");
        let cancel = sent_until_answered(&onceward, &cancel);
        assert_eq!(cancel.status, 202, "{}", cancel.text());
        reply.join().unwrap()
    });
    assert_eq!((again.status, again.problem().as_str()), (409, "outcome-unknown"));
    assert_eq!(charges(&upstream, "late"), 0);
}

#[test]
fn an_order_that_a_callback_ends_while_upstream_is_asked_is_answered_as_it_ended() {
    let mut redis = Redis::start();
    // Never knows an order, and believes every callback.
    let upstream = Upstream::acting(|_, request| match request.target.as_str() {
        "/pay" | "/notify" => Act::ok("{}"),
        _ => Act::status(404, "{}"),
    });
    let routes = routes(|route| {
        route["lock_ttl"] = "30s".into();
        route["settle_delay"] = LONG.into();
        route["query_interval"] = "20ms".into();
    });
    let notify =
        r#", {"name": "notify", "path": "/notify", "kind": "callback", "settles": "pay"}]"#;
    let routes = routes.trim_end().strip_suffix(']').unwrap().to_owned() + notify;
    let onceward = build(&redis, &upstream, (LONG, LONG)).set("ROUTES", &routes).start();
    let before = neighbours("late").next().unwrap();
    assert_eq!(Call::pay(&before).send(onceward.address).status, 200, "a beginning is no loss");
    redis.restart();
    let paying = std::thread::scope(|scope| {
        let reply = scope.spawn(|| until_answered(&onceward, "late"));
        until("it waits", || first_asked(&onceward, "absent-early") >= 1.0);
        let notified = sent_until_answered(&onceward, &Call::post("/notify").key("late"));
        assert_eq!(notified.status, 200, "{}", notified.text());
        reply.join().unwrap()
    });
    let told = (paying.status, paying.state(), paying.is_replay());
    assert_eq!(told, (200, "succeeded", true), "{}", paying.text());
    assert_eq!(charges(&upstream, "late"), 0);
}

#[test]
fn an_order_that_was_sent_and_forgotten_is_not_cancelled_without_a_word_to_upstream() {
    for settle_delay in ["0s", LONG] {
        let (mut redis, (upstream, ..)) = (Redis::start(), service());
        let onceward = build(&redis, &upstream, (LONG, settle_delay)).start();
        let cancel = |key: &str| {
            let path = format!("/_onceward/orders/pay/{key}/cancel");
            sent_until_answered(&onceward, &Call::post(&path))
        };
        // A beginning is no loss.
        assert_eq!(cancel("early").status, 200);
        until_answered(&onceward, "paid");
        // A partition nobody has looked at yet has nothing to lose.
        until("every partition is marked", || {
            redis.command(&["KEYS", "*:history:*"]).lines().count() == 64
        });
        redis.restart();
        let (paid, never) = (cancel("paid"), cancel("never"));
        assert_eq!((paid.status, paid.problem().as_str()), (409, "outcome-unknown"));
        assert_eq!(never.status, if settle_delay == "0s" { 200 } else { 409 }, "{settle_delay}");
        assert!(until_answered(&onceward, "paid").is_replay());
        assert_eq!(cancel("paid").problem(), "already-final");
    }
}

#[test]
fn a_beginning_asks_and_believes_at_once_and_costs_nothing_when_it_is_over() {
    let (mut redis, (upstream, ..)) =
        (Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]), service());
    // An empty Redis has no history at all, and nobody knew another.
    let asking = build(&redis, &upstream, (LONG, LONG)).start();
    let first = neighbours("any").next().unwrap();
    assert_eq!(Call::pay(&first).send(asking.address).status, 200);
    assert_eq!((charges(&upstream, &first), asked(&upstream, &first)), (1, 1));
    until("every partition is marked, also where nothing was paid", || {
        redis.command(&["KEYS", "*:history:*"]).lines().count() == 64
    });
    drop(asking);

    redis.command(&["FLUSHALL"]);
    let onceward = build(&redis, &upstream, ("1ms", "0s")).start();
    until("every partition is marked", || {
        redis.command(&["KEYS", "*:history:*"]).lines().count() == 64
    });
    let mut keys = neighbours("any").skip(1);
    until("the window is over, for each thread", || {
        (0..8).all(|_| {
            let key = keys.next().unwrap();
            assert_eq!(Call::pay(&key).send(onceward.address).status, 200);
            asked(&upstream, &key) == 0
        })
    });
    // The survey may still be looking, on a connection that is new to it.
    until("a payment costs two commands, and nobody looks at marks", || {
        let key = keys.next().unwrap();
        let monitor = redis.monitor();
        assert_eq!(Call::pay(&key).send(onceward.address).status, 200);
        let commands = monitor.stop();
        let ours = |line: &&String| line.contains(":order:") && !line.contains(" lua]");
        commands.iter().filter(ours).count() == 2
            && !commands.iter().any(|line| line.contains(":history:"))
    });

    // Restarted it is another instance, whatever it kept.
    let server = |redis: &Redis| redis.command(&["HGET", &mark("any"), "server"]);
    let known = server(&redis);
    redis.restart();
    until("somebody noticed", || server(&redis) != known);
}

#[test]
fn a_replica_that_is_promoted_in_a_cluster_is_another_instance() {
    let (mut cluster, (upstream, ..)) = (Cluster::start(), service());
    let onceward = sidecar(&cluster.nodes[0], &upstream)
        .set("REDIS_MODE", "cluster")
        .set("REDIS_URL", &cluster.urls())
        .set("ROUTES", &routes(|route| route["lock_ttl"] = "30s".into()))
        .set("HISTORY_WINDOW", LONG)
        .start();
    let first_of = |n: usize| {
        let at = |key: &String| cluster.slot(partition_of("pay", key).number()) * 3 / 16384;
        (0..).map(|n| n.to_string()).find(|key| at(key) == n as u32).unwrap()
    };
    let (here, elsewhere) = (first_of(0), first_of(1));
    let (mut keys, mut others) = (neighbours(&here), neighbours(&elsewhere));
    let pay = |keys: &mut dyn Iterator<Item = String>| {
        let key = keys.next().unwrap();
        assert_eq!(until_answered(&onceward, &key).status, 200);
        assert_eq!(charges(&upstream, &key), 1);
    };
    let seen = |node: &Redis, key: &str| node.command(&["HGET", &mark(key), "server"]);
    pay(&mut keys);
    pay(&mut others);
    // Trouble has the replicas asked who serves what, on connections that stand when one of them is
    // promoted.
    cluster.nodes[0].command(&["CLIENT", "KILL", "TYPE", "normal"]);
    pay(&mut keys);
    pay(&mut others);
    let (before, other) = (seen(&cluster.nodes[0], &here), seen(&cluster.nodes[1], &elsewhere));
    cluster.nodes[0].kill();
    until("its replica is promoted", || cluster.nodes[3].replication("role") == "master");
    pay(&mut keys);
    let run = cluster.nodes[3].command(&["INFO", "server"]);
    let run = run.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap().trim_end();
    let after = seen(&cluster.nodes[3], &here);
    assert!(after.starts_with(run) && after != before, "{before}, {after}, {run}");
    // The other parts of the Cluster are what they were.
    pay(&mut others);
    assert_eq!(seen(&cluster.nodes[1], &elsewhere), other);
}

#[test]
fn a_route_that_cannot_ask_leaves_no_mark() {
    let (redis, (upstream, ..)) = (Redis::start(), service());
    let onceward = sidecar(&redis, &upstream).set("HISTORY_WINDOW", "60s").start();
    assert_eq!(Call::pay("1").send(onceward.address).status, 200);
    assert!(!redis.command(&["KEYS", "*"]).contains(":history:"));
}
