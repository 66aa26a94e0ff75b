//! One connection to one server, over TCP or a unix socket, shared by all commands of a thread.
//!
//! A command is written once, into the buffer it leaves in; whatever commands are there when the
//! connection gets its turn leave in one piece, so that a lonely one leaves at once and many share a
//! packet; and replies go to those who wait, in the order of their commands. Nothing is ever sent
//! twice, and nothing but a reply says that a command was carried out.

mod task;

use futures_util::future::select_ok;
use redis::{Arg, Cmd, ErrorKind, Pipeline, RedisConnectionInfo, RedisError, RedisResult};
use redis::{ServerErrorKind, Value};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use task::Task;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::sync::oneshot::{self, error::RecvError};
use tokio::time::Instant;

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
    /// Who gets the replies to come.
    waiting: VecDeque<Waiting>,
    /// When patience is over for one of them, or was for one who has heard.
    earliest: Option<Instant>,
    /// Whether it is over: it broke, or nobody has it any more.
    over: bool,
    task: Option<Waker>,
}

/// One who waits for a reply, and until when.
struct Waiting {
    /// Told the reply, or nothing once it is too late; none where nobody is to hear it.
    told: Option<oneshot::Sender<Option<Value>>>,
    until: Instant,
}

/// Why there is no answer. The command may have happened, whichever it is.
pub(super) enum Silence {
    /// None came in time.
    Late,
    /// The connection broke.
    Broken(RedisError),
}

/// What the library says where a server refuses the database of its URL, and so do we.
pub(super) const NO_DATABASE: &str = "Redis server refused to switch database";

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
        let task = Task::new(stream, queue.clone());
        // It ends with the connection, and decides nothing.
        tokio::spawn(task.run());
        Wire(Arc::new(End(queue)))
    }

    /// Logs in and chooses the database. The error never repeats what the server said.
    pub(super) async fn log_in(
        &self,
        info: &RedisConnectionInfo,
        until: Instant,
    ) -> RedisResult<()> {
        let (mut login, mut refusals) = (Pipeline::new(), Vec::new());
        if let Some(password) = info.password() {
            login.cmd("AUTH").arg(info.username()).arg(password);
            let kind = ErrorKind::AuthenticationFailed;
            refusals.push((kind, "Password authentication failed"));
        }
        if info.db() != 0 {
            login.cmd("SELECT").arg(info.db());
            refusals.push((ErrorKind::Server(ServerErrorKind::ResponseError), NO_DATABASE));
        }
        let answers = self.ask(&login, until).await.map_err(|silence| match silence {
            Silence::Late => io::Error::from(io::ErrorKind::TimedOut).into(),
            Silence::Broken(error) => error,
        })?;
        match answers.iter().zip(refusals).find(|(answer, _)| **answer != Value::Okay) {
            Some((_, refusal)) => Err(refusal.into()),
            None => Ok(()),
        }
    }

    /// Whether commands may still be sent on it.
    pub(super) fn is_open(&self) -> bool {
        !lock(&self.0.0).over
    }

    /// Sends one command and waits for its reply until then; `asking` goes right before it.
    pub(super) async fn send(
        &self,
        command: &Cmd,
        asking: bool,
        until: Instant,
    ) -> Result<Value, Silence> {
        let reply = {
            let mut queue = self.queue()?;
            if asking {
                pack(&redis::cmd("ASKING"), &mut queue.leaving);
                queue.waiting.push_back(Waiting { told: None, until });
            }
            queue.put(command, until)
        };
        heard(reply.await)
    }

    /// Asks several questions at once.
    pub(super) async fn ask(
        &self,
        questions: &Pipeline,
        until: Instant,
    ) -> Result<Vec<Value>, Silence> {
        let replies: Vec<_> = {
            let mut queue = self.queue()?;
            questions.cmd_iter().map(|question| queue.put(question, until)).collect()
        };
        let mut values = Vec::with_capacity(replies.len());
        for reply in replies {
            values.push(heard(reply.await)?);
        }
        Ok(values)
    }

    fn queue(&self) -> Result<MutexGuard<'_, Queue>, Silence> {
        let queue = lock(&self.0.0);
        if queue.over { Err(Silence::Broken(closed())) } else { Ok(queue) }
    }
}

/// What one who waited was told: nothing at all where the connection is over.
fn heard(told: Result<Option<Value>, RecvError>) -> Result<Value, Silence> {
    told.map_err(|_| Silence::Broken(closed()))?.ok_or(Silence::Late)
}

impl Queue {
    fn put(&mut self, command: &Cmd, until: Instant) -> oneshot::Receiver<Option<Value>> {
        let (told, hears) = oneshot::channel();
        pack(command, &mut self.leaving);
        self.waiting.push_back(Waiting { told: Some(told), until });
        self.earliest = Some(self.earliest.map_or(until, |earliest| earliest.min(until)));
        self.wake();
        hears
    }

    /// Tells those whose patience is over. Their replies may still come, and are passed over.
    fn give_up(&mut self, now: Instant) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.until <= now) {
            if let Some(told) = waiting.told.take() {
                let _ = told.send(None);
            }
        }
        let patient = self.waiting.iter().filter(|waiting| waiting.told.is_some());
        self.earliest = patient.map(|waiting| waiting.until).min();
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
    // Most counts have few digits; pieces of a known length need no call to be copied.
    match count {
        0..10 => out.extend_from_slice(&[kind, digit(1), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[kind, digit(10), digit(1), b'\r', b'\n']),
        100..1000 => {
            out.extend_from_slice(&[kind, digit(100), digit(10), digit(1), b'\r', b'\n']);
        }
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
