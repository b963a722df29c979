//! The keeper's part: flushing the state, saving the watermark, and the truncation of the log that a flush
//! allows.

use super::writer::Job;
use super::{Halt, Running};
use crate::mutant::Mutant;
use crate::world::{Around, Event};

/// Ticks between two duties.
const DUTY_TICKS: u64 = 10;

impl Running {
    /// Gives the keeper its duty when one is due.
    pub(super) fn order_duty(&mut self, around: &mut Around) {
        if self.ticks.is_multiple_of(DUTY_TICKS) && !self.keeper_busy {
            self.keeper_busy = true;
            let took = 1 + self.dice.around(around.options.disk.sync_mean);
            around.after(took, Event::Keep(self.run));
        }
    }

    /// Performs the duty.
    pub(crate) fn keep(&mut self, around: &mut Around) -> Result<(), Halt> {
        self.keeper_busy = false;
        if around.now >= self.flush_at {
            self.state.flush()?;
            self.flush_at = around.now + self.dice.around(around.options.flush_mean);
        }
        let watermark = if around.is_planted(Mutant::WatermarkUncommitted) {
            self.core.persisted_index()
        } else {
            self.core.persisted_index().min(self.core.committed_index())
        };
        self.directory.save_index(watermark)?;
        let flushed = self.state.flushed_index()?;
        around.flushed[self.run.node] = flushed;
        self.truncate(around, flushed)?;
        self.finish_turn(around)
    }

    fn truncate(&mut self, around: &mut Around, flushed: u64) -> Result<(), Halt> {
        let past = around.is_planted(Mutant::TruncatedPastFlushed);
        if flushed <= self.flushed_index && !past {
            return Ok(());
        }
        self.flushed_index = flushed.min(self.core.applied_index());
        let covered = if past {
            self.core.applied_index()
        } else {
            self.flushed_index
        };
        let last = self.core.last_index();
        let newest = self.core.persisted_index().min(self.core.committed_index());
        let first = (last + 1)
            .saturating_sub(around.options.retention_entries)
            .min(covered + 1)
            .min(newest)
            .min(self.core.shipped_index().unwrap_or(u64::MAX - 1) + 1);
        if first > self.core.first_index() {
            let boundary = self
                .core
                .compact(first, covered)
                .map_err(|error| Halt::Broken(format!("{error:?}")))?;
            around.check.truncated(self.run.node, first);
            let stamp = self.core.stamp();
            self.jobs.push_back(Job::Truncate {
                first,
                boundary,
                stamp,
            });
        }
        Ok(())
    }
}
