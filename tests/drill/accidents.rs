//! What happens meanwhile: a shuffled deck of accidents, dealt to a few hands until nobody pays any
//! more. Each is told of once it was seen to happen.

use super::pod::{Pod, REPLICAS, held};
use super::rules;
use crate::support::client::Call;
use crate::support::dice::Dice;
use crate::support::liar::Lie;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a rule strikes, and how long it waits for its chance.
const STRIKES: u64 = 4;
const CHANCE: Duration = Duration::from_millis(900);

/// What is done to a process or to Redis, by its name in the table.
const BLOWS: [(&str, Blow); 12] = [
    ("a sidecar killed, kill -9", killed),
    ("a sidecar stopped past its lease", stopped),
    ("SIGTERM, another starts", replaced),
    ("a rolling restart of all", rolled),
    ("Redis killed and started again", redis_restarted),
    ("Redis killed and started again with nothing", redis_emptied),
    ("Redis stopped past the timeout", redis_stopped),
    ("Redis slow", redis_slow),
    ("Redis forgets its scripts", scripts_flushed),
    ("Redis out of memory", redis_full),
    ("Redis read-only", redis_read_only),
    ("Redis drops all connections", connections_dropped),
];

/// What the payment service's answers look like, by its name in the table.
const LIES: [(&str, Lie); 5] = [
    ("upstream drips its answer, in time", Lie::Drip(20, Duration::from_millis(30))),
    ("upstream drips its answer, too slowly", Lie::Drip(20, Duration::from_millis(90))),
    ("upstream says more is to come, and is silent", Lie::Longer(7)),
    ("upstream's answer is longer than it says", Lie::Shorter(1)),
    ("upstream's answer is much longer than it says", Lie::Shorter(30)),
];

/// Something done to what runs.
type Blow = fn(&Pod, &mut Dice);

