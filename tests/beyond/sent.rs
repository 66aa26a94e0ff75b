//! What the way through a Cluster sends, it sends once, or says that it may have happened: shown by
//! the one thing that repeats cannot hide behind, counting up.

use crate::lua::bench::place;
use crate::support::cluster::Cluster;
use crate::support::measured::measured;
use crate::support::toxic::{Harm, Toxic};
use crate::support::{PATIENCE, until};
use onceward::model::identity::Partition;
use onceward::store::StoreError;
use onceward::store::link::{Link, Mode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_millis(700);

/// What became of the counting up of one partition's number.
#[derive(Default)]
struct Tally {
    done: AtomicU64,
    /// Sent, and no answer came.
    lost: AtomicU64,
    not_done: AtomicU64,
    /// On its way at this moment.
    sending: AtomicU64,
}

/// Replies that are lost on purpose.
const LOST_REPLIES: u64 = 20;

fn key(partition: Partition) -> String {
    format!("sent:{{{partition}}}:count:all")
}

/// Counts up in each partition in turn, from one thread of its own, until told to stop.
fn count(
    urls: &str,
    tallies: Arc<Vec<Tally>>,
    stop: Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    let link = Link::new(place(Mode::Cluster, urls), TIMEOUT);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            while !stop.load(Ordering::SeqCst) {
                for (partition, tally) in Partition::all().zip(tallies.iter()) {
                    let mut up = redis::cmd("EVAL");
                    up.arg("#!lua\nreturn redis.call('INCR', KEYS[1])").arg(1).arg(key(partition));
                    tally.sending.fetch_add(1, Ordering::SeqCst);
                    let said = link.send(&up).await;
                    match said {
                        Ok(_) => &tally.done,
                        Err(StoreError::Declined(_) | StoreError::Unreached(_)) => &tally.not_done,
                        Err(_) => &tally.lost,
                    }
                    .fetch_add(1, Ordering::SeqCst);
                    tally.sending.fetch_sub(1, Ordering::SeqCst);
                }
            }
        });
    })
}

#[test]
fn nothing_is_sent_twice_while_slots_move_and_primaries_hang_and_die() {
    let mut cluster = Cluster::start();
    // One node is reached through a proxy that loses replies to what was done.
    let toxic = Toxic::before(cluster.nodes[0].port);
    let announced = toxic.address.port().to_string();
    cluster.nodes[0].command(&["CONFIG", "SET", "cluster-announce-port", &announced]);
    until("all nodes tell of it", || {
        cluster.nodes.iter().all(|n| n.command(&["CLUSTER", "SLOTS"]).contains(&announced))
    });
    let tallies: Arc<Vec<Tally>> = Arc::new(Partition::all().map(|_| Tally::default()).collect());
    let stop = Arc::new(AtomicBool::new(false));
    let counting: Vec<_> =
        (0..3).map(|_| count(&cluster.urls(), tallies.clone(), stop.clone())).collect();
    let done = || tallies.iter().map(|tally| tally.done.load(Ordering::SeqCst)).sum::<u64>();
    let everywhere = |what: &str| {
        let before: Vec<u64> =
            tallies.iter().map(|tally| tally.done.load(Ordering::SeqCst)).collect();
        until(what, || {
            tallies.iter().zip(&before).all(|(now, was)| now.done.load(Ordering::SeqCst) > *was)
        });
    };
    everywhere("all partitions count");
    for _ in 0..LOST_REPLIES {
        toxic.lose_reply_to(":count:all", Harm::Cut);
        until("a reply is lost", || toxic.sprung());
    }
    everywhere("all partitions count after lost replies");
    check(&cluster, &tallies);
    for number in 0..64 {
        let slot = cluster.slot(number);
        let from = (slot * 3 / 16384) as usize;
        if number % 3 == 0 {
            cluster.move_slot(slot, from, (from + 1) % 3, || {});
        }
    }
    everywhere("all partitions count after slots moved");
    // One hangs: its connections stand, and what they carry may still happen.
    cluster.nodes[1].pause();
    until("its replica is promoted", || cluster.nodes[4].replication("role") == "master");
    let promoted = Instant::now();
    everywhere("all partitions count without it");
    let figure = format!("{:.2?} after the promotion all partitions count", promoted.elapsed());
    measured("Cluster, a primary that hung was replaced", &figure);
    cluster.nodes[1].resume();
    cluster.nodes[2].kill();
    until("its replica is promoted", || cluster.nodes[5].replication("role") == "master");
    let promoted = Instant::now();
    everywhere("all partitions count without it");
    let figure = format!("{:.2?} after the promotion all partitions count", promoted.elapsed());
    measured("Cluster, a primary that died was replaced", &figure);
    stop.store(true, Ordering::SeqCst);
    counting.into_iter().for_each(|one| one.join().unwrap());

    // A hung one that wakes as a primary must first hear that it is none any more.
    until("one node a partition", || cluster.nodes[1].replication("role") == "slave");
    let (lost, not_done) = check(&cluster, &tallies);
    let figure =
        format!("{} done, {lost} answers lost, {not_done} not done, none done twice", done());
    measured("Cluster, commands sent in all of this", &figure);
    assert!(not_done > 0, "no trouble was met");
}

/// What a failover lost is missing; more than was sent cannot be there. Returns how often no answer
/// came, and how often one said that nothing was done.
fn check(cluster: &Cluster, tallies: &[Tally]) -> (u64, u64) {
    let link = Link::new(place(Mode::Cluster, &cluster.urls()), PATIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut all_lost, mut all_not_done) = (0, 0);
    for (partition, tally) in Partition::all().zip(tallies) {
        let mut get = redis::cmd("GET");
        get.arg(key(partition));
        let value = runtime.block_on(link.send(&get)).unwrap();
        let value: u64 = redis::from_redis_value(value).unwrap();
        let [done, lost, not_done, sending] =
            [&tally.done, &tally.lost, &tally.not_done, &tally.sending]
                .map(|count| count.load(Ordering::SeqCst));
        let most = done + lost + sending;
        assert!(
            value <= most,
            "{partition}: {value}, but {done} done, {lost} lost, {sending} sent"
        );
        (all_lost, all_not_done) = (all_lost + lost, all_not_done + not_done);
    }
    assert!(all_lost >= LOST_REPLIES, "{all_lost} lost");
    (all_lost, all_not_done)
}
