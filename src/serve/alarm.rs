//! A connection's timer for heads of requests: set with every request, hardly ever reached. How long it
//! waits is what the library says for a head, and more while the connection idles: see [`Pace`].
//!
//! Setting the runtime's timer costs more than looking at the clock, and one that would ring before
//! all others wakes the whole thread. So a deadline that is moved ahead leaves the timer where it
//! is: when it rings, it is set to what the deadline has become.

use super::pace::{Pace, Patience};
use hyper::rt::{Sleep, Timer};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// One connection's timer.
#[derive(Clone)]
pub(super) struct Alarm {
    timer: Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>,
    pace: Pace,
    patience: Patience,
}

impl Alarm {
    /// For a connection that stands where `pace` says.
    pub(super) fn new(pace: Pace, patience: Patience) -> Alarm {
        Alarm { timer: Arc::default(), pace, patience }
    }
}

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
        let Alarm { timer, pace, patience } = &self.alarm;
        let deadline = pace.until(self.deadline, *patience).into();
        let mut alarm = timer.lock().unwrap_or_else(PoisonError::into_inner);
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

    const PATIENCE: Patience =
        Patience { head: Duration::from_secs(10), idle: Duration::from_secs(60) };

    fn alarm() -> (Alarm, Pace) {
        let pace = Pace::default();
        (Alarm::new(pace.clone(), PATIENCE), pace)
    }

    async fn rings(sleep: &mut Pin<Box<dyn Sleep>>) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_ready())).await
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_moved_counts_and_not_the_one_before() {
        let ((alarm, _), begun) = (alarm(), Instant::now());
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
        let ((alarm, _), begun) = (alarm(), Instant::now());
        let mut late = alarm.sleep_until((begun + seconds(10)).into());
        assert!(!rings(&mut late).await);
        alarm.sleep_until((begun + seconds(2)).into()).await;
        assert_eq!(begun.elapsed(), seconds(2));
        alarm.sleep(seconds(1)).await;
        assert_eq!(begun.elapsed(), seconds(3));
    }

    #[tokio::test(start_paused = true)]
    async fn between_two_requests_a_connection_may_idle_for_longer() {
        let ((alarm, pace), begun) = (alarm(), Instant::now());
        pace.between();
        alarm.sleep(PATIENCE.head).await;
        assert_eq!(begun.elapsed(), PATIENCE.idle);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_for_a_head_begins_with_its_first_byte() {
        let ((alarm, pace), begun) = (alarm(), Instant::now());
        pace.between();
        let mut head = alarm.sleep(PATIENCE.head);
        advance(seconds(30)).await;
        assert!(!rings(&mut head).await);
        pace.within(true);
        advance(seconds(5)).await;
        pace.within(true);
        assert!(!rings(&mut head).await);
        head.await;
        assert_eq!(begun.elapsed(), seconds(30) + PATIENCE.head);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_the_time_for_a_head_alone() {
        let ((alarm, pace), begun) = (alarm(), Instant::now());
        let mut head = alarm.sleep(PATIENCE.head);
        advance(seconds(9)).await;
        pace.within(true);
        assert!(!rings(&mut head).await);
        head.await;
        assert_eq!(begun.elapsed(), PATIENCE.head);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_began_under_the_request_before_has_its_time_behind_that() {
        let ((alarm, pace), begun) = (alarm(), Instant::now());
        pace.between();
        pace.within(true);
        advance(seconds(40)).await;
        alarm.sleep(PATIENCE.head).await;
        assert_eq!(begun.elapsed(), seconds(40) + PATIENCE.head);
    }
}
