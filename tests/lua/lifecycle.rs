//! The lifecycle that orders of one number share: which of them may begin, and what its end does.

use super::bench::{Ask, Bench, CALLER, SILENT, STATE, answer, found, granted, order, spent, step};
use onceward::model::identity::Order;
use onceward::model::key::Key;
use onceward::model::lifecycle::Standing;
use onceward::model::order::State::{
    Cancelled, Failed, InFlight, None, Queued, Succeeded, Unknown,
};
use onceward::store::cancel::Cancel;
use onceward::store::conclude::Conclude;
use onceward::store::orders::{Abandon, Claim, Settle};
use onceward::store::queue::{DeadLetter, Enqueue};
use onceward::store::resolve::{Release, Resolve, Word};
use std::time::Duration;

/// A bench and the orders of one number on three routes: `pay` opens what `ship` and `close` go on
/// with.
struct Orders {
    bench: Bench,
    pay: Order,
    ship: Order,
    close: Order,
}

impl Orders {
    fn new() -> Orders {
        let on = |route: &str, from: &[&str], to: &str| {
            let key = Key::from_text("2024-0001").unwrap();
            Order::new(route.into(), "tenant", key).moving(&step(from, to))
        };
        let mut bench = Bench::new();
        let pay = on("pay", &["open"], "paid");
        bench.order = pay.clone();
        let (ship, close) = (on("ship", &["paid"], "shipped"), on("close", &["open"], "closed"));
        Orders { bench, pay, ship, close }
    }

    fn claim(&self, order: &Order, who: &str) -> Ask<'_> {
        self.bench.ask(who).order(order.clone())
    }

    /// Whatever the bench does from now on, it does to this order.
    fn turn_to(&mut self, order: &Order) {
        self.bench.order = order.clone();
    }

    /// Where the lifecycle stands, and whether somebody moves it.
    fn stands(&self) -> (String, bool) {
        let field = |name| self.bench.redis.command(&["HGET", &self.bench.lifecycle(), name]);
        (field("state"), !field("mover").is_empty())
    }

    fn assert_stands(&self, state: &str, moving: bool) {
        assert_eq!(self.stands(), (state.to_owned(), moving));
    }
}

fn illegal(state: &str) -> Claim {
    Claim::Illegal(None, state.to_owned())
}

#[tokio::test]
async fn a_success_moves_the_lifecycle_with_its_order_and_only_then_may_the_next_begin() {
    let mut all = Orders::new();
    assert_eq!(all.claim(&all.ship, "S").claim().await, illegal("open"));
    assert_eq!(all.bench.claim("P").await, granted(1, None));
    all.assert_stands("open", true);
    let name = all.bench.lifecycle();
    all.bench.assert_kept(&name, STATE + SILENT);
    assert_eq!(all.bench.settle("P", 1, Succeeded).await, Settle::Settled);
    all.assert_stands("paid", false);
    all.bench.assert_kept(&name, STATE);
    assert_eq!(all.claim(&all.close, "C").claim().await, illegal("paid"));
    assert_eq!(all.claim(&all.ship, "S").claim().await, granted(1, None));
    all.turn_to(&all.ship.clone());
    all.bench.settle("S", 1, Succeeded).await;
    all.assert_stands("shipped", false);
    // A duplicate of a finished move is a replay, wherever the lifecycle stands.
    assert_eq!(found(all.claim(&all.pay, "P2").claim().await).0, Succeeded);
    assert_eq!(found(all.bench.claim("S2").await), (Succeeded, answer(200, b"paid")));
}

#[tokio::test]
async fn while_one_order_moves_another_is_told_so_and_nothing_is_written() {
    let all = Orders::new();
    let name = all.bench.lifecycle();
    all.bench.claim("P").await;
    for _ in 0..2 {
        let before = all.bench.writes();
        assert_eq!(all.claim(&all.close, "C").claim().await, Claim::Moving(None));
        assert_eq!(all.bench.writes(), before);
    }
    // A duplicate of the one that moves waits as ever; the same attempt is told the same.
    assert_eq!(found(all.bench.claim("P2").await).0, InFlight);
    assert_eq!(all.bench.claim("P").await, granted(1, None));
    // The mover's name is its order's.
    assert_eq!(all.bench.redis.command(&["HGET", &name, "mover"]), *all.pay.id);
}

