//! Reading a request's body whole: up to a cap, within a time, in memory there is room in, without
//! trailers.

use crate::answer::problem::{Name, Problem};
use crate::guard::{BodyMemory, Portion, SMALL};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::sync::Arc;
use std::time::Duration;

/// Reads a body of at most `cap` bytes within `allowed`.
///
/// # Errors
/// The problem to tell; the connection ends with it, for the rest of the body is unread.
pub(super) async fn read_body(
    body: Incoming,
    cap: usize,
    allowed: Duration,
    memory: &Arc<BodyMemory>,
) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let announced = body.size_hint().lower();
    if announced > cap as u64 {
        return Err(too_large());
    }
    // What is announced is taken before a byte is read: who was let in gets to the end.
    let mut room = Room { memory, portion: None, bytes: Vec::new(), cap };
    room.has(announced as usize)?;
    match tokio::time::timeout(allowed, collect(body, announced as usize, room)).await {
        Ok(read) => read.map_err(Problem::closing),
        Err(_) => {
            let detail = "The body did not arrive in time.";
            Err(Problem::new(Name::RequestTimeout, detail).closing())
        }
    }
}

/// Where a body's pieces are put together.
struct Room<'m> {
    memory: &'m Arc<BodyMemory>,
    portion: Option<Portion>,
    bytes: Vec<u8>,
    cap: usize,
}

impl Room<'_> {
    /// Sees to it that there is memory for so many bytes.
    fn has(&mut self, bytes: usize) -> Result<(), Problem> {
        match self.memory.fits(&mut self.portion, bytes) {
            true => Ok(()),
            false => {
                let detail = "There is no memory for another large request at the moment. Nothing \
                              was sent. Send the same request again.";
                Err(Problem::new(Name::Overloaded, detail).closing())
            }
        }
    }

    /// Adds a piece of a body of which so much was announced. One that says nothing of its length
    /// doubles its room whenever that is full.
    fn add(&mut self, piece: &[u8], announced: usize) -> Result<(), Problem> {
        let needed = self.bytes.len() + piece.len();
        if needed > self.bytes.capacity() {
            let doubled = self.bytes.capacity().saturating_mul(2).max(SMALL).min(self.cap);
            let wanted = if announced > 0 { announced } else { doubled }.max(needed);
            self.has(wanted)?;
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

async fn collect(
    mut body: Incoming,
    announced: usize,
    mut room: Room<'_>,
) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    while let Some(frame) = body.frame().await {
        let broken = |_| Problem::new(Name::BadRequest, "The body is not what its head announced.");
        let Ok(piece) = frame.map_err(broken)?.into_data() else {
            return Err(Problem::new(Name::BadRequest, "Trailers are not passed on."));
        };
        if first.len() + room.bytes.len() + piece.len() > room.cap {
            return Err(too_large());
        }
        // Most bodies come in one piece, which is taken as it is.
        if first.is_empty() && room.bytes.is_empty() {
            room.has(piece.len())?;
            first = piece;
            continue;
        }
        if room.bytes.is_empty() {
            room.add(&std::mem::take(&mut first), announced)?;
        }
        room.add(&piece, announced)?;
    }
    let Room { portion, bytes, .. } = room;
    let whole = if bytes.is_empty() { first } else { bytes.into() };
    Ok(match portion {
        Some(portion) => portion.with(whole),
        None => whole,
    })
}

fn too_large() -> Problem {
    Problem::new(Name::BodyTooLarge, "The body is larger than this route takes.").closing()
}
