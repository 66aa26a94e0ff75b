//! An order of unknown outcome that was allowed to run again, until it does.

use super::bench::{Bench, CALLER, FINAL, IDLE, KEEP, PAYLOAD, answer, found, granted, spent};
use onceward::model::order::State::{Failed, None, Queued, Succeeded, Unknown};
use onceward::store::conclude::Conclude;
use onceward::store::orders::{Abandon, Claim, Settle};
use onceward::store::queue::{Dequeue, Enqueue};
use onceward::store::resolve::{Release, Resolve};

/// One that was paid for on the spot.
async fn released() -> Bench {
    let bench = Bench::new();
    bench.claim("A").await;
    bench.settle_with("A", 1, Unknown, &answer(500, b"oops")).await;
    assert_eq!(bench.release("P", Some(1)).await, Release::Released);
    bench
}

/// One that was accepted into the buffer, and lost on its way.
async fn released_from_buffer() -> Bench {
    let bench = Bench::new();
    bench.enqueue("A").await;
    let entry = bench.take(IDLE).await.pop().unwrap();
    bench.ask("A").from(&[Queued]).claim().await;
    bench.settle("A", 1, Unknown).await;
    assert_eq!(bench.dequeue(&entry, "T").await, Dequeue::Removed(Unknown));
    assert_eq!(bench.release("P", Some(1)).await, Release::Released);
    bench
}

#[tokio::test]
async fn a_callback_that_says_how_it_ended_ends_it_and_it_does_not_run() {
    for to in [Succeeded, Failed] {
        for bench in [released().await, released_from_buffer().await] {
            assert_eq!(bench.conclude(to).await, Conclude::Concluded(Unknown));
            assert_eq!(bench.conclude(to).await, Conclude::Already);
            assert_eq!(found(bench.claim("B").await).0, to);
            assert_eq!(found(bench.ask("C").from(&[Queued]).claim().await).0, to);
            bench.assert_kept(&bench.record(), FINAL);
        }
    }
    // One that nobody has seen is nobody's to end, nor one of which nothing was sent.
    let bench = Bench::new();
    assert_eq!(bench.conclude(Succeeded).await, Conclude::Absent);
    bench.claim("A").await;
    bench.abandon("A").await;
    assert_eq!(bench.conclude(Succeeded).await, Conclude::Absent);
    bench.enqueue("A").await;
    assert_eq!(bench.conclude(Succeeded).await, Conclude::Refused(Queued));
}

#[tokio::test]
async fn somebodys_word_ends_it_and_so_does_its_own_attempts() {
    for to in [Succeeded, Failed] {
        for bench in [released().await, released_from_buffer().await] {
            assert_eq!(bench.resolve("R", Some(1), to).await, Resolve::Resolved);
            assert_eq!(found(bench.claim("B").await).0, to);
        }
        for bench in [released().await, released_from_buffer().await] {
            assert_eq!(bench.settle("A", 1, to).await, Settle::Settled);
            assert_eq!(found(bench.claim("B").await).0, to);
        }
    }
}

#[tokio::test]
async fn it_stays_bound_to_its_request_its_caller_and_its_tokens_when_a_claim_is_given_back() {
    let bench = Bench::new();
    let token = spent(&bench.token().await, 0);
    bench.ask("A").token(token.clone()).claim().await;
    bench.settle("A", 1, Unknown).await;
    bench.release("P", Some(1)).await;
    for (who, fence) in [("B", 2), ("C", 3)] {
        let other = bench.ask("M").payload("other").claim().await;
        assert_eq!(other, Claim::Mismatch(None));
        assert_eq!(bench.ask(who).token(token.clone()).claim().await, granted(fence, None));
        assert_eq!(bench.abandon_with(who, Some(&token)).await, Abandon::Abandoned(None));
        assert_eq!(bench.look().await.caller, CALLER);
    }
    // Nothing of it was sent since: what is told of it is still welcome.
    assert_eq!(bench.conclude(Succeeded).await, Conclude::Concluded(Unknown));
    let replay = bench.ask("D").token(token).claim().await;
    assert_eq!(found(replay).0, Succeeded);
}

#[tokio::test]
async fn it_is_as_bound_where_the_next_one_is_to_be_queued() {
    let bench = released().await;
    let other = bench.enqueue_as("M", Option::None, "other", CALLER, &bench.order).await;
    assert_eq!(other, Enqueue::Mismatch(None));
    let same = bench.enqueue_as("B", Option::None, PAYLOAD, CALLER, &bench.order).await;
    assert!(matches!(same, Enqueue::Queued(_)), "{same:?}");
    assert_eq!(bench.conclude(Succeeded).await, Conclude::Concluded(Unknown));
}

#[tokio::test]
async fn what_was_accepted_is_queued_again_and_kept() {
    let bench = released_from_buffer().await;
    let request = bench.store.names().request(&bench.order);
    assert_eq!(bench.look().await.state, Queued);
    for name in [bench.record(), request] {
        assert_eq!(bench.ttl(&name), -1, "{name}");
    }
    // A copy of the same permission, and another.
    assert_eq!(bench.release("P", Some(1)).await, Release::Released);
    assert_eq!(bench.release("Q", Some(1)).await, Release::Again);
    let entries = bench.take(IDLE).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(bench.ask("B").from(&[Queued]).claim().await, granted(2, Queued));
    // Its tries are counted anew.
    bench.abandon("B").await;
    let open = Dequeue::Open { state: Queued, tries: 1 };
    assert_eq!(bench.dequeue(&entries[0], "U").await, open);
    assert_eq!(bench.ask("C").from(&[Queued]).claim().await, granted(3, Queued));
    assert_eq!(bench.settle("C", 3, Succeeded).await, Settle::Settled);
    assert_eq!(bench.dequeue(&entries[0], "V").await, Dequeue::Removed(Succeeded));
    assert!(bench.take(IDLE).await.is_empty() && !bench.has(&bench.queue()));
}

#[tokio::test]
async fn a_dead_letter_is_queued_again_by_an_operator_alone() {
    let bench = Bench::new();
    bench.enqueue("A").await;
    let entry = bench.take(IDLE).await.pop().unwrap();
    bench.store.dead_letter(&entry, KEEP, "declined ten times").await.unwrap();
    // Upstream's word alone would bring it back for ever.
    let before = bench.writes();
    assert_eq!(bench.release("T", Some(0)).await, Release::Dead);
    assert_eq!(bench.writes(), before);
    assert_eq!(bench.permit("P").await, Release::Released);
    assert_eq!((bench.look().await.state, bench.take(IDLE).await.len()), (Queued, 1));
    // From then on it is one that was accepted, like any other.
    bench.ask("B").from(&[Queued]).claim().await;
    bench.settle("B", 1, Unknown).await;
    assert_eq!(bench.release("U", Some(1)).await, Release::Released);
}

#[tokio::test]
async fn the_request_of_an_order_that_has_ended_is_not_kept() {
    for end in ["query", "callback"] {
        let bench = Bench::new();
        bench.enqueue("A").await;
        let entry = bench.take(IDLE).await.pop().unwrap();
        bench.ask("A").from(&[Queued]).claim().await;
        bench.settle("A", 1, Unknown).await;
        bench.dequeue(&entry, "T").await;
        let request = bench.store.names().request(&bench.order);
        assert!(bench.has(&request), "it may be queued again");
        match end {
            "query" => assert_eq!(bench.resolve("R", Some(1), Succeeded).await, Resolve::Resolved),
            _ => assert_eq!(bench.conclude(Succeeded).await, Conclude::Concluded(Unknown)),
        }
        assert!(!bench.has(&request), "{end}");
    }
}