#[tokio::test]
async fn a_move_that_fails_or_was_never_sent_frees_the_lifecycle_where_it_stood() {
    let all = Orders::new();
    all.bench.claim("P").await;
    assert_eq!(all.bench.abandon("P").await, Abandon::Abandoned(None));
    all.assert_stands("open", false);
    assert_eq!(all.bench.claim("Q").await, granted(2, None));
    all.bench.settle("Q", 2, Failed).await;
    all.assert_stands("open", false);
    assert_eq!(all.claim(&all.close, "C").claim().await, granted(1, None));
    all.assert_stands("open", true);
}

#[tokio::test]
async fn an_unknown_move_keeps_the_lifecycle_until_somebody_knows() {
    for (to, state) in [(Succeeded, "paid"), (Failed, "open")] {
        let all = Orders::new();
        all.bench.claim("P").await;
        all.bench.lose_lease();
        all.bench.lapse(Some(1)).await;
        assert_eq!(all.claim(&all.close, "C").claim().await, Claim::Moving(None));
        all.bench.settle("P", 1, Unknown).await;
        all.assert_stands("open", true);
        assert_eq!(all.bench.resolve("R", Some(1), to).await, Resolve::Resolved);
        all.assert_stands(state, false);
        assert_eq!(all.bench.resolve("R", Some(1), to).await, Resolve::Resolved);
    }
}

#[tokio::test]
async fn a_move_upstream_knows_nothing_of_frees_the_lifecycle() {
    let all = Orders::new();
    all.bench.claim("P").await;
    all.bench.settle("P", 1, Unknown).await;
    assert_eq!(all.bench.release("P", Some(1)).await, Release::Released);
    all.assert_stands("open", false);
}

#[tokio::test]
async fn a_callback_moves_the_lifecycle_and_the_attempt_that_ends_after_it_adds_its_response() {
    let all = Orders::new();
    all.bench.claim("P").await;
    assert_eq!(all.bench.conclude(Succeeded).await, Conclude::Concluded(InFlight));
    all.assert_stands("paid", false);
    assert_eq!(all.bench.settle("P", 1, Succeeded).await, Settle::Settled);
    all.assert_stands("paid", false);
}

#[tokio::test]
async fn a_move_being_cancelled_keeps_the_lifecycle_and_a_cancelled_one_frees_it() {
    let all = Orders::new();
    all.bench.claim("P").await;
    assert_eq!(all.bench.cancel(Some(CALLER), true).await, Cancel::Cancelling);
    all.assert_stands("open", true);
    assert_eq!(all.bench.settle("P", 1, Succeeded).await, Settle::Kept);
    all.assert_stands("open", true);
    let confirmed = all.bench.resolve_with("R", Some(1), Cancelled, Word::Keep);
    assert_eq!(confirmed.await, Resolve::Resolved);
    all.assert_stands("open", false);
    assert_eq!(all.claim(&all.close, "C").claim().await, granted(1, None));
}

#[tokio::test]
async fn one_that_cannot_be_cancelled_moves_the_lifecycle_after_all() {
    let all = Orders::new();
    all.bench.claim("P").await;
    all.bench.cancel(Some(CALLER), true).await;
    all.bench.settle("P", 1, Unknown).await;
    all.bench.resolve_with("R", Some(1), Succeeded, Word::IfTold).await;
    all.assert_stands("paid", false);
}

#[tokio::test]
async fn a_tombstone_is_no_move() {
    let all = Orders::new();
    assert_eq!(all.bench.cancel(Option::None, true).await, Cancel::Cancelled);
    assert!(!all.bench.has(&all.bench.lifecycle()));
    assert_eq!(all.claim(&all.close, "C").claim().await, granted(1, None));
}

#[tokio::test]
async fn a_released_order_that_is_unknown_after_all_moves_again() {
    let all = Orders::new();
    all.bench.claim("P").await;
    all.bench.lose_lease();
    all.bench.lapse(Some(1)).await;
    all.bench.release("P", Some(1)).await;
    all.assert_stands("open", false);
    assert_eq!(all.bench.settle("P", 1, Unknown).await, Settle::Settled);
    assert_eq!(all.claim(&all.close, "C").claim().await, Claim::Moving(None));
    // Not so once another order moved on.
    let all = overtaken().await;
    all.bench.settle("P", 1, Unknown).await;
    let closing = &all.close.id;
    assert_eq!(all.bench.redis.command(&["HGET", &all.bench.lifecycle(), "mover"]), **closing);
}

