//! A connection that many commands share: our own where it is a plain one, else the library's.

use super::letter::Letter;
use super::wire::{Silence, Wire};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, Pipeline};
use redis::{ProtocolVersion, RedisResult, Value};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A connection, logged in.
#[derive(Clone)]
pub(super) enum Connection {
    /// Over TCP or a unix socket.
    Wire(Wire),
    /// Over TLS, or speaking RESP3.
    Library(MultiplexedConnection),
}

impl Connection {
    /// Connects and logs in.
    pub(super) async fn open(info: ConnectionInfo, timeout: Duration) -> RedisResult<Connection> {
        let login = info.redis_settings();
        let wire = match info.addr() {
            _ if login.protocol() != ProtocolVersion::RESP2 => None,
            ConnectionAddr::Tcp(host, port) => Some(Wire::tcp(host, *port).await?),
            ConnectionAddr::Unix(path) => Some(Wire::unix(path).await?),
            _ => None,
        };
        if let Some(wire) = wire {
            wire.log_in(login, Instant::now() + timeout).await?;
            return Ok(Connection::Wire(wire));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(None);
        let client = Client::open(info)?;
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Connection::Library(connection))
    }

    /// Whether it is not known to be over.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Connection::Wire(wire) => wire.is_open(),
            Connection::Library(_) => true,
        }
    }

    /// Sends a letter's command and waits for the answer until its deadline.
    pub(super) async fn put(&mut self, letter: &Letter<'_>) -> Result<Value, Silence> {
        match self {
            Connection::Wire(wire) => {
                wire.send(letter.command, letter.asking, letter.deadline).await
            }
            Connection::Library(connection) => {
                Box::pin(in_time(letter.put(connection), letter.deadline)).await
            }
        }
    }

    /// Asks several questions at once.
    pub(super) async fn ask(
        &mut self,
        questions: &Pipeline,
        deadline: Instant,
    ) -> Result<Vec<Value>, Silence> {
        match self {
            Connection::Wire(wire) => wire.ask(questions, deadline).await,
            Connection::Library(connection) => {
                let asked = connection.send_packed_commands(questions, 0, questions.len());
                in_time(asked, deadline).await
            }
        }
    }
}

async fn in_time<T>(
    asked: impl Future<Output = RedisResult<T>>,
    deadline: Instant,
) -> Result<T, Silence> {
    match timeout_at(deadline, asked).await {
        Ok(answered) => answered.map_err(Silence::Broken),
        Err(_) => Err(Silence::Late),
    }
}
