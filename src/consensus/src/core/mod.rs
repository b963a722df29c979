//! The consensus algorithm of one group behind our own interface: raft-rs without clock, socket,
//! disk, thread or randomness. Inputs are method calls, everything to be done comes out of
//! [`Core::take_effects`]. The driver performs it in production, a simulator in tests.
//!
//! What the core promises, so that a driver cannot get it wrong:
//! * no vote and no acknowledgement leaves before what it promises was reported durable;
//! * entries are readable to raft-rs before it is told that they were taken over;
//! * reports of durability are accepted in order only;
//! * on a node that does not lead, a proposal is refused, never forwarded;
//! * a membership change takes effect once, and is refused while another may be pending;
//! * the same inputs give the same outputs, election timeouts included.

mod change;
mod check;
mod effects;
mod election;
mod inspect;
mod logger;
mod message;
#[cfg(feature = "mutants")]
pub mod mutation;
mod open;
mod progress;
mod reads;
mod ready;
mod rounds;
mod snapshots;

pub use change::ChangeRefused;
pub use check::StepError;
pub use effects::{Ballot, Committed, CommittedKind, Effects, Persist, Position};
pub use message::{Message, MessageError};
pub use open::{CoreConfig, OpenError};
pub use progress::{PeerProgress, Replication};
pub use reads::{ReadOutcome, ReadRound};
pub use snapshots::SnapshotMark;

pub(crate) use ready::conf_change;

pub use crate::log::LogError;
pub use crate::log::codec::CodecError;

use crate::log::{LogView, codec};
use crate::status::Role;
use bytes::Bytes;
use election::Occasion;
use raft::eraftpb::{ConfChangeV2, ConfState, EntryType, HardState, MessageType};
use raft::{RawNode, StateRole};
use raft_prost::Message as _;
use reads::Reads;
use ready::Outstanding;
use snapshots::{Install, Shipping};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use storage::LogStore;

/// Bytes of entries handed out for application and not yet reported as applied, beyond which the core
/// hands out no more: replaying a long log must not bring all of it into memory.
const APPLY_BACKLOG_BYTES_MAX: usize = 16 << 20;
/// Entries without a time stamp that opening the log looks behind for one.
const STAMP_SCAN_ENTRIES_MAX: u64 = 1024;

/// Why a proposal was not appended. It was not and never will be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposalRefused {
    /// Ask the leader.
    #[error("this node does not lead")]
    NotLeader {
        /// The leader as far as this node knows.
        leader: Option<u64>,
    },
    /// Too many bytes are uncommitted.
    #[error("too many bytes are uncommitted")]
    Full,
    /// Another membership change may be pending.
    #[error("another membership change is pending")]
    ChangePending,
    /// The change cannot be made of the present membership, or is malformed.
    #[error("the membership change is not possible now")]
    ChangeImpossible,
}

/// A change of membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// Adds a member that receives the log and does not vote.
    AddLearner(u64),
    /// Adds a voter or promotes a learner.
    AddVoter(u64),
    /// Makes a voter a learner.
    Demote(u64),
    /// Removes a member.
    Remove(u64),
}

/// A raft-rs node behind our own interface; see the module.
pub struct Core {
    raw: RawNode<LogView>,
    config: CoreConfig,
    conf_state: ConfState,
    reads: Reads,
    /// Newest read request seen of each member, as `(incarnation, counter)`.
    reads_seen: BTreeMap<u64, (u64, u64)>,
    outstanding: VecDeque<Outstanding>,
    /// Hard state that differs from the durable one in the commit index alone; it goes out with the
    /// next write, or with the next tick.
    lazy_hard_state: Option<HardState>,
    ballot: Ballot,
    /// `(index, bytes)` of entries handed out and not reported applied.
    apply_backlog: VecDeque<(u64, usize)>,
    apply_backlog_bytes: usize,
    applied: u64,
    /// Newest time stamp in the log.
    time_ms: u64,
    /// Ticks since the core was opened.
    ticks: u64,
    /// When each member was last heard of, in ticks.
    heard: BTreeMap<u64, u64>,
    shipping: Shipping,
    installing: Option<Install>,
    /// What the election timeout was last computed from, and what came out.
    election: Option<(Occasion, usize)>,
    effects: Effects,
}

