//! The gate between one actor and the world: every command to Redis and every request upstream stops
//! here until the search says what becomes of it.

use super::wire;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;

/// What an actor wants next.
#[derive(Clone, Debug)]
pub enum Wish {
    /// A script's call: the command's words.
    Script(Vec<Vec<u8>>),
    /// A request to the payment service.
    Request(wire::Request),
}

/// A wish that waits at the gate.
struct Standing {
    wish: Wish,
    verdict: oneshot::Sender<Option<Vec<u8>>>,
}

/// One actor's gate.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<VecDeque<Standing>>>);

impl Gate {
    /// What stands at the gate, the earliest first.
    pub fn standing(&self) -> Option<Wish> {
        self.0.lock().unwrap().front().map(|standing| standing.wish.clone())
    }

    pub fn is_free(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    /// Answers the one in front; `None` cuts its connection.
    pub fn release(&self, answer: Option<Vec<u8>>) {
        let standing = self.0.lock().unwrap().pop_front().expect("somebody at the gate");
        // Who no longer listens has given up waiting.
        let _ = standing.verdict.send(answer);
    }

    async fn pass(&self, wish: Wish) -> Option<Vec<u8>> {
        let (verdict, told) = oneshot::channel();
        self.0.lock().unwrap().push_back(Standing { wish, verdict });
        told.await.ok().flatten()
    }

    /// Stands where the actor believes Redis to be.
    pub async fn stand_for_redis(self, path: &Path) {
        let listener = UnixListener::bind(path).expect("a socket");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(self.clone().serve(stream, |gate, read| {
                let words = wire::take_command(read)?;
                // The client introduces itself; nothing is decided by that.
                let is_script = words[0].starts_with(b"EVAL");
                Some(match is_script {
                    true => Next::Ask(gate, Wish::Script(words)),
                    false => Next::Say(b"+OK\r\n".to_vec()),
                })
            }));
        }
    }

    /// Stands where the actor believes the payment service to be.
    pub async fn stand_for_upstream(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            tokio::spawn(self.clone().serve(stream, |gate, read| {
                let request = wire::take_request(read)?;
                Some(Next::Ask(gate, Wish::Request(request)))
            }));
        }
    }

    async fn serve(
        self,
        mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
        next: impl Fn(Gate, &mut Vec<u8>) -> Option<Next>,
    ) {
        let mut read = Vec::new();
        loop {
            while let Some(next) = next(self.clone(), &mut read) {
                let answer = match next {
                    Next::Say(answer) => Some(answer),
                    Next::Ask(gate, wish) => gate.pass(wish).await,
                };
                let Some(answer) = answer else {
                    return;
                };
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
            if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
                return;
            }
        }
    }
}

/// What to do with something that was read.
enum Next {
    Say(Vec<u8>),
    Ask(Gate, Wish),
}