/// Paying was released, closing began: the payment's success is told after all.
async fn overtaken() -> Orders {
    let all = Orders::new();
    all.bench.claim("P").await;
    all.bench.settle("P", 1, Unknown).await;
    all.bench.release("P", Some(1)).await;
    assert_eq!(all.claim(&all.close, "C").claim().await, granted(1, None));
    all
}

#[tokio::test]
async fn a_success_that_comes_too_late_stays_true_and_moves_nothing() {
    let mut all = overtaken().await;
    for _ in 0..2 {
        let late = all.bench.settle("P", 1, Succeeded).await;
        assert_eq!(late, Settle::Astray("open".into()));
    }
    assert_eq!(found(all.bench.claim("Q").await), (Succeeded, answer(200, b"paid")));
    let last = all.bench.look().await.history.pop().unwrap();
    assert_eq!(last.why, "upstream said so; its lifecycle was not moved, it is open");
    all.assert_stands("open", true);
    all.turn_to(&all.close.clone());
    all.bench.settle("C", 1, Succeeded).await;
    all.assert_stands("closed", false);
}

#[tokio::test]
async fn a_late_success_moves_a_lifecycle_that_nobody_moved_meanwhile() {
    let all = Orders::new();
    all.bench.claim("P").await;
    all.bench.settle("P", 1, Unknown).await;
    all.bench.release("P", Some(1)).await;
    assert_eq!(all.bench.settle("P", 1, Succeeded).await, Settle::Settled);
    all.assert_stands("paid", false);
}

#[tokio::test]
async fn every_script_says_so_when_a_success_comes_too_late_and_says_it_again() {
    let all = Orders::new();
    all.bench.claim("P").await;
    all.bench.settle("P", 1, Unknown).await;
    all.bench.set_mover("another");
    for _ in 0..2 {
        let word = all.bench.resolve("R", Some(1), Succeeded).await;
        assert_eq!(word, Resolve::Astray("open".into()));
    }
    let all = Orders::new();
    all.bench.claim("P").await;
    all.bench.set_state("closed");
    all.bench.redis.command(&["HDEL", &all.bench.lifecycle(), "mover"]);
    for _ in 0..2 {
        assert_eq!(all.bench.conclude(Succeeded).await, Conclude::Astray("closed".into()));
    }
    for _ in 0..2 {
        let late = all.bench.settle("P", 1, Succeeded).await;
        assert_eq!(late, Settle::Astray("closed".into()));
    }
    assert_eq!(all.bench.look().await.state, Succeeded);
}

#[tokio::test]
async fn a_refused_move_spends_no_token() {
    let mut all = Orders::new();
    all.turn_to(&all.ship.clone());
    let token = all.bench.token().await;
    let ask = || all.bench.ask("S").token(spent(&token, 0));
    assert_eq!(ask().claim().await, illegal("open"));
    let queued = all.bench.enqueue_with("S", Some(&spent(&token, 0))).await;
    assert_eq!(queued, Enqueue::Illegal(None, "open".into()));
    all.bench.set_state("paid");
    all.bench.set_mover("another");
    assert_eq!(ask().claim().await, Claim::Moving(None));
    assert!(!all.bench.has(&all.bench.record()));
    all.bench.redis.command(&["HDEL", &all.bench.lifecycle(), "mover"]);
    assert_eq!(ask().claim().await, granted(1, None));
}

#[tokio::test]
async fn a_queued_order_moves_from_when_it_is_accepted() {
    let all = Orders::new();
    assert!(matches!(all.bench.enqueue("P").await, Enqueue::Queued(_)));
    all.assert_stands("open", true);
    assert_eq!(all.claim(&all.close, "C").claim().await, Claim::Moving(None));
    assert!(matches!(all.bench.enqueue("P2").await, Enqueue::Queued(_)));
    assert_eq!(all.bench.ask("W").from(&[Queued]).claim().await, granted(1, Queued));
    all.bench.abandon("W").await;
    all.assert_stands("open", true);
    assert_eq!(all.bench.ask("X").from(&[Queued]).claim().await, granted(2, Queued));
    all.bench.settle("X", 2, Succeeded).await;
    all.assert_stands("paid", false);
}