impl Core {
    /// Opens the core on a log. A sole voter campaigns at once; there is no one to wait for.
    ///
    /// # Errors
    /// [`OpenError`] if log and state do not fit together.
    pub fn open(config: CoreConfig, store: LogStore) -> Result<Self, OpenError> {
        let mut log = open::open_log(&config, store)?;
        let time_ms = log.newest_stamp(STAMP_SCAN_ENTRIES_MAX)?;
        let conf_state = log.conf_state().clone();
        let hard_state = log.hard_state().clone();
        log.settled(config.applied.index);
        #[cfg(not(feature = "mutants"))]
        let raft_config = config.raft();
        #[cfg(feature = "mutants")]
        let raft_config = config.raft_mutated(hard_state.commit);
        let raw = RawNode::new(&raft_config, log, &logger::logger())?;
        let mut core = Core {
            raw,
            reads: Reads::new(config.origin()),
            reads_seen: BTreeMap::new(),
            outstanding: VecDeque::new(),
            lazy_hard_state: None,
            ballot: Ballot {
                term: hard_state.term,
                vote: hard_state.vote,
            },
            apply_backlog: VecDeque::new(),
            apply_backlog_bytes: 0,
            applied: config.applied.index,
            time_ms,
            ticks: 0,
            heard: BTreeMap::new(),
            shipping: Shipping::default(),
            installing: None,
            election: None,
            effects: Effects::default(),
            conf_state,
            config,
        };
        core.campaign_if_alone();
        core.settle();
        Ok(core)
    }

    /// One heartbeat interval has passed.
    pub fn tick(&mut self) {
        self.ticks += 1;
        if self.is_alone() && self.role() != Role::Leader {
            // raft-rs asserts that a sole voter's log is durable when its election timeout elapses.
            self.campaign_if_alone();
        } else if self.installing.is_none() {
            // A member that installs a snapshot does not campaign: raft-rs would look for entries that it has
            // not applied in a log that does not hold them.
            self.raw.tick();
        }
        for round in self.reads.tick() {
            self.effects.reads.push((round, ReadOutcome::NoLeader));
        }
        self.tick_snapshots();
        self.settle();
        self.persist_lazily();
    }

    /// A message of a peer has arrived.
    ///
    /// # Errors
    /// [`StepError`] if no honest member sends such a message now; it changed nothing.
    pub fn step(&mut self, message: Message) -> Result<(), StepError> {
        let message = message.0;
        check::check(&message, self.receiver())?;
        let is_append = message.msg_type == MessageType::MsgAppend as i32;
        if is_append
            && !message.entries.is_empty()
            && self.apply_backlog_bytes >= APPLY_BACKLOG_BYTES_MAX
        {
            return Err(StepError::Busy);
        }
        if message.msg_type == MessageType::MsgTimeoutNow as i32 {
            self.check_call(message.from)?;
        }
        if message.msg_type == MessageType::MsgReadIndex as i32 {
            self.check_read_request(&message)?;
        }
        let from = message.from;
        self.heard_of(from);
        if self.is_stale_rejection(&message) {
            return Ok(());
        }
        match self.raw.step(message) {
            Ok(()) | Err(raft::Error::ProposalDropped) => {}
            Err(raft::Error::StepPeerNotFound) => return Err(StepError::Sender(from)),
            Err(error) => {
                ::log::warn!(target: "raft", "a message of node {from} was not stepped: {error}")
            }
        }
        self.settle();
        Ok(())
    }

    /// Appends an entry on the leader. Several proposals before the next `take_effects` become one
    /// write. The payload is in the format of [`crate::payload`].
    ///
    /// # Errors
    /// [`ProposalRefused`] if this node does not lead, or too much is uncommitted.
    pub fn propose(&mut self, payload: Vec<u8>) -> Result<Position, ProposalRefused> {
        self.refuse_unless_leader()?;
        let stamp = crate::payload::time_ms(&payload);
        match self.raw.propose(Vec::new(), payload) {
            Ok(()) => {
                self.time_ms = self.time_ms.max(stamp.unwrap_or(0));
                Ok(self.last_position())
            }
            Err(_) => Err(ProposalRefused::Full),
        }
    }

    /// Appends a membership change on the leader. `context` travels with it to every state machine.
    ///
    /// # Errors
    /// [`ProposalRefused`]; in particular while another change may be pending: raft-rs would accept
    /// the second one and silently make it an empty entry.
    pub fn propose_members(
        &mut self,
        changes: &[MemberChange],
        context: &[u8],
    ) -> Result<Position, ProposalRefused> {
        self.refuse_unless_leader()?;
        let pending = self.raw.raft.has_pending_conf();
        #[cfg(feature = "mutants")]
        let pending = mutation::still_pending(pending);
        if pending {
            return Err(ProposalRefused::ChangePending);
        }
        let change = ready::conf_change(changes, context);
        let leaves_joint = change.changes.is_empty();
        let is_joint = !self.conf_state.voters_outgoing.is_empty();
        if leaves_joint != is_joint {
            return Err(ProposalRefused::ChangeImpossible);
        }
        self.raw
            .propose_conf_change(Vec::new(), change)
            .map_err(|_| ProposalRefused::Full)?;
        Ok(self.last_position())
    }

