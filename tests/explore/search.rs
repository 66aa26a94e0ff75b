//! Every schedule of a play, depth first: a run goes through a prefix of choices again and then on
//! to where nobody has been.
//!
//! Where two schedules lead to the very same place (in Redis, in the payment service's books, in
//! what each actor heard, in the accidents that are left), what follows is the same as well and is
//! gone through once; how many schedules that stands for is counted. A test compares that count
//! with going through all of them one by one.

use super::actor::config;
use super::check::Finding;
use super::play::{Choice, Play};
use super::redis::{Patch, Redis};
use super::run::{Run, Stage, keys};
use super::sidecar::Sidecar;
use std::collections::HashMap;
use std::fmt;

/// What a search came to.
#[derive(Debug, Default)]
pub struct Searched {
    /// Runs from the beginning.
    pub runs: u64,
    /// Steps taken in them.
    pub steps: u64,
    /// Places they led to.
    pub places: usize,
    /// Whole schedules that these stand for.
    pub schedules: u128,
}

impl fmt::Display for Searched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Searched { runs, steps, places, schedules } = self;
        write!(f, "{schedules} schedules by {runs} runs of {steps} steps to {places} places")
    }
}

/// A schedule that breaks a promise.
pub struct Counterexample {
    pub findings: Vec<Finding>,
    pub story: String,
    /// Runs until it was found.
    pub runs: u64,
}

/// A place on the way, what may happen there, and what was tried.
struct Place {
    digest: [u8; 32],
    choices: Vec<Choice>,
    tried: usize,
    schedules: u128,
}

/// Whether schedules that lead to the same place are gone on with once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Merging {
    On,
    Off,
}

/// Goes through all of a play, or up to the first schedule that breaks a promise.
pub fn search(
    play: &Play,
    patches: &[Patch],
    merging: Merging,
) -> Result<Searched, Counterexample> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut redis = Redis::start(patches);
    let config = config(play.retry);
    let mut idle = vec![Sidecar::start(folder.path())];
    let keys = keys(&idle[0]);
    let mut searched = Searched::default();
    // Nothing while it is on the way itself: who asks again and again gets nowhere new by it.
    let mut known: HashMap<[u8; 32], Option<u128>> = HashMap::new();
    let mut way: Vec<Place> = Vec::new();
    loop {
        let stage = Stage {
            redis: &mut redis,
            keys: &keys,
            config: &config,
            folder: folder.path(),
            idle: &mut idle,
        };
        let mut run = Run::start(stage, play);
        searched.runs += 1;
        let again = way.len().saturating_sub(1);
        for place in &way[..again] {
            run.apply(place.choices[place.tried]);
            searched.steps += 1;
        }
        if let Some(last) = way.last() {
            run.look(false);
            run.last = None;
            run.apply(last.choices[last.tried]);
            searched.steps += 1;
        }
        let schedules = loop {
            run.look(true);
            let digest = run.digest();
            if merging == Merging::On
                && let Some(known) = known.get(&digest)
            {
                break known.unwrap_or(0);
            }
            let choices = run.choices();
            if choices.is_empty() || !run.findings.is_empty() {
                finish(&mut run, &choices);
                if !run.findings.is_empty() {
                    let story = run.story();
                    let findings = std::mem::take(&mut run.findings);
                    return Err(Counterexample { findings, story, runs: searched.runs });
                }
                known.insert(digest, Some(1));
                break 1;
            }
            known.insert(digest, None);
            let choice = choices[0];
            way.push(Place { digest, choices, tried: 0, schedules: 0 });
            run.apply(choice);
            searched.steps += 1;
        };
        if let Some(last) = way.last_mut() {
            last.schedules += schedules;
        } else {
            searched.schedules = schedules;
        }
        while let Some(last) = way.last_mut() {
            last.tried += 1;
            if last.tried < last.choices.len() {
                break;
            }
            let Place { digest, schedules, .. } = way.pop().expect("a place");
            known.insert(digest, Some(schedules));
            match way.last_mut() {
                Some(before) => before.schedules += schedules,
                None => searched.schedules = schedules,
            }
        }
        if way.is_empty() {
            searched.places = known.len();
            return Ok(searched);
        }
    }
}

/// Ends a run: everybody who still can goes on undisturbed, then time passes.
fn finish(run: &mut Run<'_>, choices: &[Choice]) {
    let mut choices = choices.to_vec();
    while !run.is_over() {
        run.apply(choices[0]);
        run.look(true);
        choices = run.choices();
    }
    run.finish();
}
