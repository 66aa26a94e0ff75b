//! Reading a request's body whole: up to a cap, within a time, without trailers.

use crate::answer::problem::{Name, Problem};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::time::Duration;

/// Reads a body of at most `cap` bytes within `allowed`.
///
/// # Errors
/// The problem to tell; the connection ends with it, for the rest of the body is unread.
pub(super) async fn read_body(
    body: Incoming,
    cap: usize,
    allowed: Duration,
) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > cap as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(allowed, collect(body, cap)).await {
        Ok(read) => read.map_err(Problem::closing),
        Err(_) => {
            let detail = "The body did not arrive in time.";
            Err(Problem::new(Name::RequestTimeout, detail).closing())
        }
    }
}

async fn collect(mut body: Incoming, cap: usize) -> Result<Bytes, Problem> {
    let mut read = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let broken = |_| Problem::new(Name::BadRequest, "The body is not what its head announced.");
        let Ok(piece) = frame.map_err(broken)?.into_data() else {
            return Err(Problem::new(Name::BadRequest, "Trailers are not passed on."));
        };
        if read.len() + more.len() + piece.len() > cap {
            return Err(too_large());
        }
        // Most bodies come in one piece, which is taken as it is.
        if read.is_empty() && more.is_empty() {
            read = piece;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&std::mem::take(&mut read));
            }
            more.extend_from_slice(&piece);
        }
    }
    Ok(if more.is_empty() { read } else { more.freeze() })
}

fn too_large() -> Problem {
    Problem::new(Name::BodyTooLarge, "The body is larger than this route takes.").closing()
}
