//! The one connection the doctor talks over. Every wait here ends with the timeout.

use std::{fmt, future::Future, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult,
    ServerErrorKind, aio::MultiplexedConnection,
};

use super::{Finding, Patient};

const CHECK: &str = "connection";

/// Why a question got no useful answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing came back in time.
    Silent(Duration),
    /// The connection broke.
    Lost(String),
    /// This user may not ask that, or the server does not know the command.
    NotAllowed(String),
    /// Another node of the cluster holds the key.
    Elsewhere,
    /// Any other refusal, in the server's words.
    Refused(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(timeout) => {
                write!(out, "no answer within {}", humantime::format_duration(*timeout))
            }
            Self::Lost(why) => write!(out, "connection lost: {why}"),
            Self::Elsewhere => out.write_str("held by another node of the cluster"),
            Self::NotAllowed(words) | Self::Refused(words) => out.write_str(words),
        }
    }
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        let detail = error.detail().unwrap_or_default();
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::NotAllowed(error.to_string()),
            // A renamed command; a managed Redis often hides commands that way.
            _ if detail.starts_with("unknown command") => {
                Self::NotAllowed("unknown command".to_owned())
            }
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => Self::Elsewhere,
            ErrorKind::Io => Self::Lost(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

pub(super) struct Link {
    client: Client,
    connection: MultiplexedConnection,
    timeout: Duration,
}

impl Link {
    /// Connects, logs in, and hears one PING answered.
    pub(super) async fn open(patient: &Patient<'_>) -> Result<Self, Finding> {
        let timeout = patient.timeout;
        // The error is not shown: it may quote the URL, and with it the password.
        let client = Client::open(patient.server.clone()).map_err(|_| unusable())?;
        let address = client.get_connection_info().addr().to_string();

        // The timeouts are ours alone, so that there is one rule for how long a wait may be.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let connection = match tokio::time::timeout(timeout, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(cannot_connect(&address, &error)),
            Err(_) => return Err(silent(&address, timeout)),
        };

        let link = Self { client, connection, timeout };
        match link.ask::<String>(&["PING"]).await {
            // A user without PING is connected all the same; `permissions` names the command.
            Ok(_) | Err(Trouble::NotAllowed(_)) => Ok(link),
            Err(Trouble::Silent(_)) => Err(silent(&address, timeout)),
            Err(Trouble::Refused(words)) if words.contains("NOAUTH") => {
                Err(not_logged_in(&address))
            }
            Err(trouble) => Err(Finding::fail(
                CHECK,
                format!("{address}: {trouble}"),
                "the server is there but does not serve; try again once it does",
            )),
        }
    }

    pub(super) fn address(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// Sends one command and reads its answer as a `T`.
    pub(super) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, Trouble> {
        let mut command = Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let mut connection = self.connection.clone();
        self.bounded(command.query_async(&mut connection)).await
    }

    /// Subscribes to a channel and leaves again, on a connection of its own: a subscription would
    /// turn the shared one away from commands.
    pub(super) async fn subscribe(&self, channel: &str) -> Result<(), Trouble> {
        let mut listener = self.bounded(self.client.get_async_pubsub()).await?;
        self.bounded(listener.subscribe(channel)).await
    }

    async fn bounded<T>(&self, answer: impl Future<Output = RedisResult<T>>) -> Result<T, Trouble> {
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Trouble::Silent(self.timeout)),
        }
    }
}

fn unusable() -> Finding {
    Finding::fail(CHECK, "REDIS_URL cannot be used", "name a redis://, rediss:// or unix:// URL")
}

fn silent(address: &str, timeout: Duration) -> Finding {
    Finding::fail(
        CHECK,
        format!("{address}: {}", Trouble::Silent(timeout)),
        "check the address and the firewall; a TLS port stays silent to a redis:// URL",
    )
}

fn not_logged_in(address: &str) -> Finding {
    Finding::fail(
        CHECK,
        format!("{address}: user name or password refused"),
        "put the right ones into REDIS_URL: redis://user:password@host:port",
    )
}

fn cannot_connect(address: &str, error: &RedisError) -> Finding {
    if error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
    {
        return not_logged_in(address);
    }
    // While logging in a server may quote the arguments of a command it refuses, the password
    // among them: only what the network itself says is passed on word for word.
    let why = match error.code() {
        _ if error.is_io_error() => error.to_string(),
        Some(code) => format!("{} ({code})", error.category()),
        None => error.category().to_owned(),
    };
    Finding::fail(
        CHECK,
        format!("{address}: {why}"),
        "nothing can be claimed without Redis; check the address, the port and the database number",
    )
}
