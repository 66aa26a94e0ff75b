//! The `lifecycles` of ROUTES, and the part a route has in one.

use super::fields::{Bad, Fields};
use super::read::Problem;
use super::routes::{is_name, place};
use super::units::positive;
use crate::model::lifecycle::Move;
use crate::route::Route;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

struct Lifecycle {
    start: String,
    moves: Vec<(String, String)>,
    ttl: Option<Duration>,
}

/// All that are declared; one that was declared badly is known by name alone.
#[derive(Default)]
pub(super) struct Lifecycles(BTreeMap<String, Option<Lifecycle>>);

impl Lifecycles {
    /// Reads the declarations.
    pub(super) fn read(value: Option<Value>, problems: &mut Vec<Problem>) -> Lifecycles {
        let all = match value {
            None => return Lifecycles::default(),
            Some(Value::Object(all)) => all,
            Some(_) => {
                let at = "ONCEWARD_ROUTES.lifecycles".into();
                problems.push(Problem { at, what: "expected an object of lifecycles".into() });
                return Lifecycles::default();
            }
        };
        let read = all.into_iter().map(|(name, value)| {
            let before = problems.len();
            let mut bad = |field: &str, what: String| {
                problems.push(Problem { at: declared_at(&name, field), what });
            };
            let lifecycle = declared(&name, value, &mut bad);
            let good = problems.len() == before;
            (name, lifecycle.filter(|_| good))
        });
        Lifecycles(read.collect())
    }

    /// The part a route has in one of them, its `lifecycle`; how long anything is kept is settled
    /// with the rest.
    pub(super) fn part(&self, value: Value, bad: Bad<'_>) -> Option<Arc<Move>> {
        let mut fields = Fields::read(value, "lifecycle", bad)?;
        let mut inner = |field: &str, what: String| bad(&format!("lifecycle.{field}"), what);
        let name = fields.need::<String>("name", &mut inner);
        let from = fields.need::<Vec<String>>("from", &mut inner);
        let to = fields.need::<String>("to", &mut inner);
        fields.end([], &mut inner);
        let (name, from, to) = (name?, from?, to?);
        if from.is_empty() {
            bad("lifecycle.from", "names no state: nothing could ever be done".into());
        }
        if let Some(state) = twice(&from) {
            bad("lifecycle.from", format!("{state:?} stands there twice"));
        }
        let Some(lifecycle) = self.0.get(&name) else {
            bad("lifecycle.name", format!("no lifecycle is called {name:?}"));
            return None;
        };
        let lifecycle = lifecycle.as_ref()?;
        for from in &from {
            if !lifecycle.moves.iter().any(|(a, b)| (a, b) == (from, &to)) {
                bad("lifecycle", format!("{from:?} to {to:?} is no move of {name:?}"));
            }
        }
        Some(Arc::new(Move {
            lifecycle: name.into(),
            start: lifecycle.start.as_str().into(),
            from: from.into_iter().map(Into::into).collect(),
            to: to.into(),
            keep: lifecycle.ttl.unwrap_or_default(),
            hold: Duration::ZERO,
        }))
    }

    /// Sees that the routes of each lifecycle find the same orders, and settles how long states are
    /// kept: longer than any order, so that a payment whose record is gone is not made again.
    pub(super) fn settle(
        &self,
        routes: &mut [Route],
        places: &BTreeMap<String, usize>,
        problems: &mut Vec<Problem>,
    ) {
        let hold = silence(routes);
        for (name, lifecycle) in &self.0 {
            let of_this = |route: &&mut Route| {
                route.step.as_ref().is_some_and(|step| *step.lifecycle == **name)
            };
            let users: Vec<&mut Route> = routes.iter_mut().filter(of_this).collect();
            let Some((first, others)) = users.split_first() else {
                continue;
            };
            for other in others {
                let what = if other.tuning.key != first.tuning.key {
                    format!(
                        "its key is read elsewhere than that of {:?}, in the same lifecycle",
                        &*first.name
                    )
                } else if other.tuning.scope != first.tuning.scope {
                    format!(
                        "its scope is another than that of {:?}, in the same lifecycle",
                        &*first.name
                    )
                } else {
                    continue;
                };
                let index = places.get(&*other.name).copied().unwrap_or_default();
                let at = format!("{}.lifecycle", place(index, &other.name));
                problems.push(Problem { at, what });
            }
            let kept = |route: &&mut Route| route.tuning.record_ttl.max(route.tuning.unknown_ttl);
            let least = users.iter().map(kept).max().unwrap_or_default();
            let ttl = lifecycle.as_ref().and_then(|lifecycle| lifecycle.ttl);
            if ttl.is_some_and(|ttl| ttl < least) {
                let least = humantime::format_duration(least);
                let what = format!("must be at least {least}, for which its routes keep orders");
                problems.push(Problem { at: declared_at(name, ".ttl"), what });
            }
            for route in users {
                if let Some(step) = &route.step {
                    let step = Move { keep: ttl.unwrap_or(least), hold, ..(**step).clone() };
                    route.step = Some(Arc::new(step));
                }
            }
        }
    }
}

