//! The committed log, as the first node to hand out each entry showed it: the witness against which every
//! other node and every answer is checked.

use super::{Checker, Scene};
use crate::counters::Count;
use crate::model::Model;
use crate::ops::OpId;
use crate::trace::digest;
use crate::workload::Request;
use consensus::core::{Committed, Core, Position};
use consensus::payload;
use consensus::simulation::chain_hash;
use placement_center::machine::Reply;
use std::collections::BTreeMap;
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

/// The entries from 1 on.
pub(super) struct CommittedLog {
    entries: Vec<Entry>,
    pub(super) proposed: BTreeMap<(u64, u64), Proposed>,
    pub(super) model: Model,
    stamp: u64,
}

impl CommittedLog {
    pub(super) fn new() -> Self {
        CommittedLog {
            entries: Vec::new(),
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

    /// A node hands out a committed entry.
    pub(crate) fn committed(&mut self, core: &Core, committed: &Committed, scene: &mut Scene<'_>) {
        let position = committed.position;
        let bytes = digest(&committed.payload);
        if let Some(entry) = self.committed.get(position.index) {
            let same = (entry.term, entry.digest) == (position.term, bytes);
            self.require(same, "what is committed stays", || {
                format!("node {} has another entry at {position:?}", core.node_id())
            });
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
        self.check_quorum(core, position);
        self.check_stamp(committed);
        self.replay(core, committed, scene);
    }

    fn check_quorum(&mut self, core: &Core, position: Position) {
        let voters = core.voters();
        let holders = voters
            .iter()
            .filter_map(|id| usize::try_from(*id - 1).ok())
            .filter(|node| self.is_durable(*node, position.index, Some(position.term)))
            .count();
        let enough = holders > voters.len() / 2;
        self.require(enough, "what is committed is durable on a quorum", || {
            format!("{position:?} is durable on {holders} of {voters:?}")
        });
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