    /// The write of this number, and all before it, are durable.
    ///
    /// # Panics
    /// If no such write is outstanding: a report out of order would acknowledge what may be lost.
    pub fn persisted(&mut self, number: u64) {
        if let Some(install) = &mut self.installing
            && number >= install.number
        {
            // The snapshot comes first; see `installed`.
            install.durable = install.durable.max(number);
            return;
        }
        self.release_until(number);
        self.evict();
        self.settle();
    }

    /// The state machine has applied everything up to `index`.
    ///
    /// # Panics
    /// If that goes back, or beyond what was handed out.
    pub fn applied(&mut self, index: u64) {
        assert!(
            index >= self.applied,
            "applied goes back from {} to {index}",
            self.applied
        );
        while self
            .apply_backlog
            .front()
            .is_some_and(|(first, _)| *first <= index)
        {
            let (reached, bytes) = self
                .apply_backlog
                .pop_front()
                .expect("the loop condition saw an entry");
            self.apply_backlog_bytes -= bytes;
            self.applied = reached;
        }
        assert_eq!(
            index, self.applied,
            "applied is an index that was handed out"
        );
        self.raw.advance_apply_to(index);
        self.evict();
        self.campaign_if_alone();
        self.settle();
    }

    /// Forgets the log below `first` and returns the boundary to store when the log is truncated.
    /// `flushed` is the applied index a crash keeps.
    ///
    /// # Errors
    /// [`LogError`] if the log cannot be read.
    ///
    /// # Panics
    /// If `first` lies beyond `flushed + 1`: a crash would lose what is in neither log nor state.
    pub fn compact(&mut self, first: u64, flushed: u64) -> Result<Bytes, LogError> {
        assert!(
            first <= flushed + 1,
            "log truncated at {first}, beyond the flushed state at {flushed}"
        );
        assert!(
            flushed <= self.applied,
            "the state is flushed at {flushed}, beyond applied {}",
            self.applied
        );
        self.raw.mut_store().compact(first)
    }

    /// The newest time stamp as the log keeps it, to be stored with a truncation: what is truncated may hold
    /// the last entry that carries one.
    pub fn stamp(&self) -> Bytes {
        codec::encode_stamp(self.time_ms)
    }

    /// Everything to be done since the last call.
    pub fn take_effects(&mut self) -> Effects {
        self.settle();
        std::mem::take(&mut self.effects)
    }

    /// Remembers that a member spoke. Of members alone: a liar may name anyone, and the map must not grow.
    fn heard_of(&mut self, from: u64) {
        if self.raw.raft.prs().get(from).is_some() {
            self.heard.insert(from, self.ticks);
        }
    }

    /// Whether this member may be called to an election.
    fn check_call(&self, from: u64) -> Result<(), StepError> {
        if self.installing.is_some() {
            return Err(StepError::Busy);
        }
        if self.is_alone() {
            return Err(StepError::Sender(from));
        }
        Ok(())
    }

    fn refuse_unless_leader(&self) -> Result<(), ProposalRefused> {
        #[cfg(feature = "mutants")]
        if mutation::is_planted(mutation::Mutation::ProposalForwarded) {
            return Ok(());
        }
        // raft-rs 0.7 forwards a follower's proposal and reports success; the caller would wait for
        // an index that never comes.
        if self.raw.raft.state == StateRole::Leader && self.raw.raft.lead_transferee.is_none() {
            return Ok(());
        }
        let leader = self
            .leader()
            .filter(|leader| *leader != self.config.node_id);
        Err(ProposalRefused::NotLeader { leader })
    }

    fn last_position(&self) -> Position {
        Position {
            index: self.raw.raft.raft_log.last_index(),
            term: self.raw.raft.term,
        }
    }

    fn is_alone(&self) -> bool {
        self.conf_state.voters == [self.config.node_id]
            && self.conf_state.voters_outgoing.is_empty()
    }

    fn campaign_if_alone(&mut self) {
        let log = &self.raw.raft.raft_log;
        // Becoming leader asserts that the whole log is durable.
        let durable = log.unstable_entries().is_empty() && log.persisted == log.last_index();
        let may_campaign = self.is_alone() && self.raw.raft.state != StateRole::Leader && durable;
        if may_campaign && let Err(error) = self.raw.campaign() {
            ::log::warn!(target: "raft", "campaign: {error}");
        }
    }

    /// Brings everything an input may have touched back to rest.
    fn settle(&mut self) {
        self.fix_election_timeout();
        self.take_readies();
        if self.request_reads() {
            self.take_readies();
        }
        self.want_snapshots();
    }

    fn evict(&mut self) {
        let settled = self.persisted_index().min(self.applied);
        self.raw.mut_store().settled(settled);
    }
}

#[cfg(test)]
mod tests;
