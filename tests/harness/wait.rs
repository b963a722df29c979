//! Waiting on a condition with a deadline: the only way a test may let time pass.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at. Short against everything waited for, long against the cost of a look.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Blocks until `look` answers something, and fails with `what` once `deadline` has passed.
pub fn until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("{what}: not within {deadline:?}");
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Like [`until`], for use inside a runtime: other tasks go on while this one waits.
pub async fn until_async(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> bool,
) -> Result<()> {
    let end = Instant::now() + deadline;
    while !look() {
        if Instant::now() >= end {
            bail!("{what}: not within {deadline:?}");
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// The pause of a client that was refused, before it asks somebody else.
pub async fn back_off() {
    tokio::time::sleep(POLL_INTERVAL).await;
}
