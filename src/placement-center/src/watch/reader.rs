//! A single watch for the parts of this node that need one, without a stream of a client around it.

use super::hub::{Hub, Subscription};
use super::outbox::{Batch, Cause, End, Notice};
use super::spec::{Refusal, Spec};

/// Why a watch tells nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// It was never begun.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Revisions it had yet to tell of are compacted, up to this one.
    #[error("required revision has been compacted: the lowest that is left is {0}")]
    Compacted(i64),
    /// The store could not be read. The reason is in the log.
    #[error("the past could not be read")]
    Unreadable,
    /// The node stops.
    #[error("the node stops")]
    Stopping,
}

/// Changes of keys in order, as they happen.
#[derive(Debug)]
pub struct Watch {
    subscription: Subscription,
    revision: i64,
}

impl Hub {
    /// Begins to watch. Everything newer than [`Watch::revision`] is told, and what comes before it if `spec`
    /// says so. Bound the wait.
    ///
    /// # Errors
    /// [`WatchError::Refused`], [`WatchError::Stopping`].
    pub async fn watch(&self, spec: Spec) -> Result<Watch, WatchError> {
        let mut subscription = self.open(false);
        // The opening goes first, then there is a place for the request.
        std::future::poll_fn(|task| subscription.poll_ready(task))
            .await
            .map_err(ended)?;
        subscription.create(None, Ok(spec));
        match subscription.next().await.map_err(ended)? {
            Notice::Refused { refusal, .. } => Err(refusal.into()),
            Notice::Created { revision, .. } => Ok(Watch {
                subscription,
                revision,
            }),
            _ => Err(WatchError::Stopping),
        }
    }
}

impl Watch {
    /// The newest revision when the watch began.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The next events: all of a revision together, of several if they are of the past. Waits for ever while
    /// nothing happens. Cancel-safe.
    ///
    /// # Errors
    /// Why there will be none.
    pub async fn next(&mut self) -> Result<Batch, WatchError> {
        loop {
            match self.subscription.next().await.map_err(ended)? {
                Notice::Events(batch) => {
                    self.subscription.count_events(batch.events().count());
                    return Ok(batch);
                }
                Notice::Canceled { cause, .. } => return Err(canceled(cause)),
                Notice::Refused { refusal, .. } => return Err(refusal.into()),
                Notice::Created { .. } | Notice::Progress { .. } => {}
            }
        }
    }
}

fn canceled(cause: Cause) -> WatchError {
    match cause {
        Cause::Compacted { revision } => WatchError::Compacted(revision),
        Cause::Unreadable => WatchError::Unreadable,
        Cause::Asked { .. } => WatchError::Stopping,
    }
}

fn ended(end: End) -> WatchError {
    match end {
        // It asked for no leader.
        End::NoLeader | End::Stopping => WatchError::Stopping,
    }
}
