//! The only place of this crate that asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 in UTC; 0 on a machine whose clock is before that.
#[allow(clippy::disallowed_methods)] // this is the clock module
pub fn unix_seconds() -> u64 {
    seconds_since_epoch(SystemTime::now())
}

/// A file's time stamp in the same unit.
pub fn seconds_since_epoch(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
