//! What the group shows of itself: role and indexes, counters, the histogram of log syncs. Owned
//! here, filled by the driver and its threads; rendering is the business of the metrics page.

pub use crate::core::{PeerProgress, Replication};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Raft role of this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Asks whether an election could be won.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// What the node knows of itself; a cheap copy of the driver's state, refreshed every turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub node_id: u64,
    /// Its role.
    pub role: Role,
    /// The leader of the term, once known.
    pub leader: Option<u64>,
    /// Current term.
    pub term: u64,
    /// First index the log still holds.
    pub first_index: u64,
    /// Last index of the log, durable or not.
    pub last_index: u64,
    /// Last index that is durable here.
    pub persisted_index: u64,
    /// Last index known to be durable on a quorum.
    pub committed_index: u64,
    /// Last index the state machine has applied and published.
    pub applied_index: u64,
    /// Last applied index that a crash now would keep.
    pub flushed_index: u64,
    /// Voting members.
    pub voters: Vec<u64>,
    /// Learning members.
    pub learners: Vec<u64>,
    /// Voters of the membership that is being left; empty unless a joint change is under way.
    pub outgoing: Vec<u64>,
    /// The others as the leader sees them, refreshed every tick; empty unless this node leads.
    pub progress: Vec<PeerProgress>,
    /// Commands admitted and not yet answered.
    pub proposals_pending: usize,
    /// Members that are being sent a snapshot.
    pub snapshots_to: Vec<u64>,
    /// Whether a snapshot that arrived is being put in the place of log and state.
    pub installing_snapshot: bool,
    /// The last snapshot that was delivered to a member or installed here.
    pub last_snapshot: Option<SnapshotTransfer>,
    /// Leader's wall clock when the oldest entry still in the log was proposed, ms since 1970; a member that was
    /// away for longer needs a snapshot. `None` before the first look, or while the log holds no command.
    pub oldest_entry_ms: Option<u64>,
}

/// A snapshot that reached its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotTransfer {
    /// Which way it went.
    pub direction: SnapshotDirection,
    /// Last entry it holds.
    pub index: u64,
    /// Bytes that arrived; for one that was sent, about how many.
    pub bytes: u64,
    /// For one that was sent, until its receiver had installed it; else the installation.
    pub took: Duration,
}

/// Which way a snapshot went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotDirection {
    /// From here.
    Sent {
        /// The receiver.
        to: u64,
    },
    /// To here.
    Received {
        /// The sender.
        from: u64,
    },
}

/// Counters and histograms the metrics page shows; lock-free reads.
#[derive(Debug, Default)]
pub struct Counters {
    /// Commands in committed entries.
    pub proposals_committed: AtomicU64,
    /// Commands applied since start, replay included.
    pub proposals_applied: AtomicU64,
    /// Commands answered with an error after admission.
    pub proposals_failed: AtomicU64,
    /// Messages of other members that were refused: forged, damaged, or of a member that was removed.
    pub messages_refused: AtomicU64,
    /// Times this node saw the leader change.
    pub leader_changes: AtomicU64,
    /// Read barriers not passed.
    pub reads_failed: AtomicU64,
    /// Syncs of the log.
    pub syncs: AtomicU64,
    /// Time spent in them.
    pub sync_micros_total: AtomicU64,
    /// Batches whose application took longer than 100 ms.
    pub slow_applies: AtomicU64,
    /// Bytes of entry payload applied since start.
    pub applied_bytes: AtomicU64,
    /// Durations of log syncs (`etcd_disk_wal_fsync_duration_seconds`).
    pub sync_duration: SyncHistogram,
    /// Snapshots that were sent.
    pub snapshots_sent: SnapshotCounters,
    /// Snapshots that arrived.
    pub snapshots_received: SnapshotCounters,
}

/// What became of snapshots that went one way.
#[derive(Debug, Default)]
pub struct SnapshotCounters {
    /// Those that ended in the place of the receiver's log and state.
    pub installed: AtomicU64,
    /// Those that did not: lost on the way, refused, or not needed any more.
    pub failed: AtomicU64,
    /// Bytes of those that were installed.
    pub bytes: AtomicU64,
    /// Time those took: from the first byte on for the sender, the installation alone for the receiver.
    pub micros: AtomicU64,
}

impl SnapshotCounters {
    pub(crate) fn installed(&self, bytes: u64, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.installed.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Number of finite buckets of [`SyncHistogram`].
const SYNC_BUCKETS: usize = 14;
/// First bucket of syncs longer than 512 ms.
const SLOW_BUCKET: usize = 10;

/// Histogram of sync durations with etcd's buckets: 1 ms doubling to 8.192 s, and infinity.
#[derive(Debug, Default)]
pub struct SyncHistogram {
    /// Not cumulative; the last one is infinity.
    counts: [AtomicU64; SYNC_BUCKETS + 1],
    sum_micros: AtomicU64,
}

/// One reading of a [`SyncHistogram`].
#[derive(Clone, Debug, PartialEq)]
pub struct SyncHistogramSnapshot {
    /// `(upper bound in seconds, observations at or below it)`; the last bound is infinity.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all observations in seconds.
    pub sum_seconds: f64,
    /// Number of observations.
    pub count: u64,
}

impl SyncHistogram {
    /// Adds one observation.
    pub(crate) fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = (0..SYNC_BUCKETS)
            .find(|i| micros <= 1000 << i)
            .unwrap_or(SYNC_BUCKETS);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Number of observations.
    pub(crate) fn count(&self) -> u64 {
        let counts = self.counts.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Observations longer than about half a second: a disk in trouble.
    pub(crate) fn slow(&self) -> u64 {
        let slow = self.counts[SLOW_BUCKET..].iter();
        slow.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Cumulative buckets as a metrics page wants them. Concurrent observations may be seen in part.
    pub fn read(&self) -> SyncHistogramSnapshot {
        let mut count = 0;
        let buckets = self
            .counts
            .iter()
            .enumerate()
            .map(|(i, bucket)| {
                count += bucket.load(Ordering::Relaxed);
                let bound = if i < SYNC_BUCKETS {
                    0.001 * f64::from(1 << i)
                } else {
                    f64::INFINITY
                };
                (bound, count)
            })
            .collect();
        let sum_seconds = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        SyncHistogramSnapshot {
            buckets,
            sum_seconds,
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_histogram_has_etcds_buckets() {
        let histogram = SyncHistogram::default();
        for micros in [1, 1000, 1001, 8_192_000, 8_192_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let read = histogram.read();
        assert_eq!(read.buckets.len(), 15);
        assert_eq!(histogram.slow(), 2);
        histogram.observe(Duration::from_millis(512));
        assert_eq!(histogram.slow(), 2);
        histogram.observe(Duration::from_millis(513));
        assert_eq!(histogram.slow(), 3);
        assert_eq!(read.buckets[0], (0.001, 2));
        assert_eq!(read.buckets[1], (0.002, 3));
        assert_eq!(read.buckets[13], (8.192, 4));
        assert_eq!(read.buckets[14], (f64::INFINITY, 5));
        assert_eq!(read.count, 5);
    }
}
