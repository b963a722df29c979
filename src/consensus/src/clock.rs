//! The only place of this crate that looks at a clock. The core counts ticks; the state machine sees
//! the stamp the leader put into the log.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::{Interval, MissedTickBehavior};

/// Wall clock in ms since 1970; 0 if the machine's clock stands before that.
#[allow(clippy::disallowed_methods)] // this is the clock module
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// A running measurement of elapsed time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring now.
    #[allow(clippy::disallowed_methods)] // this is the clock module
    pub(crate) fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// Time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Resolves when the time given at a start is over; never without one. Cancel-safe.
pub(crate) async fn passed(deadline: Option<(Stopwatch, Duration)>) {
    match deadline {
        Some((since, time)) => tokio::time::sleep(time.saturating_sub(since.elapsed())).await,
        None => std::future::pending().await,
    }
}

/// The driver's tick, the first after one period. A late tick is not made up for: a burst of ticks after
/// a stall would look like elapsed election timeouts and start needless elections.
pub(crate) fn ticker(period: Duration) -> Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
