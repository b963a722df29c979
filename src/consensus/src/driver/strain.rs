//! Whether this node is in too much trouble to lead: its disk has been slow for a while, or its state machine
//! has fallen behind. A decision from figures alone, without a clock: the driver looks about once a second.

use std::collections::VecDeque;
use std::fmt;

/// Looks taken together. One slow sync, or a compaction that holds up the disk for a moment, is no reason
/// to move leadership; ten seconds of it are.
const WINDOW: usize = 10;
/// Bad ones among them.
const BAD_LOOKS: usize = 8;
/// Looks after which what is committed counts as long overdue in the state machine.
const OVERDUE_LOOKS: usize = 5;
/// Looks after one decision before the next: if the disks of all are slow, leadership must not wander.
const REST_LOOKS: u32 = 60;

/// What is known at a look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    /// Syncs since the start, and those among them that were slow.
    pub(super) syncs: u64,
    pub(super) slow_syncs: u64,
    /// The oldest write that is not durable yet.
    pub(super) oldest_write: Option<u64>,
    pub(super) committed_index: u64,
    pub(super) applied_index: u64,
}

/// Why leadership should move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    SlowDisk,
    SlowApply,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::SlowDisk => "syncs of the log have been slow for a while",
            Reason::SlowApply => "the state machine is seconds behind what is committed",
        })
    }
}

#[derive(Debug, Default)]
pub(super) struct Strain {
    last: Figures,
    /// `(slow disk, slow apply)` at each look.
    looks: VecDeque<(bool, bool)>,
    /// Committed index at each look.
    committed: VecDeque<u64>,
    rest: u32,
}

impl Strain {
    /// This node does not lead: nothing to hand over.
    pub(super) fn idle(&mut self) {
        self.looks.clear();
        self.committed.clear();
        self.rest = self.rest.saturating_sub(1);
    }

    /// Another look at a leader. Returns why leadership should move, if it should; then not again for a
    /// while.
    pub(super) fn look(&mut self, figures: Figures) -> Option<Reason> {
        let syncs = figures.syncs - self.last.syncs;
        let slow = figures.slow_syncs - self.last.slow_syncs;
        // Not one sync ended, and the one under way is the one of the last look.
        let is_stuck = syncs == 0
            && figures.oldest_write.is_some()
            && figures.oldest_write == self.last.oldest_write;
        // The 99th percentile since the last look is a slow one.
        let is_slow = is_stuck || slow * 100 > syncs;
        let overdue = self.committed.front().copied();
        let is_behind = self.committed.len() == OVERDUE_LOOKS
            && overdue.is_some_and(|committed| figures.applied_index < committed);
        self.last = figures;
        push(&mut self.committed, figures.committed_index, OVERDUE_LOOKS);
        push(&mut self.looks, (is_slow, is_behind), WINDOW);
        if self.rest > 0 {
            self.rest -= 1;
            return None;
        }
        let reason = self.reason()?;
        self.rest = REST_LOOKS;
        Some(reason)
    }

    fn reason(&self) -> Option<Reason> {
        let is_bad = |of: fn(&(bool, bool)) -> bool| {
            self.looks.iter().filter(|look| of(look)).count() >= BAD_LOOKS
        };
        if is_bad(|(slow, _)| *slow) {
            Some(Reason::SlowDisk)
        } else if is_bad(|(_, behind)| *behind) {
            Some(Reason::SlowApply)
        } else {
            None
        }
    }
}

fn push<T>(queue: &mut VecDeque<T>, value: T, length: usize) {
    if queue.len() == length {
        queue.pop_front();
    }
    queue.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks until leadership should move, at most 100.
    fn moves(strain: &mut Strain, at: impl Fn(u64) -> Figures) -> Option<(u64, Reason)> {
        (1..=100).find_map(|number| Some((number, strain.look(at(number))?)))
    }

    fn healthy(number: u64) -> Figures {
        Figures {
            syncs: 1000 * number,
            slow_syncs: number,
            oldest_write: Some(number),
            committed_index: 1000 * number,
            applied_index: 1000 * number - 10,
        }
    }

    #[test]
    fn a_healthy_leader_leads_on() {
        assert_eq!(moves(&mut Strain::default(), healthy), None);
    }

    #[test]
    fn a_disk_that_stays_slow_moves_leadership_once_a_while() {
        let slow = |number| Figures {
            syncs: 10 * number,
            slow_syncs: 3 * number,
            ..healthy(number)
        };
        let mut strain = Strain::default();
        let first = moves(&mut strain, slow);
        assert_eq!(first, Some((BAD_LOOKS as u64, Reason::SlowDisk)));
        let again = (9..=200).filter(|number| strain.look(slow(*number)).is_some());
        assert!(again.count() <= 3, "leadership wanders");
    }

    #[test]
    fn a_disk_that_hangs_moves_leadership() {
        let hanging = |number: u64| Figures {
            syncs: 7,
            slow_syncs: 0,
            oldest_write: Some(8),
            committed_index: 9,
            applied_index: 9.min(number + 9),
        };
        let moved = moves(&mut Strain::default(), hanging);
        assert!(
            matches!(moved, Some((8..=10, Reason::SlowDisk))),
            "{moved:?}"
        );
    }

    #[test]
    fn a_short_spell_does_not() {
        let spell = |number: u64| Figures {
            syncs: 10 * number,
            slow_syncs: 10 * (number % 20).min(5) + 50 * (number / 20),
            ..healthy(number)
        };
        assert_eq!(moves(&mut Strain::default(), spell), None);
    }

    #[test]
    fn a_state_machine_that_stays_behind_moves_leadership() {
        let behind = |number: u64| Figures {
            applied_index: (1000 * number).saturating_sub(7000),
            ..healthy(number)
        };
        let moved = moves(&mut Strain::default(), behind);
        assert!(
            matches!(moved, Some((13.., Reason::SlowApply))),
            "{moved:?}"
        );
        let keeping_up = |number: u64| Figures {
            applied_index: (1000 * number).saturating_sub(3000),
            ..healthy(number)
        };
        assert_eq!(moves(&mut Strain::default(), keeping_up), None);
    }

    #[test]
    fn what_another_leader_saw_does_not_count() {
        let slow = |number| Figures {
            syncs: 10 * number,
            slow_syncs: 10 * number,
            ..healthy(number)
        };
        let mut strain = Strain::default();
        for number in 1..50 {
            if number % 7 == 0 {
                strain.idle();
            }
            assert_eq!(strain.look(slow(number)), None);
        }
    }
}
