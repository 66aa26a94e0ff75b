//! A body that is not what its sender sent.

use super::{Payload, PayloadError};
use crate::fault::corrupt;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What is done to it.
#[derive(Clone, Copy, Debug)]
pub enum Tamper {
    /// It breaks off after so many bytes.
    Cut(usize),
    /// One byte of its first piece is another.
    Corrupt,
    /// So many spaces follow it.
    Pad(usize),
}

/// A body and what is done to it.
pub struct Tampered {
    body: Payload,
    tamper: Tamper,
    /// What was passed on gets a chance to leave before the body breaks off.
    paused: bool,
    done: bool,
}

/// Spaces in one piece.
static SPACES: [u8; 64 * 1024] = [b' '; 64 * 1024];

impl Tampered {
    pub(super) fn new(body: Payload, tamper: Tamper) -> Tampered {
        Tampered { body, tamper, paused: false, done: false }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PayloadError>>> {
        if matches!(self.tamper, Tamper::Cut(0)) {
            // A body that ends here is whole.
            if self.body.is_end_stream() {
                return Poll::Ready(None);
            }
            if !std::mem::replace(&mut self.paused, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(Some(Err(PayloadError::Cut)));
        }
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            return Poll::Ready(self.spaces().map(|spaces| Ok(Frame::data(spaces))));
        };
        let mut piece = match frame.map(Frame::into_data) {
            Ok(Ok(piece)) => piece,
            Ok(Err(other)) => return Poll::Ready(Some(Ok(other))),
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        match &mut self.tamper {
            Tamper::Cut(left) => {
                if piece.len() > *left {
                    piece.truncate(*left);
                    // Whatever is left of the body, this was not its end.
                    self.body = Payload::Full(Bytes::from_static(b"-"));
                }
                *left -= piece.len();
                if piece.is_empty() {
                    return self.poll(cx);
                }
            }
            Tamper::Corrupt if !self.done => {
                self.done = true;
                piece = corrupt(&piece);
            }
            Tamper::Corrupt | Tamper::Pad(_) => {}
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn spaces(&mut self) -> Option<Bytes> {
        let Tamper::Pad(left) = &mut self.tamper else {
            return None;
        };
        let some = (*left).min(SPACES.len());
        *left -= some;
        (some > 0).then(|| Bytes::from_static(&SPACES[..some]))
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        match (self.tamper, hint.exact()) {
            (Tamper::Pad(left), Some(length)) => SizeHint::with_exact(length + left as u64),
            (Tamper::Pad(_), None) => SizeHint::default(),
            _ => hint,
        }
    }
}
