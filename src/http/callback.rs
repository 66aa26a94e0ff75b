//! A request on a callback route: read whole, its event found, handed to the guard, answered.

use super::admit::Admitted;
use super::faulty::twice;
use super::identify::joined;
use super::protected::replay;
use super::told::Outcome;
use super::{Answered, Arrived, Plane};
use crate::answer::problem::{Name, Problem};
use crate::guard::callback::{Heard, Notice, Settles};
use crate::guard::{Payment, Refusal};
use crate::model::event::Event;
use crate::model::field::Field;
use crate::model::order::State;
use crate::model::path::Params;
use crate::model::source::{BadValue, MustRead, View};
use crate::route::{Callback, Route, Routes};
use hyper::Request;
use hyper::header::HeaderValue;
use std::sync::Arc;

impl Plane {
    /// Answers a notification on a route of kind `callback`.
    pub(super) async fn callback(
        self: Arc<Self>,
        route: Arc<Route>,
        params: Params,
        request: Request<Arrived>,
    ) -> Result<Answered, Problem> {
        let (route, routes) = (&route, self.routes.load_full());
        let about = |problem: Problem| problem.about(route, None);
        let admitted = self.admit(route, &params, request).await.map_err(about)?;
        let (payment, callback) = match (admitted, &route.callback) {
            (Admitted::Payment(payment, _), Some(callback)) => (payment, callback),
            (Admitted::Struck(response), _) => return Ok(Answered { response, told: None }),
            _ => return Err(about(Problem::new(Name::KeyMissing, "A callback needs a key."))),
        };
        // Nobody else has it yet.
        let payment = Arc::try_unwrap(payment).unwrap_or_else(|shared| shared.again());
        let key = payment.order.key.clone();
        let notice = |payment| self.notice(payment, &params, callback, &routes).map_err(about);
        let again = if self.comes_twice() { Some(notice(payment.again())?) } else { None };
        let heard = twice(notice(payment)?, again, |notice| self.guard.notify(notice)).await;
        match heard {
            Heard::First(response) => {
                Ok(Answered::on(route, Outcome::First, self.not_replayed(response)))
            }
            Heard::Unacknowledged(response) => {
                Ok(Answered::on(route, Outcome::Unacknowledged, self.not_replayed(response)))
            }
            Heard::Repeat(stored) => {
                let mut response = replay(stored);
                let marker = self.config.replay_header.clone();
                response.headers_mut().insert(marker, HeaderValue::from_static("true"));
                Ok(Answered::on(route, Outcome::Replay, response))
            }
            Heard::Refused(refusal) => Err(refused(refusal).about(route, Some(&key))),
        }
    }

    /// What a notification tells.
    fn notice(
        &self,
        payment: Payment,
        params: &Params,
        callback: &Callback,
        routes: &Routes,
    ) -> Result<Notice, Problem> {
        // It was not sent yet.
        let body = payment.body.look().unwrap_or_default();
        let query = payment.head.uri.query().unwrap_or_default();
        let headers = &payment.head.headers;
        let (body, must_read) = (&*body, MustRead::Apparent);
        let view = View { headers, query, params: Some(params), body, must_read };
        let fields = Callback::values(&callback.event, &view).map_err(unreadable)?;
        let unchanged = Callback::values(&callback.unchanged, &view).map_err(unreadable)?;
        let settles = callback.settles.as_deref().and_then(|name| routes.named(name));
        let settles = settles
            .zip(callback.tells(&view))
            .map(|(route, to): (_, State)| Settles { route: route.clone(), to });
        let event = Event::new(payment.order.clone(), &fields);
        let parts: Vec<&[u8]> =
            unchanged.iter().flat_map(Field::parts).map(str::as_bytes).collect();
        let unchanged = joined(self.secrets.digests("unchanged", &parts));
        Ok(Notice { payment, event, unchanged, ack: callback.ack.clone(), settles })
    }
}

/// A callback is no order: it stands nowhere.
fn refused(refusal: Refusal) -> Problem {
    let upstream = match refusal {
        Refusal::UpstreamTimeout(_) => Some(Name::UpstreamTimeout),
        Refusal::UpstreamBroken(_) => Some(Name::UpstreamBroken),
        Refusal::UpstreamUnreachable => Some(Name::UpstreamUnreachable),
        _ => None,
    };
    match upstream {
        Some(name) => Problem::new(name, "The callback was not acknowledged. Send it again."),
        None => Problem::of(refusal, State::None).stateless(),
    }
}

fn unreadable(error: BadValue) -> Problem {
    let problem = Problem::new(Name::BadRequest, error.to_string());
    match error {
        BadValue::Body(_) => problem.closing(),
        _ => problem,
    }
}
