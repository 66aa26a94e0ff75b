//! What a connection's bytes say to its timer.
//!
//! A caller who keeps a connection open for its next request is not a slow one: a gateway does that for
//! a minute or longer, and one that sends just when we hang up has a payment that failed for no reason.
//! So a connection between two requests may idle for longer than a head may take, and the head's time
//! begins with its first byte.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a connection may be waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a request's whole head, from its first byte; on a new connection, from its beginning.
    pub head: Duration,
    /// For the first byte of another request, from the answer before it.
    pub idle: Duration,
}

/// Where a connection stands, for those who see its bytes and for those who watch the clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(Arc<Stands>);

#[derive(Debug, Default)]
struct Stands {
    /// A request was seen to its end, and nothing of another.
    idle: AtomicBool,
    /// When the first bytes came of the head that has not ended.
    head: Mutex<Option<Instant>>,
}

impl Pace {
    /// Nothing of another request has come since the last one ended.
    pub(super) fn between(&self) {
        self.0.idle.store(true, Ordering::Relaxed);
    }

    /// Bytes of a request came; its head has not ended where `in_head`.
    pub(super) fn within(&self, in_head: bool) {
        let was_idle = self.0.idle.swap(false, Ordering::Relaxed);
        if in_head && was_idle {
            *self.head() = Some(tokio::time::Instant::now().into());
        }
    }

    /// The moment to give up at, where a head waited for since some time had to be there at `deadline`.
    pub(super) fn until(&self, deadline: Instant, patience: Patience) -> Instant {
        if self.0.idle.load(Ordering::Relaxed) {
            return deadline - patience.head + patience.idle;
        }
        let begun = self.head().map(|begun| begun + patience.head);
        begun.map_or(deadline, |end| end.max(deadline))
    }

    fn head(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
