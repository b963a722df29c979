//! Looking at a core without changing it: role, indexes, membership, and whether a read needs a round.

use super::{Core, Role};
use raft::StateRole;

impl Core {
    /// This member.
    pub fn node_id(&self) -> u64 {
        self.config.node_id
    }

    /// Role of this member.
    pub fn role(&self) -> Role {
        match self.raw.raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::PreCandidate => Role::PreCandidate,
            StateRole::Candidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        }
    }

    /// Leader of the current term, once known.
    pub fn leader(&self) -> Option<u64> {
        Some(self.raw.raft.leader_id).filter(|leader| *leader != 0)
    }

    /// Current term.
    pub fn term(&self) -> u64 {
        self.raw.raft.term
    }

    /// First index of the log.
    pub fn first_index(&self) -> u64 {
        self.raw.store().first()
    }

    /// Last index of the log, durable or not.
    pub fn last_index(&self) -> u64 {
        self.raw.raft.raft_log.last_index()
    }

    /// Last index durable here.
    pub fn persisted_index(&self) -> u64 {
        self.raw.raft.raft_log.persisted
    }

    /// Last index known to be durable on a quorum.
    pub fn committed_index(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    /// Last index reported applied.
    pub fn applied_index(&self) -> u64 {
        self.applied
    }

    /// Voting members; in a change of membership those of the coming one.
    pub fn voters(&self) -> &[u64] {
        &self.conf_state.voters
    }

    /// Learning members.
    pub fn learners(&self) -> &[u64] {
        &self.conf_state.learners
    }

    /// Voters of the membership that is being left; empty unless a joint change is under way.
    pub fn outgoing(&self) -> &[u64] {
        &self.conf_state.voters_outgoing
    }

    /// Newest time stamp in the log. A leader stamps no proposal below it, so that stamps never
    /// decrease along the log.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// Whether every acknowledged write of the group has been acknowledged by this very run of this
    /// member, which makes a read round needless: it is the sole voter, leads, has applied an
    /// entry of its own term (hence all earlier ones), and no change of membership is under way.
    pub fn reads_locally(&self) -> bool {
        self.is_alone()
            && self.raw.raft.state == StateRole::Leader
            && !self.raw.raft.has_pending_conf()
            && self.raw.raft.apply_to_current_term()
    }
}
