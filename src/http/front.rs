//! Who answers: Onceward itself, a protected route, or the payment service without our doing.

use super::protected::may_carry_key;
use super::readings::others;
use super::{Answered, Answering, Arrived, Plane};
use crate::answer::problem::{Name, Problem};
use crate::model::path::{Params, normal};
use crate::route::{Route, Routes};
use hyper::{Method, Request};
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;

/// A route and the named segments of the path that led to it.
type Found<'r> = (&'r Arc<Route>, Params);

/// Who answers a request.
enum Way {
    /// Onceward itself.
    Own,
    /// The payment service, without our doing.
    Pass,
    /// A protected route, or one of kind `callback`; and the named segments of its path.
    Route(Arc<Route>, Params),
}

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
    type Response = Answered;
    type Error = Problem;
    type Future = Answering<Answered, Problem>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Arrived>) -> Self::Future {
        let plane = self.plane.clone();
        // Each way in a box of its own: decided in here, none carries another's state along.
        match plane.way(&request) {
            Ok(Way::Own) => Box::pin(plane.own(request)),
            Ok(Way::Pass) => Box::pin(plane.pass(request)),
            Ok(Way::Route(route, params)) if route.callback.is_some() => {
                Box::pin(plane.callback(route, params, request))
            }
            Ok(Way::Route(route, params)) => Box::pin(plane.protected(route, params, request)),
            Err(problem) => Box::pin(ready(Err(problem))),
        }
    }
}

impl Plane {
    fn way(&self, request: &Request<Arrived>) -> Result<Way, Problem> {
        let target = request.uri().path();
        // `OPTIONS *` speaks of the server, not of a path; no other method comes with it.
        if target == "*" {
            return Ok(Way::Pass);
        }
        // Our own endpoints are found as they are written: a key in a path may look like anything.
        if self.below_prefix(target).is_some() {
            return Ok(Way::Own);
        }
        let path = normal(target).ok_or_else(two_ways)?;
        if self.below_prefix(&path).is_some() {
            return Err(no_such_endpoint());
        }
        let routes = self.routes.load();
        let found = routes.find(request.method(), &path);
        for other in others(target) {
            if leads_elsewhere(&other, request.method(), found.as_ref(), &routes) {
                return Err(two_ways());
            }
        }
        Ok(match found {
            Some((route, params)) if may_carry_key(route, request) => {
                Way::Route(route.clone(), params)
            }
            _ => Way::Pass,
        })
    }

    /// What follows the reserved prefix in a path that begins with it.
    fn below_prefix<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.config.prefix.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// What stands below the reserved prefix.
    async fn own(self: Arc<Self>, request: Request<Arrived>) -> Result<Answered, Problem> {
        let target = request.uri().clone();
        let rest = self.below_prefix(target.path()).unwrap_or_default();
        let parts: Vec<&str> = rest.split('/').skip(1).collect();
        match (request.method().as_str(), parts.as_slice()) {
            ("POST", ["tokens"]) => self.issue_token(request).await,
            ("GET", ["orders", route, key]) => self.show_order(route, key, request).await,
            ("POST", ["orders", route, key, "cancel"]) => {
                self.cancel_order(route, key, request).await
            }
            (_, ["tokens"] | ["orders", _, _, "cancel"]) => {
                Err(Problem::not_by_this_method("POST", "Tokens and cancels take POST."))
            }
            (_, ["orders", _, _]) => {
                Err(Problem::not_by_this_method("GET", "Orders are looked at with GET."))
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
