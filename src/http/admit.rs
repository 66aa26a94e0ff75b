//! What a protected request must be before the guard sees it: read whole, within its limits, about
//! one order.

use super::faulty::Arrival;
use super::forward::{announces_trailers, may_upgrade, towards_upstream};
use super::identify::{Identity, callers};
use super::prefer::{self, Wish};
use super::read_body::read_body;
use super::trace::span_of;
use super::{Arrived, Plane};
use crate::answer::problem::{Name, Problem};
use crate::guard::{Answer, Payment};
use crate::model::key::Key;
use crate::model::path::Params;
use crate::model::token;
use crate::payload::Payload;
use crate::route::{Route, TokenUse};
use crate::store::finished::Asked;
use crate::trace::Span;
use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use std::sync::Arc;

/// A request that was read whole.
pub(super) enum Admitted {
    /// It is about an order; and why that goes through the buffer, if it does.
    Payment(Arc<Payment>, Option<Wish>),
    /// It is about an order whose answer is at hand.
    Answered(Answer, Key),
    /// It carries no key and needs none; its head as it goes upstream, and its body.
    NoOrder(Parts, Bytes),
    /// An accident befell it, and this is its answer.
    Struck(Response<Payload>),
}

impl Plane {
    /// Reads a request and finds its order.
    pub(super) async fn admit(
        &self,
        route: &Arc<Route>,
        params: &Params,
        request: Request<Arrived>,
    ) -> Result<Admitted, Problem> {
        let span = span_of(&request, &self.guard.tracer);
        let Some(place) = self.places.take() else {
            let detail = "Nothing was sent. Send the same request again.";
            return Err(Problem::new(Name::Overloaded, detail).closing());
        };
        let (mut head, Arrived { body, connection }) = request.into_parts();
        refuse_extras(&head)?;
        let cap = route.tuning.max_request_body;
        let mut body = read_body(body, cap, self.config.body_timeout, &self.memory).await?;
        let mut identity = self.identify(route, params, &head, &body)?;
        if let Some(Identity { order, .. }) = &identity {
            match self.arrival(order, &body).await {
                Arrival::Whole => {}
                Arrival::Corrupt(other) => {
                    body = other;
                    identity = self.identify(route, params, &head, &body)?;
                }
                Arrival::Answered(response) => return Ok(Admitted::Struck(response)),
            }
        }
        if let Some(about) = &identity {
            span.about(&about.order);
            if let Some(answered) = self.at_hand(route, about, &span) {
                return Ok(answered);
            }
        }
        // Who is answered from memory was found by a fingerprint, which holds the caller already.
        let known = identity.map(|about| (callers(&self.secrets, route, &head.headers), about));
        towards_upstream(&mut head, &connection, &self.config, false);
        // The body is in one piece now, however it came.
        head.headers.remove(CONTENT_LENGTH);
        let Some((callers, Identity { order, fingerprints, token })) = known else {
            return Ok(Admitted::NoOrder(head, body));
        };
        if route.tuning.token != TokenUse::Off {
            head.headers.remove(token::HEADER);
        }
        let wish = prefer::buffered(route.mode, &mut head.headers);
        let payment = Payment {
            order,
            route: route.clone(),
            fingerprints,
            callers,
            token,
            grant_from: route.grant_from(),
            head,
            body: body.into(),
            place: Some(place),
            span,
        };
        Ok(Admitted::Payment(Arc::new(payment), wish))
    }

    /// The answer to a duplicate that need not ask Redis. An event is no order and always does, even
    /// where its route's name is one's.
    fn at_hand(&self, route: &Route, identity: &Identity, span: &Span) -> Option<Admitted> {
        if route.callback.is_some() {
            return None;
        }
        let Identity { order, fingerprints, token, .. } = identity;
        let token = token.as_ref().map(|token| token.hash.as_str());
        let asked = Asked { id: &order.id, fingerprints, token };
        let answer = self.guard.recall(&asked, span)?;
        Some(Admitted::Answered(answer, order.key.clone()))
    }
}

/// What only a stream could carry has no place where answers are stored.
fn refuse_extras(head: &Parts) -> Result<(), Problem> {
    // A wish for another HTTP is answered in this one: many a client voices it unasked.
    if may_upgrade(&head.headers) {
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
