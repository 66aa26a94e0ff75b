//! `POST <prefix>/orders/{route}/{key}/cancel`: an order is not to be paid, says its caller.

use super::identify::{callers, scope};
use super::read_body::read_body;
use super::told::Outcome;
use super::{Answered, Arrived, Plane};
use crate::answer;
use crate::answer::document;
use crate::answer::problem::{Name, Problem, STATE};
use crate::fault::Subject;
use crate::guard::{Again, Refusal};
use crate::model::address;
use crate::model::identity::Order;
use crate::model::order::State;
use crate::route::Route;
use crate::store::cancel::{Cancel, CancelAsk};
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Request, StatusCode};
use std::time::Duration;

/// Nothing is asked for in a body; what comes is read and passed over.
const MAX_BODY: usize = 64 * 1024;

impl Plane {
    pub(super) async fn cancel_order(
        &self,
        route: &str,
        key: &str,
        request: Request<Arrived>,
    ) -> Result<Answered, Problem> {
        let (head, Arrived { body, .. }) = request.into_parts();
        read_body(body, MAX_BODY, self.config.body_timeout, &self.memory).await?;
        let absent = || Problem::new(Name::NotFound, "No such order of yours.");
        let (route, key) = address::read(route, key).ok_or_else(absent)?;
        let route = self.routes.load().of_orders(&route).cloned().ok_or_else(absent)?;
        Subject::is_about(&route.name, key.as_str());
        if !route.client_cancel {
            let detail = "Only an operator cancels this route's orders.";
            return Err(Problem::new(Name::Forbidden, detail).about(&route, Some(&key)));
        }
        let order = route.order(&scope(&route, &head.headers)?, key);
        let callers = callers(&self.secrets, &route, &head.headers);
        let ask = CancelAsk {
            order: &order,
            callers: Some(&callers),
            confirm: route.cancel.is_some(),
            keep: route.tuning.cancel_ttl,
            by: None,
            why: "its caller asked",
        };
        let about = |problem: Problem| problem.about(&route, Some(&order.key));
        let unsent = self.guard.is_unsent(&order, &route).await;
        if !unsent.map_err(|_| about(unavailable()))? {
            return Err(about(forgotten()));
        }
        match self.guard.store.cancel(&ask).await.map_err(|_| about(unavailable()))? {
            Cancel::Cancelled => {}
            Cancel::Cancelling => {
                self.guard.hints.tell(order.partition, &order.id, Duration::ZERO);
            }
            Cancel::Final(state) => return Err(about(already(state))),
            Cancel::Refused(state) => return Err(about(cannot(state))),
            Cancel::Absent => return Err(absent()),
        }
        self.cancelled(&order, &route).await
    }

    /// The order as it stands once its cancel was asked for.
    async fn cancelled(&self, order: &Order, route: &Route) -> Result<Answered, Problem> {
        let record = match self.guard.store.look(order).await {
            Ok(Some(record)) => record,
            _ => return Err(unavailable().about(route, Some(&order.key))),
        };
        let status = match record.state {
            State::Cancelled => StatusCode::OK,
            // Upstream was quicker than this look: it could not be cancelled.
            state if state.is_final() => {
                return Err(already(state).about(route, Some(&order.key)));
            }
            _ => StatusCode::ACCEPTED,
        };
        let mut response = answer::json(status, &document::of(&record));
        let headers = response.headers_mut();
        headers.insert(STATE, HeaderValue::from_static(record.state.word()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(Answered::on(route, Outcome::Cancel, response))
    }
}

/// It ended before it could be cancelled.
pub(crate) fn already(state: State) -> Problem {
    let detail = "The order ended before it could be cancelled. A refund is an order of its own.";
    Problem::new(Name::AlreadyFinal, detail).in_state(state)
}

/// The route has no cancel call: what may have been sent cannot be undone.
pub(crate) fn cannot(state: State) -> Problem {
    let refusal = match state {
        State::Unknown => Refusal::OutcomeUnknown(Again::Told),
        _ => Refusal::InProgress,
    };
    Problem::of(refusal, state)
        .saying("The payment may have been sent, and this route has no way to cancel it upstream.")
}

/// Redis lost its history, and upstream knows of the order, or may yet.
fn forgotten() -> Problem {
    Problem::of(Refusal::OutcomeUnknown(Again::Told), State::Unknown).saying(
        "The payment may have been sent before its record was lost. Send it again to learn how it \
         ended, or cancel it later.",
    )
}

fn unavailable() -> Problem {
    let detail = "Whether the order is cancelled cannot be told. Ask again.";
    Problem::new(Name::StoreUnavailable, detail)
}
