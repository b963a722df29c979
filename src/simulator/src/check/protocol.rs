//! The rules of Raft itself: one leader a term, one vote a term, logs that match, nothing acknowledged
//! that is not durable, nothing that goes backwards.

use super::Checker;
use crate::trace::digest;
use consensus::Role;
use consensus::core::{Core, Message, Position};
use consensus::simulation::{self, Kind};
use storage::{Family, LogStore, MemoryDisk, Record};

/// Where the log store keeps its records, and the index it starts at.
const RECORDS: Family = Family("log");
const META: Family = Family("meta");
const FIRST_INDEX: &[u8] = b"first_index";
/// Checksum in front of everything the log store keeps.
const CHECKSUM_BYTES: usize = 4;

/// What is remembered of one node.
#[derive(Default)]
pub(super) struct NodeRecord {
    /// Term of each entry of its log as its core sees it; the first has this index.
    first: u64,
    terms: Vec<u64>,
    /// Highest term it promised something in.
    term: u64,
    /// Its term when last looked at.
    current_term: u64,
    committed: u64,
    applied: u64,
    led: bool,
    /// Entries that this node made and that nobody else can know of: a crash may take them back, and their term.
    private: Vec<(u64, u64)>,
}

impl NodeRecord {
    fn term_at(&self, index: u64) -> Option<u64> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.terms.get(at).copied()
    }
}

impl Checker {
    /// A node starts on what its disk held.
    pub(crate) fn started(&mut self, node: usize, core: &Core, log: &LogStore) {
        let first = log.first_index();
        let records = log.read(first..log.last_index() + 1, usize::MAX);
        let record = &mut self.nodes[node];
        let promised = record.term;
        record.first = first;
        record.terms.clear();
        (record.committed, record.applied) = (0, 0);
        record.led = false;
        record.current_term = core.term();
        for entry in records.unwrap_or_default() {
            let term = simulation::position(&entry).map_or(0, |position| position.term);
            record.terms.push(term);
        }
        for (index, term) in std::mem::take(&mut self.nodes[node].private) {
            // A write that was not synced may have survived all the same.
            if self.nodes[node].term_at(index) != Some(term) {
                self.appended.remove(&(index, term));
                self.unproposed((index, term));
            }
        }
        self.require(core.term() >= promised, "a term is not forgotten", || {
            format!(
                "node {} started in term {} after {promised}",
                core.node_id(),
                core.term()
            )
        });
    }

    /// Entries enter the log of a node.
    pub(crate) fn appended(&mut self, node: usize, records: &[Record]) {
        for entry in records {
            let Ok(position) = simulation::position(entry) else {
                self.fail("an entry can be read", || format!("entry {}", entry.index));
                return;
            };
            let record = &mut self.nodes[node];
            let index = position.index;
            if record.terms.is_empty() && record.first == 0 {
                record.first = index;
            }
            let previous = index.checked_sub(1).and_then(|index| record.term_at(index));
            let keep = usize::try_from(index.saturating_sub(record.first)).unwrap_or(0);
            record.terms.truncate(keep);
            record.terms.push(position.term);
            let previous = previous.unwrap_or(0);
            let seen = (digest(&entry.payload), previous);
            let at = (index, position.term);
            if !self.appended.contains_key(&at) {
                self.nodes[node].private.push(at);
            }
            let first = *self.appended.entry(at).or_insert(seen);
            // The term before is unknown at the start of a truncated log.
            let same = first.0 == seen.0 && (previous == 0 || first.1 == 0 || first.1 == previous);
            self.require(same, "logs match", || {
                format!("two entries {index} of term {}", position.term)
            });
        }
    }

    /// What a node has written so far is durable.
    pub(crate) fn written(&mut self, node: usize) {
        self.nodes[node].private.clear();
    }

    /// A snapshot is to take the place of the log of a node.
    pub(crate) fn replaced(&mut self, node: usize, position: Position) {
        let record = &mut self.nodes[node];
        record.first = position.index + 1;
        record.terms.clear();
    }

    /// A snapshot took the place of log and state of a node.
    pub(crate) fn installed(&mut self, id: u64, position: Position) {
        let term = self.committed.get(position.index).map(|entry| entry.term);
        self.require(
            term == Some(position.term),
            "a snapshot holds what is committed",
            || format!("node {id} installed {position:?}, committed is term {term:?}"),
        );
    }

    /// The log of a node was truncated.
    pub(crate) fn truncated(&mut self, node: usize, first: u64) {
        let record = &mut self.nodes[node];
        let gone = usize::try_from(first.saturating_sub(record.first)).unwrap_or(0);
        record.terms.drain(..gone.min(record.terms.len()));
        record.first = first;
    }

