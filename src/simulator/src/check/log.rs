//! The committed log, as the first node to hand out each entry showed it: the witness against which every
//! other node and every answer is checked.

use super::{Checker, Scene};
use crate::counters::{Count, Counters};
use crate::model::Model;
use crate::ops::OpId;
use crate::trace::digest;
use crate::workload::Request;
use consensus::core::{Committed, CommittedKind, Core, Position};
use consensus::payload;
use consensus::simulation::chain_hash;
use placement_center::machine::Reply;
use std::collections::{BTreeMap, BTreeSet};
use storage::Applied;

/// One committed entry.
pub(super) struct Entry {
    pub(super) term: u64,
    pub(super) digest: u64,
    pub(super) chain: u64,
    /// It was committed in this term or an earlier one.
    committed_in: u64,
    pub(super) ops: Vec<OpId>,
    pub(super) replies: Vec<Reply>,
}

/// What a leader proposed at one position.
pub(super) struct Proposed {
    digest: u64,
    ops: Vec<OpId>,
}

/// A membership, from the entry on that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Members {
    pub(super) index: u64,
    pub(crate) voters: Vec<u64>,
    pub(crate) outgoing: Vec<u64>,
    pub(crate) learners: Vec<u64>,
}

impl Members {
    /// Index of the entry that brought it.
    pub(crate) fn since(&self) -> u64 {
        self.index
    }

    /// Whether it is a member of any kind.
    pub(crate) fn contains(&self, id: u64) -> bool {
        let voters = self.voters.iter().chain(&self.outgoing);
        voters.chain(&self.learners).any(|member| *member == id)
    }
}

/// Memberships an entry may have been committed under: a new leader may not have applied the newest one,
/// and no change is made before the one before it is applied by whoever makes it.
const MEMBERSHIPS_BEHIND: usize = 3;

/// The entries from 1 on.
pub(super) struct CommittedLog {
    entries: Vec<Entry>,
    /// Never empty; the founding one first.
    pub(super) members: Vec<Members>,
    /// Where a change of membership was proposed.
    pub(super) changes: BTreeSet<(u64, u64)>,
    pub(super) proposed: BTreeMap<(u64, u64), Proposed>,
    pub(super) model: Model,
    stamp: u64,
}

impl CommittedLog {
    pub(super) fn new(founders: Vec<u64>) -> Self {
        let founding = Members {
            index: 0,
            voters: founders,
            outgoing: Vec::new(),
            learners: Vec::new(),
        };
        CommittedLog {
            entries: Vec::new(),
            members: vec![founding],
            changes: BTreeSet::new(),
            proposed: BTreeMap::new(),
            model: Model::new(),
            stamp: 0,
        }
    }

    pub(super) fn last(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn get(&self, index: u64) -> Option<&Entry> {
        self.entries
            .get(usize::try_from(index.checked_sub(1)?).ok()?)
    }

    /// Index and term of the entries committed before `term` began.
    pub(super) fn until_term(&self, term: u64) -> impl Iterator<Item = (u64, u64)> {
        let known = self
            .entries
            .iter()
            .rposition(|entry| entry.committed_in < term)
            .map_or(0, |at| at + 1);
        (1..)
            .zip(&self.entries[..known])
            .map(|(index, entry)| (index, entry.term))
    }
}

impl Checker {
    /// A leader appended the commands of these requests.
    pub(crate) fn proposed(&mut self, position: Position, payload: &[u8], ops: &[OpId]) {
        let proposed = Proposed {
            digest: digest(payload),
            ops: ops.to_vec(),
        };
        let place = (position.index, position.term);
        let twice = self.committed.proposed.insert(place, proposed).is_some();
        self.require(!twice, "one entry at a position", || {
            format!("{position:?}")
        });
    }

    /// An entry that nobody else can know of is gone, and its term with it: another may take its place.
    pub(super) fn unproposed(&mut self, place: (u64, u64)) {
        self.committed.proposed.remove(&place);
        self.committed.changes.remove(&place);
    }

    /// A node hands out a committed entry.
    pub(crate) fn committed(&mut self, core: &Core, committed: &Committed, scene: &mut Scene<'_>) {
        let position = committed.position;
        let bytes = digest(&committed.payload);
        if let Some(entry) = self.committed.get(position.index) {
            let same = (entry.term, entry.digest) == (position.term, bytes);
            self.require(same, "what is committed stays", || {
                format!("node {} has another entry at {position:?}", core.node_id())
            });
            self.check_members(core, committed);
            return;
        }
        let next = self.committed.last() + 1;
        self.require(position.index == next, "entries commit in order", || {
            format!("{position:?} after {}", next - 1)
        });
        if self.violation.is_some() {
            return;
        }
        scene.counters.add(Count::Committed);
        self.check_quorum(position);
        self.check_stamp(committed);
        self.note_members(committed, scene.counters);
        self.replay(core, committed, scene);
    }

    fn check_quorum(&mut self, position: Position) {
        let holds = |id: &u64| {
            usize::try_from(*id - 1)
                .is_ok_and(|node| self.is_durable(node, position.index, Some(position.term)))
        };
        let majority = |voters: &[u64]| {
            voters.is_empty() || voters.iter().filter(|id| holds(id)).count() > voters.len() / 2
        };
        let newest = self.committed.members.iter().rev();
        let enough = newest
            .take(MEMBERSHIPS_BEHIND)
            .any(|members| majority(&members.voters) && majority(&members.outgoing));
        let members = self.members().clone();
        self.require(enough, "what is committed is durable on a quorum", || {
            format!("{position:?} of {members:?}")
        });
    }

