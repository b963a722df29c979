//! Snapshots that were taken for members and not sent yet, and members that want one. raft-rs asks the log
//! for a snapshot and cannot wait: the first answer is no, and the asker is remembered.

use raft::eraftpb::Snapshot;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(crate) struct Offers {
    /// Snapshot for each member, and its age in ticks.
    taken: BTreeMap<u64, (Snapshot, u32)>,
    wanted: RefCell<BTreeSet<u64>>,
}

fn index(snapshot: &Snapshot) -> u64 {
    let metadata = snapshot.metadata.as_ref();
    metadata.map_or(0, |metadata| metadata.index)
}

impl Offers {
    /// A snapshot for a member that reaches `index_min` at least; otherwise the wish is noted.
    pub(super) fn get(&self, to: u64, index_min: u64) -> Option<Snapshot> {
        let snapshot = self.taken.get(&to).map(|(snapshot, _)| snapshot);
        let fit = snapshot.filter(|snapshot| index(snapshot) >= index_min);
        if fit.is_none() {
            self.wanted.borrow_mut().insert(to);
        }
        fit.cloned()
    }

    /// Members that asked since the last call.
    pub(crate) fn take_wanted(&mut self) -> BTreeSet<u64> {
        std::mem::take(self.wanted.get_mut())
    }

    pub(crate) fn offer(&mut self, to: u64, snapshot: Snapshot) {
        self.taken.insert(to, (snapshot, 0));
    }

    pub(crate) fn has(&self, to: u64) -> bool {
        self.taken.contains_key(&to)
    }

    pub(crate) fn withdraw(&mut self, to: u64) {
        self.taken.remove(&to);
    }

    pub(crate) fn withdraw_all(&mut self) {
        self.taken.clear();
        self.wanted.get_mut().clear();
    }

    /// One tick; what nobody took for `ticks_max` is withdrawn.
    pub(crate) fn tick(&mut self, ticks_max: u32) {
        self.taken.retain(|_, (_, age)| {
            *age += 1;
            *age <= ticks_max
        });
    }

    /// Where the oldest one stands.
    pub(crate) fn oldest_index(&self) -> Option<u64> {
        self.taken
            .values()
            .map(|(snapshot, _)| index(snapshot))
            .min()
    }
}
