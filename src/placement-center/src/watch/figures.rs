//! What is counted about watches.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Figures of all watches of this node.
#[derive(Debug, Default)]
pub struct Figures {
    /// Streams open now, those within this process included.
    pub streams: AtomicU64,
    /// Watchers there are now.
    pub watchers: AtomicU64,
    /// Of them, those that are behind and being brought up.
    pub slow: AtomicU64,
    /// Batches of events put into outboxes.
    pub batches: AtomicU64,
    /// Events taken out of outboxes.
    pub events: AtomicU64,
    /// Notices that wait in outboxes for their streams.
    pub pending: AtomicU64,
    /// Times a watcher fell behind because its outbox was full.
    pub fell_behind: AtomicU64,
    /// Times some of the past was read from the store.
    pub replays: AtomicU64,
}

/// Counts one up.
pub(super) fn up(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Counts down by `count`.
pub(super) fn down(counter: &AtomicU64, count: u64) {
    counter.fetch_sub(count, Relaxed);
}
