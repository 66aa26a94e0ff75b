//! Sockets and their end: accepts connections, serves them, and closes them gracefully.
//!
//! Takes its socket and its end from its caller, and knows nothing of what is served.

mod alarm;
mod framing;
mod pace;
mod socket;

pub use pace::Patience;

use alarm::Alarm;
use framing::Doubt;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use pace::Pace;
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
    patience: Patience,
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
                connections.spawn(one(stream, patience, peer.ip(), service, stop.clone()));
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
async fn one<S>(
    stream: TcpStream,
    patience: Patience,
    ip: IpAddr,
    service: S,
    stop: CancellationToken,
) where
    S: Service<Request<Arrived>, Response = Response<Payload>, Error = Infallible> + Clone + Send,
    S::Future: Send,
{
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let doubt = Doubt::default();
    let reset = Arc::new(AtomicBool::new(false));
    let pace = Pace::default();
    let io = TokioIo::new(Socket::new(stream, doubt.clone(), pace.clone(), reset.clone()));
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
        .timer(Alarm::new(pace, patience))
        .header_read_timeout(patience.head)
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

/// Binds as many listening sockets to one address as there are threads; the kernel spreads the
/// connections over them. Nobody else has that address.
///
/// # Errors
/// When it cannot be bound: [`io::ErrorKind::AddrInUse`] where anybody else listens.
pub fn bind(address: SocketAddr, threads: usize) -> io::Result<Vec<std::net::TcpListener>> {
    // Sockets that share a port share it with whoever asks, be it another process. So the first
    // one listens before it is shared, which fails where anybody listens, and leaves no moment for
    // anybody in between. What is left of the connections of a process before us (TIME_WAIT) is in
    // nobody's way.
    let first = unbound(address)?;
    first.bind(&address.into())?;
    first.listen(BACKLOG)?;
    first.set_reuse_port(true)?;
    let first = std::net::TcpListener::from(first);
    // Port 0 has become a real one.
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..threads {
        let next = unbound(address)?;
        next.set_reuse_port(true)?;
        next.bind(&address.into())?;
        next.listen(BACKLOG)?;
        listeners.push(next.into());
    }
    Ok(listeners)
}

fn unbound(address: SocketAddr) -> io::Result<socket2::Socket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Connections the kernel keeps for us to accept.
const BACKLOG: i32 = 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn any() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn the_threads_of_one_process_share_a_port_and_nobody_else_does() {
        let ours = bind(any(), 4).unwrap();
        let address = ours[0].local_addr().unwrap();
        assert!(ours.len() == 4 && ours.iter().all(|one| one.local_addr().unwrap() == address));
        let everywhere = SocketAddr::from(([0, 0, 0, 0], address.port()));
        for other in [address, everywhere] {
            let taken = bind(other, 1).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse, "{other}");
        }
        assert!(std::net::TcpListener::bind(address).is_err());
    }

    #[test]
    fn many_that_want_a_port_at_once_do_not_share_it() {
        let address = bind(any(), 1).unwrap()[0].local_addr().unwrap();
        let gate = std::sync::Barrier::new(8);
        let got = std::thread::scope(|scope| {
            let one = || {
                gate.wait();
                bind(address, 2)
            };
            let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            // What was got is kept until all have tried.
            let all: Vec<_> = all.into_iter().map(|one| one.join().unwrap()).collect();
            all.iter().filter(|got| got.is_ok()).count()
        });
        assert!(got <= 1, "{got} have it");
    }
}
