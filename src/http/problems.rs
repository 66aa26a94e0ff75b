//! Problems become answers; what lies above this layer cannot fail.

use super::{Answered, Arrived};
use crate::answer::problem::Problem;
use futures_util::FutureExt;
use futures_util::future::Map;
use hyper::Request;
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
    S: Service<Request<Arrived>, Response = Answered, Error = Problem>,
{
    type Response = Answered;
    type Error = Infallible;
    type Future = Map<S::Future, fn(Result<Answered, Problem>) -> Result<Answered, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A service that is not ready is asked all the same and tells its problem then.
        self.inner.poll_ready(cx).map(|_| Ok(()))
    }

    fn call(&mut self, request: Request<Arrived>) -> Self::Future {
        self.inner.call(request).map(|answered| Ok(answered.unwrap_or_else(Answered::from)))
    }
}