/// One accident.
enum Accident {
    Blow(&'static str, Blow),
    Rule(String, Value),
    Lie(&'static str, Lie),
}

/// The accidents in the order they come, and how often each was seen.
pub struct Deck {
    accidents: Vec<Accident>,
    next: AtomicUsize,
    seen: Mutex<BTreeMap<String, u64>>,
}

impl Deck {
    pub fn shuffled(dice: &mut Dice) -> Deck {
        let blows = BLOWS.into_iter().map(|(name, blow)| Accident::Blow(name, blow));
        let rules = rules::all().into_iter().map(|(name, rule)| Accident::Rule(name, rule));
        let lies = LIES.into_iter().map(|(name, lie)| Accident::Lie(name, lie));
        let accidents = dice.shuffled(blows.chain(rules).chain(lies).collect());
        Deck { accidents, next: AtomicUsize::new(0), seen: Mutex::default() }
    }

    /// How much of it was dealt, from 0 to 1.
    pub fn progress(&self) -> f64 {
        (self.next.load(Ordering::SeqCst) as f64 / self.accidents.len() as f64).min(1.0)
    }

    /// How often each was seen to happen.
    pub fn seen(&self) -> BTreeMap<String, u64> {
        held(&self.seen).clone()
    }

    fn next(&self) -> &Accident {
        &self.accidents[self.next.fetch_add(1, Ordering::SeqCst) % self.accidents.len()]
    }

    fn saw(&self, name: &str, times: u64) {
        *held(&self.seen).entry(name.to_owned()).or_default() += times;
    }
}

/// Plays accidents until it is over.
pub fn play(pod: &Pod, deck: &Deck, mut dice: Dice, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        match deck.next() {
            Accident::Blow(name, blow) => {
                blow(pod, &mut dice);
                deck.saw(name, 1);
            }
            Accident::Rule(name, rule) => {
                let fired = struck(pod, rule, &mut dice);
                deck.saw(name, fired);
            }
            Accident::Lie(name, lie) => {
                let telling = pod.liar.tell(*lie, STRIKES);
                until_or(CHANCE, || telling.told() >= STRIKES);
                deck.saw(name, telling.told());
            }
        }
        // What ended is started again, whoever ended it.
        for n in 0..REPLICAS {
            drop(pod.replica(n));
        }
        sleep(dice.pause(60));
    }
}

/// Puts a rule on a replica, waits for it to strike, and takes it off. How often it struck.
fn struck(pod: &Pod, rule: &Value, dice: &mut Dice) -> u64 {
    let crashes = rule["do"].get("crash").is_some();
    let mut rule = rule.clone();
    rule["times"] = if crashes { 1 } else { STRIKES }.into();
    let (_, mut replica) = pod.any(dice);
    let id = format!("drill-{}", dice.below(1 << 40));
    let path = format!("/admin/faults/{id}");
    let put = Call::new("PUT", &path).json(&rule.to_string()).try_send(replica.admin);
    // Nothing where it ends this moment, by a rule of the other hand.
    let Some(put) = put else {
        return 0;
    };
    assert!(matches!(put.status, 200 | 201), "{rule}: {}", put.text());
    let begun = Instant::now();
    if crashes {
        // Held meanwhile, so that nobody else can have ended it.
        until_or(CHANCE, || replica.has_ended());
        if !replica.has_ended() {
            let _ = Call::new("DELETE", &path).try_send(replica.admin);
        }
        return replica.has_ended().into();
    }
    let admin = replica.admin;
    drop(replica);
    let mut fired = 0;
    while fired < STRIKES && begun.elapsed() < CHANCE {
        sleep(Duration::from_millis(40));
        // Gone, where the other hand has ended its replica.
        match fired_so_far(admin, &id) {
            Some(now) => fired = now,
            None => return fired,
        }
    }
    let _ = Call::new("DELETE", &path).try_send(admin);
    fired
}

/// Waits for a condition, but not for long.
fn until_or(most: Duration, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() && begun.elapsed() < most {
        sleep(Duration::from_millis(20));
    }
}

/// How often a rule fired; nothing where its replica is gone.
fn fired_so_far(admin: std::net::SocketAddr, id: &str) -> Option<u64> {
    let list = Call::get("/admin/faults").try_send(admin)?;
    let list = serde_json::from_slice::<Value>(&list.body).ok()?;
    list["faults"].as_array()?.iter().find(|rule| rule["id"] == id)?["fired"].as_u64()
}

fn killed(pod: &Pod, dice: &mut Dice) {
    pod.any(dice).1.kill();
}

/// Longer than LOCK_TTL and a round of the survey: another has found its orders by then.
fn stopped(pod: &Pod, dice: &mut Dice) {
    let (_, replica) = pod.any(dice);
    replica.pause();
    sleep(Duration::from_millis(1500) + dice.pause(1000));
    replica.resume();
}

fn replaced(pod: &Pod, dice: &mut Dice) {
    let (_, mut replica) = pod.any(dice);
    replica.terminate();
    replica.ended();
}

fn rolled(pod: &Pod, _: &mut Dice) {
    for n in 0..REPLICAS {
        let mut replica = pod.replica(n);
        replica.terminate();
        replica.ended();
        drop(replica);
        drop(pod.replica(n));
    }
}

fn redis_restarted(pod: &Pod, dice: &mut Dice) {
    let mut redis = held(&pod.redis);
    redis.kill();
    sleep(dice.pause(500));
    redis.restart();
}

/// What it acknowledged is gone: upstream alone knows who was charged.
fn redis_emptied(pod: &Pod, dice: &mut Dice) {
    pod.lose_everything(dice.pause(500));
}

fn redis_stopped(pod: &Pod, dice: &mut Dice) {
    let redis = held(&pod.redis);
    redis.pause();
    sleep(Duration::from_millis(1100) + dice.pause(600));
    redis.resume();
}

fn redis_slow(pod: &Pod, dice: &mut Dice) {
    for _ in 0..5 {
        held(&pod.redis).command(&["CLIENT", "PAUSE", "150", "ALL"]);
        sleep(Duration::from_millis(160) + dice.pause(20));
    }
}

fn scripts_flushed(pod: &Pod, _: &mut Dice) {
    held(&pod.redis).command(&["SCRIPT", "FLUSH"]);
}

fn redis_full(pod: &Pod, dice: &mut Dice) {
    let redis = held(&pod.redis);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    sleep(Duration::from_millis(300) + dice.pause(300));
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
}

/// A replica of nobody: it keeps what it has and refuses to write.
fn redis_read_only(pod: &Pod, dice: &mut Dice) {
    let redis = held(&pod.redis);
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    sleep(Duration::from_millis(300) + dice.pause(300));
    redis.command(&["REPLICAOF", "NO", "ONE"]);
}

fn connections_dropped(pod: &Pod, _: &mut Dice) {
    held(&pod.redis).command(&["CLIENT", "KILL", "TYPE", "normal"]);
    held(&pod.redis).command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
}