    /// The newest membership.
    pub(crate) fn members(&self) -> &Members {
        self.committed
            .members
            .last()
            .expect("the founding membership is never removed")
    }

    /// Whether it is, or ever was, a member.
    pub(crate) fn was_member(&self, id: u64) -> bool {
        let mut all = self.committed.members.iter();
        all.any(|members| members.contains(id))
    }

    /// A leader appended a change of membership.
    pub(crate) fn proposed_change(&mut self, position: Position) {
        let place = (position.index, position.term);
        self.committed.changes.insert(place);
    }

    /// Learns of a change that takes effect with a new entry.
    fn note_members(&mut self, committed: &Committed, counters: &mut Counters) {
        let position = committed.position;
        let place = (position.index, position.term);
        let CommittedKind::Membership { conf_state, .. } = &committed.kind else {
            let swallowed = self.committed.changes.contains(&place);
            self.require(
                !swallowed,
                "a change of membership is not swallowed",
                || format!("{position:?}"),
            );
            return;
        };
        if conf_state.is_none() {
            return;
        }
        let Some(new) = members_of(committed) else {
            return;
        };
        let old = self.members();
        counters.add(Count::MembersChanged);
        if !new.outgoing.is_empty() {
            counters.add(Count::JointChanges);
        }
        let added = new.learners.iter().filter(|id| !old.contains(**id)).count();
        let promoted = new
            .voters
            .iter()
            .filter(|id| old.learners.contains(id))
            .count();
        let all = [&old.voters, &old.outgoing, &old.learners];
        let gone = all
            .into_iter()
            .flatten()
            .filter(|id| !new.contains(**id))
            .count();
        for (count, times) in [
            (Count::LearnersAdded, added),
            (Count::Promotions, promoted),
            (Count::Removals, gone),
        ] {
            (0..times).for_each(|_| counters.add(count));
        }
        self.committed.members.push(new);
    }

    /// A change takes effect alike on every node.
    fn check_members(&mut self, core: &Core, committed: &Committed) {
        let index = committed.position.index;
        let expected = self
            .committed
            .members
            .iter()
            .rev()
            .take_while(|members| members.index >= index)
            .find(|members| members.index == index);
        let found = members_of(committed);
        if expected != found.as_ref() {
            let expected = expected.cloned();
            self.fail("a change of membership is the same everywhere", || {
                format!("node {}: {found:?}, not {expected:?}", core.node_id())
            });
        }
    }

    fn check_stamp(&mut self, committed: &Committed) {
        if let Some(stamp) = payload::time_ms(&committed.payload) {
            let before = self.committed.stamp;
            self.committed.stamp = stamp;
            self.require(stamp >= before, "stamps never decrease", || {
                format!("{stamp} after {before} at {:?}", committed.position)
            });
        }
    }

    /// Replays a new entry through the model.
    fn replay(&mut self, core: &Core, committed: &Committed, scene: &Scene<'_>) {
        let position = committed.position;
        let bytes = digest(&committed.payload);
        let proposed = self
            .committed
            .proposed
            .get(&(position.index, position.term));
        let ops = match proposed {
            Some(proposed) if proposed.digest == bytes => proposed.ops.clone(),
            Some(_) => {
                self.fail("what is committed was proposed", || format!("{position:?}"));
                return;
            }
            None => Vec::new(),
        };
        let invented = ops.is_empty() && payload::time_ms(&committed.payload).is_some();
        self.require(!invented, "what is committed was proposed", || {
            format!("{position:?}")
        });
        let mut replies = Vec::new();
        for id in &ops {
            let op = &scene.ops[*id];
            if let Request::Write(change) = &op.request {
                replies.push(self.committed.model.apply(change));
            }
            self.require(!op.refused, "what was refused is not applied", || {
                format!("request {id} at {position:?}")
            });
            self.require(
                op.floor < position.index,
                "a write takes effect after its invocation",
                || format!("request {id} at {position:?}, known then {}", op.floor),
            );
        }
        self.committed.model.end_entry();
        let chain = self.committed.entries.last().map_or(0, |entry| entry.chain);
        self.committed.entries.push(Entry {
            term: position.term,
            digest: bytes,
            chain: chain_hash(chain, position, &committed.payload),
            committed_in: core.term(),
            ops,
            replies,
        });
    }

    /// A node committed a batch of its state.
    pub(crate) fn batch(&mut self, id: u64, applied: Applied) {
        let expected = self.committed.get(applied.index);
        let same = expected
            .is_some_and(|entry| (entry.term, entry.chain) == (applied.term, applied.chain_hash));
        self.require(same, "states at one index are equal", || {
            format!("node {id} at {applied:?}")
        });
    }
}

/// The membership an entry brings; `None` if it changes nothing.
fn members_of(committed: &Committed) -> Option<Members> {
    let CommittedKind::Membership {
        conf_state: Some(_),
        membership,
    } = &committed.kind
    else {
        return None;
    };
    let sorted = |ids: &[u64]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids
    };
    Some(Members {
        index: committed.position.index,
        voters: sorted(&membership.voters),
        outgoing: sorted(&membership.outgoing),
        learners: sorted(&membership.learners),
    })
}
