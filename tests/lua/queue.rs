//! The buffer's scripts: accepted once, taken over, removed only when the order moved on.

use super::bench::{Bench, CALLER, IDLE, KEEP, PAYLOAD, answer, granted, order, spent};
use onceward::model::order::State::{InFlight, Queued, Succeeded, Unknown};
use onceward::model::seal::Secrets;
use onceward::store::orders::Abandon;
use onceward::store::queue::{DeadLetter, Dequeue, Enqueue, PutBack};
use std::sync::Arc;
use std::time::Duration;

fn queued(enqueued: &Enqueue) -> bool {
    matches!(enqueued, Enqueue::Queued(_))
}

#[tokio::test]
async fn record_and_entry_are_written_in_one_step_and_only_once() {
    let bench = Bench::new();
    let first = bench.enqueue("A").await;
    assert!(queued(&first));
    let before = bench.writes();
    // The same call again, and a duplicate of another attempt.
    assert_eq!(bench.enqueue("A").await, first);
    assert_eq!(bench.enqueue("B").await, first);
    assert_eq!(bench.writes(), before);
    assert_eq!(bench.look().await.state, Queued);
    assert_eq!(bench.take(IDLE).await.len(), 1);
}

#[tokio::test]
async fn what_was_accepted_does_not_expire_while_it_is_queued() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.abandon("A").await;
    bench.enqueue("A").await;
    assert_eq!(bench.ttl(&bench.record()), -1);
    assert_eq!(bench.ask("B").from(&[Queued]).claim().await, granted(2, Queued));
    bench.assert_kept(&bench.record(), KEEP);
    assert_eq!(bench.abandon("B").await, Abandon::Abandoned(Queued));
    assert_eq!(bench.ttl(&bench.record()), -1);
}

#[tokio::test]
async fn only_a_claim_from_the_queue_takes_a_queued_order() {
    let bench = Bench::new();
    bench.enqueue("A").await;
    assert_eq!(super::bench::found(bench.claim("B").await).0, Queued);
    assert_eq!(super::bench::found(bench.retry("C").await).0, Queued);
    assert_eq!(bench.ask("D").from(&[Queued]).claim().await, granted(1, Queued));
}

#[tokio::test]
async fn a_token_is_spent_by_an_acceptance_as_by_a_claim() {
    for free in [false, true] {
        let bench = Bench::new();
        let token = if free { bench.free_token().await } else { bench.token().await };
        let until = match free {
            true => bench.bind(&token, CALLER, &bench.order).await.unwrap(),
            false => 0,
        };
        let token = spent(&token, until);
        let other = order("another");
        let to_other = bench.enqueue_as("X", Some(&token), PAYLOAD, CALLER, &other).await;
        // A free one is told apart by the name it is kept under, before this script is asked.
        assert!(free || to_other == Enqueue::TokenInvalid);
        if !free {
            let theirs = bench.enqueue_as("X", Some(&token), PAYLOAD, "them", &bench.order).await;
            assert_eq!(theirs, Enqueue::TokenInvalid);
        }
        assert!(queued(&bench.enqueue_with("A", Some(&token)).await));
        let before = bench.writes();
        assert!(queued(&bench.enqueue_with("B", Some(&token)).await));
        assert_eq!(bench.writes(), before);
        let theirs = bench.enqueue_as("C", Some(&token), PAYLOAD, "them", &bench.order).await;
        assert_eq!(theirs, Enqueue::TokenInvalid);
    }
}

#[tokio::test]
async fn nothing_is_written_when_the_partition_is_full() {
    let bench = Bench::new();
    let queue = bench.queue();
    let token = spent(&bench.token().await, 0);
    for id in ["x", "y"] {
        bench.redis.command(&["XADD", &queue, "*", "id", id]);
    }
    let before = bench.writes();
    assert_eq!(bench.enqueue_with("A", Some(&token)).await, Enqueue::Overloaded);
    assert_eq!(bench.writes(), before);
    bench.redis.command(&["DEL", &queue]);
    assert!(queued(&bench.enqueue_with("A", Some(&token)).await));
}

