//! What the rest of the node shares with the writer of the leases: the deadlines, counters, and a bell that
//! rings when something changed.

use super::store::Change;
use super::{Deadlines, Facts};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::{Notify, watch};

/// What happened to leases since the start of the node; lock-free reads.
#[derive(Debug, Default)]
pub struct Counters {
    /// Leases granted.
    pub granted: AtomicU64,
    /// Leases that clients revoked.
    pub revoked: AtomicU64,
    /// Leases that ended because nobody renewed them.
    pub expired: AtomicU64,
    /// Renewals answered; the leader counts them.
    pub renewed: AtomicU64,
    /// Checkpoints written, clears included; the leader counts them.
    pub checkpointed: AtomicU64,
    /// Time from the deadline of leases to their end, all together, and the longest; the leader counts it.
    pub delay_ms_total: AtomicU64,
    /// The longest of them.
    pub delay_ms_max: AtomicU64,
    /// How many leases that is of.
    pub delays: AtomicU64,
}

/// Leases as of the newest committed entry.
#[derive(Debug)]
pub struct Published {
    deadlines: Mutex<Deadlines>,
    /// Counts what was published; for those who wait for a lease to change.
    version: watch::Sender<u64>,
    /// Wakes the one who writes checkpoints.
    clears: Notify,
    /// What happened.
    pub counters: Counters,
}

impl Published {
    pub(super) fn new(leases: &BTreeMap<i64, Facts>) -> Published {
        let mut deadlines = Deadlines::default();
        deadlines.replace(leases);
        Published {
            deadlines: Mutex::new(deadlines),
            version: watch::Sender::new(0),
            clears: Notify::new(),
            counters: Counters::default(),
        }
    }

    pub(super) fn publish(&self, leases: &BTreeMap<i64, Facts>, changes: &[Change]) {
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Relaxed);
        };
        {
            let mut deadlines = self.deadlines.lock();
            for change in changes {
                match *change {
                    Change::Touched(id) => deadlines.touched(id, leases.get(&id)),
                    Change::Cleared(id) => {
                        deadlines.touched(id, leases.get(&id));
                        deadlines.cleared(id);
                    }
                    Change::Granted => count(&self.counters.granted),
                    Change::Revoked => count(&self.counters.revoked),
                    Change::Expired => count(&self.counters.expired),
                }
            }
        }
        self.ring();
    }

    pub(super) fn replace(&self, leases: &BTreeMap<i64, Facts>) {
        self.deadlines.lock().replace(leases);
        self.ring();
    }

    /// The deadlines. Hold them for moments only: the apply thread waits meanwhile.
    pub fn deadlines(&self) -> MutexGuard<'_, Deadlines> {
        self.deadlines.lock()
    }

    /// Tells those who wait for a change.
    pub fn ring(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// Tells of every change from now on.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Resolves when somebody called [`Published::clear_soon`] since the last time. For one waiter.
    pub async fn clears(&self) {
        self.clears.notified().await;
    }

    /// A renewal waits for a checkpoint to be cleared.
    pub fn clear_soon(&self) {
        self.clears.notify_one();
    }
}
