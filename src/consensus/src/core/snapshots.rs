//! Snapshots, both ways. For raft-rs a snapshot is a message with a position and a membership; the bytes of
//! the state travel apart, and this module knows nothing of them but that they were taken, delivered or
//! staged.
//!
//! Sending: raft-rs asks the log for a snapshot; the core wants one taken ([`Effects::snapshots`]), is told
//! ([`Core::snapshot_taken`]), and sends the message ([`Effects::send_snapshots`]), which goes out with the
//! bytes. raft-rs then sends that member nothing else until somebody reports how it went, so every way it may
//! end is reported: by the transport, or by the clock.
//!
//! Receiving: the message and the staged bytes arrive together ([`Core::step_snapshot`]). If raft-rs takes
//! them, the next write of the log carries the mark ([`Persist::snapshot`]) and is reported durable only when
//! the state is installed. Until then no second snapshot is taken.

use super::check::{self, Receiver};
use super::*;
use raft::SnapshotStatus;
use raft::eraftpb::{Snapshot, SnapshotMetadata};
use storage::Applied;

/// A snapshot on its way to a member.
#[derive(Debug)]
struct Shipment {
    index: u64,
    age_ticks: u32,
    delivered: bool,
}

/// What the leader knows of snapshots to others.
#[derive(Debug, Default)]
pub(super) struct Shipping {
    /// Members a snapshot is being taken for.
    asked: BTreeSet<u64>,
    /// Snapshots sent, until their receivers replicate again.
    shipments: BTreeMap<u64, Shipment>,
    /// Ticks until another attempt, after one failed: each costs a checkpoint.
    resting: BTreeMap<u64, u32>,
}

/// A snapshot that raft-rs took and that is being installed.
#[derive(Debug)]
pub(super) struct Install {
    pub(super) number: u64,
    index: u64,
    /// Newest write after it that is durable already; it counts when the install does.
    pub(super) durable: u64,
}

/// What the log must say of a snapshot that replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMark {
    /// Last entry the snapshot contains.
    pub position: Position,
    /// Term of that entry, as the log keeps it.
    pub boundary: Bytes,
    /// Newest time stamp in the leader's log, as the log keeps it.
    pub stamp: Bytes,
}

impl Core {
    /// A snapshot of the state was taken for a member. The caller keeps it until the message for it comes with
    /// the effects, or [`Core::has_offer`] says that none will.
    /// Returns whether it is of use; drop it otherwise.
    pub fn snapshot_taken(
        &mut self,
        to: u64,
        applied: Applied,
        conf_state: Option<&Bytes>,
    ) -> bool {
        let asked = self.shipping.asked.remove(&to);
        let leads = self.role() == Role::Leader && self.raw.raft.prs().get(to).is_some();
        let Some(conf_state) = self.conf_state_of(conf_state) else {
            return false;
        };
        if !asked || !leads || applied.index == 0 {
            return false;
        }
        let snapshot = Snapshot {
            data: self.time_ms.to_be_bytes().to_vec(),
            metadata: Some(SnapshotMetadata {
                conf_state: Some(conf_state),
                index: applied.index,
                term: applied.term,
            }),
        };
        self.raw.mut_store().offers().offer(to, snapshot);
        self.raw.raft.send_append(to);
        self.settle();
        true
    }

    /// No snapshot could be taken for a member.
    pub fn snapshot_not_taken(&mut self, to: u64) {
        if self.shipping.asked.remove(&to) {
            self.rest_shipping(to);
        }
    }

    /// Whether a snapshot taken for a member may still be sent.
    pub fn has_offer(&self, to: u64) -> bool {
        self.raw.store().offered().has(to)
    }

    /// How sending a snapshot ended. Without this the member would get nothing any more.
    pub fn snapshot_sent(&mut self, to: u64, delivered: bool) {
        let Some(shipment) = self.shipping.shipments.get_mut(&to) else {
            return;
        };
        if shipment.delivered {
            return;
        }
        shipment.delivered = delivered;
        let status = if delivered {
            SnapshotStatus::Finish
        } else {
            self.shipping.shipments.remove(&to);
            self.rest_shipping(to);
            SnapshotStatus::Failure
        };
        self.raw.report_snapshot(to, status);
        self.settle();
    }

    /// The log behind this index is still needed by members that receive a snapshot.
    pub fn shipped_index(&self) -> Option<u64> {
        let shipped = self.shipping.shipments.values().map(|sent| sent.index);
        shipped
            .chain(self.raw.store().offered().oldest_index())
            .min()
    }

    /// A message with a snapshot has arrived, and its bytes are staged: whole, verified and durable. Returns
    /// whether they are to be installed; the write that says so comes with the effects.
    ///
    /// # Errors
    /// [`StepError`] if no honest member sends this now; it changed nothing.
    pub fn step_snapshot(
        &mut self,
        message: Message,
        applied: Applied,
        conf_state: Option<&Bytes>,
    ) -> Result<bool, StepError> {
        let message = message.0;
        if self.installing.is_some() {
            // raft-rs would let the second overtake the first.
            return Err(StepError::Busy);
        }
        if self.is_alone() {
            return Err(StepError::Sender(message.from));
        }
        let members = check::check_snapshot(&message, self.receiver(), applied)?;
        let staged = self.conf_state_of(conf_state);
        if staged.as_ref().map(sorted) != Some(sorted(&members)) {
            return Err(StepError::Snapshot("has another membership than its state"));
        }
        let knows_sender = self.raw.raft.prs().get(message.from).is_some()
            || [&members.voters, &members.voters_outgoing, &members.learners]
                .into_iter()
                .any(|ids| ids.contains(&message.from));
        if !knows_sender {
            return Err(StepError::Sender(message.from));
        }
        let from = message.from;
        self.heard_of(from);
        if let Err(error) = self.raw.step(message) {
            ::log::warn!(target: "raft", "a snapshot of node {from} was not stepped: {error}");
        }
        let taken = self.raw.raft.raft_log.unstable_snapshot().is_some();
        self.settle();
        Ok(taken)
    }

