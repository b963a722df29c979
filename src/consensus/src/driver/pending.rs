//! Commands between proposal and commit: packing them into entries, and who waits for which. An
//! index is resolved when an entry commits at it: the same term is ours, another took its place.

use crate::clock;
use crate::core::{Core, Position, ProposalRefused};
use crate::error::ProposeError;
use crate::handle::{Proposal, Waiter};
use crate::payload::{Encoder, FRAME_BYTES};
use std::collections::VecDeque;

/// Payload of an entry that packs several commands; a larger command travels alone. One message to
/// a peer takes about as much.
const ENTRY_BYTES_MAX: usize = 1 << 20;

/// The entry a group of waiters waits for.
struct Entry<R> {
    position: Position,
    waiters: Vec<Waiter<R>>,
}

/// Proposed entries that did not commit yet, in log order.
pub(super) struct Pending<R> {
    entries: VecDeque<Entry<R>>,
    /// Ticks since this node does not lead while entries are unresolved.
    unresolved_ticks: u32,
}

impl<R> Default for Pending<R> {
    fn default() -> Self {
        Pending {
            entries: VecDeque::new(),
            unresolved_ticks: 0,
        }
    }
}

impl<R> Pending<R> {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Proposes the commands, as few entries as possible, and empties the list.
    pub(super) fn propose(&mut self, core: &mut Core, proposals: &mut Vec<Proposal<R>>) {
        if proposals.is_empty() {
            return;
        }
        // Stamps never decrease along the log, whatever the clocks of successive leaders say.
        let time_ms = clock::wall_ms().max(core.time_ms());
        let framed = |proposal: &Proposal<R>| proposal.command.len() + FRAME_BYTES;
        let mut bytes_left: usize = proposals.iter().map(framed).sum();
        let mut encoder = Encoder::new(time_ms, bytes_left.min(ENTRY_BYTES_MAX));
        let mut waiters = Vec::with_capacity(proposals.len());
        for proposal in proposals.drain(..) {
            if encoder.commands() > 0 && !encoder.fits(proposal.command.len(), ENTRY_BYTES_MAX) {
                let full = std::mem::replace(
                    &mut encoder,
                    Encoder::new(time_ms, bytes_left.min(ENTRY_BYTES_MAX)),
                );
                self.propose_entry(core, full, std::mem::take(&mut waiters));
            }
            bytes_left -= framed(&proposal);
            encoder.push(&proposal.command);
            waiters.push(proposal.waiter);
        }
        self.propose_entry(core, encoder, waiters);
    }

    fn propose_entry(&mut self, core: &mut Core, encoder: Encoder, waiters: Vec<Waiter<R>>) {
        self.unresolved_ticks = 0;
        let error = match core.propose(encoder.finish()) {
            Ok(position) => return self.entries.push_back(Entry { position, waiters }),
            Err(ProposalRefused::NotLeader { leader }) => ProposeError::NotLeader { leader },
            Err(_) => ProposeError::Overloaded,
        };
        for waiter in waiters {
            waiter.answer(Err(error.clone()));
        }
    }

    /// An entry committed: returns who waits for it, and answers those whose entry it replaced.
    pub(super) fn committed(&mut self, position: Position, leader: Option<u64>) -> Vec<Waiter<R>> {
        // Terms never fall along the log: what an earlier leadership of this node proposed behind this entry
        // is lost too, and must not stand before what it proposes now.
        let is_decided = |ours: Position| ours.index <= position.index || ours.term < position.term;
        while self
            .entries
            .front()
            .is_some_and(|entry| is_decided(entry.position))
        {
            let entry = self
                .entries
                .pop_front()
                .expect("the loop condition saw an entry");
            if entry.position == position {
                return entry.waiters;
            }
            let error = if entry.position.index >= position.index {
                ProposeError::Superseded { leader }
            } else {
                // The log jumped over it: a snapshot came in its place.
                ProposeError::OutcomeUnknown { leader }
            };
            for waiter in entry.waiters {
                waiter.answer(Err(error.clone()));
            }
        }
        Vec::new()
    }

    /// A snapshot that holds everything up to `index` was installed: what became of ours among it is not known
    /// here.
    pub(super) fn swallowed(&mut self, index: u64, leader: Option<u64>) {
        while let Some(entry) = self
            .entries
            .pop_front_if(|entry| entry.position.index <= index)
        {
            for waiter in entry.waiters {
                waiter.answer(Err(ProposeError::OutcomeUnknown { leader }));
            }
        }
    }

    /// One tick without leadership: whether an entry of ours survives is decided by the next leader,
    /// usually soon. A client is not kept waiting longer than `ticks_max`.
    pub(super) fn tick(&mut self, ticks_max: u32, leader: Option<u64>) {
        if self.entries.is_empty() {
            self.unresolved_ticks = 0;
            return;
        }
        self.unresolved_ticks += 1;
        if self.unresolved_ticks > ticks_max {
            self.fail_all(|| ProposeError::OutcomeUnknown { leader });
        }
    }

    /// Answers everyone with an error.
    pub(super) fn fail_all(&mut self, error: impl Fn() -> ProposeError) {
        for entry in self.entries.drain(..) {
            for waiter in entry.waiters {
                waiter.answer(Err(error()));
            }
        }
        self.unresolved_ticks = 0;
    }
}

#[cfg(test)]
mod tests;
