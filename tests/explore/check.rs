//! What is promised (contract, sections 3 and 9), held against a run: after each step, and at its
//! end.

use super::actor::Actor;
use super::redis::Seen;
use super::run::Run;
use onceward::model::order::State;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// Its name: the contract's, where it has one.
    pub guarantee: &'static str,
    pub what: String,
}

fn found(run: &mut Run<'_>, guarantee: &'static str, what: String) {
    let finding = Finding { guarantee, what };
    if !run.findings.contains(&finding) {
        run.trail.push(format!("!!! {guarantee}: {}", finding.what));
        run.findings.push(finding);
    }
}

/// A script's argument, as its header counts them from 0, out of a call's words.
pub fn argument(words: &[String], nth: usize) -> &str {
    let keys: usize = words[2].parse().expect("a number of keys");
    &words[3 + keys + nth]
}

/// A payment arrived.
pub fn sent(run: &mut Run<'_>, at: usize, fence: Option<u64>) {
    let actor = &run.actors[at];
    let granted = fence.is_some_and(|fence| actor.granted.contains(&fence));
    let (name, from) = (actor.name.clone(), fence.and_then(|fence| run.granted_from.get(&fence)));
    let from = from.cloned().unwrap_or_default();
    if !granted {
        found(
            run,
            "intent-first",
            format!("{name} sent without having been granted fence {fence:?}"),
        );
    }
    let may_rerun = from == "unknown" && run.play.retry;
    if from == "cancelled" {
        found(run, "tombstone-holds", format!("{name} sent an order that was cancelled before"));
    } else if !["", "none", "queued"].contains(&from.as_str()) && !may_rerun {
        found(run, "no-silent-rerun", format!("{name} sent an order that was {from}"));
    }
    let (charges, allowed) = (run.bank.charges.len(), 1 + run.permitted.len());
    if charges > allowed {
        found(run, "one-effect", format!("{charges} charges where {allowed} may be"));
    }
}

/// A notification arrived; whether another copy is on its way.
pub fn notified(run: &mut Run<'_>, another: bool) {
    if run.acknowledgement_stored {
        found(run, "callback-once", "forwarded after its acknowledgement was stored".into());
    }
    if another {
        found(run, "callback-once", "two copies on their way at once".into());
    }
}

/// The channel came once more, undisturbed: it must hear the acknowledgement.
pub fn acknowledged(run: &mut Run<'_>) {
    let told = run.actors.last().and_then(Actor::told).cloned();
    let success = Some((200, "success".to_owned()));
    if told.as_ref().is_none_or(|told| told.response != success) {
        found(run, "callback-once", format!("no acknowledgement in the end: {told:?}"));
    }
}

/// One thing happened, and Redis is seen before and after it.
pub fn step(run: &mut Run<'_>, before: &Seen) {
    let now = run.seen.clone();
    let (was, is) = (before.state(), now.state());
    if was.is_final() && is != was {
        found(run, "section 3", format!("a final state changed: {was} became {is}"));
    }
    if was.is_final() && before.response().is_some() && now.response() != before.response() {
        found(run, "same-answer", "the stored response of a final order changed".into());
    }
    if now.fence() < before.fence() {
        let what = format!("it fell from {} to {}", before.fence(), now.fence());
        found(run, "fenced-writes", what);
    }
    if run.permitted.is_empty() && run.bank.net() > 0 && is == State::None {
        found(run, "nothing-lost", "charged, and Redis knows nothing of it".into());
    }
    let paid = before.field("told") == "succeeded" || !before.field("paid").is_empty();
    if was == State::Cancelling && is == State::Cancelled && paid && !run.bank.cancelled {
        let what = "known to be paid, and cancelled though nobody paid it back";
        found(run, "section 3", what.into());
    }
    let firm = run.bank.said_firm || run.bank.forgets;
    if was == State::Cancelling && is == State::Succeeded && !firm {
        let what = "a cancel that was accepted was not carried out, and could have been";
        found(run, "section 3", what.into());
    }
    let Some((script, words, reply)) = run.last.take() else {
        return;
    };
    let other = before.field("attempt") != now.field("attempt");
    if (script, reply[0].as_str()) == ("claim", "granted") && other && now.fence() <= before.fence()
    {
        found(run, "fenced-writes", format!("a second attempt under fence {}", now.fence()));
    }
    if (script, reply[0].as_str()) == ("abandon", "abandoned")
        && before.field("attempt") != argument(&words, 1)
    {
        found(run, "fenced-writes", "a claim was given back by who did not hold it".into());
    }
    let wrote = match (script, reply[0].as_str()) {
        // Among the words of what it was told.
        ("settle", "settled" | "kept") => argument(&words, 5).split(' ').nth(1),
        ("renew", "renewed" | "regained") => Some(argument(&words, 1)),
        ("resolve", "resolved") => Some(argument(&words, 2)),
        // A copy of a release that was done before says so, and writes nothing.
        ("release", "released") if now != *before => Some(argument(&words, 2)),
        _ => None,
    };
    // Empty: whichever fence stands.
    let wrote = wrote.filter(|fence| !fence.is_empty());
    let wrote = wrote.map(|fence| fence.parse::<u64>().expect("a fence"));
    if let Some(fence) = wrote.filter(|fence| *fence < now.fence()) {
        let what = format!("{script} wrote under {fence} when {} stood", now.fence());
        found(run, "fenced-writes", what);
    }
}

/// Nothing more will happen.
pub fn end(run: &mut Run<'_>) {
    let state = run.seen.state();
    if !state.is_final() {
        found(run, "resolved-in-time", format!("it is {state} for ever"));
    }
    let net = run.bank.net();
    let lies = match state {
        State::Succeeded => net == 0,
        // What nobody but the payment service knew, and it did not say.
        State::Cancelled if run.bank.forgets => false,
        State::Cancelled | State::Failed => net > 0,
        _ => false,
    };
    if lies && run.counts.alarms() == 0 {
        found(run, "section 3", format!("{state}, {net} charges stand, and no alarm"));
    }
    // The first caller gets upstream's own answer; it is the duplicates' answer as well if it was
    // stored, and is not where somebody else had ended the order before.
    let stored = |actor: &Actor| actor.heard.iter().any(|heard| heard == "settle settled");
    let told = run.actors.iter().filter_map(|actor| Some((actor, actor.told()?)));
    let told = told.filter(|(actor, told)| told.how != "first" || stored(actor));
    let told: Vec<_> = told.map(|(actor, told)| (actor.name.clone(), told.clone())).collect();
    let finals = told.iter().filter(|(_, told)| told.state.is_some_and(State::is_final));
    let finals: Vec<_> = finals.collect();
    for (name, told) in &finals {
        if told.state != Some(state) {
            found(
                run,
                "same-answer",
                format!("{name} was told {:?}, and it is {state}", told.state),
            );
        }
    }
    let mut responses = finals.iter().filter(|(_, told)| told.response.is_some());
    if let Some((first, one)) = responses.next() {
        for (name, other) in responses {
            if one.response != other.response {
                let what =
                    format!("{first} got {:?}, {name} got {:?}", one.response, other.response);
                found(run, "same-answer", what);
            }
        }
    }
}
