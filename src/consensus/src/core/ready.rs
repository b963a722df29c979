//! Taking raft-rs's `Ready` values apart into [`Effects`], in the order raft-rs
//! demands, and keeping back what may leave only after a write is durable.

use super::*;
use crate::machine::Membership;
use raft::eraftpb::{ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, Entry};
use raft::{ReadState, Ready};

/// Memory an entry takes besides its payload on the way to the state machine; without it a log of
/// tiny entries would not count.
const ENTRY_OVERHEAD_BYTES: usize = 128;

fn pieces(messages: Vec<raft::eraftpb::Message>) -> impl Iterator<Item = Message> {
    let bytes_max = usize::try_from(open::MESSAGE_BYTES_MAX).expect("a message is small");
    messages
        .into_iter()
        .flat_map(move |message| message::split(message, bytes_max))
}

/// A `Ready` whose durability raft-rs was not told yet.
pub(super) struct Outstanding {
    number: u64,
    /// False: it wrote nothing that must be durable, and only waits for those before it.
    awaits_write: bool,
    /// Whether what it writes is a new term or vote.
    has_ballot: bool,
    /// What it allows to be sent once durable.
    messages: Vec<Message>,
}

impl Core {
    /// Takes what raft-rs has ready until it has no more. Ends: each round consumes what made it
    /// ready, and raft-rs produces nothing without input.
    pub(super) fn take_readies(&mut self) {
        while self.wants_ready() {
            self.take_ready();
        }
    }

    /// raft-rs hands out committed entries with every `Ready`. While too many wait to be applied, a
    /// `Ready` is taken only for something else, which bounds what one adds.
    fn wants_ready(&self) -> bool {
        if !self.raw.has_ready() {
            return false;
        }
        let raft = &self.raw.raft;
        self.apply_backlog_bytes < APPLY_BACKLOG_BYTES_MAX
            || !raft.msgs.is_empty()
            || !raft.raft_log.unstable_entries().is_empty()
            || !raft.read_states.is_empty()
            || Ballot {
                term: raft.term,
                vote: raft.vote,
            } != self.ballot
    }

    fn take_ready(&mut self) {
        let mut ready = self.raw.ready();
        let mut waiting = self.ship_unless_unvoted(&mut ready);
        let read_states = ready.take_read_states();
        let committed = ready.take_committed_entries();
        waiting.extend(pieces(ready.take_persisted_messages()));
        #[cfg(feature = "mutants")]
        let waiting = mutation::released_early(&mut self.effects, waiting);
        self.persist_ready(&mut ready, waiting);
        // The entries are readable through the log by now, which raft-rs relies on from here on.
        self.raw.advance_append_async(ready);
        self.release_ready_writes();
        for state in read_states {
            self.answer_read(&state);
        }
        for entry in committed {
            self.hand_out(entry);
        }
        self.abdicate_without_vote();
    }

    /// Sends what a leader may send before its entries are durable. Its vote must be: a candidate's is, before
    /// it asks for others, but one that needs no other vote leads at once, and if a crash took its vote back, it
    /// could vote for somebody else in a term in which its entries are out. Returns what has to wait for that.
    fn ship_unless_unvoted(&mut self, ready: &mut Ready) -> Vec<Message> {
        let messages = pieces(ready.take_messages()).collect();
        let is_unvoted =
            self.has_new_ballot(ready) || self.outstanding.iter().any(|ready| ready.has_ballot);
        #[cfg(feature = "mutants")]
        let is_unvoted = is_unvoted && !mutation::is_planted(mutation::Mutation::LeadsBeforeVote);
        if is_unvoted {
            return messages;
        }
        self.ship(messages);
        Vec::new()
    }

    fn has_new_ballot(&self, ready: &Ready) -> bool {
        ready.hs().is_some_and(|state| {
            let newest = Ballot {
                term: state.term,
                vote: state.vote,
            };
            newest != self.ballot
        })
    }

    /// Queues what this `Ready` writes and makes its entries readable.
    fn persist_ready(&mut self, ready: &mut Ready, messages: Vec<Message>) {
        let number = ready.number();
        let has_ballot = self.has_new_ballot(ready);
        if let Some(hard_state) = ready.hs() {
            self.lazy_hard_state = Some(hard_state.clone());
        }
        let must_sync = ready.must_sync();
        if must_sync {
            let snapshot = ready.snapshot();
            let mark = (!snapshot.is_empty()).then(|| self.begin_install(number, snapshot));
            let entries = ready.take_entries();
            // Only of what enters the log: a message that is not taken must not move the clock of the group.
            let mut stamps = entries
                .iter()
                .rev()
                .filter_map(|entry| crate::payload::time_ms(&entry.data));
            self.time_ms = self.time_ms.max(stamps.next().unwrap_or(0));
            let records = entries.iter().map(codec::encode_entry).collect();
            self.raw.mut_store().append(entries);
            self.push_write(Some(number), records, true);
            if let Some(write) = self.effects.persist.last_mut() {
                write.snapshot = mark;
            }
        }
        self.outstanding.push_back(Outstanding {
            number,
            awaits_write: must_sync,
            has_ballot,
            messages,
        });
    }