    /// A message leaves a node.
    pub(crate) fn sent(&mut self, node: usize, message: &Message) {
        let glance = simulation::glance(message);
        let voted = match glance.kind {
            Kind::Vote => Some(message.from()),
            Kind::VoteResponse if !glance.reject => Some(message.to()),
            _ => None,
        };
        if let Some(candidate) = voted {
            let vote = (message.from(), glance.term);
            let first = *self.votes.entry(vote).or_insert(candidate);
            self.require(first == candidate, "one vote a term", || {
                format!(
                    "node {} voted for {first} and {candidate} in term {}",
                    vote.0, vote.1
                )
            });
            self.nodes[node].term = self.nodes[node].term.max(glance.term);
        }
        if glance.kind == Kind::Append {
            self.nodes[node].private.clear();
            // Whoever leads has voted in that term, if only for itself.
            self.nodes[node].term = self.nodes[node].term.max(glance.term);
        }
        if glance.kind == Kind::AppendResponse && !glance.reject {
            // An answer to a leader it has left since may speak of entries that were replaced meanwhile: it
            // held them when it accepted them, and has not voted without them.
            let is_late = glance.term < self.nodes[node].current_term;
            let holds = is_late || self.is_durable(node, glance.index, None);
            self.require(holds, "what is acknowledged is durable", || {
                format!(
                    "node {} acknowledges entry {} in term {}",
                    message.from(),
                    glance.index,
                    glance.term
                )
            });
            self.nodes[node].term = self.nodes[node].term.max(glance.term);
        }
    }

    /// Whether a crash of the node would keep entry `index` (of `term`, if that is known), or has
    /// kept the state that contains it.
    pub(super) fn is_durable(&self, node: usize, index: u64, term: Option<u64>) -> bool {
        if index == 0 {
            return true;
        }
        let lost = self.lost.as_ref().filter(|(at, _)| *at == node);
        // A disk that was never opened has no log.
        let present = (self.nodes[node].first > 0).then_some(&self.disks[node]);
        present
            .into_iter()
            .chain(lost.map(|(_, disk)| disk))
            .any(|disk| holds(disk, index, term))
    }

    /// Looks at a node after each of its steps.
    pub(crate) fn observe(&mut self, node: usize, core: &Core) {
        let id = core.node_id();
        let (term, committed, applied) =
            (core.term(), core.committed_index(), core.applied_index());
        let (first, persisted, last) = (
            core.first_index(),
            core.persisted_index(),
            core.last_index(),
        );
        let record = &mut self.nodes[node];
        let forward =
            term >= record.term && committed >= record.committed && applied >= record.applied;
        let newly_leads = core.role() == Role::Leader && !record.led;
        record.led = core.role() == Role::Leader;
        (record.committed, record.applied) = (committed, applied);
        record.current_term = term;
        self.require(forward, "nothing goes backwards", || {
            format!("node {id}: term {term}, committed {committed}, applied {applied}")
        });
        let ordered = (first <= applied + 1 || core.is_installing())
            && applied <= committed
            && committed <= last
            && persisted <= last;
        self.require(ordered, "positions are in order", || {
            format!(
                "node {id}: first {first}, applied {applied}, committed {committed}, last {last}"
            )
        });
        if newly_leads {
            let leader = *self.leaders.entry(term).or_insert(id);
            self.require(leader == id, "one leader a term", || {
                format!("nodes {leader} and {id} lead term {term}")
            });
            self.check_leader_is_complete(node, id, term);
        }
    }

    /// Every entry committed in an earlier term is in the log of a new leader.
    fn check_leader_is_complete(&mut self, node: usize, id: u64, term: u64) {
        let record = &self.nodes[node];
        let missing = self.committed.until_term(term).find(|(index, entry_term)| {
            *index >= record.first && record.term_at(*index) != Some(*entry_term)
        });
        if let Some((index, entry_term)) = missing {
            self.fail("a leader has every committed entry", || {
                format!("node {id} leads term {term} without entry {index} of term {entry_term}")
            });
        }
    }
}

/// Whether a disk durably holds entry `index`, or has truncated it.
fn holds(disk: &MemoryDisk, index: u64, term: Option<u64>) -> bool {
    if let Some(sealed) = disk.durable(RECORDS, &index.to_be_bytes()) {
        let Some(term) = term else { return true };
        let payload = sealed.slice(CHECKSUM_BYTES.min(sealed.len())..);
        let position = simulation::position(&Record { index, payload });
        return position.is_ok_and(|position| position.term == term);
    }
    let first = disk
        .durable(META, FIRST_INDEX)
        .and_then(|sealed| Some(u64::from_be_bytes(*sealed.last_chunk::<8>()?)));
    first.is_some_and(|first| index < first)
}
