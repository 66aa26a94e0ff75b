//! Mistakes one could make in the scripts or the guard: the explorer finds each of them, and says
//! which promise it breaks.

use super::actor::Part::*;
use super::play;
use super::play::{Accidents, Play};
use super::redis::Patch;
use super::search::{Merging, search};

const NONE: Accidents = Accidents { crash: 0, lost: 0, late: 0, lease: 0, decline: 0, all: 0 };
const LEASE: Accidents = Accidents { lease: 1, all: 1, ..NONE };
const CRASH: Accidents = Accidents { crash: 1, all: 1, ..NONE };
const LOST: Accidents = Accidents { lost: 1, all: 1, ..NONE };
const DECLINE: Accidents = Accidents { decline: 1, all: 1, ..NONE };

/// One line of one script reads otherwise.
const fn patch(script: &'static str, from: &'static str, to: &'static str) -> Patch {
    Patch { script, from, to }
}

/// The search comes upon a schedule that breaks this promise.
fn finds(guarantee: &str, play: &Play, patches: &[Patch]) {
    let Err(found) = search(play, patches, Merging::On) else {
        panic!("it was not found: {patches:?}");
    };
    let named = found.findings.iter().any(|finding| finding.guarantee == guarantee);
    assert!(named, "{:?} is not {guarantee}\n{}", found.findings, found.story);
    println!("{guarantee}: found after {} runs\n{}\n", found.runs, found.story);
}

/// Where a claim tells whether the order's state lets it begin.
const MAY_BEGIN: &str = "if last == attempt or not holds(grant_from, state) then";

#[test]
fn a_lease_that_runs_out_lets_another_run_and_one_effect_breaks() {
    let patch = patch(
        "claim",
        MAY_BEGIN,
        "if state == 'in_flight' and redis.call('EXISTS', lease) == 0 then
           grant_from = grant_from .. ',in_flight'
         end
         if last == attempt or not holds(grant_from, state) then",
    );
    finds("one-effect", &play(&[Payer, Payer], LEASE), &[patch]);
}

#[test]
fn a_lost_lease_makes_it_none_instead_of_unknown_and_one_effect_breaks() {
    let patch = patch("lapse", "r.released = 'unknown',", "r.released = 'none',");
    finds("one-effect", &play(&[Payer, Payer], LEASE), &[patch]);
}

#[test]
fn an_unknown_order_runs_again_unasked_and_no_silent_rerun_breaks() {
    let patch = patch(
        "claim",
        MAY_BEGIN,
        "if state == 'unknown' then grant_from = 'unknown' end
         if last == attempt or not holds(grant_from, state) then",
    );
    let found = play(&[Payer, Payer], LOST);
    finds("no-silent-rerun", &found, &[patch]);
    finds("one-effect", &found, &[patch]);
}

#[test]
fn a_cut_answer_is_taken_for_not_sent_and_one_effect_breaks() {
    let patch = patch(
        "settle",
        "r.state, r.settled, r.updated, r.astray = to,",
        "r.state, r.settled, r.updated, r.astray = to == 'unknown' and 'none' or to,",
    );
    finds("one-effect", &play(&[Payer, Payer], LOST), &[patch]);
}

#[test]
fn a_claim_whose_answer_was_lost_is_acted_upon_and_intent_first_breaks() {
    let late = Accidents { late: 1, all: 1, ..NONE };
    let believing = Play { believes: true, ..play(&[Payer, Payer], late) };
    finds("intent-first", &believing, &[]);
    finds("one-effect", &believing, &[]);
}

#[test]
fn settling_without_the_fence_breaks_fenced_writes() {
    let patch =
        patch("settle", "if r.fence ~= fence or r.attempt ~= attempt then", "if false then");
    let retrying = Play { retry: true, ..play(&[Payer, Payer], LEASE) };
    finds("fenced-writes", &retrying, &[patch]);
}

#[test]
fn settling_without_looking_at_what_happened_meanwhile_breaks_fenced_writes() {
    let look = "and redis.pcall('GETRANGE', record, '0', ARGV[4]) == begun then";
    let patch = patch("settle", look, "then");
    let retrying = Play { retry: true, ..play(&[Payer, Payer], LEASE) };
    finds("fenced-writes", &retrying, &[patch]);
    finds("section 3", &play(&[Payer, Canceller], NONE), &[patch]);
}

#[test]
fn a_claim_that_takes_every_order_for_a_new_one_breaks_one_effect() {
    let patch = patch("claim", "if not raw and string.find", "if string.find");
    finds("one-effect", &play(&[Payer, Payer], NONE), &[patch]);
}

