//! What could be read in two ways is refused before anybody reads it: a payment service behind us
//! might read it the other way. The connection ends with such a request.

use super::{Answering, Peer};
use crate::answer::problem::{Name, Problem};
use crate::payload::Payload;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, Version};
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Makes [`Screen`].
#[derive(Clone, Copy)]
pub(super) struct ScreenLayer;

/// Lets unambiguous requests through.
#[derive(Clone)]
pub(super) struct Screen<S> {
    inner: S,
}

impl<S> Layer<S> for ScreenLayer {
    type Service = Screen<S>;

    fn layer(&self, inner: S) -> Screen<S> {
        Screen { inner }
    }
}

impl<S> Service<Request<Incoming>> for Screen<S>
where
    S: Service<Request<Incoming>, Response = Response<Payload>, Error = Problem>,
    S::Future: Send + 'static,
{
    type Response = Response<Payload>;
    type Error = Problem;
    type Future = Answering<Response<Payload>, Problem>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        match check(&request) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(why) => {
                let problem = Problem::new(Name::BadRequest, why).closing();
                Box::pin(std::future::ready(Err(problem)))
            }
        }
    }
}

/// Why a request is refused.
fn check(request: &Request<Incoming>) -> Result<(), &'static str> {
    let headers = request.headers();
    if request.method() == Method::CONNECT {
        return Err("CONNECT has no meaning here.");
    }
    if count(headers, CONTENT_LENGTH) > 1 {
        return Err("More than one Content-Length.");
    }
    if let Some(encoding) = headers.get(TRANSFER_ENCODING) {
        if !encoding.as_bytes().eq_ignore_ascii_case(b"chunked")
            || count(headers, TRANSFER_ENCODING) > 1
        {
            return Err("Transfer-Encoding may be chunked and nothing else.");
        }
        // hyper drops the Content-Length beside it; the connection saw it.
        let two_lengths = request.extensions().get::<Peer>().is_some_and(Peer::told_two_lengths);
        if two_lengths || headers.contains_key(CONTENT_LENGTH) {
            return Err("Both Content-Length and Transfer-Encoding.");
        }
    }
    check_host(request)
}

fn check_host(request: &Request<Incoming>) -> Result<(), &'static str> {
    let headers = request.headers();
    let host = headers.get(HOST);
    match count(headers, HOST) {
        0 if request.version() == Version::HTTP_11 => return Err("No Host."),
        0 | 1 => {}
        _ => return Err("More than one Host."),
    }
    if let Some(host) = host
        && !is_host(host.as_bytes())
    {
        return Err("Host is not a host.");
    }
    // Absolute form: both must name the same host, whatever the case of its letters.
    match (request.uri().authority(), host) {
        (Some(authority), Some(host))
            if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) =>
        {
            Err("The request's target and its Host differ.")
        }
        (Some(authority), _) if authority.as_str().contains('@') => {
            Err("A request's target names nobody.")
        }
        _ => Ok(()),
    }
}

/// Letters of a host and port, and nothing that could end one in somebody's parser.
fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'%')
    })
}

fn count(headers: &HeaderMap, name: hyper::header::HeaderName) -> usize {
    headers.get_all(name).iter().count()
}
