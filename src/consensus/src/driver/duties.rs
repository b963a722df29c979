//! When the slow duties are due: flushing the state, saving the watermark, truncating the log. The
//! keeper thread performs the first two, the log writer the third.

use crate::config::Config;
use crate::core::Core;
use crate::keeper::{Duty, Save};
use crate::status::Counters;
use crate::writer::Job;
use crossbeam_channel::Sender;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;
use storage::Record;

/// Applied payload after which the state is flushed: what a start after a crash replays at most,
/// together with what arrives during one flush.
const UNFLUSHED_BYTES_MAX: u64 = 64 << 20;
/// Applied commands after which the state is flushed, for the same reason.
const UNFLUSHED_COMMANDS_MAX: u64 = 100_000;
/// Changes are flushed at the latest after this time, so that the log of a quiet node is freed.
const FLUSH_PERIOD: Duration = Duration::from_secs(60);
/// The watermark follows the log at this distance.
const WATERMARK_PERIOD: Duration = Duration::from_secs(1);
/// How many times the retention the log may grow to while a member receives a snapshot.
const HOLD_FACTOR: u64 = 8;
/// Log bytes between two remembered sizes: the precision of retention by bytes.
const MARK_BYTES: u64 = 256 << 10;

pub(super) struct Duties {
    duties_tx: Sender<Duty>,
    in_progress: bool,
    flush_period_ticks: u32,
    watermark_period_ticks: u32,
    ticks_since_flush: u32,
    ticks_since_watermark: u32,
    watermark: u64,
    /// Applied bytes and commands when the last flush was asked for.
    flushed_bytes: u64,
    flushed_commands: u64,
    flushed_index: u64,
    retention_entries: u64,
    retention_bytes: u64,
    sizes: LogSizes,
}

impl Duties {
    pub(super) fn new(config: &Config, duties_tx: Sender<Duty>, flushed_index: u64) -> Self {
        let ticks = |period: Duration| {
            u32::try_from(period.as_nanos().div_ceil(config.heartbeat.as_nanos()))
                .unwrap_or(u32::MAX)
        };
        Duties {
            duties_tx,
            in_progress: false,
            flush_period_ticks: ticks(FLUSH_PERIOD),
            watermark_period_ticks: ticks(WATERMARK_PERIOD),
            ticks_since_flush: 0,
            ticks_since_watermark: 0,
            watermark: 0,
            flushed_bytes: 0,
            flushed_commands: 0,
            flushed_index,
            retention_entries: config.log_retention_entries,
            retention_bytes: config.log_retention_bytes,
            sizes: LogSizes::default(),
        }
    }

    pub(super) fn flushed_index(&self) -> u64 {
        self.flushed_index
    }

    /// The log grew.
    pub(super) fn appended(&mut self, records: &[Record]) {
        self.sizes.appended(records);
    }

    /// One tick; gives the keeper a duty if one is due and it has none.
    pub(super) fn tick(&mut self, counters: &Counters, watermark: u64) {
        self.ticks_since_flush = self.ticks_since_flush.saturating_add(1);
        self.ticks_since_watermark = self.ticks_since_watermark.saturating_add(1);
        if self.in_progress {
            return;
        }
        let bytes = counters.applied_bytes.load(Ordering::Relaxed);
        let commands = counters.proposals_applied.load(Ordering::Relaxed);
        let (new_bytes, new_commands) =
            (bytes - self.flushed_bytes, commands - self.flushed_commands);
        let is_full = new_bytes >= UNFLUSHED_BYTES_MAX || new_commands >= UNFLUSHED_COMMANDS_MAX;
        let flush = is_full || (new_bytes > 0 && self.ticks_since_flush >= self.flush_period_ticks);
        let save =
            watermark > self.watermark && self.ticks_since_watermark >= self.watermark_period_ticks;
        if !flush && !save {
            return;
        }
        let save = Save { flush, watermark };
        if self.duties_tx.try_send(Duty::Save(save)).is_err() {
            // It has enough to do, or died; then its report with the reason ends the driver.
            return;
        }
        self.in_progress = true;
        (self.watermark, self.ticks_since_watermark) = (watermark, 0);
        if flush {
            (
                self.flushed_bytes,
                self.flushed_commands,
                self.ticks_since_flush,
            ) = (bytes, commands, 0);
        }
    }

