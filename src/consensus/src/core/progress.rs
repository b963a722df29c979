//! How far the others are, as the leader sees them.

use super::{Core, Role};
use raft::ProgressState;
use raft::eraftpb::{Message, MessageType};

/// How the leader replicates to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// It looks for the point where the logs agree.
    Probe,
    /// Entries flow.
    Replicate,
    /// The member receives a snapshot.
    Snapshot,
}

/// What the leader knows of one other member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerProgress {
    /// The member.
    pub node_id: u64,
    /// Highest index known to be durable there.
    pub matched: u64,
    /// How the leader replicates to it.
    pub replication: Replication,
    /// Ticks since its last message; `None` before the first.
    pub silent_ticks: Option<u64>,
}

impl Core {
    /// What this node knows of the other members; empty unless it leads.
    pub fn progress(&self) -> Vec<PeerProgress> {
        if self.role() != Role::Leader {
            return Vec::new();
        }
        let others = self.raw.raft.prs().iter();
        let mut progress: Vec<PeerProgress> = others
            .filter(|(id, _)| **id != self.config.node_id)
            .map(|(id, progress)| PeerProgress {
                node_id: *id,
                matched: progress.matched,
                replication: match progress.state {
                    ProgressState::Probe => Replication::Probe,
                    ProgressState::Replicate => Replication::Replicate,
                    ProgressState::Snapshot => Replication::Snapshot,
                },
                silent_ticks: self.silent_ticks(*id),
            })
            .collect();
        progress.sort_unstable_by_key(|peer| peer.node_id);
        progress
    }

    /// Ticks since a member's last message; `None` before the first.
    pub(super) fn silent_ticks(&self, node_id: u64) -> Option<u64> {
        self.heard.get(&node_id).map(|heard| self.ticks - heard)
    }

    /// Messages to this member are being lost; the leader stops sending ahead until it answers again.
    pub fn unreachable(&mut self, node_id: u64) {
        self.raw.report_unreachable(node_id);
        self.settle();
    }

    /// The voter that should lead next: heard of within an election timeout, with the longest log, and of
    /// those the one of the lowest number. `None` if there is none, or this node does not lead.
    pub fn successor(&self) -> Option<u64> {
        let is_present = |peer: &PeerProgress| {
            let timeout = self.config.election_ticks as u64;
            let is_voter = self.conf_state.voters.contains(&peer.node_id);
            is_voter && peer.silent_ticks.is_some_and(|ticks| ticks < timeout)
        };
        let present = self.progress().into_iter().filter(is_present);
        let best = present.max_by_key(|peer| (peer.matched, std::cmp::Reverse(peer.node_id)));
        best.map(|peer| peer.node_id)
    }

    /// Asks a voter to take over leadership. Proposals are refused until it has, or an election timeout is
    /// over. False if this node does not lead, or the member cannot lead.
    pub fn transfer(&mut self, to: u64) -> bool {
        let can_lead = to != self.config.node_id
            && self.role() == Role::Leader
            && self.conf_state.voters.contains(&to);
        if can_lead {
            self.raw.transfer_leader(to);
            self.settle();
        }
        can_lead
    }

    /// Gives leadership up if this member has no vote any more: raft-rs would let it lead on, and count on
    /// it for every commit.
    pub(super) fn abdicate_without_vote(&mut self) {
        #[cfg(feature = "mutants")]
        if super::mutation::is_planted(super::mutation::Mutation::LeadsWithoutVote) {
            return;
        }
        let state = &self.conf_state;
        let mut votes = state.voters.iter().chain(&state.voters_outgoing);
        if self.role() != Role::Leader || votes.any(|id| *id == self.config.node_id) {
            return;
        }
        let term = self.raw.raft.term;
        ::log::info!(target: "raft", "this node is no voter any more and stops leading term {term}");
        if let Some(heir) = self.successor() {
            self.raw.raft.send_timeout_now(heir);
        }
        self.raw.raft.become_follower(term, 0);
    }

    /// Whether leadership is being handed over.
    pub fn is_transferring(&self) -> bool {
        self.raw.raft.lead_transferee.is_some()
    }

    /// Whether a message refuses entries that the member is known to hold: it was overtaken by its own
    /// acknowledgement. raft-rs 0.7 believes it while it probes, goes back behind the known match (its issue
    /// 555) and may then send a snapshot to a member that lacks nothing.
    pub(super) fn is_stale_rejection(&self, message: &Message) -> bool {
        let is_rejection =
            message.reject && message.msg_type == MessageType::MsgAppendResponse as i32;
        if !is_rejection || message.term != self.raw.raft.term || self.role() != Role::Leader {
            return false;
        }
        let Some(progress) = self.raw.raft.prs().get(message.from) else {
            return false;
        };
        let resume = match message.log_term {
            0 => message.reject_hint,
            term => {
                let log = &self.raw.raft.raft_log;
                log.find_conflict_by_term(message.reject_hint, term).0
            }
        };
        message.index <= progress.matched || resume < progress.matched
    }
}
