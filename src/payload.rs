//! The one body type of both sides: in memory, or streaming from the other side.
//!
//! A streaming body is held to a rule about slowness; none is ever collected here.

pub mod short;
mod tampered;

pub use tampered::{Tamper, Tampered};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep};

/// A body that could not be passed on to its end.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The sending side broke off or sent what is not HTTP.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// The sending side was silent for too long.
    #[error("no byte within the time allowed")]
    Silent,
    /// The side that read ahead for us gave up.
    #[error("cut short")]
    Cut,
}

/// A body.
pub enum Payload {
    /// In memory; taken when it was sent.
    Full(Bytes),
    /// Straight from the other side, for as long as its reader has patience.
    Incoming(Incoming),
    /// Straight from the other side.
    Stream(Box<Stream>),
    /// Read by a task that goes on when nobody listens any more.
    Relayed(mpsc::Receiver<Result<Bytes, PayloadError>>, Option<u64>),
    /// Another body than was sent: a fault was played.
    Tampered(Box<Tampered>),
    /// Breaks off before its first byte, and before the head it would have followed.
    Broken,
}

/// A body straight from a connection.
pub struct Stream {
    body: Incoming,
    patience: Option<Patience>,
    at_end: Option<Box<dyn FnOnce() + Send + Sync>>,
}

struct Patience {
    allowed: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Payload {
    /// No bytes.
    pub fn empty() -> Payload {
        Payload::Full(Bytes::new())
    }

    /// The same body, tampered with.
    pub fn tampered(self, tamper: Tamper) -> Payload {
        Payload::Tampered(Box::new(Tampered::new(self, tamper)))
    }

    /// What comes from `body`, whose sender may be silent for `allowed` at a time; `at_end` runs
    /// once all of it has come.
    pub fn stream(
        body: Incoming,
        allowed: Option<Duration>,
        at_end: impl FnOnce() + Send + Sync + 'static,
    ) -> Payload {
        let patience = allowed.map(|allowed| Patience { allowed, sleep: Box::pin(sleep(allowed)) });
        let mut stream = Stream { body, patience, at_end: Some(Box::new(at_end)) };
        if stream.body.is_end_stream() {
            stream.ended();
        }
        Payload::Stream(Box::new(stream))
    }
}

impl Stream {
    fn ended(&mut self) {
        if let Some(at_end) = self.at_end.take() {
            at_end();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, PayloadError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some(patience) = &mut self.patience {
                    let until = Instant::now() + patience.allowed;
                    patience.sleep.as_mut().reset(until);
                }
                let over = match &frame {
                    None => true,
                    // Nobody looks for an end behind them.
                    Some(Ok(frame)) => frame.is_trailers(),
                    Some(Err(_)) => false,
                };
                if over || self.body.is_end_stream() {
                    self.ended();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(PayloadError::from)))
            }
            Poll::Pending => {
                if let Some(patience) = &mut self.patience {
                    ready!(patience.sleep.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(PayloadError::Silent)));
                }
                Poll::Pending
            }
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = PayloadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PayloadError>>> {
        match self.get_mut() {
            Payload::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Payload::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Payload::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(PayloadError::from),
            Payload::Stream(stream) => stream.poll(cx),
            Payload::Tampered(tampered) => tampered.poll(cx),
            Payload::Broken => Poll::Ready(Some(Err(PayloadError::Cut))),
            Payload::Relayed(pieces, left) => {
                let piece = ready!(pieces.poll_recv(cx));
                if let (Some(left), Some(Ok(bytes))) = (left, &piece) {
                    *left = left.saturating_sub(bytes.len() as u64);
                }
                Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Payload::Full(bytes) => bytes.is_empty(),
            Payload::Incoming(body) => body.is_end_stream(),
            Payload::Stream(stream) => stream.body.is_end_stream(),
            Payload::Relayed(..) | Payload::Tampered(_) | Payload::Broken => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Payload::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Payload::Incoming(body) => body.size_hint(),
            Payload::Stream(stream) => stream.body.size_hint(),
            Payload::Tampered(tampered) => tampered.size_hint(),
            Payload::Broken => SizeHint::default(),
            Payload::Relayed(_, Some(left)) => SizeHint::with_exact(*left),
            Payload::Relayed(_, None) => SizeHint::default(),
        }
    }
}
