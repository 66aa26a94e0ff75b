//! Problems become answers; what lies above this layer cannot fail.

use super::{Answering, Arrived};
use crate::answer::problem::Problem;
use crate::payload::Payload;
use hyper::{Request, Response};
use std::convert::Infallible;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Makes [`Problems`].
#[derive(Clone, Copy)]
pub(super) struct ProblemsLayer;

/// Tells the problems of the service it wraps.
#[derive(Clone)]
pub(super) struct Problems<S> {
    inner: S,
}

impl<S> Layer<S> for ProblemsLayer {
    type Service = Problems<S>;

    fn layer(&self, inner: S) -> Problems<S> {
        Problems { inner }
    }
}

impl<S> Service<Request<Arrived>> for Problems<S>
where
    S: Service<Request<Arrived>, Response = Response<Payload>, Error = Problem>,
    S::Future: Send + 'static,
{
    type Response = Response<Payload>;
    type Error = Infallible;
    type Future = Answering<Response<Payload>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A service that is not ready is asked all the same and tells its problem then.
        self.inner.poll_ready(cx).map(|_| Ok(()))
    }

    fn call(&mut self, request: Request<Arrived>) -> Self::Future {
        let answering = self.inner.call(request);
        Box::pin(async move { Ok(answering.await.unwrap_or_else(Problem::into_response)) })
    }
}
