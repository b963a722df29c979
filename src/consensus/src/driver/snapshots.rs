//! Snapshots as the driver sees them: those taken for others, those on their way, and the one being installed
//! here. What is to be done when is the core's business, and how the bytes travel the transport's.

use crate::clock::Stopwatch;
use crate::core::{Core, Message};
use crate::handle::Shared;
use crate::keeper::Duty;
use crate::peers::{Arrival, InstallTx, Peers};
use crate::status::{SnapshotDirection, SnapshotTransfer};
use crossbeam_channel::Sender;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::{Snapshot, StagedSnapshot};

/// A snapshot on its way.
struct Sending {
    since: Stopwatch,
    index: u64,
    bytes: u64,
}

/// A snapshot that is being installed.
struct Installing {
    since: Stopwatch,
    from: u64,
    index: u64,
    bytes: u64,
    /// Until the log writer gets it.
    staged: Option<StagedSnapshot>,
    reply_tx: InstallTx,
}

pub(super) struct Snapshots {
    duties_tx: Sender<Duty>,
    /// Until the message for it comes, by receiver.
    taken: BTreeMap<u64, Snapshot>,
    sending: BTreeMap<u64, Sending>,
    installing: Option<Installing>,
    last: Option<SnapshotTransfer>,
    /// Where what became of them is counted.
    shared: Arc<Shared>,
}

impl Snapshots {
    pub(super) fn new(duties_tx: Sender<Duty>, shared: Arc<Shared>) -> Snapshots {
        Snapshots {
            duties_tx,
            taken: BTreeMap::new(),
            sending: BTreeMap::new(),
            installing: None,
            last: None,
            shared,
        }
    }

    /// The last one that was delivered or installed.
    pub(super) fn last(&self) -> Option<SnapshotTransfer> {
        self.last
    }

    /// Whether one is being installed.
    pub(super) fn is_installing(&self) -> bool {
        self.installing.is_some()
    }

    /// Receivers of those under way.
    pub(super) fn receivers(&self) -> Vec<u64> {
        self.sending.keys().copied().collect()
    }

    /// Has one taken for a member.
    pub(super) fn wanted(&mut self, core: &mut Core, to: u64) {
        if self.duties_tx.try_send(Duty::Snapshot { to }).is_err() {
            core.snapshot_not_taken(to);
        }
    }

    /// One was taken, or could not be.
    pub(super) fn taken(&mut self, core: &mut Core, to: u64, snapshot: Option<Snapshot>) {
        let Some(snapshot) = snapshot else {
            return core.snapshot_not_taken(to);
        };
        if core.snapshot_taken(to, snapshot.applied(), snapshot.conf_state()) {
            self.taken.insert(to, snapshot);
        }
    }

    /// The message for one has come.
    pub(super) fn send(&mut self, core: &mut Core, peers: &mut dyn Peers, message: Message) {
        let to = message.to();
        let index = message.snapshot().map_or(0, |position| position.index);
        let snapshot = self.taken.remove(&to);
        let Some(snapshot) = snapshot.filter(|snapshot| snapshot.applied().index == index) else {
            return core.snapshot_sent(to, false);
        };
        let sending = Sending {
            since: Stopwatch::start(),
            index,
            bytes: snapshot.bytes(),
        };
        if peers.send_snapshot(message, snapshot) {
            ::log::info!(target: "raft", "sending node {to} a snapshot at entry {index}, about {} bytes", sending.bytes);
            self.sending.insert(to, sending);
        } else {
            core.snapshot_sent(to, false);
        }
    }

    /// The transport says how sending one ended.
    pub(super) fn sent(&mut self, core: &mut Core, to: u64, delivered: bool) {
        core.snapshot_sent(to, delivered);
        let Some(sending) = self.sending.remove(&to) else {
            return;
        };
        let took = sending.since.elapsed();
        let counters = &self.shared.counters.snapshots_sent;
        if !delivered {
            counters.failed();
            ::log::warn!(target: "raft", "the snapshot for node {to} was not delivered");
            return;
        }
        ::log::info!(target: "raft", "node {to} has installed the snapshot at entry {} after {took:?}", sending.index);
        counters.installed(sending.bytes, took);
        self.last = Some(SnapshotTransfer {
            direction: SnapshotDirection::Sent { to },
            index: sending.index,
            bytes: sending.bytes,
            took,
        });
    }

    /// One has arrived and is staged.
    pub(super) fn arrived(&mut self, core: &mut Core, arrival: Arrival) {
        let Arrival {
            message,
            staged,
            reply_tx,
        } = arrival;
        let from = message.from();
        let (index, bytes) = (staged.applied().index, staged.bytes());
        let stepped = core.step_snapshot(message, staged.applied(), staged.conf_state());
        let answer = match stepped {
            Ok(true) => {
                ::log::info!(target: "raft", "installing a snapshot of node {from} at entry {index}");
                self.installing = Some(Installing {
                    since: Stopwatch::start(),
                    from,
                    index,
                    bytes,
                    staged: Some(staged),
                    reply_tx,
                });
                return;
            }
            Ok(false) => Ok(()),
            Err(error) => {
                ::log::warn!(target: "raft", "a snapshot of node {from} was refused: {error}");
                Err(error.into())
            }
        };
        self.shared.counters.snapshots_received.failed();
        // Whoever delivered it may have given up.
        let _ = reply_tx.send(answer);
    }

    /// The staged bytes of the one that is to be installed now.
    pub(super) fn take_staged(&mut self) -> Option<StagedSnapshot> {
        self.installing.as_mut()?.staged.take()
    }

    /// It is installed.
    pub(super) fn installed(&mut self) {
        let Some(installing) = self.installing.take() else {
            return;
        };
        let took = installing.since.elapsed();
        let Installing {
            from, index, bytes, ..
        } = installing;
        let counters = &self.shared.counters.snapshots_received;
        counters.installed(bytes, took);
        ::log::info!(target: "raft", "installed the snapshot of node {from} at entry {index} in {took:?}");
        self.last = Some(SnapshotTransfer {
            direction: SnapshotDirection::Received { from },
            index,
            bytes,
            took,
        });
        // Whoever delivered it may have given up.
        let _ = installing.reply_tx.send(Ok(()));
    }

    /// Gives back what nobody will be sent any more.
    pub(super) fn tick(&mut self, core: &Core) {
        self.taken.retain(|to, _| core.has_offer(*to));
    }
}
