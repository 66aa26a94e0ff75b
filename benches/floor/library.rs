//! Requests read and answered by hyper, and nothing else: what a server pays that is built on it.
//!
//! Set as Onceward sets it, but for what it does besides: no timer for heads, no look at the bytes
//! that come in.

use super::recording::Recording;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::io;
use tokio::net::TcpListener;

/// As `src/serve` has them.
const MAX_HEADERS: usize = 100;
const MAX_HEAD: usize = 64 * 1024;
const MAX_READ: usize = 96 * 1024;

/// Answers every request as a duplicate was.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    recording: &Recording,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let replay = replay(recording)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let replay = replay.clone();
        let service = service_fn(move |request| answer(request, replay.clone()));
        let serving = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEAD)
            .max_buf_size(MAX_READ)
            .serve_connection(TokioIo::new(stream), service);
        // A connection that breaks is its peer's business.
        tokio::spawn(serving);
    }
}

/// Reads the request's body to its end.
async fn answer(
    request: Request<Incoming>,
    replay: Response<Full<Bytes>>,
) -> hyper::Result<Response<Full<Bytes>>> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(replay)
}

/// The recorded answer; its length and its date are the library's to write.
fn replay(recording: &Recording) -> io::Result<Response<Full<Bytes>>> {
    let replay = &recording.replay;
    let mut response = Response::new(Full::from(replay.body.clone()));
    for (name, value) in replay.headers() {
        if !["content-length", "date"].contains(&name) {
            let name = HeaderName::try_from(name).map_err(io::Error::other)?;
            let value = HeaderValue::try_from(value).map_err(io::Error::other)?;
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}
