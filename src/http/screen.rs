//! What could be read in two ways is refused before anybody reads it: a payment service behind us
//! might read it the other way. The connection ends with such a request.

use super::{Answered, Answering, Arrived};
use crate::answer::problem::{Name, Problem};
use hyper::header::{HOST, HeaderName, TRANSFER_ENCODING};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Version};
use std::task::{Context, Poll};
use tower::{Layer, Service};

const UNDERSCORED_LENGTH: HeaderName = HeaderName::from_static("content_length");
const UNDERSCORED_ENCODING: HeaderName = HeaderName::from_static("transfer_encoding");

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

impl<S> Service<Request<Arrived>> for Screen<S>
where
    S: Service<
            Request<Arrived>,
            Response = Answered,
            Error = Problem,
            Future = Answering<Answered, Problem>,
        >,
{
    type Response = Answered;
    type Error = Problem;
    type Future = Answering<Answered, Problem>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Arrived>) -> Self::Future {
        match check(&request) {
            Ok(()) => self.inner.call(request),
            Err(why) => {
                let problem = Problem::new(Name::BadRequest, why).closing();
                Box::pin(std::future::ready(Err(problem)))
            }
        }
    }
}

/// Why a request is refused.
fn check(request: &Request<Arrived>) -> Result<(), &'static str> {
    check_method(request)?;
    check_framing(request)?;
    check_host(request)
}

fn check_method(request: &Request<Arrived>) -> Result<(), &'static str> {
    let method = request.method();
    if method == Method::CONNECT {
        return Err("CONNECT has no meaning here.");
    }
    // Methods are told apart by case, but many a framework raises it: to such a one `post` is a
    // POST that nobody protected.
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    if !method.as_str().bytes().all(plain) {
        return Err("A method is written in capital letters.");
    }
    if request.uri().path() == "*" && method != Method::OPTIONS {
        return Err("Only OPTIONS may ask about the server as a whole.");
    }
    Ok(())
}

fn check_framing(request: &Request<Arrived>) -> Result<(), &'static str> {
    let headers = request.headers();
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next()
        && (!encoding.as_bytes().eq_ignore_ascii_case(b"chunked") || encodings.next().is_some())
    {
        return Err("Transfer-Encoding may be chunked and nothing else.");
    }
    // hyper keeps but one of two lengths; the connection saw both.
    if request.body().connection.is_in_doubt() {
        return Err("The request's length or its lines could be read in two ways.");
    }
    // What stands behind CGI and its heirs reads these as the headers with hyphens.
    let underscored =
        |name: &HeaderName| *name == UNDERSCORED_LENGTH || *name == UNDERSCORED_ENCODING;
    if headers.keys().any(underscored) {
        return Err("A length is told in a header of that name, spelled with a hyphen.");
    }
    Ok(())
}

fn check_host(request: &Request<Arrived>) -> Result<(), &'static str> {
    let target = request.uri();
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.as_bytes(),
        (Some(_), Some(_)) => return Err("More than one Host."),
        (None, _) if request.version() == Version::HTTP_11 || target.authority().is_some() => {
            return Err("No Host.");
        }
        (None, _) => return Ok(()),
    };
    if !is_host(host) {
        return Err("Host is not a host.");
    }
    if let Some(scheme) = target.scheme_str()
        && !matches!(scheme, "http" | "https")
    {
        return Err("The request's target is not one of HTTP.");
    }
    // Absolute form: both must name the same host, whatever the case of its letters. One that names
    // a user as well differs, for no Host does.
    if let Some(authority) = target.authority()
        && !authority.as_str().as_bytes().eq_ignore_ascii_case(host)
    {
        return Err("The request's target and its Host differ.");
    }
    Ok(())
}

/// A host and perhaps a port, of letters that could not end one in somebody's parser.
fn is_host(host: &[u8]) -> bool {
    let plain = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'%')
    };
    let named = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    // Most are a name and no more: for those the library need not be asked.
    (!host.is_empty() && host.iter().all(named))
        || (host.iter().all(plain)
            && Authority::try_from(host).is_ok_and(|host| !host.host().is_empty()))
}
