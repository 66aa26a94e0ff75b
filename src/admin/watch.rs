//! How things stand, for those who look: what the console begins with, the overview, its stream.

use super::Admin;
use super::authorize::Asker;
use crate::answer;
use crate::answer::problem::{Name, Problem};
use crate::payload::Payload;
use crate::route::{Mode, Route};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

impl Admin {
    /// What the page begins with.
    pub(super) fn show_console(&self, asker: &Asker) -> Response<Payload> {
        let routes: Vec<Value> = self.routes.load().0.iter().map(|route| about(route)).collect();
        let facts = json!({
            "role": asker.role.word(),
            "replica": self.replica,
            "version": env!("CARGO_PKG_VERSION"),
            "namespace": self.config.namespace,
            "upstream": self.config.upstream,
            "faults": self.config.faults,
            "routes": routes,
        });
        uncached(answer::json(StatusCode::OK, &facts))
    }

    /// How things stand, once.
    pub(super) fn show_overview(&self) -> Response<Payload> {
        let mut response = Response::new(Payload::Full(self.overview.document().into()));
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        uncached(response)
    }

    /// How things stand, as long as somebody looks.
    pub(super) fn stream_overview(&self) -> Result<Response<Payload>, Problem> {
        let Some(events) = self.overview.stream() else {
            let detail = "As many look as may. Ask /admin/overview now and then instead.";
            return Err(Problem::new(Name::Overloaded, detail));
        };
        let mut response = Response::new(events);
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(uncached(response))
    }
}

fn uncached(mut response: Response<Payload>) -> Response<Payload> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn about(route: &Route) -> Value {
    let tuning = &route.tuning;
    json!({
        "name": &*route.name,
        "path": route.path.as_str(),
        "kind": if route.callback.is_some() { "callback" } else { "order" },
        "mode": match route.mode {
            Mode::Sync => "sync",
            Mode::Async => "async",
            Mode::Either => "either",
        },
        "scoped": !tuning.scope.is_empty(),
        "query": route.query.is_some(),
        "cancel": route.cancel.is_some(),
        "lock_ttl": tuning.lock_ttl.as_secs_f64(),
        "record_ttl": tuning.record_ttl.as_secs_f64(),
        "unknown_ttl": tuning.unknown_ttl.as_secs_f64(),
        "cancel_ttl": tuning.cancel_ttl.as_secs_f64(),
    })
}
