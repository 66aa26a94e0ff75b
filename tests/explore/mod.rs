//! Every interleaving, on the real thing: two payers, a canceller, a resolver, a channel's callback,
//! up to three at a time, each with a sidecar of its own (the real guard, store and resolver) before
//! the real scripts in a real Redis; one command or one request a step, whoever's step comes next,
//! and accidents at any of them.
//!
//! An actor's connections end at its [`gate`], where the [`search`] lets one pass at a time. Clocks
//! stand still ([`sidecar`]), so nothing depends on how fast this machine is. What is promised is
//! held against each step and each end ([`check`]); `broken` shows that this finds mistakes.
//!
//! Not among what may happen: tokens, the buffer, other requests under the same key, a Redis that
//! loses more than a lease or refuses, and more accidents in one run than its play allows.

mod actor;
mod bank;
mod broken;
mod check;
mod choices;
mod ending;
mod gate;
mod place;
mod play;
mod redis;
mod run;
mod search;
mod sidecar;
mod wire;

use actor::Part::{self, *};
use play::{Accidents, Play};
use search::{Merging, Searched, search};

/// Any accident, so many in one run.
const fn any(all: u8) -> Accidents {
    Accidents { crash: all, lost: all, late: all, lease: all, decline: all, all }
}

/// A play as most of them are.
fn play(cast: &[Part], accidents: Accidents) -> Play {
    let cast = cast.to_vec();
    let (firm, forgets) = (false, false);
    Play { cast, accidents, firm, forgets, retry: false, overdue: false, believes: false }
}

/// `make explore` goes further than `make test`.
fn is_long() -> bool {
    std::env::var_os("ONCEWARD_TEST_EXPLORE").is_some()
}

/// Goes through all of a play, with so many accidents, or so many in the long run; no promise is
/// broken.
fn holds(cast: &[Part], (usual, long): (u8, u8), changes: impl Fn(&mut Play)) -> Searched {
    let accidents = any(if is_long() { long } else { usual });
    let mut play = play(cast, accidents);
    changes(&mut play);
    match search(&play, &[], Merging::On) {
        Ok(searched) => {
            println!("{cast:?}, {} accidents at the most: {searched}", accidents.all);
            searched
        }
        Err(found) => panic!("{play:?}\n{:?}\n{}", found.findings, found.story),
    }
}

#[test]
fn two_payers() {
    let searched = holds(&[Payer, Payer], (2, 3), |_| {});
    // Fewer, and less is gone through than there is.
    assert!(searched.schedules > 1000, "{searched}");
    holds(&[Payer, Payer], (1, 3), |play| play.retry = true);
}

#[test]
fn three_payers() {
    holds(&[Payer, Payer, Payer], (1, 2), |_| {});
}

#[test]
fn a_payer_and_a_canceller() {
    holds(&[Payer, Canceller], (2, 3), |_| {});
}

#[test]
fn two_payers_and_a_canceller() {
    holds(&[Payer, Payer, Canceller], (1, 2), |_| {});
}

#[test]
fn a_payer_and_a_resolver() {
    holds(&[Payer, Resolver], (2, 3), |_| {});
    holds(&[Payer, Resolver], (1, 3), |play| play.overdue = true);
}

#[test]
fn two_payers_and_a_resolver() {
    holds(&[Payer, Payer, Resolver], (1, 2), |_| {});
}

#[test]
fn a_payer_and_two_resolvers() {
    holds(&[Payer, Resolver, Resolver], (1, 2), |_| {});
}

#[test]
fn a_payer_a_canceller_and_a_resolver() {
    holds(&[Payer, Canceller, Resolver], (1, 2), |_| {});
}

#[test]
fn a_payer_a_canceller_and_a_resolver_where_nothing_is_paid_back() {
    holds(&[Payer, Canceller, Resolver], (1, 2), |play| play.firm = true);
}

#[test]
fn a_payer_a_canceller_and_who_knows_it_was_paid_where_a_cancel_finds_nothing() {
    holds(&[Payer, Canceller, Resolver], (1, 2), |play| play.forgets = true);
    holds(&[Payer, Canceller, Callback], (1, 2), |play| play.forgets = true);
}

#[test]
fn a_payer_and_a_callback() {
    holds(&[Payer, Callback], (2, 3), |_| {});
}

#[test]
fn two_payers_and_a_callback() {
    holds(&[Payer, Payer, Callback], (1, 2), |_| {});
}

#[test]
fn a_payer_and_two_callbacks() {
    holds(&[Payer, Callback, Callback], (1, 2), |_| {});
}

#[test]
fn a_payer_a_callback_and_a_resolver() {
    holds(&[Payer, Callback, Resolver], (1, 2), |_| {});
}

#[test]
fn a_payer_a_canceller_and_a_callback() {
    holds(&[Payer, Canceller, Callback], (1, 2), |_| {});
}

/// What is gone through once stands for what could be gone through again and again.
#[test]
fn as_many_schedules_as_one_by_one() {
    for cast in [&[Payer, Payer][..], &[Payer, Canceller], &[Payer, Resolver]] {
        let play = play(cast, any(1));
        let merged = search(&play, &[], Merging::On).ok().expect("no promise is broken");
        let each = search(&play, &[], Merging::Off).ok().expect("no promise is broken");
        assert_eq!(merged.schedules, each.schedules, "{cast:?}");
        assert_eq!(each.schedules, u128::from(each.runs), "{cast:?}");
        assert!(merged.runs < each.runs, "{merged} {each}");
    }
}
