//! Whether a membership change may be made now. Raft allows any change of one member at a time; what is
//! asked here beyond that is that the cluster can still serve afterwards.

use super::{Core, MemberChange, ProposalRefused};
use std::collections::BTreeSet;

/// Why a membership change was not proposed. Nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// Ask the leader.
    #[error("this node does not lead")]
    NotLeader {
        /// The leader as far as this node knows.
        leader: Option<u64>,
    },
    /// Another change is not complete; retry later.
    #[error("another membership change is under way")]
    Pending,
    /// The member is one already, in that role.
    #[error("node {0} is that already")]
    Already(u64),
    /// There is no such member.
    #[error("node {0} is not a member")]
    Unknown(u64),
    /// A learner far behind would stop the group from committing until it has caught up.
    #[error("node {0} has not caught up yet")]
    Behind(u64),
    /// Too few of the voters that would remain were heard of lately: the group would stop.
    #[error("only {present} of the {voters} voters that would remain are reachable")]
    QuorumAtRisk {
        /// Voters heard of, this node included.
        present: usize,
        /// Voters after the change.
        voters: usize,
    },
    /// The change would remove this node, which leads: leadership moves first.
    #[error("this node leads and hands leadership over first")]
    Leads,
    /// Nobody would be left to vote.
    #[error("the last voter cannot leave")]
    LastVoter,
    /// Nothing to change, or one member twice.
    #[error("the change is malformed")]
    Malformed,
    /// Too many bytes are uncommitted; retry later.
    #[error("too many bytes are uncommitted")]
    Full,
}

/// Entries a learner may lack when it is made a voter: what a healthy link brings in well under a second.
pub(super) const PROMOTION_LAG_MAX: u64 = 1000;

impl Core {
    /// Checks a change against the present membership and the reachability of its members.
    ///
    /// # Errors
    /// Why it must not be proposed.
    pub fn check_change(&self, changes: &[MemberChange]) -> Result<(), ChangeRefused> {
        if let Err(ProposalRefused::NotLeader { leader }) = self.refuse_unless_leader() {
            return Err(ChangeRefused::NotLeader { leader });
        }
        let pending = self.raw.raft.has_pending_conf();
        #[cfg(feature = "mutants")]
        let pending = super::mutation::still_pending(pending);
        if pending || !self.conf_state.voters_outgoing.is_empty() {
            return Err(ChangeRefused::Pending);
        }
        let mut voters: BTreeSet<u64> = self.conf_state.voters.iter().copied().collect();
        let mut seen = BTreeSet::new();
        for change in changes {
            if !seen.insert(change.node_id()) {
                return Err(ChangeRefused::Malformed);
            }
            self.check_member(*change, &mut voters)?;
        }
        if seen.is_empty() {
            return Err(ChangeRefused::Malformed);
        }
        if voters.is_empty() {
            return Err(ChangeRefused::LastVoter);
        }
        if !voters.contains(&self.config.node_id) {
            return Err(ChangeRefused::Leads);
        }
        let present = voters.iter().filter(|id| self.is_present(**id)).count();
        if present * 2 <= voters.len() {
            return Err(ChangeRefused::QuorumAtRisk {
                present,
                voters: voters.len(),
            });
        }
        Ok(())
    }

    /// Checks one member's change and makes it to `voters`.
    fn check_member(
        &self,
        change: MemberChange,
        voters: &mut BTreeSet<u64>,
    ) -> Result<(), ChangeRefused> {
        let id = change.node_id();
        let votes = self.conf_state.voters.contains(&id);
        let learns = self.conf_state.learners.contains(&id);
        match change {
            _ if id == 0 => return Err(ChangeRefused::Malformed),
            MemberChange::AddLearner(_) if votes || learns => {
                return Err(ChangeRefused::Already(id));
            }
            MemberChange::AddLearner(_) => {}
            MemberChange::AddVoter(_) if votes => return Err(ChangeRefused::Already(id)),
            // Learners first: a voter that starts from nothing would count and not help.
            MemberChange::AddVoter(_) if !learns => return Err(ChangeRefused::Unknown(id)),
            MemberChange::AddVoter(_) => {
                if !self.has_caught_up(id) {
                    return Err(ChangeRefused::Behind(id));
                }
                voters.insert(id);
            }
            MemberChange::Demote(_) if learns => return Err(ChangeRefused::Already(id)),
            MemberChange::Demote(_) | MemberChange::Remove(_) if !votes && !learns => {
                return Err(ChangeRefused::Unknown(id));
            }
            MemberChange::Demote(_) | MemberChange::Remove(_) => {
                voters.remove(&id);
            }
        }
        Ok(())
    }

    fn is_present(&self, id: u64) -> bool {
        let timeout = self.config.election_ticks as u64;
        id == self.config.node_id || self.silent_ticks(id).is_some_and(|ticks| ticks < timeout)
    }

    /// Whether a member was heard of lately and lacks little of the log. Known to the leader alone.
    pub fn has_caught_up(&self, node_id: u64) -> bool {
        let lag = self.progress().into_iter().find_map(|peer| {
            (peer.node_id == node_id).then(|| self.last_index().saturating_sub(peer.matched))
        });
        self.is_present(node_id) && lag.is_some_and(|lag| lag <= PROMOTION_LAG_MAX)
    }
}

impl MemberChange {
    /// The member it is about.
    pub fn node_id(self) -> u64 {
        match self {
            MemberChange::AddLearner(id)
            | MemberChange::AddVoter(id)
            | MemberChange::Demote(id)
            | MemberChange::Remove(id) => id,
        }
    }
}
