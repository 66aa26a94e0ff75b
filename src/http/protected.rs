//! A request on a protected route: read whole, identified, handed to the guard, answered.

use super::forward::{announces_trailers, towards_upstream, wants_upgrade};
use super::read_body::read_body;
use super::{Plane, identify::Identity};
use crate::answer::document;
use crate::answer::problem::{Name, Problem, STATE, Told};
use crate::guard::{Answer, Payment};
use crate::model::order::State;
use crate::model::path::Params;
use crate::model::response::StoredResponse;
use crate::model::source::Source;
use crate::model::token;
use crate::payload::Payload;
use crate::route::{Route, TokenUse};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use std::sync::Arc;

impl Plane {
    pub(super) async fn protected(
        self: &Arc<Self>,
        route: &Arc<Route>,
        params: &Params<'_>,
        request: Request<Incoming>,
    ) -> Result<Response<Payload>, Problem> {
        if !may_carry_key(route, &request) {
            return self.pass(request).await;
        }
        self.once(route, params, request).await.map_err(|problem| {
            // Where the order stands was not asked, or must not be told.
            problem.about(route, None).in_state(State::Unknown)
        })
    }

    async fn once(
        self: &Arc<Self>,
        route: &Arc<Route>,
        params: &Params<'_>,
        request: Request<Incoming>,
    ) -> Result<Response<Payload>, Problem> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let detail = "Nothing was sent. Send the same request again.";
            return Err(Problem::new(Name::Overloaded, detail).closing());
        };
        let (mut head, body) = request.into_parts();
        refuse_extras(&head)?;
        let cap = route.tuning.max_request_body;
        let body = read_body(body, cap, self.config.body_timeout).await?;
        let identity = self.identify(route, params, &head, &body)?;
        towards_upstream(&mut head, &self.config, false);
        // The body is in one piece now, however it came.
        head.headers.remove(CONTENT_LENGTH);
        let Some(Identity { order, fingerprints, callers, token }) = identity else {
            return self.pass_whole(head, body).await;
        };
        if route.tuning.token != TokenUse::Off {
            head.headers.remove(token::HEADER);
        }
        let key = order.key.clone();
        let answer = self
            .guard
            .handle(Payment {
                order,
                route: route.clone(),
                fingerprints,
                callers,
                token,
                head,
                body,
                place: Some(place),
            })
            .await;
        Ok(match answer {
            Answer::First(response, state) => marked(response, route, "first", state),
            Answer::Bypassed(response) => marked(response, route, "bypassed", State::Unknown),
            Answer::Replay(response, state) => {
                self.replayed(marked(replay(response), route, "replay", state))
            }
            Answer::Document(record) => {
                let response = crate::answer::json(StatusCode::OK, &document::of(&record));
                self.replayed(marked(response, route, "document", record.state))
            }
            Answer::Refused(refusal, state) => {
                Problem::of(refusal, state).about(route, Some(&key)).into_response()
            }
        })
    }

    /// The answer, marked as coming from the store.
    fn replayed(&self, mut response: Response<Payload>) -> Response<Payload> {
        let marker = self.config.replay_header.clone();
        response.headers_mut().insert(marker, HeaderValue::from_static("true"));
        response
    }
}

/// Whether a key could turn up once the body is read. Where none can and none is needed, the
/// request is not protected, and streams through untouched.
fn may_carry_key(route: &Route, request: &Request<Incoming>) -> bool {
    route.tuning.key_required
        || route.tuning.token == TokenUse::Required
        || route.key_in_body()
        || route.tuning.key.iter().any(|source| match source {
            Source::Header(name) => request.headers().contains_key(name),
            Source::Query(_) => request.uri().query().is_some(),
            _ => true,
        })
}

/// What only a stream could carry has no place where answers are stored.
fn refuse_extras(head: &Parts) -> Result<(), Problem> {
    if wants_upgrade(&head.headers) {
        let detail = "A protected request cannot change protocols.";
        return Err(Problem::new(Name::BadRequest, detail).closing());
    }
    if announces_trailers(&head.headers) {
        let detail = "A protected request carries no trailers.";
        return Err(Problem::new(Name::BadRequest, detail).closing());
    }
    // The key is looked for by one of them; the payment service might go by the other.
    if head.headers.get_all(CONTENT_TYPE).iter().count() > 1 {
        let detail = "More than one Content-Type.";
        return Err(Problem::new(Name::BadRequest, detail).closing());
    }
    Ok(())
}

fn replay(stored: StoredResponse) -> Response<Payload> {
    let mut response = Response::new(Payload::Full(stored.body));
    *response.status_mut() = stored.status;
    *response.headers_mut() = stored.headers;
    response
}

fn marked(
    mut response: Response<Payload>,
    route: &Arc<Route>,
    outcome: &'static str,
    state: State,
) -> Response<Payload> {
    response.headers_mut().insert(STATE, HeaderValue::from_static(state.word()));
    response.extensions_mut().insert(Told { route: Some(route.name.clone()), outcome });
    response
}