    /// Collects what raft-rs asked of the log since the last call.
    pub(super) fn want_snapshots(&mut self) {
        for to in self.raw.mut_store().offers().take_wanted() {
            let is_new = !self.shipping.asked.contains(&to);
            if is_new && !self.shipping.resting.contains_key(&to) && self.role() == Role::Leader {
                self.shipping.asked.insert(to);
                self.effects.snapshots.push(to);
            }
        }
    }

    /// Takes messages with a snapshot out of what is to be sent: they go another way.
    pub(super) fn ship(&mut self, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            if message.0.msg_type != MessageType::MsgSnapshot as i32 {
                self.effects.send.push(message);
                continue;
            }
            let index = message.snapshot().map_or(0, |position| position.index);
            let to = message.to();
            self.raw.mut_store().offers().withdraw(to);
            let shipment = Shipment {
                index,
                age_ticks: 0,
                delivered: false,
            };
            self.shipping.shipments.insert(to, shipment);
            self.effects.send_snapshots.push(message);
        }
    }

    /// One tick: what was sent long ago and never reported counts as lost, what nobody needs any more is
    /// forgotten.
    pub(super) fn tick_snapshots(&mut self) {
        if self.role() != Role::Leader {
            self.shipping = Shipping::default();
            self.raw.mut_store().offers().withdraw_all();
            return;
        }
        self.shipping.resting.retain(|_, ticks| {
            *ticks -= 1;
            *ticks > 0
        });
        let offer_ticks_max = 3 * self.config.election_ticks as u32;
        self.raw.mut_store().offers().tick(offer_ticks_max);
        let progress = self.progress();
        let replicates = |id: u64| {
            let peer = progress.iter().find(|peer| peer.node_id == id);
            peer.is_none_or(|peer| peer.replication == Replication::Replicate)
        };
        let ticks_max = self.config.snapshot_ticks_max;
        let mut lost = Vec::new();
        self.shipping.shipments.retain(|to, shipment| {
            shipment.age_ticks += 1;
            if shipment.age_ticks > ticks_max && !shipment.delivered {
                lost.push(*to);
            }
            !(shipment.delivered && (replicates(*to) || shipment.age_ticks > ticks_max))
        });
        for to in lost {
            ::log::warn!(target: "raft", "the snapshot for node {to} was never reported delivered; it is sent again");
            self.snapshot_sent(to, false);
        }
    }

    /// Queues the write that replaces the log by the snapshot raft-rs took.
    pub(super) fn begin_install(&mut self, number: u64, snapshot: &Snapshot) -> SnapshotMark {
        let metadata = snapshot.metadata.clone().unwrap_or_default();
        let position = Position {
            index: metadata.index,
            term: metadata.term,
        };
        self.raw.mut_store().reset(position);
        self.conf_state = metadata.conf_state.unwrap_or_default();
        self.election = None;
        let stamp: [u8; 8] = snapshot.data.as_slice().try_into().unwrap_or_default();
        self.time_ms = self.time_ms.max(u64::from_be_bytes(stamp));
        self.installing = Some(Install {
            number,
            index: position.index,
            durable: 0,
        });
        SnapshotMark {
            position,
            boundary: codec::encode_boundary(position.term),
            stamp: codec::encode_stamp(self.time_ms),
        }
    }

    /// The log is reset durably and the state machine holds the state of the snapshot; that is durable too.
    /// Everything handed out before is part of it.
    ///
    /// # Panics
    /// If no snapshot is being installed.
    pub fn installed(&mut self) {
        let install = self
            .installing
            .take()
            .expect("only the driver of a core installs what the core told it to");
        self.release_until(install.number.max(install.durable));
        self.apply_backlog.clear();
        self.apply_backlog_bytes = 0;
        self.applied = install.index;
        self.raw.advance_apply_to(install.index);
        self.evict();
        self.settle();
    }

    /// Whether a snapshot is being installed.
    pub fn is_installing(&self) -> bool {
        self.installing.is_some()
    }

    /// The membership a snapshot holds; that of the founding if nobody changed it since.
    fn conf_state_of(&self, conf_state: Option<&Bytes>) -> Option<ConfState> {
        match conf_state {
            Some(bytes) => codec::decode_conf_state(bytes).ok(),
            None => self.raw.store().founders(),
        }
    }

    fn rest_shipping(&mut self, to: u64) {
        let ticks = self.config.election_ticks as u32;
        self.shipping.resting.insert(to, ticks);
    }

    pub(super) fn receiver(&self) -> Receiver {
        Receiver {
            node_id: self.config.node_id,
            term: self.raw.raft.term,
            last_index: self.last_index(),
            leads: self.role() == Role::Leader,
            leader: self.raw.raft.leader_id,
        }
    }
}

/// A membership in an order that two nodes agree on.
fn sorted(state: &ConfState) -> ConfState {
    let mut state = state.clone();
    state.voters.sort_unstable();
    state.learners.sort_unstable();
    state.voters_outgoing.sort_unstable();
    state.learners_next.sort_unstable();
    state
}
