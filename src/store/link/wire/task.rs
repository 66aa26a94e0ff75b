//! A connection's task: what leaves, what comes, and who has waited for too long.

use super::{Queue, lock};
use crate::store::link::reply::{self, Stop};
use bytes::{Buf, BytesMut};
use redis::Value;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

/// Bytes read at a time, and the most of a long reply.
const READ: usize = 16 * 1024;
pub(super) const LONG_READ: usize = 1024 * 1024;

/// Memory kept for the next commands, and for the next replies.
const KEPT: usize = 64 * 1024;

/// The connection itself.
pub(super) struct Task<S> {
    stream: S,
    queue: Arc<Mutex<Queue>>,
    /// Commands that are leaving, and how much of them has left.
    leaving: Vec<u8>,
    left: usize,
    /// What has come, and how many bytes the next reply takes at the least.
    read: BytesMut,
    wants: usize,
    /// One for all who wait, set anew when it rings: most replies come long before.
    timer: Pin<Box<Sleep>>,
    rings: Option<Instant>,
}

impl<S> Drop for Task<S> {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue);
        queue.over = true;
        // Whoever waits learns that no reply will come.
        queue.waiting.clear();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Task<S> {
    pub(super) fn new(stream: S, queue: Arc<Mutex<Queue>>) -> Task<S> {
        Task {
            stream,
            queue,
            leaving: Vec::new(),
            left: 0,
            read: BytesMut::with_capacity(READ),
            wants: 1,
            timer: Box::pin(sleep(Duration::ZERO)),
            rings: None,
        }
    }

    pub(super) async fn run(mut self) {
        if let Err(error) = poll_fn(|cx| self.poll(cx)).await {
            tracing::debug!(%error, "a connection to Redis ended");
        }
    }

    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        {
            let mut queue = lock(&self.queue);
            if queue.over {
                return Poll::Ready(Ok(()));
            }
            queue.task = Some(cx.waker().clone());
        }
        // A server that takes nothing more for now may have replies all the same.
        if let Poll::Ready(Err(error)) = self.write(cx) {
            return Poll::Ready(Err(error));
        }
        // What has come counts, even if we were not there to look for too long.
        let over = self.read(cx);
        if over.is_pending() {
            self.keep_time(cx);
        }
        over
    }

    /// Sees to it that nobody waits for too long.
    fn keep_time(&mut self, cx: &mut Context<'_>) {
        loop {
            let Some(earliest) = lock(&self.queue).earliest else {
                return;
            };
            if self.rings.is_none_or(|rings| earliest < rings) {
                self.timer.as_mut().reset(earliest);
                self.rings = Some(earliest);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return;
            }
            self.rings = None;
            lock(&self.queue).give_up(Instant::now());
        }
    }

    /// Ready when all commands have left.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.left == self.leaving.len() {
                self.leaving.clear();
                self.leaving.shrink_to(KEPT);
                self.left = 0;
                std::mem::swap(&mut self.leaving, &mut lock(&self.queue).leaving);
            }
            let rest = &self.leaving[self.left..];
            if rest.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.left += written,
            }
        }
    }

    /// Ready when no more replies can come.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.read.is_empty() && self.read.capacity() > KEPT {
                self.read = BytesMut::new();
            }
            let wants = self.wants.saturating_sub(self.read.len());
            self.read.reserve(wants.clamp(READ, LONG_READ));
            if ready!(pin!(self.stream.read_buf(&mut self.read)).poll(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            while self.read.len() >= self.wants {
                match reply::read(&self.read) {
                    Ok((value, length)) => {
                        self.read.advance(length);
                        self.wants = 1;
                        self.hand_over(value)?;
                    }
                    Err(Stop::Wants(bytes)) => self.wants = bytes,
                    Err(Stop::Malformed) => {
                        return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                    }
                }
            }
        }
    }

    fn hand_over(&mut self, value: Value) -> io::Result<()> {
        let waiting = lock(&self.queue).waiting.pop_front();
        if let Some(told) = waiting.ok_or(io::ErrorKind::InvalidData)?.told {
            // Whoever waited may have left.
            let _ = told.send(Some(value));
        }
        Ok(())
    }
}
