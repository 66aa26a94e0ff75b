//! A connection's socket: its bytes are watched on their way in, and it does not hang up on a caller
//! who is still talking.
//!
//! A socket that is closed with unread bytes in it resets the connection, and the answer that was
//! just written may be lost with it. So whoever was refused in the middle of a request is heard out
//! for a while before the socket goes.

use super::framing::{Doubt, Watch};
use super::pace::Pace;
use crate::payload::short;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a caller who was refused in the middle of a request is heard out.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes thrown away at a time.
const SCRATCH: usize = 4 * 1024;

/// A stream whose incoming bytes are watched.
pub(super) struct Socket<S: AsFd> {
    stream: S,
    watch: Watch,
    pace: Pace,
    end: End,
    /// Whether the connection is reset when this is dropped.
    reset: Arc<AtomicBool>,
}

enum End {
    Open,
    /// We have said all; the caller may still be talking.
    Lingering(Pin<Box<Sleep>>),
    Over,
}

impl<S: AsFd> Socket<S> {
    /// Watches `stream`; `doubt` is told of the first request that could be read in two ways, `pace` of
    /// where the stream stands.
    pub(super) fn new(stream: S, doubt: Doubt, pace: Pace, reset: Arc<AtomicBool>) -> Socket<S> {
        Socket { stream, watch: Watch::new(doubt), pace, end: End::Open, reset }
    }
}

impl<S: AsFd> Drop for Socket<S> {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // What cannot be reset is closed: either way no answer comes.
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl<S: AsyncRead + AsFd + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.watch.see(&buffer.filled()[before..]);
        match this.watch.between_requests() {
            true => this.pace.between(),
            false => this.pace.within(this.watch.in_head()),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + AsFd + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        short::poll_write(Pin::new(&mut self.stream), cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.end = match &mut this.end {
                End::Open => {
                    ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                    if this.watch.between_requests() {
                        End::Over
                    } else {
                        End::Lingering(Box::pin(sleep(LINGER)))
                    }
                }
                End::Lingering(enough) => {
                    let over = enough.as_mut().poll(cx).is_ready();
                    if !over {
                        ready!(hear_out(&mut this.stream, cx));
                    }
                    End::Over
                }
                End::Over => return Poll::Ready(Ok(())),
            };
        }
    }
}

/// Reads and forgets until the other side has ended too.
fn hear_out<S: AsyncRead + Unpin>(stream: &mut S, cx: &mut Context<'_>) -> Poll<()> {
    let mut scratch = [0; SCRATCH];
    loop {
        let mut buffer = ReadBuf::new(&mut scratch);
        match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {}
            Ok(()) | Err(_) => return Poll::Ready(()),
        }
    }
}
