//! A connection's timer for heads of requests: set with every request, hardly ever reached.
//!
//! Setting the runtime's timer costs more than looking at the clock, and one that would ring before
//! all others wakes the whole thread. So a deadline that is moved ahead leaves the timer where it
//! is: when it rings, it is set to what the deadline has become.

use hyper::rt::{Sleep, Timer};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// One connection's timer.
#[derive(Clone, Default)]
pub(super) struct Alarm(Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>);

/// Ready at its deadline.
struct Until {
    deadline: Instant,
    alarm: Alarm,
}

impl Timer for Alarm {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until((tokio::time::Instant::now() + duration).into())
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until { deadline, alarm: self.clone() })
    }
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.into();
        let mut alarm = self.alarm.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm = alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if deadline < alarm.deadline() {
            alarm.as_mut().reset(deadline);
        }
        loop {
            ready!(alarm.as_mut().poll(cx));
            if alarm.deadline() == deadline || tokio::time::Instant::now() >= deadline {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
    }
}

impl Sleep for Until {}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, advance};

    async fn rings(sleep: &mut Pin<Box<dyn Sleep>>) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_ready())).await
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_moved_counts_and_not_the_one_before() {
        let (alarm, begun) = (Alarm::default(), Instant::now());
        let mut first = alarm.sleep_until((begun + seconds(10)).into());
        assert!(!rings(&mut first).await);
        drop(first);
        let mut later = alarm.sleep_until((begun + seconds(15)).into());
        advance(seconds(12)).await;
        assert!(!rings(&mut later).await);
        later.await;
        assert_eq!(begun.elapsed(), seconds(15));
        let mut past = alarm.sleep_until((begun + seconds(14)).into());
        assert!(rings(&mut past).await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_is_kept_too() {
        let (alarm, begun) = (Alarm::default(), Instant::now());
        let mut late = alarm.sleep_until((begun + seconds(10)).into());
        assert!(!rings(&mut late).await);
        alarm.sleep_until((begun + seconds(2)).into()).await;
        assert_eq!(begun.elapsed(), seconds(2));
        alarm.sleep(seconds(1)).await;
        assert_eq!(begun.elapsed(), seconds(3));
    }
}
