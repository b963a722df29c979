//! What readers outside the apply thread may know of the store without touching it.

use super::meta::Meta;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::sync::watch;

/// Figures of the newest committed state. Each is exact; two of them read one after the other may be
/// from different moments.
#[derive(Debug)]
pub struct Published {
    revision: AtomicI64,
    /// The same, for those who wait for one.
    reached: watch::Sender<i64>,
    compacted_revision: AtomicI64,
    logical_bytes: AtomicU64,
    keys: AtomicU64,
    swept: watch::Sender<i64>,
}

impl Published {
    pub(super) fn new(meta: &Meta) -> Self {
        let published = Published {
            revision: AtomicI64::new(0),
            reached: watch::Sender::new(0),
            compacted_revision: AtomicI64::new(0),
            logical_bytes: AtomicU64::new(0),
            keys: AtomicU64::new(0),
            swept: watch::Sender::new(meta.swept),
        };
        published.publish(meta);
        published
    }

    pub(super) fn publish(&self, meta: &Meta) {
        self.compacted_revision
            .store(meta.compacted, Ordering::Release);
        self.logical_bytes
            .store(meta.logical_bytes, Ordering::Release);
        self.keys.store(meta.keys, Ordering::Release);
        self.revision.store(meta.revision, Ordering::Release);
        self.reached
            .send_if_modified(|reached| std::mem::replace(reached, meta.revision) != meta.revision);
        self.swept
            .send_if_modified(|swept| std::mem::replace(swept, meta.swept) != meta.swept);
    }

    /// Revision of the newest change.
    pub fn revision(&self) -> i64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Lowest readable revision; -1 before the first compaction.
    pub fn compacted_revision(&self) -> i64 {
        self.compacted_revision.load(Ordering::Acquire)
    }

    /// Logical bytes of all retained versions (keys, values and a fixed overhead for each); what the quota counts.
    pub fn logical_bytes(&self) -> u64 {
        self.logical_bytes.load(Ordering::Acquire)
    }

    /// Living keys.
    pub fn keys(&self) -> u64 {
        self.keys.load(Ordering::Acquire)
    }

    /// Resolves when the newest change is at `revision` or beyond. Never resolves while nobody writes: give
    /// it a deadline. Cancel-safe.
    pub async fn reached(&self, revision: i64) {
        if self.revision() >= revision {
            return;
        }
        let mut newest = self.reached.subscribe();
        if newest.wait_for(|newest| *newest >= revision).await.is_err() {
            // The sender lives in `self`, so it cannot be gone while this borrows it.
            std::future::pending::<()>().await;
        }
    }

    /// Resolves when the versions that a compaction at `revision` forgets are physically gone. Never
    /// resolves for a revision nobody compacts at: give it a deadline. Cancel-safe.
    pub async fn swept(&self, revision: i64) {
        let mut swept = self.swept.subscribe();
        if swept.wait_for(|swept| *swept >= revision).await.is_err() {
            // The sender lives in `self`, so it cannot be gone while this borrows it.
            std::future::pending::<()>().await;
        }
    }
}