fn declared_at(name: &str, field: &str) -> String {
    format!("ONCEWARD_ROUTES.lifecycles.{name}{field}")
}

fn declared(name: &str, value: Value, bad: Bad<'_>) -> Option<Lifecycle> {
    let expected = "expected 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'";
    if !is_name(name) {
        bad("", format!("a lifecycle's name: {expected}"));
    }
    let Value::Object(object) = value else {
        bad("", "expected an object with \"start\" and \"moves\"".into());
        return None;
    };
    let mut fields = Fields::of(object);
    let mut inner = |field: &str, what: String| bad(&format!(".{field}"), what);
    let start = fields.need::<String>("start", &mut inner);
    let moves = fields.need::<Vec<(String, String)>>("moves", &mut inner);
    let ttl = fields.take::<String>("ttl", &mut inner);
    fields.end([], &mut inner);
    let ttl = ttl.and_then(|ttl| positive(&ttl).map_err(|what| bad(".ttl", what)).ok());
    let (start, moves) = (start?, moves?);
    let states: BTreeSet<&String> = moves.iter().flat_map(|(from, to)| [from, to]).collect();
    for state in &states {
        if !is_name(state) {
            bad(".moves", format!("{state:?} is no state: {expected}"));
        }
    }
    if !states.contains(&start) {
        bad(".start", format!("no move begins or ends in {start:?}"));
    } else {
        let never: Vec<_> =
            unreachable(&start, &moves).iter().map(|state| format!("{state:?}")).collect();
        if !never.is_empty() {
            bad(".moves", format!("no move leads from {start:?} to {}", never.join(", ")));
        }
    }
    if let Some((from, to)) = twice(&moves) {
        bad(".moves", format!("{from:?} to {to:?} stands there twice"));
    }
    Some(Lifecycle { start, moves, ttl })
}

/// States that nobody can ever get to.
fn unreachable<'a>(start: &'a String, moves: &'a [(String, String)]) -> Vec<&'a String> {
    let mut seen = BTreeSet::from([start]);
    // Each round that finds anything finds one state more.
    for _ in moves {
        for (from, to) in moves {
            if seen.contains(from) {
                seen.insert(to);
            }
        }
    }
    let states: BTreeSet<_> = moves.iter().flat_map(|(from, to)| [from, to]).collect();
    states.difference(&seen).copied().collect()
}

/// The first that stands in a list twice.
fn twice<T: Ord>(list: &[T]) -> Option<&T> {
    let mut seen = BTreeSet::new();
    list.iter().find(|item| !seen.insert(*item))
}

/// How long an order may live without anything being heard of it: claimed, it is kept for
/// UNKNOWN_TTL; found without a lease at the end of that, for as long again.
fn silence(routes: &[Route]) -> Duration {
    let longest = |of: fn(&Route) -> Duration| routes.iter().map(of).max().unwrap_or_default();
    let kept = longest(|route| route.tuning.unknown_ttl).saturating_mul(2);
    let running = longest(|route| route.tuning.upstream_timeout);
    let leased = longest(|route| route.tuning.lock_ttl).saturating_mul(2);
    kept.saturating_add(running).saturating_add(leased)
}
