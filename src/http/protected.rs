//! A request on a protected route: admitted, handed to the guard, answered.

use super::admit::Admitted;
use super::faulty::twice;
use super::prefer::Wish;
use super::told::Outcome;
use super::{Answered, Arrived, Plane};
use crate::answer::document;
use crate::answer::problem::{Name, Problem, STATE};
use crate::guard::{Answer, Payment};
use crate::model::address;
use crate::model::key::Key;
use crate::model::order::State;
use crate::model::path::Params;
use crate::model::response::StoredResponse;
use crate::model::source::Source;
use crate::payload::Payload;
use crate::route::{Route, TokenUse};
use crate::store::record::Record;
use hyper::header::{CACHE_CONTROL, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use std::sync::Arc;

impl Plane {
    pub(super) async fn protected(
        self: Arc<Self>,
        route: Arc<Route>,
        params: Params,
        request: Request<Arrived>,
    ) -> Result<Answered, Problem> {
        let admitted = self.admit(&route, &params, request).await.map_err(|problem| {
            // Where the order stands was not asked, or must not be told.
            problem.about(&route, None).in_state(State::Unknown)
        })?;
        match admitted {
            Admitted::Payment(payment, None) => Ok(self.pay(payment).await),
            Admitted::Payment(payment, Some(wish)) => {
                Ok(Box::pin(self.accept(payment, wish)).await)
            }
            Admitted::Answered(answer, key) => Ok(self.told(answer, &route, &key)),
            Admitted::NoOrder(head, body) => Box::pin(self.pass_whole(head, body)).await,
            Admitted::Struck(response) => Ok(Answered { response, told: None }),
        }
    }

    async fn pay(&self, payment: Arc<Payment>) -> Answered {
        let again = self.comes_twice().then(|| Arc::new(payment.again()));
        let handled = twice(payment.clone(), again, |payment| self.guard.handle(payment));
        let answer = handled.await;
        self.told(answer, &payment.route, &payment.order.key)
    }

    /// Takes a payment into the buffer.
    async fn accept(&self, payment: Arc<Payment>, wish: Wish) -> Answered {
        let again = self.comes_twice().then(|| Arc::new(payment.again()));
        let queued = twice(payment.clone(), again, |payment| self.guard.queue(payment));
        let answer = queued.await;
        let accepted = matches!(answer, Answer::Accepted(_));
        let mut answered = self.told(answer, &payment.route, &payment.order.key);
        if accepted && wish == Wish::Voiced {
            let applied = HeaderValue::from_static("respond-async");
            answered.response.headers_mut().insert("preference-applied", applied);
        }
        answered
    }

    fn told(&self, answer: Answer, route: &Arc<Route>, key: &Key) -> Answered {
        match answer {
            Answer::First(response, state) => {
                marked(self.not_replayed(response), route, Outcome::First, state)
            }
            Answer::Bypassed(response) => {
                marked(self.not_replayed(response), route, Outcome::Bypassed, State::Unknown)
            }
            Answer::Replay(response, state) => {
                self.replayed(marked(replay(response), route, Outcome::Replay, state))
            }
            Answer::Document(record) => {
                let response = crate::answer::json(StatusCode::OK, &document::of(&record));
                self.replayed(marked(response, route, Outcome::Document, record.state))
            }
            Answer::Accepted(record) => {
                let response = self.accepted(&record);
                marked(response, route, Outcome::Accepted, record.state)
            }
            Answer::Illegal(stands, state) => {
                let detail = format!(
                    "The order stands in {stands:?}, from which this may not be done. Nothing was sent."
                );
                let problem = Problem::new(Name::IllegalTransition, detail).in_state(state);
                problem.about(route, Some(key)).into()
            }
            Answer::Refused(refusal, state) => {
                Problem::of(refusal, state).about(route, Some(key)).into()
            }
        }
    }

    /// 202, and where to ask.
    fn accepted(&self, record: &Record) -> Response<Payload> {
        let mut response = crate::answer::json(StatusCode::ACCEPTED, &document::of(record));
        let headers = response.headers_mut();
        let order = address::written(&record.route, &record.key);
        let place = format!("{}/orders/{order}", self.config.prefix);
        // All of it is visible ASCII.
        if let Ok(place) = HeaderValue::from_str(&place) {
            headers.insert(LOCATION, place);
        }
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// The answer, without upstream's own word for a repetition: here the mark says that an answer
    /// comes from the store.
    pub(super) fn not_replayed(&self, mut response: Response<Payload>) -> Response<Payload> {
        response.headers_mut().remove(&self.config.replay_header);
        response
    }

    /// The answer, marked as coming from the store.
    fn replayed(&self, mut answered: Answered) -> Answered {
        let marker = self.config.replay_header.clone();
        let headers = answered.response.headers_mut();
        headers.insert(marker, HeaderValue::from_static("true"));
        answered
    }
}

/// Whether a key could turn up once the body is read. Where none can and none is needed, the
/// request is not protected, and streams through untouched. A notification always does.
pub(super) fn may_carry_key(route: &Route, request: &Request<Arrived>) -> bool {
    route.callback.is_some()
        || route.tuning.key_required
        || route.tuning.token == TokenUse::Required
        || route.key_in_body()
        || route.tuning.key.iter().any(|source| match source {
            Source::Header(name) => request.headers().contains_key(name),
            Source::Query(_) => request.uri().query().is_some(),
            _ => true,
        })
}

pub(super) fn replay(stored: StoredResponse) -> Response<Payload> {
    let mut response = Response::new(Payload::Full(stored.body));
    *response.status_mut() = stored.status;
    *response.headers_mut() = stored.headers;
    response
}

fn marked(
    mut response: Response<Payload>,
    route: &Arc<Route>,
    outcome: Outcome,
    state: State,
) -> Answered {
    response.headers_mut().insert(STATE, HeaderValue::from_static(state.word()));
    Answered::on(route, outcome, response)
}
