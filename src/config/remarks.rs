//! What is to be said of routes that may be as they are: at a start, by `onceward check`, and when
//! they are read again.

use super::read::{Problem, Values};
use super::{callbacks, forgetting, memory, vars};
use crate::route::{Mode, OnUnknown, RedisDown, Route};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The remarks on the routes that were read so far.
#[derive(Default)]
pub(super) struct Remarks {
    all: Vec<Problem>,
    /// Routes that let payments by while Redis is away, by what has them do so.
    bypassing: BTreeMap<String, Vec<Arc<str>>>,
    /// The largest request any of them takes, in bytes, and what says so.
    largest: Option<(usize, String)>,
}

impl Remarks {
    /// Takes a route in, with the values it was made of.
    pub(super) fn look_at(&mut self, route: &Route, values: &Values<'_>) {
        let largest = route.tuning.max_request_body;
        if self.largest.as_ref().is_none_or(|(other, _)| largest > *other) {
            self.largest = Some((largest, values.name_of(vars::var("MAX_REQUEST_BODY"))));
        }
        if let Some(own) = &route.callback {
            self.all.extend(callbacks::remark(own, &route.tuning.key, values));
            return;
        }
        self.all.extend(forgetting::remark(&route.tuning, values));
        if route.can_ask() && route.tuning.on_unknown == OnUnknown::Retry {
            let var = vars::var("ON_UNKNOWN");
            let what = format!(
                "retry{}: an order of unknown outcome runs again with its next duplicate, and may \
                 pay twice, though its query could tell what became of it; hold waits for that",
                values.heir_of(var),
            );
            self.all.push(Problem { at: values.name_of(var), what });
        }
        // What goes through the buffer is accepted by Redis or not at all.
        if route.tuning.redis_down == RedisDown::Bypass && route.mode != Mode::Async {
            let at = values.name_of(vars::var("REDIS_DOWN"));
            self.bypassing.entry(at).or_default().push(route.name.clone());
        }
    }

    /// All of them, under these variables. One that many routes follow is told of once.
    pub(super) fn list(self, values: &Values<'_>) -> Vec<Problem> {
        let large = self.largest.and_then(|(bytes, at)| memory::remark(bytes, at, values));
        let bypassing = self.bypassing.into_iter().map(|(at, routes)| {
            let what = format!(
                "bypass: while Redis is away the payments of {} go on without a claim, and a retry \
                 may pay again; reject answers them 503",
                routes.join(", ")
            );
            Problem { at, what }
        });
        self.all.into_iter().chain(bypassing).chain(large).collect()
    }
}
