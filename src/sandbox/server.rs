//! Connections: accepted, served, and reset when a payment is told to die.

use std::{pin::Pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{
    router::{self, Cut},
    service::Service,
};

/// Open connections; further ones wait in the socket's backlog.
const MAX_CONNECTIONS: usize = 4096;
/// Answers under way when the sandbox is stopped have this long to leave.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// Pause after a failed accept: the cause, such as too many open files, needs time to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until it is dropped; they go on until the service is stopped.
pub(super) async fn accept(listener: &TcpListener, service: &Arc<Service>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = serve(stream, Arc::clone(service));
                service.tasks.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the sandbox cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection. It has no idle timeout: a kept connection closed under a request would
/// look like a fault that nobody ordered.
async fn serve(stream: TcpStream, service: Arc<Service>) {
    let stop = service.stop.clone();
    let respond = service_fn(move |request| router::respond(Arc::clone(&service), request));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), respond);
    let end = match stop.run_until_cancelled(&mut connection).await {
        Some(end) => end,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            let Ok(end) = timeout(STOP_GRACE, &mut connection).await else {
                return;
            };
            end
        }
    };
    let cause = end.as_ref().err().and_then(std::error::Error::source);
    if cause.is_some_and(|cause| cause.is::<Cut>()) {
        let stream = connection.into_parts().io.into_inner();
        // Without lingering a close is a reset: what a caller sees of a process that died.
        if let Err(error) = stream.set_zero_linger() {
            tracing::debug!(%error, "a connection was already gone");
        }
    }
}