#[tokio::test]
async fn a_queued_order_that_is_cancelled_frees_the_lifecycle_and_a_dead_letter_does_not() {
    let all = Orders::new();
    all.bench.enqueue("P").await;
    let entry = all.bench.take(Duration::ZERO).await.remove(0);
    assert_eq!(all.bench.cancel(Some(CALLER), false).await, Cancel::Cancelled);
    all.assert_stands("open", false);
    all.bench.redis.command(&["FLUSHDB"]);
    all.bench.enqueue("P").await;
    let dead = all.bench.store.dead_letter(&entry, STATE, "no way out").await.unwrap();
    assert_eq!(dead, DeadLetter::Dead);
    all.assert_stands("open", true);
    all.bench.resolve("R", Option::None, Failed).await;
    all.assert_stands("open", false);
}

#[tokio::test]
async fn an_order_that_runs_again_is_still_the_one_that_moves() {
    let all = Orders::new();
    all.bench.claim("P").await;
    all.bench.settle("P", 1, Unknown).await;
    assert_eq!(all.bench.retry("Q").await, granted(2, Unknown));
    assert_eq!(all.bench.abandon("Q").await, Abandon::Abandoned(Unknown));
    all.assert_stands("open", true);
    all.bench.retry("R").await;
    all.bench.settle("R", 3, Succeeded).await;
    all.assert_stands("paid", false);
}

#[tokio::test]
async fn a_mover_that_was_silent_for_longer_than_its_record_lives_does_not_count() {
    let all = Orders::new();
    all.bench.claim("P").await;
    all.bench.redis.command(&["HSET", &all.bench.lifecycle(), "until", "1"]);
    assert_eq!(all.claim(&all.close, "C").claim().await, granted(1, None));
    assert_eq!(all.bench.settle("P", 1, Succeeded).await, Settle::Astray("open".into()));
}

#[tokio::test]
async fn a_move_whose_record_was_forgotten_ends_with_its_orders_tombstone() {
    let mut all = Orders::new();
    all.bench.claim("P").await;
    all.bench.settle("P", 1, Unknown).await;
    all.bench.lose_record();
    assert_eq!(all.claim(&all.close, "C").claim().await, Claim::Moving(None));
    // Another order's tombstone leaves it where it is.
    all.turn_to(&all.ship.clone());
    assert_eq!(all.bench.cancel(Some(CALLER), false).await, Cancel::Cancelled);
    all.assert_stands("open", true);
    all.turn_to(&all.pay.clone());
    for _ in 0..2 {
        assert_eq!(all.bench.cancel(Some(CALLER), false).await, Cancel::Cancelled);
        all.assert_stands("open", false);
    }
    assert_eq!(all.claim(&all.close, "C").claim().await, granted(1, None));
}

#[tokio::test]
async fn the_state_outlives_the_record_so_that_nothing_is_paid_for_twice() {
    let all = Orders::new();
    all.bench.claim("P").await;
    all.bench.settle("P", 1, Succeeded).await;
    all.bench.lose_record();
    assert_eq!(all.bench.claim("Q").await, illegal("paid"));
}

#[tokio::test]
async fn orders_of_another_number_scope_or_lifecycle_stand_apart() {
    let all = Orders::new();
    all.bench.claim("P").await;
    let other = order("2024-0002").moving(&step(&["open"], "paid"));
    assert_eq!(all.claim(&other, "A").claim().await, granted(1, None));
    let key = || Key::from_text("2024-0001").unwrap();
    let scoped = Order::new("close".into(), "other", key()).moving(&step(&["open"], "closed"));
    assert_eq!(all.claim(&scoped, "B").claim().await, granted(1, None));
    let mut goods = (*step(&["open"], "closed")).clone();
    goods.lifecycle = "invoice".into();
    let invoice = Order::new("close".into(), "tenant", key()).moving(&goods.into());
    assert_eq!(all.claim(&invoice, "C").claim().await, granted(1, None));
    let without = Order::new("other".into(), "tenant", key());
    assert_eq!(all.claim(&without, "D").claim().await, granted(1, None));
}

#[tokio::test]
async fn a_look_tells_where_the_lifecycle_stands() {
    let all = Orders::new();
    let standing =
        |state: &str, moving| Some(Standing { name: "goods".into(), state: state.into(), moving });
    all.bench.claim("P").await;
    assert_eq!(all.bench.look().await.lifecycle, standing("open", true));
    all.bench.settle("P", 1, Succeeded).await;
    assert_eq!(all.bench.look().await.lifecycle, standing("paid", false));
    all.bench.redis.command(&["DEL", &all.bench.lifecycle()]);
    assert_eq!(all.bench.look().await.lifecycle, standing("open", false));
}
