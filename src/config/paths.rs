//! A route's path, and what of it a key may name.

use super::fields::Bad;
use super::read::{Problem, Values};
use super::vars;
use crate::model::path::{self, Pattern};
use crate::model::source::Source;
use crate::route::Routes;

/// Sees that the key of the one route there is without ROUTES can be found.
pub(super) fn check_default(routes: &Routes, values: &Values<'_>, problems: &mut Vec<Problem>) {
    let at = values.name_of(vars::var("KEY"));
    for route in &routes.0 {
        let never = route.tuning.key.iter().filter_map(|source| unnamed(&route.path, source));
        problems.extend(never.map(|what| Problem { at: at.clone(), what }));
    }
}

/// A route's path.
pub(super) fn pattern(text: &str, prefix: &str, bad: Bad<'_>) -> Option<Pattern> {
    let below = path::normal(text).and_then(|path| {
        path.strip_prefix(prefix).map(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    if below == Some(true) {
        bad("path", format!("below {prefix} (ONCEWARD_PREFIX) Onceward itself answers"));
    }
    Pattern::parse(text).map_err(|error| bad("path", error.to_string())).ok()
}

/// A key that only a `{name}` could bear which the path does not have is never found. One among
/// others that were given for all routes may be for another route.
pub(super) fn check_names(path: &Pattern, key: &[Source], values: &Values<'_>) -> Vec<Problem> {
    let var = vars::var("KEY");
    let never: Vec<_> = key.iter().filter_map(|source| unnamed(path, source)).collect();
    if !values.is_own(var) && never.len() < key.len() {
        return Vec::new();
    }
    let heir = match values.heir_of(var) {
        heir if heir.is_empty() => heir,
        heir => format!("; it is read{heir}"),
    };
    let problem = |what| Problem { at: values.name_of(var), what: format!("{what}{heir}") };
    never.into_iter().map(problem).collect()
}

/// What is wrong with a source that names a part of the path which it does not have.
pub(super) fn unnamed(path: &Pattern, source: &Source) -> Option<String> {
    match source {
        Source::Path(name) if !path.has(name) => {
            Some(format!("{source}: the path {path} has no {{{name}}}"))
        }
        _ => None,
    }
}
