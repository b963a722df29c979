//! What arrives from other members, into the core. A message the core refuses is counted and logged, but no
//! more often than once a second per sender: a broken or hostile peer must not fill the disk.

use super::Driver;
use crate::core::{Core, Message, StepError};
use crate::peers::Inbound;
use crate::status::Counters;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Ticks between two log lines about one sender: ten heartbeats are a second by default.
const LOG_PERIOD_TICKS: u32 = 10;
/// Senders remembered. More than a cluster ever has; a liar may name any.
const SENDERS_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Refusals {
    /// Ticks until a sender is worth a line again, and its refusals since the last one.
    senders: BTreeMap<u64, (u32, u64)>,
}

impl Refusals {
    /// Steps a message.
    pub(super) fn step(&mut self, core: &mut Core, message: Message, counters: &Counters) {
        let from = message.from();
        match core.step(message) {
            // Busy: the leader sends again.
            Ok(()) | Err(StepError::Busy) => {}
            Err(error) => {
                counters.messages_refused.fetch_add(1, Ordering::Relaxed);
                self.refused(from, &error);
            }
        }
    }

    fn refused(&mut self, from: u64, error: &StepError) {
        if self.senders.len() >= SENDERS_MAX && !self.senders.contains_key(&from) {
            return;
        }
        let (ticks, count) = self.senders.entry(from).or_default();
        *count += 1;
        if *ticks == 0 {
            ::log::warn!(target: "raft", "{count} messages of node {from} were refused, the last one because {error}");
            (*ticks, *count) = (LOG_PERIOD_TICKS, 0);
        }
    }

    pub(super) fn tick(&mut self) {
        self.senders.retain(|_, (ticks, count)| {
            *ticks = ticks.saturating_sub(1);
            *ticks > 0 || *count > 0
        });
    }
}

impl<R: Send + 'static> Driver<R> {
    pub(super) fn take_inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Messages(messages) => {
                for message in messages {
                    let counters = &self.shared.counters;
                    self.refusals.step(&mut self.core, message, counters);
                }
            }
            Inbound::Unreachable(node_id) => self.core.unreachable(node_id),
            Inbound::SnapshotSent { to, delivered } => {
                self.snapshots.sent(&mut self.core, to, delivered);
            }
            Inbound::Snapshot(arrival) => self.snapshots.arrived(&mut self.core, *arrival),
        }
    }
}
