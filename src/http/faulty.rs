//! The accidents that may happen to a caller's request on its way here, and to its answer on the way
//! back; and the mark on every answer that an accident touched.

use super::{Answered, Answering, Arrived, Plane};
use crate::fault::{At, Carry, Deed, Faults, HEADER, Subject, corrupt};
use crate::model::identity::Order;
use crate::payload::{Payload, Tamper};
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use std::convert::Infallible;
use std::task::{Context, Poll};
use tokio_util::either::Either;
use tower::{Layer, Service};

/// Marks an answer that is not to be given: the connection breaks instead.
#[derive(Clone, Copy)]
struct NoAnswer;

/// How a request arrived.
pub(super) enum Arrival {
    /// As it was sent.
    Whole,
    /// With another body.
    Corrupt(Bytes),
    /// Not at all, and this is what its caller gets.
    Answered(Response<Payload>),
}

impl Plane {
    /// What happens to a request about `order` before anything is decided about it.
    pub(super) async fn arrival(&self, order: &Order, body: &Bytes) -> Arrival {
        match self.faults.are_on() {
            false => Arrival::Whole,
            // In a box: no other request is to carry the state of accidents along.
            true => Box::pin(self.struck(order, body)).await,
        }
    }

    async fn struck(&self, order: &Order, body: &Bytes) -> Arrival {
        Subject::is_about(&order.route, order.key.as_str());
        let mut arrival = Arrival::Whole;
        let firings = self.faults.before(At::Request);
        for firing in &firings {
            firing.hold().await;
            match &firing.deed {
                Deed::Corrupt => arrival = Arrival::Corrupt(corrupt(body)),
                Deed::Status(status) => {
                    let mut response = Response::new(Payload::empty());
                    *response.status_mut() = *status;
                    return Arrival::Answered(response);
                }
                Deed::Reset => {
                    let mut response = Response::new(Payload::Broken);
                    response.extensions_mut().insert(NoAnswer);
                    return Arrival::Answered(response);
                }
                _ => {}
            }
        }
        Subject::keep(firings);
        arrival
    }

    /// Whether a request that was admitted comes twice.
    pub(super) fn comes_twice(&self) -> bool {
        !self.faults.after(At::Request).is_empty()
    }
}

/// Has a request handled, or both copies of it at once; then the answer is the second's.
pub(super) async fn twice<R, F: Future>(
    request: R,
    again: Option<R>,
    handle: impl Fn(R) -> F,
) -> F::Output {
    match again {
        None => handle(request).await,
        // In a box: hardly any request comes twice.
        Some(again) => Box::pin(both(handle(request), handle(again))).await,
    }
}

/// Both at once, and what came of the second.
async fn both<F: Future>(first: F, second: F) -> F::Output {
    tokio::join!(first, second).1
}

/// Makes [`Faulty`].
#[derive(Clone)]
pub(super) struct FaultyLayer {
    faults: Faults,
}

/// Plays accidents to answers.
#[derive(Clone)]
pub(super) struct Faulty<S> {
    faults: Faults,
    inner: S,
}

impl FaultyLayer {
    pub(super) fn new(faults: Faults) -> FaultyLayer {
        FaultyLayer { faults }
    }
}

impl<S> Layer<S> for FaultyLayer {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Faulty<S> {
        Faulty { faults: self.faults.clone(), inner }
    }
}

impl<S> Service<Request<Arrived>> for Faulty<S>
where
    S: Service<Request<Arrived>, Response = Answered, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Answered;
    type Error = Infallible;
    type Future = Either<S::Future, Answering<Answered, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Arrived>) -> Self::Future {
        let Some(subject) = self.faults.subject(request.headers()) else {
            return Either::Left(self.inner.call(request));
        };
        let peer = request.body().connection.clone();
        let answering = self.inner.call(request);
        let (faults, whom) = (self.faults.clone(), subject.clone());
        let harmed = async move {
            let Answered { response, told } = answering.await?;
            whom.passed();
            let mut response = harm(&faults, response).await;
            if response.extensions().get::<NoAnswer>().is_some() {
                peer.reset();
            }
            for id in whom.touched() {
                // A rule's name is plain ASCII.
                if let Ok(id) = HeaderValue::from_str(&id) {
                    response.headers_mut().append(HEADER, id);
                }
            }
            Ok(Answered { response, told })
        };
        Either::Right(Box::pin(harmed.on_behalf_of(Some(subject))))
    }
}

async fn harm(faults: &Faults, mut response: Response<Payload>) -> Response<Payload> {
    let firings = faults.after(At::Response);
    for firing in &firings {
        firing.hold().await;
        let tamper = match &firing.deed {
            Deed::Reset => {
                *response.body_mut() = Payload::Broken;
                response.extensions_mut().insert(NoAnswer);
                continue;
            }
            Deed::Status(status) => {
                response = Response::new(Payload::empty());
                *response.status_mut() = *status;
                continue;
            }
            Deed::Cut(at) => Tamper::Cut(*at),
            Deed::Corrupt => Tamper::Corrupt,
            _ => continue,
        };
        response = response.map(|body| body.tampered(tamper));
    }
    response
}
