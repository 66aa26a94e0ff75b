//! The data threads, and their end: all of them together, whatever becomes of one.

use super::{End, Shared, StartError, runtime};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use tokio_util::sync::CancellationToken;

/// The data threads.
pub(super) struct Threads {
    handles: Vec<JoinHandle<End>>,
    none_left: CancellationToken,
}

/// Held by a data thread for as long as it lives. The first that ends before it was told to takes
/// the others along, in peace: a process that serves with one thread fewer is one nobody restarts.
struct Alive {
    left: Arc<AtomicUsize>,
    none_left: CancellationToken,
    stop: CancellationToken,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!("a data thread ended by itself: the sidecar drains and ends");
            self.stop.cancel();
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.none_left.cancel();
        }
    }
}

impl Threads {
    /// Starts one for each listener.
    pub(super) fn start(
        shared: &Shared,
        listeners: Vec<TcpListener>,
    ) -> Result<Threads, StartError> {
        let links: Vec<_> = match shared.config.redis_pool_size {
            0 => listeners.iter().map(|_| shared.link()).collect(),
            size => (0..size).map(|_| shared.link()).collect(),
        };
        let lives = listeners.into_iter().enumerate().map(|(index, listener)| {
            let (shared, link) = (shared.clone(), links[index % links.len()].clone());
            let runtime = runtime()?;
            Ok(move || {
                let end = runtime.block_on(shared.serve(listener, link)).unwrap_or_else(|error| {
                    tracing::error!(%error, "a data thread cannot serve");
                    End::Broken
                });
                // Tasks that did not end in time are dropped here; their orders lapse to unknown.
                drop(runtime);
                end
            })
        });
        let lives = lives.collect::<io::Result<Vec<_>>>()?;
        Ok(Threads::living(lives, &shared.stop)?)
    }

    fn living(
        lives: Vec<impl FnOnce() -> End + Send + 'static>,
        stop: &CancellationToken,
    ) -> io::Result<Threads> {
        let none_left = CancellationToken::new();
        let left = Arc::new(AtomicUsize::new(lives.len()));
        let mut handles = Vec::with_capacity(lives.len());
        for (index, life) in lives.into_iter().enumerate() {
            let (left, none_left, stop) = (left.clone(), none_left.clone(), stop.clone());
            let alive = Alive { left, none_left, stop };
            let thread = move || {
                let _alive = alive;
                life()
            };
            handles.push(Builder::new().name(format!("data-{index}")).spawn(thread)?);
        }
        Ok(Threads { handles, none_left })
    }

    /// How they ended, once the last of them has.
    pub(super) async fn ended(self) -> End {
        self.none_left.cancelled().await;
        let mut end = End::Drained;
        for handle in self.handles {
            // It has nothing more to do than return; a panic in it was told by the panic itself.
            end = end.and(handle.join().unwrap_or(End::Broken));
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// How two threads end of which the first lives that life, and the second until it is told to
    /// end.
    fn ends(first: fn() -> End, told: bool) -> End {
        let stop = CancellationToken::new();
        let runtime = runtime().expect("a runtime");
        let waits = stop.clone();
        let second = move || {
            let runtime = super::runtime().expect("a runtime");
            runtime.block_on(waits.cancelled());
            End::Drained
        };
        let lives: Vec<Box<dyn FnOnce() -> End + Send>> = vec![Box::new(first), Box::new(second)];
        if told {
            stop.cancel();
        }
        let threads = Threads::living(lives, &stop).expect("threads");
        let ended = async { tokio::time::timeout(Duration::from_secs(60), threads.ended()).await };
        let end = runtime.block_on(ended).expect("they end");
        assert!(stop.is_cancelled());
        end
    }

    #[test]
    fn a_thread_that_panics_ends_the_others_and_is_not_forgotten() {
        assert_eq!(ends(|| panic!("a bug"), false), End::Broken);
        // Nor does anybody wait for it who was told to end.
        assert_eq!(ends(|| panic!("a bug"), true), End::Broken);
    }

    #[test]
    fn a_thread_that_cannot_serve_ends_the_others() {
        assert_eq!(ends(|| End::Broken, false), End::Broken);
    }

    #[test]
    fn threads_that_were_told_to_end_have_drained_or_not() {
        assert_eq!(ends(|| End::Drained, true), End::Drained);
        assert_eq!(ends(|| End::CutShort, true), End::CutShort);
    }
}
