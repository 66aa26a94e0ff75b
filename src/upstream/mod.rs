//! The way to the payment service: one HTTP/1.1 client per thread, and the truth about failure.
//!
//! A request's life: take an idle connection or make one; see that it is ready; hand the request
//! over; wait for the head of the answer. Up to the hand-over nothing was sent, after it everything
//! may have been; [`SendError`] says on which side it broke. A request is never sent twice: where a
//! connection gives the request back untouched, and only there, another one is tried.

mod faulty;
mod idle;
mod stream;

pub use faulty::{Answered, Departure, Leg};

use crate::fault::Faults;
use crate::payload::Payload;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use idle::Idle;
use std::sync::Arc;
use std::time::Duration;
use stream::Stream;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What the client needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` of the payment service.
    pub authority: String,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
}

/// A failed exchange, by what it means for money.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No byte of the request left this process.
    #[error("nothing was sent: {0}")]
    NotSent(String),
    /// It may have arrived; the answer was cut, malformed or reset.
    #[error("it may have been sent: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It may have arrived; no answer came in time.
    #[error("it may have been sent: no answer in time")]
    Silent,
}

/// Connections tried for one request: an idle one may turn out closed, a fresh one should not.
const TRIES: usize = 3;

/// Header lines accepted in an answer, and bytes of its head.
const MAX_ANSWER_HEADERS: usize = 200;
const MAX_ANSWER_HEAD: usize = 64 * 1024;

/// Bytes of an answer read at a time, where it comes that fast; as many as of a request's body, for the
/// same reason.
const MAX_READ: usize = 96 * 1024;

/// One thread's client.
pub struct Upstream {
    config: Config,
    idle: Arc<Idle>,
    faults: Faults,
}

/// An answer whose body has yet to be read, and the connection it comes on.
pub struct Exchange {
    /// The answer.
    pub response: Response<Incoming>,
    connection: SendRequest<Payload>,
    idle: Arc<Idle>,
}

impl Upstream {
    /// A client without connections.
    pub fn new(config: Config) -> Upstream {
        Upstream { config, idle: Arc::default(), faults: Faults::default() }
    }

    /// The same, on whose legs accidents may happen.
    pub fn with_faults(self, faults: Faults) -> Upstream {
        Upstream { faults, ..self }
    }

    /// Sends a request whose target and `Host` are set, and waits for the head of the answer until
    /// `late` is ready. `may_send` is asked last of all before the request is handed over. It comes
    /// in a box: on its way here it is handed on more than once.
    ///
    /// # Errors
    /// [`SendError`] says whether the request may have been sent.
    pub async fn send(
        &self,
        mut request: Box<Request<Payload>>,
        late: impl Future<Output = ()>,
        may_send: impl Fn() -> bool,
    ) -> Result<Exchange, SendError> {
        let mut late = std::pin::pin!(late);
        let mut refused = String::new();
        for _ in 0..TRIES {
            let mut connection = self.connection().await?;
            if !may_send() {
                return Err(SendError::NotSent("too late to begin".into()));
            }
            let sent = tokio::select! {
                biased;
                sent = connection.try_send_request(*request) => sent,
                () = &mut late => return Err(SendError::Silent),
            };
            match sent {
                Ok(response) => {
                    return Ok(Exchange { response, connection, idle: self.idle.clone() });
                }
                Err(mut error) => match error.take_message() {
                    // The connection was gone before it took the request.
                    Some(untouched) => {
                        refused = error.error().to_string();
                        *request = untouched;
                    }
                    None => return Err(SendError::Broken(error.into_error().into())),
                },
            }
        }
        Err(SendError::NotSent(refused))
    }

    /// Sends a request on a connection of its own that may change its protocol.
    ///
    /// # Errors
    /// [`SendError`] says whether the request may have been sent.
    pub async fn send_upgrade(
        &self,
        request: Request<Payload>,
    ) -> Result<Response<Incoming>, SendError> {
        let mut connection = self.connect(true).await?;
        connection.send_request(request).await.map_err(|error| SendError::Broken(error.into()))
    }

    /// An idle connection that is still good, else a fresh one.
    async fn connection(&self) -> Result<SendRequest<Payload>, SendError> {
        while let Some(mut connection) = self.idle.take() {
            // Ready means: the last answer is read to its end and the other side has not hung up.
            if connection.is_ready() {
                return Ok(connection);
            }
            let ready = tokio::time::timeout(self.config.connect_timeout, connection.ready());
            if matches!(ready.await, Ok(Ok(()))) {
                return Ok(connection);
            }
        }
        // Apart from the rest: few requests need it, all would carry its state along.
        Box::pin(self.connect(false)).await
    }

    async fn connect(&self, upgradeable: bool) -> Result<SendRequest<Payload>, SendError> {
        let not_sent = |cause: &dyn std::fmt::Display| SendError::NotSent(cause.to_string());
        let stream = tokio::time::timeout(
            self.config.connect_timeout,
            TcpStream::connect(&self.config.authority),
        )
        .await
        .map_err(|_| not_sent(&"connecting took too long"))?
        .map_err(|error| not_sent(&error))?;
        stream.set_nodelay(true).map_err(|error| not_sent(&error))?;
        let (connection, driver) = Builder::new()
            .max_headers(MAX_ANSWER_HEADERS)
            .max_buf_size(MAX_READ)
            .max_header_size(MAX_ANSWER_HEAD)
            .handshake(TokioIo::new(Stream(stream)))
            .await
            .map_err(|error| not_sent(&error))?;
        // The connection's own task ends with the connection; it decides nothing.
        if upgradeable {
            tokio::spawn(driver.with_upgrades());
        } else {
            tokio::spawn(driver);
        }
        Ok(connection)
    }
}

impl Exchange {
    /// The answer's body, to be read to its end by whoever may then give the connection back.
    pub fn into_parts(self) -> (Response<Incoming>, Reuse) {
        (self.response, Reuse(Some((self.connection, self.idle))))
    }

    /// The answer as a stream that gives the connection back at its end.
    pub fn streaming(self) -> Response<Payload> {
        let Exchange { response, connection, idle } = self;
        response
            .map(|body| Payload::stream(body, None, move || idle.put(connection, Instant::now())))
    }
}

/// A connection whose answer is being read; none where it is not to be used again.
pub struct Reuse(Option<(SendRequest<Payload>, Arc<Idle>)>);

impl Reuse {
    /// The answer was read to its end, just now: the connection may carry another request.
    pub fn put_back(self, now: Instant) {
        if let Some((connection, idle)) = self.0 {
            idle.put(connection, now);
        }
    }
}
