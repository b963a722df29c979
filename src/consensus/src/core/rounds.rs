//! Making read requests of raft-rs and taking those of others. Which answers may be believed is the business of
//! [`super::reads`].

use super::reads::{self, Reign};
use super::*;

impl Core {
    /// Opens a read round: once its index is applied, a local read sees everything acknowledged
    /// before this call. The outcome comes with the effects.
    pub fn read(&mut self) -> ReadRound {
        let round = self.reads.open();
        self.settle();
        round
    }

    pub(super) fn reign(&self) -> Reign {
        Reign {
            term: self.raw.raft.term,
            leader: self.raw.raft.leader_id,
        }
    }

    /// A member's read request must be newer than any seen of it: one delivered twice could be
    /// confirmed by acknowledgements of its first delivery.
    pub(super) fn check_read_request(
        &mut self,
        message: &raft::eraftpb::Message,
    ) -> Result<(), StepError> {
        let context = message
            .entries
            .first()
            .map(|entry| entry.data.as_slice())
            .unwrap_or_default();
        let (node_id, epoch, counter) = reads::parse_context(context).ok_or(StepError::Entries)?;
        if node_id != message.from || self.raw.raft.prs().get(node_id).is_none() {
            return Err(StepError::Sender(node_id));
        }
        let seen = self.reads_seen.entry(node_id).or_default();
        #[cfg(feature = "mutants")]
        if mutation::is_planted(mutation::Mutation::ReadContextReused) {
            return Ok(());
        }
        if (epoch, counter) <= *seen {
            return Err(StepError::Entries);
        }
        *seen = (epoch, counter);
        Ok(())
    }

    /// Makes the requests that are due; returns whether one was taken.
    ///
    /// raft-rs drops a request in silence while no leader is known, or while a leader has committed
    /// nothing in its term. On a leader the counts tell; the round stays due and is tried again.
    pub(super) fn request_reads(&mut self) -> bool {
        if self.reads.is_empty() || self.leader().is_none() {
            return false;
        }
        let reign = self.reign();
        let mut requested = false;
        for round in self.reads.due(reign) {
            let count = |raw: &RawNode<LogView>| {
                raw.raft.pending_read_count() + raw.raft.ready_read_count()
            };
            let before = count(&self.raw);
            let (counter, context) = self.reads.next_context();
            self.raw.read_index(context);
            let taken = self.raw.raft.state != StateRole::Leader || count(&self.raw) > before;
            if !taken {
                break;
            }
            self.reads.requested(round, counter, reign);
            requested = true;
        }
        requested
    }
}