    fn push_write(&mut self, number: Option<u64>, records: Vec<storage::Record>, must_sync: bool) {
        let hard_state = self.lazy_hard_state.take();
        let mut ballot = None;
        if let Some(state) = &hard_state {
            let newest = Ballot {
                term: state.term,
                vote: state.vote,
            };
            if newest != self.ballot {
                self.ballot = newest;
                ballot = Some(newest);
            }
        }
        let hard_state = hard_state.as_ref().map(codec::encode_hard_state);
        self.effects.persist.push(Persist {
            number,
            records,
            hard_state,
            ballot,
            must_sync,
            snapshot: None,
        });
    }

    /// Writes a commit index that no other write took along. Not synced: it only shortens the way
    /// after a restart.
    pub(super) fn persist_lazily(&mut self) {
        if self.lazy_hard_state.is_some() && self.outstanding.is_empty() {
            self.push_write(None, Vec::new(), false);
        }
    }

    /// Tells raft-rs of durability, in order, and releases the messages that waited for it.
    pub(super) fn release_until(&mut self, number: u64) {
        let known = self
            .outstanding
            .iter()
            .any(|ready| ready.number == number && ready.awaits_write);
        assert!(
            known,
            "write {number} is reported durable, but is not outstanding"
        );
        while self
            .outstanding
            .front()
            .is_some_and(|ready| ready.number <= number)
        {
            let ready = self
                .outstanding
                .pop_front()
                .expect("the loop condition saw one");
            self.ship(ready.messages);
        }
        self.raw.on_persist_ready(number);
        self.release_ready_writes();
    }

    /// Completes the readies at the front that wrote nothing: all before them is durable.
    fn release_ready_writes(&mut self) {
        while self
            .outstanding
            .front()
            .is_some_and(|ready| !ready.awaits_write)
        {
            let ready = self
                .outstanding
                .pop_front()
                .expect("the loop condition saw one");
            self.ship(ready.messages);
            self.raw.on_persist_ready(ready.number);
        }
    }

    /// Believes an answer only under the term and leader it was asked in; otherwise the round stays
    /// open and asks again with a new request.
    fn answer_read(&mut self, state: &ReadState) {
        let reign = self.reign();
        if let Some(round) = self.reads.answered(&state.request_ctx, reign) {
            self.effects
                .reads
                .push((round, ReadOutcome::Ready { index: state.index }));
        }
    }

    fn hand_out(&mut self, entry: Entry) {
        let position = Position {
            index: entry.index,
            term: entry.term,
        };
        let weight = ENTRY_OVERHEAD_BYTES + entry.data.len();
        self.apply_backlog.push_back((entry.index, weight));
        self.apply_backlog_bytes += weight;
        let kind = if entry.entry_type == EntryType::EntryNormal as i32 {
            CommittedKind::Commands
        } else {
            let (conf_state, context) = self.change_membership(&entry);
            CommittedKind::Membership {
                conf_state,
                membership: self.membership(context),
            }
        };
        self.effects.apply.push(Committed {
            position,
            payload: entry.data.into(),
            kind,
        });
    }

    /// Takes a committed membership change into effect, once. A change that raft-rs refuses is
    /// refused on every member alike, since it depends on log and membership alone.
    fn change_membership(&mut self, entry: &Entry) -> (Option<Bytes>, Bytes) {
        let data = entry.data.as_slice();
        let mut context = Vec::new();
        #[cfg(feature = "mutants")]
        if mutation::is_planted(mutation::Mutation::MembershipTwice)
            && let Ok(change) = ConfChangeV2::decode(data)
        {
            let _ = self.raw.apply_conf_change(&change);
        }
        let applied = if entry.entry_type == EntryType::EntryConfChange as i32 {
            ConfChange::decode(data).map(|change| self.raw.apply_conf_change(&change))
        } else {
            ConfChangeV2::decode(data).map(|mut change| {
                context = std::mem::take(&mut change.context);
                self.raw.apply_conf_change(&change)
            })
        };
        let changed = match applied {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let conf_state = match changed {
            Ok(conf_state) => {
                self.conf_state = conf_state;
                // The line of those that may campaign is another one now.
                self.election = None;
                Some(codec::encode_conf_state(&self.conf_state))
            }
            Err(error) => {
                ::log::error!(target: "raft", "membership change at {} refused: {error}", entry.index);
                None
            }
        };
        (conf_state, context.into())
    }

    /// The membership in effect.
    fn membership(&self, context: Bytes) -> Membership {
        let state = &self.conf_state;
        let learners = state.learners.iter().chain(&state.learners_next);
        Membership {
            voters: state.voters.clone(),
            outgoing: state.voters_outgoing.clone(),
            learners: learners.copied().collect(),
            context,
        }
    }
}

/// The change as raft-rs wants it. More than one member at a time goes through a joint membership,
/// which raft-rs leaves by itself.
pub(crate) fn conf_change(changes: &[MemberChange], context: &[u8]) -> ConfChangeV2 {
    let mut change = ConfChangeV2 {
        context: context.to_vec(),
        ..ConfChangeV2::default()
    };
    change.set_transition(ConfChangeTransition::Auto);
    for member in changes {
        let (kind, node_id) = match *member {
            MemberChange::AddLearner(id) => (ConfChangeType::AddLearnerNode, id),
            MemberChange::Demote(id) => (ConfChangeType::AddLearnerNode, id),
            MemberChange::AddVoter(id) => (ConfChangeType::AddNode, id),
            MemberChange::Remove(id) => (ConfChangeType::RemoveNode, id),
        };
        let mut single = ConfChangeSingle {
            node_id,
            ..ConfChangeSingle::default()
        };
        single.set_change_type(kind);
        change.changes.push(single);
    }
    change
}
