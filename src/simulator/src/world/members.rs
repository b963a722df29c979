//! Who is a member: nodes join, are promoted, demoted, replaced and removed; leadership moves; a disk is
//! replaced by an empty one. All of it through whoever leads, and refused where the core says so.

use super::{Event, World};
use crate::counters::Count;
use crate::queue::{MILLI, SECOND};
use consensus::Role;
use consensus::core::{ChangeRefused, MemberChange};
use storage::MemoryDisk;

/// Time between two attempts to repair a cluster.
const REPAIR_EVERY: u64 = 500 * MILLI;

impl World {
    /// The running leader of the highest term.
    pub(super) fn leader(&self) -> Option<usize> {
        let leaders = self.nodes.iter().filter_map(|node| {
            let running = node.running.as_ref()?;
            (running.core.role() == Role::Leader).then(|| (running.core.term(), node.at))
        });
        leaders.max().map(|(_, at)| at)
    }

    /// Proposes one change, drawn by lot.
    pub(super) fn change_members(&mut self) {
        self.let_go();
        let members = self.around.check.members().clone();
        let spare = self
            .nodes
            .iter()
            .map(|node| node.id)
            .find(|id| *id > self.around.options.voters as u64 && !self.has_been_member(*id));
        let voter = *self.dice.pick(&members.voters);
        let learner = members.learners.first().copied();
        let lot = self.dice.below(10);
        let changes = match (lot, spare, learner) {
            (0..=3, Some(spare), _) => vec![MemberChange::AddLearner(spare)],
            (4..=6, _, Some(learner)) => vec![MemberChange::AddVoter(learner)],
            (7, _, Some(learner)) => {
                vec![MemberChange::AddVoter(learner), MemberChange::Remove(voter)]
            }
            (8, _, _) => vec![MemberChange::Demote(voter)],
            (9, _, _) => vec![MemberChange::Remove(voter)],
            _ => return,
        };
        self.propose_change(&changes);
    }

    /// Whether a node is, or was, a member, and so never becomes one again.
    fn has_been_member(&self, id: u64) -> bool {
        self.around.check.was_member(id)
    }

    /// Nodes that were removed are switched off, some of them at least, once every voter left has the
    /// removal on its disk: a voter that forgets it would wait for the vote of a node that is gone.
    fn let_go(&mut self) {
        let (members, flushed) = (self.around.check.members(), &self.around.flushed);
        let known = members.voters.iter().all(|id| {
            let node = usize::try_from(*id - 1).ok();
            node.is_some_and(|node| flushed[node] >= members.since())
        });
        if !known {
            return;
        }
        for at in 0..self.nodes.len() {
            let id = self.nodes[at].id;
            let removed = self.has_been_member(id) && !self.around.check.members().contains(id);
            if removed && !self.nodes[at].gone && self.dice.chance(500) {
                self.nodes[at].gone = true;
                self.fall(at);
            }
        }
    }

    /// Asks the leader for a change; starts the nodes that it adds.
    fn propose_change(&mut self, changes: &[MemberChange]) {
        let Some(at) = self.leader() else { return };
        let around = &mut self.around;
        if around.now < self.nodes[at].paused_until {
            return;
        }
        let Some(running) = &mut self.nodes[at].running else {
            return;
        };
        match running.core.check_change(changes) {
            Ok(()) => {}
            Err(ChangeRefused::Leads) => {
                self.transfer();
                return;
            }
            Err(_) => return,
        }
        let result = running.change_members(around, changes);
        let now = around.now;
        around.trace.event(now, "change", &[at as u64]);
        for change in changes {
            if let MemberChange::AddLearner(id) = change
                && let Ok(node) = usize::try_from(*id - 1)
            {
                let soon = self.dice.below(SECOND);
                self.around.after(soon, Event::Start { node });
            }
        }
        if let Err(halt) = result {
            self.halted(at, halt);
        }
    }

    /// Asks the leader to hand over.
    pub(super) fn transfer(&mut self) {
        let Some(at) = self.leader() else { return };
        let around = &mut self.around;
        let Some(running) = &mut self.nodes[at].running else {
            return;
        };
        let result = running.transfer(around);
        if let Err(halt) = result {
            self.halted(at, halt);
        }
    }

    /// Replaces the disk of a voter by an empty one, once in a run, while the others can do without.
    pub(super) fn wipe(&mut self, at: usize) {
        let members = self.around.check.members();
        let can_do_without = members.outgoing.is_empty()
            && members.voters.len() >= 3
            && members.voters.contains(&self.nodes[at].id);
        if self.around.wiped.is_some() || !can_do_without {
            return;
        }
        self.around.count(Count::Wiped);
        let disk = MemoryDisk::new();
        if self.nodes[at].running.is_some() {
            self.fall(at);
        }
        self.nodes[at].disk = disk.clone();
        self.around.check.wiped(at, disk);
        self.around.wiped = Some(at);
        self.around.flushed[at] = 0;
        self.around.after(REPAIR_EVERY, Event::Repair);
    }

    /// Removes the member whose disk was replaced, and brings a spare in for it.
    pub(super) fn repair(&mut self) {
        let Some(wiped) = self.around.wiped else {
            return;
        };
        let members = self.around.check.members().clone();
        let id = self.nodes[wiped].id;
        let spare = self.around.options.voters as u64 + 1;
        let has_spare = self.around.options.spares > 0;
        let changes = if members.contains(id) {
            MemberChange::Remove(id)
        } else if has_spare && !self.has_been_member(spare) {
            MemberChange::AddLearner(spare)
        } else if has_spare && members.learners.contains(&spare) {
            MemberChange::AddVoter(spare)
        } else {
            return;
        };
        self.propose_change(&[changes]);
        self.around.after(REPAIR_EVERY, Event::Repair);
    }
}
