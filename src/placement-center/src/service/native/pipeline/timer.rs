//! The one timer of a stream. It is set again only when it must ring earlier, because setting a timer for
//! each operation would cost more than the operation.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Pause before a full queue is asked again. About the time of one sync, which is what makes room.
const RETRY_PAUSE: Duration = Duration::from_millis(1);

/// When to ask a full queue again.
pub(super) fn retry_at() -> Instant {
    Instant::now() + RETRY_PAUSE
}

#[derive(Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The clock when the timer rang last.
    rang_at: Option<Instant>,
}

impl Timer {
    /// Whether `deadline` had passed when the timer rang last.
    pub(super) fn has_passed(&self, deadline: Instant) -> bool {
        self.rang_at.is_some_and(|rang_at| deadline <= rang_at)
    }

    /// Pending until `at`, or for ever when it is `None`.
    pub(super) fn poll(&mut self, at: Option<Instant>, task: &mut Context<'_>) -> Poll<()> {
        let Some(at) = at else {
            return Poll::Pending;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if at < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
        while sleep.as_mut().poll(task).is_ready() {
            let now = Instant::now();
            self.rang_at = Some(now);
            if at <= now {
                self.sleep = None;
                return Poll::Ready(());
            }
            // It was set for something that has been answered since.
            sleep.as_mut().reset(at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn it_rings_when_asked_and_not_when_it_was_set_for_what_is_gone() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut timer = Timer::default();
        let set = |timer: &mut Timer, at| {
            timer.poll(Some(at), &mut Context::from_waker(std::task::Waker::noop()))
        };
        assert!(set(&mut timer, at(3_600_000)).is_pending());
        assert!(set(&mut timer, at(20)).is_pending());
        assert!(!timer.has_passed(start));
        // What it was set for is gone; the later one must still wait its time.
        poll_fn(|task| timer.poll(Some(at(60)), task)).await;
        assert!(start.elapsed() >= Duration::from_millis(60));
        assert!(timer.has_passed(at(60)));
        assert!(!timer.has_passed(at(3_600_000)));
        assert!(
            timer
                .poll(None, &mut Context::from_waker(std::task::Waker::noop()))
                .is_pending()
        );
    }
}