#[tokio::test]
async fn a_lease_that_outlived_its_record_still_wins() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.lose_record();
    let Enqueue::Found(found) = bench.enqueue("B").await else { panic!("not found") };
    assert_eq!(found.state, InFlight);
}

#[tokio::test]
async fn an_entry_stays_until_its_order_has_moved_on() {
    let bench = Bench::new();
    bench.enqueue("A").await;
    let entry = bench.take(IDLE).await.remove(0);
    let open = |state, tries| Dequeue::Open { state, tries };
    assert_eq!(bench.dequeue(&entry, "T").await, open(Queued, 1));
    bench.ask("W").from(&[Queued]).claim().await;
    assert_eq!(bench.dequeue(&entry, "U").await, open(InFlight, 1));
    // In the hands of one that is silent, it is taken over; before that, it is not.
    assert_eq!(bench.take(IDLE).await, []);
    let mut taken = Vec::new();
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while taken.is_empty() && std::time::Instant::now() < deadline {
        // It may be in its hands for less than a millisecond yet.
        taken = bench.take(Duration::from_millis(1)).await;
    }
    assert_eq!(taken, std::slice::from_ref(&entry));
    bench.settle("W", 1, Succeeded).await;
    for _ in 0..2 {
        let gone = bench.dequeue(&entry, "V").await;
        assert_eq!(gone, Dequeue::Removed(Succeeded));
    }
    assert!(!bench.has(&bench.queue()));
    assert!(!bench.has(&bench.store.names().request(&bench.order)));
}

#[tokio::test]
async fn tries_are_counted_in_redis_whoever_makes_them_and_begin_anew_with_the_order() {
    let bench = Bench::new();
    bench.enqueue("A").await;
    let entry = bench.take(IDLE).await.remove(0);
    let queued = |tries| Dequeue::Open { state: Queued, tries };
    for (tries, turn) in (1..).zip(["T", "U", "V"]) {
        bench.ask(turn).from(&[Queued]).claim().await;
        bench.abandon(turn).await;
        assert_eq!(bench.dequeue(&entry, turn).await, queued(tries));
        let before = bench.writes();
        assert_eq!(bench.dequeue(&entry, turn).await, queued(tries));
        assert_eq!(bench.writes(), before);
    }
    bench.store.dead_letter(&entry, KEEP, "no way").await.unwrap();
    bench.permit("P").await;
    bench.enqueue("B").await;
    let entry = bench.take(IDLE).await.remove(0);
    assert_eq!(bench.dequeue(&entry, "W").await, queued(1));
}

#[tokio::test]
async fn a_try_may_say_when_the_next_one_is_to_be_whoever_makes_it() {
    let bench = Bench::new();
    bench.enqueue("A").await;
    let entry = bench.take(IDLE).await.remove(0);
    let later = async || bench.store.draft(&entry).await.unwrap().unwrap().later;
    assert_eq!(later().await, Duration::ZERO);
    bench.dequeue_for(&entry, "T", KEEP).await;
    let left = later().await;
    assert!(left > KEEP - Duration::from_secs(60) && left <= KEEP, "{left:?}");
    // A claim that is given back leaves it as it is; a try without a word on it ends it.
    bench.ask("W").from(&[Queued]).claim().await;
    bench.abandon("W").await;
    assert!(later().await > Duration::ZERO);
    bench.dequeue(&entry, "U").await;
    assert_eq!(later().await, Duration::ZERO);
    bench.dequeue_for(&entry, "V", KEEP).await;
    bench.store.dead_letter(&entry, KEEP, "no way").await.unwrap();
    bench.permit("P").await;
    assert_eq!(later().await, Duration::ZERO, "it begins anew");
}

