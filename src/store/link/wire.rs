//! One connection to one server, over TCP or a unix socket, shared by all commands of a thread.
//!
//! A command is written once, into the buffer it leaves in; whatever commands are there when the
//! connection gets its turn leave in one piece, so that a lonely one leaves at once and many share a
//! packet; and replies go to those who wait, in the order of their commands. Nothing is ever sent
//! twice, and nothing but a reply says that a command was carried out.

use super::reply::{self, Stop};
use bytes::{Buf, BytesMut};
use futures_util::future::select_ok;
use redis::{Arg, Cmd, ErrorKind, Pipeline, RedisConnectionInfo, RedisError, RedisResult, Value};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::sync::oneshot;

/// Bytes read at a time, and the most of a long reply.
const READ: usize = 16 * 1024;
const LONG_READ: usize = 1024 * 1024;

/// Memory kept for the next commands, and for the next replies.
const KEPT: usize = 64 * 1024;

/// A connection. It is closed when nobody has it any more.
#[derive(Clone)]
pub(super) struct Wire(Arc<End>);

/// The senders' end of a connection.
struct End(Arc<Mutex<Queue>>);

/// What senders and the connection's task share.
#[derive(Default)]
struct Queue {
    /// Commands that have not left yet.
    leaving: Vec<u8>,
    /// Who gets the replies to come; none for one that nobody is to hear.
    waiting: VecDeque<Option<oneshot::Sender<Value>>>,
    /// Whether it is over: it broke, or nobody has it any more.
    over: bool,
    task: Option<Waker>,
}

impl Wire {
    /// Connects to whichever address of a host answers first.
    pub(super) async fn tcp(host: &str, port: u16) -> RedisResult<Wire> {
        let addresses = lookup_host((host, port)).await?;
        let tries: Vec<_> =
            addresses.map(|address| Box::pin(TcpStream::connect(address))).collect();
        if tries.is_empty() {
            return Err(io::Error::from(io::ErrorKind::NotFound).into());
        }
        let (stream, _) = select_ok(tries).await?;
        // A command does not wait for the acknowledgement of the one before.
        stream.set_nodelay(true)?;
        Ok(Wire::over(stream))
    }

    /// Connects to a unix socket.
    pub(super) async fn unix(path: &Path) -> RedisResult<Wire> {
        Ok(Wire::over(UnixStream::connect(path).await?))
    }

    fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Wire {
        let queue = Arc::<Mutex<Queue>>::default();
        let read = BytesMut::with_capacity(READ);
        let task =
            Task { stream, queue: queue.clone(), leaving: Vec::new(), left: 0, read, wants: 1 };
        // It ends with the connection, and decides nothing.
        tokio::spawn(task.run());
        Wire(Arc::new(End(queue)))
    }

    /// Logs in and chooses the database. The error never repeats what the server said.
    pub(super) async fn log_in(&self, info: &RedisConnectionInfo) -> RedisResult<()> {
        let (mut login, mut refusals) = (Pipeline::new(), Vec::new());
        if let Some(password) = info.password() {
            login.cmd("AUTH").arg(info.username()).arg(password);
            refusals.push("Password authentication failed");
        }
        if info.db() != 0 {
            login.cmd("SELECT").arg(info.db());
            refusals.push("Redis server refused to switch database");
        }
        let answers = self.ask(&login).await?;
        match answers.iter().zip(refusals).find(|(answer, _)| **answer != Value::Okay) {
            Some((_, refusal)) => Err((ErrorKind::AuthenticationFailed, refusal).into()),
            None => Ok(()),
        }
    }

    /// Whether commands may still be sent on it.
    pub(super) fn is_open(&self) -> bool {
        !lock(&self.0.0).over
    }

    /// Sends one command and waits for its reply; `asking` goes right before it.
    pub(super) async fn send(&self, command: &Cmd, asking: bool) -> RedisResult<Value> {
        let reply = {
            let mut queue = self.queue()?;
            if asking {
                pack(&redis::cmd("ASKING"), &mut queue.leaving);
                queue.waiting.push_back(None);
            }
            queue.put(command)
        };
        reply.await.map_err(|_| closed())
    }

    /// Asks several questions at once.
    pub(super) async fn ask(&self, questions: &Pipeline) -> RedisResult<Vec<Value>> {
        let replies: Vec<_> = {
            let mut queue = self.queue()?;
            questions.cmd_iter().map(|question| queue.put(question)).collect()
        };
        let mut values = Vec::with_capacity(replies.len());
        for reply in replies {
            values.push(reply.await.map_err(|_| closed())?);
        }
        Ok(values)
    }

    fn queue(&self) -> RedisResult<MutexGuard<'_, Queue>> {
        let queue = lock(&self.0.0);
        if queue.over { Err(closed()) } else { Ok(queue) }
    }
}

impl Queue {
    fn put(&mut self, command: &Cmd) -> oneshot::Receiver<Value> {
        let (reply, heard) = oneshot::channel();
        pack(command, &mut self.leaving);
        self.waiting.push_back(Some(reply));
        self.wake();
        heard
    }

    fn wake(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.over = true;
        queue.wake();
    }
}

/// The connection itself.
struct Task<S> {
    stream: S,
    queue: Arc<Mutex<Queue>>,
    /// Commands that are leaving, and how much of them has left.
    leaving: Vec<u8>,
    left: usize,
    /// What has come, and how many bytes the next reply takes at the least.
    read: BytesMut,
    wants: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Task<S> {
    async fn run(mut self) {
        let why = poll_fn(|cx| self.poll(cx)).await;
        if let Err(error) = why {
            tracing::debug!(%error, "a connection to Redis ended");
        }
        let mut queue = lock(&self.queue);
        queue.over = true;
        // Whoever waits learns that no reply will come.
        queue.waiting.clear();
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
        self.read(cx)
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
        if let Some(reply) = waiting.ok_or(io::ErrorKind::InvalidData)? {
            // Whoever waited may have lost patience.
            let _ = reply.send(value);
        }
        Ok(())
    }
}

/// Writes a command as a server reads it: a list of strings.
fn pack(command: &Cmd, out: &mut Vec<u8>) {
    let words = command.args_iter();
    head(b'*', words.len(), out);
    for word in words {
        let word = match word {
            Arg::Simple(bytes) => bytes,
            // Where a scan begins.
            _ => b"0",
        };
        head(b'$', word.len(), out);
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// How many follow: words of a command, or bytes of a word.
fn head(kind: u8, count: usize, out: &mut Vec<u8>) {
    let digit = |power: usize| b'0' + (count / power % 10) as u8;
    // Most counts have one digit or two; pieces of a known length need no call to be copied.
    match count {
        0..10 => out.extend_from_slice(&[kind, digit(1), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[kind, digit(10), digit(1), b'\r', b'\n']),
        _ => {
            out.push(kind);
            out.extend_from_slice(count.to_string().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connection is over: what was sent may have happened.
fn closed() -> RedisError {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
