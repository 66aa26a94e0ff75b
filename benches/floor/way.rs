//! The way there and back, without anything done on it: bytes in, commands to Redis, bytes out.
//!
//! One connection to Redis a thread, shared by all its callers: whatever commands are there when its
//! turn comes leave in one piece, and replies come in the order of commands. Each caller's connection
//! has one of its own to the payment service. Redis' reply is a letter, not a record.

use super::recording::{REPLY, Recording};
use super::step::Step;
use crate::load::FINISHED;
use crate::upstream::{content_length, find};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Bytes read at a time: more than a request or its answer has here, or many replies of Redis.
const READ: usize = 16 * 1024;

/// What is done for a request.
pub(super) enum Way {
    /// Claim, forward to this payment service, settle.
    First(SocketAddr),
    /// Likewise, and Redis writes what a payment leaves there.
    Written(SocketAddr),
    /// Ask, and answer what was recorded.
    Duplicate,
}

/// What callers of a thread share.
struct Thread {
    way: Way,
    recording: Arc<Recording>,
    queue: Mutex<Queue>,
    /// There is something in the queue.
    leaves: Notify,
    /// The number of the next request, and how many threads count.
    number: AtomicU64,
    threads: u64,
}

/// Commands that have not left yet, and who waits for a reply, in their order.
#[derive(Default)]
struct Queue {
    leaving: Vec<u8>,
    waiting: VecDeque<Arc<Notify>>,
}

/// Serves until Redis is gone. `thread` says which of how many this is.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    way: Way,
    recording: Arc<Recording>,
    redis: SocketAddr,
    (thread, threads): (u64, u64),
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let redis = connect(redis).await?;
    let (reads, writes) = redis.into_split();
    let (queue, leaves, number) = (Mutex::default(), Notify::new(), AtomicU64::new(thread));
    let shared = Arc::new(Thread { way, recording, queue, leaves, number, threads });
    let replies = tokio::spawn(replies(reads, shared.clone()));
    let commands = tokio::spawn(commands(writes, shared.clone()));
    let callers = async {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // A connection that breaks is its peer's business.
            tokio::spawn(caller(stream, shared.clone()));
        }
    };
    tokio::select! {
        ended = callers => ended,
        ended = replies => ended?,
        ended = commands => ended?,
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn caller(mut stream: TcpStream, thread: Arc<Thread>) -> io::Result<()> {
    let Recording { claim, settle, claim_written, settle_written, duplicate, replay } =
        &*thread.recording;
    let replay = replay.bytes();
    let mut payment = match thread.way {
        Way::First(service) => Some((connect(service).await?, claim, settle)),
        Way::Written(service) => Some((connect(service).await?, claim_written, settle_written)),
        Way::Duplicate => None,
    };
    let (mut request, mut answer) = (Message::default(), Message::default());
    let replied = Arc::new(Notify::new());
    loop {
        let length = request.arrives(&mut stream).await?;
        let number = thread.number.fetch_add(thread.threads, Ordering::Relaxed);
        match &mut payment {
            Some((service, claim, settle)) => {
                thread.ask(claim, number, &replied).await;
                service.write_all(&request.bytes[..length]).await?;
                let length = answer.arrives(service).await?;
                thread.ask(settle, number, &replied).await;
                stream.write_all(&answer.bytes[..length]).await?;
                answer.goes(length);
            }
            None => {
                thread.ask(duplicate, number, &replied).await;
                stream.write_all(&replay).await?;
            }
        }
        request.goes(length);
    }
}

impl Thread {
    /// Sends a command and waits for its reply.
    async fn ask(&self, step: &Step, number: u64, replied: &Arc<Notify>) {
        {
            let mut queue = self.queue();
            step.put(number, number % FINISHED as u64, &mut queue.leaving);
            queue.waiting.push_back(replied.clone());
        }
        self.leaves.notify_one();
        replied.notified().await;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what is there, all at once.
async fn commands(mut redis: OwnedWriteHalf, thread: Arc<Thread>) -> io::Result<()> {
    let mut leaving = Vec::new();
    loop {
        thread.leaves.notified().await;
        std::mem::swap(&mut leaving, &mut thread.queue().leaving);
        redis.write_all(&leaving).await?;
        leaving.clear();
    }
}

/// Wakes those whose replies have come.
async fn replies(mut redis: OwnedReadHalf, thread: Arc<Thread>) -> io::Result<()> {
    let (mut bytes, mut filled) = (vec![0; READ], 0);
    loop {
        filled += some(redis.read(&mut bytes[filled..]).await?)?;
        let whole = filled - filled % REPLY.len();
        let mut queue = thread.queue();
        for reply in bytes[..whole].chunks_exact(REPLY.len()) {
            let waiting = queue.waiting.pop_front().filter(|_| reply == REPLY);
            waiting.ok_or_else(|| io::Error::other("Redis said something else"))?.notify_one();
        }
        drop(queue);
        bytes.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

/// Bytes read, unless there are none to come.
fn some(read: usize) -> io::Result<usize> {
    if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
}

/// What of HTTP messages has come on a connection.
struct Message {
    bytes: Vec<u8>,
    filled: usize,
}

impl Default for Message {
    fn default() -> Message {
        Message { bytes: vec![0; READ], filled: 0 }
    }
}

impl Message {
    /// Waits for a whole one and says how long it is.
    async fn arrives(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        loop {
            let here = &self.bytes[..self.filled];
            if let Some(end) = find(here, b"\r\n\r\n") {
                let length = end + 4 + content_length(&here[..end]);
                if length <= self.filled {
                    return Ok(length);
                }
            }
            self.filled += some(stream.read(&mut self.bytes[self.filled..]).await?)?;
        }
    }

    /// It is done with.
    fn goes(&mut self, length: usize) {
        self.bytes.copy_within(length..self.filled, 0);
        self.filled -= length;
    }
}