#[tokio::test]
async fn an_entry_that_was_put_back_is_anybodys_at_once_and_one_that_was_taken_over_is_not() {
    let bench = Bench::new();
    let other = super::bench::store(&bench.redis, |config| config.by = "replica-2".into());
    let other_takes = async || other.take(bench.order.partition, 7, IDLE).await.unwrap();
    bench.enqueue("A").await;
    let entry = bench.take(IDLE).await.remove(0);
    assert_eq!(other_takes().await, []);
    let told = bench.redis.calls("publish");
    assert_eq!(bench.store.put_back(&entry, true).await.unwrap(), PutBack::Back);
    assert_eq!(bench.redis.calls("publish"), told + 1);
    assert_eq!(other_takes().await, std::slice::from_ref(&entry));
    assert_eq!(other.put_back(&entry, false).await.unwrap(), PutBack::Back);
    assert_eq!(bench.redis.calls("publish"), told + 1);
    assert_eq!(other_takes().await, std::slice::from_ref(&entry));
    // It is the other's now.
    let before = bench.writes();
    assert_eq!(bench.store.put_back(&entry, true).await.unwrap(), PutBack::Moved);
    assert_eq!(bench.writes(), before);
    assert_eq!(bench.take(IDLE).await, []);
}

#[tokio::test]
async fn an_entry_that_bears_an_old_name_again_is_not_removed_for_the_old_one() {
    let bench = Bench::new();
    bench.enqueue("A").await;
    let entry = bench.take(IDLE).await.remove(0);
    bench.ask("W").from(&[Queued]).claim().await;
    bench.settle("W", 1, Succeeded).await;
    let queue = bench.queue();
    bench.redis.command(&["DEL", &queue]);
    bench.redis.command(&["XADD", &queue, &entry.name, "id", "another"]);
    bench.dequeue(&entry, "T").await;
    assert_eq!(bench.redis.command(&["XLEN", &queue]), "1");
}

#[tokio::test]
async fn a_dead_letter_makes_its_order_unknown_and_says_why() {
    let bench = Bench::new();
    bench.enqueue("A").await;
    let entry = bench.take(IDLE).await.remove(0);
    assert_eq!(bench.store.dead_letter(&entry, KEEP, "no way").await.unwrap(), DeadLetter::Dead);
    let record = bench.look().await;
    assert_eq!((record.state, record.history.last().unwrap().why.as_str()), (Unknown, "no way"));
    bench.assert_kept(&bench.record(), KEEP);
    assert_eq!(bench.indexed(&bench.unknown()), [&*bench.order.id]);
    let dead = bench.store.names().dead(entry.partition);
    assert_eq!(bench.redis.command(&["XLEN", &dead]), "1");
    let before = bench.writes();
    let again = bench.store.dead_letter(&entry, KEEP, "no way").await.unwrap();
    assert_eq!((again, bench.writes()), (DeadLetter::Moved(Unknown), before));
    // An order in flight is nobody's to bury.
    let bench = Bench::new();
    bench.enqueue("A").await;
    let entry = bench.take(IDLE).await.remove(0);
    bench.ask("W").from(&[Queued]).claim().await;
    let moved = bench.store.dead_letter(&entry, KEEP, "no").await.unwrap();
    assert_eq!(moved, DeadLetter::Moved(InFlight));
}

#[tokio::test]
async fn what_is_queued_cannot_be_read_in_redis_and_is_sealed_to_its_order() {
    let mut bench = Bench::new();
    let secret = Secrets::parse("a secret of 16 b").unwrap();
    bench.store =
        Arc::new(super::bench::store(&bench.redis, |config| config.secrets = Arc::new(secret)));
    bench.enqueue("A").await;
    let written = bench.redis.command(&["GET", &bench.store.names().request(&bench.order)]);
    assert!(!written.contains("/pay"), "{written}");
    let entry = bench.take(IDLE).await.remove(0);
    let draft = bench.store.draft(&entry).await.unwrap().unwrap();
    let (head, body) = draft.request.unwrap();
    assert_eq!((head.uri.path(), &*body), ("/pay", &b"{}"[..]));
    assert_eq!((draft.fingerprint.as_str(), draft.caller.as_str()), (PAYLOAD, CALLER));
}

#[tokio::test]
async fn an_order_that_is_final_is_found_with_its_response() {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle_with("A", 1, Succeeded, &answer(200, b"paid")).await;
    let Enqueue::Found(found) = bench.enqueue("B").await else { panic!("not found") };
    assert_eq!((found.state, found.kept), (Succeeded, answer(200, b"paid")));
    assert_eq!(bench.look().await.state, Succeeded);
}