#[test]
fn giving_back_what_another_holds_breaks_fenced_writes() {
    let patch = patch(
        "abandon",
        "local state, mine, waited = r.state or 'none', r.attempt == attempt, r.waited",
        "local state, mine, waited = r.state or 'none', true, r.waited",
    );
    let both = Accidents { lease: 1, decline: 1, all: 2, ..NONE };
    finds("fenced-writes", &Play { retry: true, ..play(&[Payer, Payer], both) }, &[patch]);
}

#[test]
fn giving_back_the_record_with_the_claim_breaks_fenced_writes() {
    let patch = patch(
        "abandon",
        "write(record, r, keep_ms)
  if redis.call('HGET'",
        "redis.call('DEL', record)
  if redis.call('HGET'",
    );
    finds("fenced-writes", &play(&[Payer, Payer], DECLINE), &[patch]);
}

#[test]
fn a_fence_that_does_not_rise_breaks_fenced_writes() {
    let patch = patch(
        "claim",
        "fence, attempts = fence + 1, attempts + 1",
        "fence, attempts = math.max(fence, 1), attempts + 1",
    );
    finds("fenced-writes", &play(&[Payer, Payer], DECLINE), &[patch]);
}

#[test]
fn settling_whatever_state_it_is_in_breaks_same_answer() {
    let patch =
        patch("settle", "if not cancelling and not holds(from, state) then", "if false then");
    finds("same-answer", &play(&[Payer, Resolver], LEASE), &[patch]);
}

#[test]
fn a_claim_that_passes_over_tombstones_breaks_tombstone_holds() {
    let play = play(&[Payer, Canceller], NONE);
    finds("tombstone-holds", &play, &[passes_over_tombstones()]);
}

#[test]
fn a_tombstone_looked_for_before_the_claim_and_not_in_it_breaks_tombstone_holds() {
    let play = play(&[LookingPayer, Canceller], NONE);
    finds("tombstone-holds", &play, &[passes_over_tombstones()]);
}

fn passes_over_tombstones() -> Patch {
    patch(
        "claim",
        MAY_BEGIN,
        "if state == 'cancelled' then grant_from = 'cancelled' end
         if last == attempt or not holds(grant_from, state) then",
    )
}

#[test]
fn a_cancel_that_is_not_confirmed_upstream_breaks_section_3() {
    let at_once = [
        patch(
            "cancel",
            "local at_once = state == 'none' or state == 'queued'",
            "local at_once = true",
        ),
        patch("cancel", "if at_once and not holds(cancelled_from, state) then", "if false then"),
    ];
    finds("section 3", &play(&[Payer, Canceller], CRASH), &at_once);
}

/// The explorer found this one, and the next, in the product itself.
#[test]
fn a_late_query_ends_what_is_being_cancelled_and_section_3_breaks() {
    let from = "if not holds(from, met(r)) then";
    let patch = patch("resolve", from, "if not holds(from .. ',cancelling', r.state) then");
    finds("section 3", &play(&[Payer, Canceller, Resolver], LEASE), &[patch]);
}

#[test]
fn a_callback_ends_what_is_being_cancelled_and_section_3_breaks() {
    let patch = patch(
        "conclude",
        "if not holds(from, state) then",
        "if not holds(from .. ',cancelling', state) then",
    );
    finds("section 3", &play(&[Payer, Canceller, Callback], CRASH), &[patch]);
}

#[test]
fn a_cancel_that_finds_nothing_is_believed_of_what_was_paid_and_section_3_breaks() {
    let patch = patch("resolve", "if r.paid or r.told == 'succeeded' then", "if false then");
    let forgetting = Play { forgets: true, ..play(&[Payer, Canceller, Resolver], NONE) };
    finds("section 3", &forgetting, &[patch]);
    let forgetting = Play { forgets: true, ..play(&[Payer, Canceller, Callback], LOST) };
    finds("section 3", &forgetting, &[patch]);
}

#[test]
fn two_copies_of_a_callback_at_once_break_callback_once() {
    let patch = patch("accept_callback", "if holder and not again then", "if false then");
    finds("callback-once", &play(&[Payer, Callback, Callback], NONE), &[patch]);
}

#[test]
fn a_callback_that_was_acknowledged_is_forwarded_again_and_callback_once_breaks() {
    let patch = patch("accept_callback", "if r[5] then", "if false then");
    finds("callback-once", &play(&[Payer, Callback, Callback], NONE), &[patch]);
}
