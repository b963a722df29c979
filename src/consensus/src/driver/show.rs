//! What the driver shows of the group after each turn.

use super::Driver;
use crate::core::Core;
use crate::status::Status;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl<R: Send + 'static> Driver<R> {
    /// Shows role, leader and indexes to the handles.
    pub(super) fn publish(&mut self) {
        let (role, leader) = (self.core.role(), self.core.leader());
        if leader != self.leader {
            if leader.is_some() {
                self.shared
                    .counters
                    .leader_changes
                    .fetch_add(1, Ordering::Relaxed);
            }
            self.inbox.leader_tx.send_replace(leader.unwrap_or(0));
            self.controls.led_by(leader, self.core.node_id());
        }
        (self.role, self.leader) = (role, leader);
        let local = self.core.reads_locally() && self.stopping.is_none();
        self.shared.reads_locally.store(local, Ordering::Release);
        let status = Status {
            progress: self.progress.clone(),
            snapshots_to: self.snapshots.receivers(),
            installing_snapshot: self.snapshots.is_installing(),
            last_snapshot: self.snapshots.last(),
            oldest_entry_ms: self.oldest_ms,
            ..status(
                &self.core,
                self.duties.flushed_index(),
                self.shared.pending(),
            )
        };
        if **self.shared.status.load() != status {
            self.shared.status.store(Arc::new(status));
        }
    }
}

/// The status of a core.
pub(crate) fn status(core: &Core, flushed_index: u64, proposals_pending: usize) -> Status {
    Status {
        node_id: core.node_id(),
        role: core.role(),
        leader: core.leader(),
        term: core.term(),
        first_index: core.first_index(),
        last_index: core.last_index(),
        persisted_index: core.persisted_index(),
        committed_index: core.committed_index(),
        applied_index: core.applied_index(),
        flushed_index,
        voters: core.voters().to_vec(),
        learners: core.learners().to_vec(),
        outgoing: core.outgoing().to_vec(),
        progress: Vec::new(),
        proposals_pending,
        snapshots_to: Vec::new(),
        installing_snapshot: false,
        last_snapshot: None,
        oldest_entry_ms: None,
    }
}
