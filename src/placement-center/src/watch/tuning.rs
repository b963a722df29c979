//! Bounds of watches that are not for operators to set. Tests set them low, so that small runs go everywhere.

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Revisions kept in memory: what a busy node makes in a fraction of a second, so that a watcher that falls
    /// behind for a moment does not go to the store.
    pub recent_revisions_max: usize,
    /// Memory that they may keep. The newest revision stays, however large it is.
    pub recent_bytes_max: usize,
    /// Batches that wait for a stream: enough for one revision that thousands of its watchers see. Each takes
    /// some hundred bytes beside its events.
    pub outbox_batches_max: usize,
    /// Memory that the events of those batches may keep from being given back, counted for each batch anew.
    pub outbox_bytes_max: usize,
    /// Watchers brought up by one step.
    pub group_max: usize,
    /// Revisions in one step, as etcd has it: what one response to a watcher may carry.
    pub step_revisions_max: usize,
    /// A step ends with the revision that brings its events to this much memory.
    pub step_bytes_max: usize,
    /// A step over the store ends with the revision that brings it to so many changes, wanted or not: some
    /// milliseconds of reading.
    pub step_rows_max: usize,
    /// A step over so few revisions in memory is done by the hub itself. It ends the chase: nothing is
    /// distributed meanwhile, so whoever is brought up by it is synced.
    pub inline_revisions_max: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            recent_revisions_max: 16 * 1024,
            recent_bytes_max: 32 * 1024 * 1024,
            outbox_batches_max: 4096,
            outbox_bytes_max: 1024 * 1024,
            group_max: 512,
            step_revisions_max: 1000,
            step_bytes_max: 1024 * 1024,
            step_rows_max: 20_000,
            inline_revisions_max: 256,
        }
    }
}
