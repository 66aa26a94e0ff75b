//! Connections that wait for their next request.

use crate::payload::Payload;
use hyper::client::conn::http1::SendRequest;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a connection may have been idle and still be used. Shorter than the keep-alive of any
/// server in common use (Node closes after 5 s, gunicorn after 2 s), so that a payment does not
/// meet a connection that is being closed under it.
const FRESH: Duration = Duration::from_secs(1);

/// Idle connections kept per thread.
const KEPT: usize = 256;

/// Idle connections, the latest used on top.
#[derive(Default)]
pub(super) struct Idle {
    connections: Mutex<Vec<(SendRequest<Payload>, Instant)>>,
}

impl Idle {
    /// The latest used connection that is fresh enough; older ones are closed.
    pub(super) fn take(&self) -> Option<SendRequest<Payload>> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let (connection, since) = connections.pop()?;
        if since.elapsed() < FRESH {
            return Some(connection);
        }
        // What lies below is older still.
        connections.clear();
        None
    }

    /// Keeps a connection for the next request.
    pub(super) fn put(&self, connection: SendRequest<Payload>, now: Instant) {
        if connection.is_closed() {
            return;
        }
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.len() < KEPT {
            connections.push((connection, now));
        }
    }
}
