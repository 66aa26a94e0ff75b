//! Who answers: Onceward itself, a protected route, or the payment service without our doing.

use super::readings::others;
use super::{Answering, Arrived, Plane};
use crate::answer::problem::{Name, Problem};
use crate::model::path::{Params, normal};
use crate::payload::Payload;
use crate::route::{Route, Routes};
use hyper::{Method, Request, Response};
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;

/// A route and the named segments of the path that led to it.
type Found<'p> = (&'p Arc<Route>, Params<'p>);

/// The innermost service.
#[derive(Clone)]
pub(super) struct Front {
    plane: Arc<Plane>,
}

impl Front {
    pub(super) fn new(plane: Arc<Plane>) -> Front {
        Front { plane }
    }
}

impl Service<Request<Arrived>> for Front {
    type Response = Response<Payload>;
    type Error = Problem;
    type Future = Answering<Response<Payload>, Problem>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Arrived>) -> Self::Future {
        Box::pin(self.plane.clone().answer(request))
    }
}

impl Plane {
    async fn answer(
        self: Arc<Self>,
        request: Request<Arrived>,
    ) -> Result<Response<Payload>, Problem> {
        // `OPTIONS *` speaks of the server, not of a path; no other method comes with it.
        if request.uri().path() == "*" {
            return Box::pin(self.pass(request)).await;
        }
        let target = request.uri().clone();
        // Our own endpoints are found as they are written: a key in a path may look like anything.
        if let Some(rest) = self.below_prefix(target.path()) {
            return Box::pin(self.own(rest, request)).await;
        }
        let Some(path) = normal(target.path()) else {
            return Err(two_ways());
        };
        if self.below_prefix(&path).is_some() {
            return Err(no_such_endpoint());
        }
        let routes = self.routes.load_full();
        let found = routes.find(request.method(), &path);
        for other in others(target.path()) {
            if leads_elsewhere(&other, request.method(), found.as_ref(), &routes) {
                return Err(two_ways());
            }
        }
        match found {
            Some((route, params)) => match &route.callback {
                Some(callback) => {
                    Box::pin(self.callback((route, &params), callback, &routes, request)).await
                }
                None => self.protected(route, &params, request).await,
            },
            None => self.pass(request).await,
        }
    }

    /// What follows the reserved prefix in a path that begins with it.
    fn below_prefix<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.config.prefix.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// The reserved prefix; `rest` is what follows it.
    async fn own(
        &self,
        rest: &str,
        request: Request<Arrived>,
    ) -> Result<Response<Payload>, Problem> {
        let parts: Vec<&str> = rest.split('/').skip(1).collect();
        match (request.method().as_str(), parts.as_slice()) {
            ("POST", ["tokens"]) => self.issue_token(request).await,
            ("GET", ["orders", route, key]) => self.show_order(route, key, request).await,
            ("POST", ["orders", route, key, "cancel"]) => {
                self.cancel_order(route, key, request).await
            }
            (_, ["tokens"] | ["orders", _, _] | ["orders", _, _, "cancel"]) => {
                let detail = "Tokens and cancels take POST, orders take GET.";
                Err(Problem::new(Name::MethodNotAllowed, detail))
            }
            _ => Err(no_such_endpoint()),
        }
    }
}

fn no_such_endpoint() -> Problem {
    Problem::new(Name::NotFound, "Onceward has no such endpoint.")
}

/// Whether another reading of a path leads to a route, and not to what was found for its own
/// spelling.
fn leads_elsewhere(
    other: &str,
    method: &Method,
    found: Option<&Found<'_>>,
    routes: &Routes,
) -> bool {
    let Some(other) = normal(other) else {
        return false;
    };
    let same = |(route, params): Found<'_>| {
        found.is_some_and(|found| Arc::ptr_eq(found.0, route) && found.1 == params)
    };
    routes.find(method, &other).is_some_and(|there| !same(there))
}

fn two_ways() -> Problem {
    let detail = "The path has a spelling that could be read in two ways.";
    Problem::new(Name::BadRequest, detail).closing()
}
