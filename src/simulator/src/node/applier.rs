//! The apply thread's part: committed entries through the state machine into the state, a batch at a time.

use super::run::{Item, Unreported};
use super::{CrashPoint, Halt, Running};
use crate::mutant::Mutant;
use crate::world::{Around, Event};
use consensus::core::{Committed, CommittedKind};
use consensus::payload::Decoder;
use consensus::simulation::chain_hash;
use consensus::{ApplyContext, StateMachine};
use placement_center::machine::{Machine, Reply};
use storage::{Applied, ApplyBatch};

/// Entries of one batch.
const BATCH_ENTRIES_MAX: u64 = 16;
/// Batches after which housekeeping gets a step, in a thousand.
const HOUSEKEEP_PER_MILLE: u64 = 50;

impl Running {
    /// Wakes the apply thread if there is something to apply.
    pub(super) fn begin_apply(&mut self, around: &mut Around) {
        if !self.apply_due && !self.items.is_empty() {
            self.apply_due = true;
            let took = 1 + self.dice.around(around.options.apply_mean);
            around.after(took, Event::Apply(self.run));
        }
    }

    /// Applies one batch.
    pub(crate) fn apply(&mut self, around: &mut Around) -> Result<(), Halt> {
        self.apply_due = false;
        if self.items.is_empty() {
            // A snapshot took the place of what was queued.
            return Ok(());
        }
        let entries = self.dice.between(1, BATCH_ENTRIES_MAX);
        let entries = usize::try_from(entries).unwrap_or(1).min(self.items.len());
        let batch: Vec<Item> = self.items.drain(..entries).collect();
        let changes: Vec<Committed> = batch
            .iter()
            .filter(|item| matches!(item.committed.kind, CommittedKind::Membership { .. }))
            .map(|item| item.committed.clone())
            .collect();
        self.apply_batch(around, batch)?;
        for change in &changes {
            self.strike_at_change(around, change)?;
        }
        if self.crash_at == Some(CrashPoint::BetweenBatches) {
            return Err(Halt::Struck(CrashPoint::BetweenBatches));
        }
        if self.dice.chance(HOUSEKEEP_PER_MILLE) {
            self.housekeep()?;
        }
        around.after(1 + self.dice.below(200), Event::Reported(self.run));
        self.begin_apply(around);
        Ok(())
    }

    fn apply_batch(&mut self, around: &mut Around, items: Vec<Item>) -> Result<(), Halt> {
        let splits = around.is_planted(Mutant::AppliedAheadOfData);
        let mut batch = self.writer.begin();
        let mut applied = self.applied;
        if splits {
            for item in &items {
                applied = next(applied, item);
            }
            batch.commit(applied)?;
            batch = self.writer.begin();
            applied = self.applied;
        }
        for mut item in items {
            applied = next(applied, &item);
            let position = item.committed.position;
            if around.is_planted(Mutant::MembershipNotStored)
                && let CommittedKind::Membership { conf_state, .. } = &mut item.committed.kind
            {
                *conf_state = None;
            }
            let replies = apply_entry(&mut self.machine, &mut batch, &item)?;
            around
                .check
                .applied(self.core.node_id(), position, &replies);
            let replies = item.ops.into_iter().zip(replies).collect();
            self.unreported.push_back(Unreported { position, replies });
        }
        if splits {
            batch.commit_housekeeping()?;
        } else {
            batch.commit(applied)?;
        }
        self.applied = applied;
        self.machine.committed(applied);
        around.check.batch(self.core.node_id(), applied);
        Ok(())
    }

    /// One step of housekeeping; whether more is left.
    pub(crate) fn housekeep(&mut self) -> Result<bool, Halt> {
        if self.applied.index == 0 {
            return Ok(false);
        }
        let mut batch = self.writer.begin();
        let more = self
            .machine
            .housekeep(&mut batch)
            .map_err(|error| Halt::Broken(format!("{error:?}")))?;
        batch.commit_housekeeping()?;
        self.machine.committed(self.applied);
        Ok(more)
    }

    /// The driver learns what was applied.
    pub(crate) fn reported(&mut self, around: &mut Around) -> Result<(), Halt> {
        let Some(last) = self.unreported.back() else {
            return Ok(());
        };
        let index = last.position.index;
        self.core.applied(index);
        for unreported in std::mem::take(&mut self.unreported) {
            self.reply(around, unreported);
        }
        self.answer_readers(around, index);
        self.finish_turn(around)
    }
}

/// Position after one more entry.
fn next(applied: Applied, item: &Item) -> Applied {
    let position = item.committed.position;
    Applied {
        index: position.index,
        term: position.term,
        chain_hash: chain_hash(applied.chain_hash, position, &item.committed.payload),
    }
}

fn apply_entry(
    machine: &mut Machine,
    batch: &mut ApplyBatch<'_>,
    item: &Item,
) -> Result<Vec<Reply>, Halt> {
    let committed = &item.committed;
    let broken = |error: &dyn std::error::Error| Halt::Broken(error.to_string());
    let mut context = ApplyContext {
        index: committed.position.index,
        term: committed.position.term,
        time_ms: 0,
    };
    if let CommittedKind::Membership {
        conf_state,
        membership,
    } = &committed.kind
    {
        if let Some(conf_state) = conf_state {
            batch.set_conf_state(conf_state);
            machine
                .membership(context, membership, batch)
                .map_err(|error| broken(&error))?;
        }
        return Ok(Vec::new());
    }
    if committed.payload.is_empty() {
        return Ok(Vec::new());
    }
    let decoder = Decoder::new(committed.payload.clone()).map_err(|error| broken(&error))?;
    context.time_ms = decoder.time_ms();
    let mut replies = Vec::new();
    for command in decoder {
        let command = command.map_err(|error| broken(&error))?;
        let reply = machine
            .apply(context, command, batch)
            .map_err(|error| broken(&error))?;
        replies.push(reply);
    }
    Ok(replies)
}