    /// The keeper is done; returns the truncation of the log that its flush allows, if any.
    pub(super) fn kept(&mut self, core: &mut Core, flushed_index: u64) -> Option<Job> {
        self.in_progress = false;
        if flushed_index <= self.flushed_index {
            return None;
        }
        // The keeper may know of an applied index before the driver does.
        self.flushed_index = flushed_index.min(core.applied_index());
        let first = self.truncation(core)?;
        match core.compact(first, self.flushed_index) {
            Ok(boundary) => {
                self.sizes.truncated(first);
                let stamp = core.stamp();
                Some(Job::Truncate {
                    first,
                    boundary,
                    stamp,
                })
            }
            Err(error) => {
                // The log is still whole; the next flush tries again.
                ::log::warn!(target: "raft", "truncate the log at {first}: {error}");
                None
            }
        }
    }

    /// A snapshot replaced the log and the state, durably.
    pub(super) fn installed(&mut self, index: u64) {
        self.flushed_index = self.flushed_index.max(index);
        self.sizes = LogSizes::default();
    }

    /// First index to keep: what either bound of retention lets go, and the flushed state covers.
    fn truncation(&self, core: &Core) -> Option<u64> {
        // Members that receive a snapshot need what comes after it, or they would need another one at once;
        // but they do not stop the log from being cut for ever.
        let mut retained = self.beyond(core, 1);
        if let Some(shipped) = core.shipped_index() {
            retained = retained
                .min(shipped + 1)
                .max(self.beyond(core, HOLD_FACTOR));
        }
        // The newest durable entry stays: it carries the term and time stamp the next leader needs.
        let newest = core.persisted_index().min(core.committed_index());
        let first = retained.min(self.flushed_index + 1).min(newest);
        (first > core.first_index()).then_some(first)
    }

    /// First index within `factor` times the bounds of retention.
    fn beyond(&self, core: &Core, factor: u64) -> u64 {
        let entries = self.retention_entries.saturating_mul(factor);
        let by_entries = core.last_index().saturating_sub(entries) + 1;
        let bytes = self.retention_bytes.saturating_mul(factor);
        by_entries.max(self.sizes.first_within(bytes))
    }
}

/// Roughly how many bytes of log lie behind an index. Entries from before the start count nothing:
/// the bound on entries, or what is appended after them, lets them go.
#[derive(Default)]
struct LogSizes {
    /// `(index, bytes appended up to and including it)`, both increasing.
    marks: VecDeque<(u64, u64)>,
    bytes: u64,
}

impl LogSizes {
    fn appended(&mut self, records: &[Record]) {
        let Some(first) = records.first() else { return };
        while self
            .marks
            .back()
            .is_some_and(|(index, _)| *index >= first.index)
        {
            self.marks.pop_back();
        }
        for record in records {
            self.bytes += record.payload.len() as u64;
            let marked = self.marks.back().map_or(0, |(_, bytes)| *bytes);
            if self.bytes - marked >= MARK_BYTES {
                self.marks.push_back((record.index, self.bytes));
            }
        }
    }

    fn truncated(&mut self, first: u64) {
        while self.marks.len() > 1 && self.marks[1].0 < first {
            self.marks.pop_front();
        }
    }

    /// First index such that at most `bytes_max` lie from it on, to the precision of the marks.
    fn first_within(&self, bytes_max: u64) -> u64 {
        let excess = self.bytes.saturating_sub(bytes_max);
        let passed = self.marks.partition_point(|(_, bytes)| *bytes <= excess);
        if passed == 0 {
            0
        } else {
            self.marks[passed - 1].0 + 1
        }
    }
}

#[cfg(test)]
mod tests;
