//! Sockets and their end: accepts connections, serves them, and closes them gracefully.
//!
//! Takes its socket and its end from its caller, and knows nothing of what is served.

mod alarm;
mod framing;
mod socket;

use alarm::Alarm;
use framing::Doubt;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use socket::Socket;
use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::payload::Payload;

/// Header lines accepted in one request; beyond it 431.
const MAX_HEADERS: usize = 100;

/// Bytes of one request's head; beyond it 431.
const MAX_HEAD: usize = 64 * 1024;

/// Bytes of a body read at a time, where it comes that fast. No power of two: buffers of 64 or 128 KiB
/// begin at the same place of the processor's cache and drive each other out of it. Measured with 64
/// bodies of 1 MiB at once: 96 KiB takes a fifth less CPU than either, and 10 MB less than 128 does.
const MAX_READ: usize = 96 * 1024;

/// After an accept failed (out of descriptors, mostly), the pause before the next.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What a connection is held to.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How long a request's head may take, and how long a connection may idle between requests.
    pub header_timeout: Duration,
}

/// A request's body, and the connection it comes on.
#[derive(Debug)]
pub struct Arrived {
    /// The body.
    pub body: Incoming,
    /// The connection.
    pub connection: Connection,
}

/// What is known of the connection a request came on.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Which of its requests this is, from 1.
    request: u64,
    shared: Arc<Shared>,
}

/// What all requests of a connection share.
#[derive(Debug)]
struct Shared {
    ip: IpAddr,
    address: HeaderValue,
    doubt: Doubt,
    reset: Arc<AtomicBool>,
}

impl Connection {
    /// The caller's address.
    pub fn ip(&self) -> IpAddr {
        self.shared.ip
    }

    /// The caller's address as a header tells it.
    pub fn address(&self) -> &HeaderValue {
        &self.shared.address
    }

    /// Whether the request's framing, or that of one before it, could be read in two ways: its
    /// length told twice or oddly, or lines that end in a bare line feed.
    pub fn is_in_doubt(&self) -> bool {
        self.shared.doubt.about(self.request)
    }

    /// Has the connection reset when it ends, as by a peer that died.
    pub fn reset(&self) {
        self.shared.reset.store(true, Ordering::Relaxed);
    }
}

/// Accepts and serves until `stop`, then lets every connection finish its request. Returns when
/// the last one ended.
///
/// # Errors
/// When the listener cannot be used by this thread's runtime.
pub async fn serve<S>(
    listener: std::net::TcpListener,
    config: Config,
    service: S,
    stop: CancellationToken,
) -> io::Result<()>
where
    S: Service<Request<Arrived>, Response = Response<Payload>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let listener = TcpListener::from_std(listener)?;
    let connections = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                let service = service.clone();
                connections.spawn(one(stream, config, peer.ip(), service, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    // No caller must be told of a listener that nobody serves.
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

/// Serves one connection to its end.
async fn one<S>(stream: TcpStream, config: Config, ip: IpAddr, service: S, stop: CancellationToken)
where
    S: Service<Request<Arrived>, Response = Response<Payload>, Error = Infallible> + Clone + Send,
    S::Future: Send,
{
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let doubt = Doubt::default();
    let reset = Arc::new(AtomicBool::new(false));
    let io = TokioIo::new(Socket::new(stream, doubt.clone(), reset.clone()));
    // Digits, dots and colons are always a header's value.
    let Ok(address) = HeaderValue::try_from(ip.to_string()) else {
        return;
    };
    let shared = Arc::new(Shared { ip, address, doubt, reset });
    let requests = Cell::new(0);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        requests.set(requests.get() + 1);
        let connection = Connection { request: requests.get(), shared: shared.clone() };
        service.clone().call(request.map(|body| Arrived { body, connection }))
    });
    let serving = http1::Builder::new()
        .timer(Alarm::default())
        .header_read_timeout(config.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_READ)
        .serve_connection(io, service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        biased;
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Binds a listening socket. Several may share an address: the kernel spreads the connections.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Connections the kernel keeps for us to accept.
const BACKLOG: i32 = 1024;
