//! The log writer thread: everything queued becomes one write and at most one sync. It owns the
//! order of durability (log, then watermark, then the report); it knows nothing of Raft.

use crate::apply::{Install, Work};
use crate::clock::Stopwatch;
use crate::core::{Ballot, Persist};
use crate::driver::Report;
use crate::error::FatalError;
use crate::handle::Shared;
use crate::identity::Keeper;
use crate::log::codec;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use storage::{LogStore, LogWrite, StagedSnapshot};
use tokio::sync::mpsc;

/// Jobs on their way to the writer. The driver stops proposing long before (see `driver`), so this
/// is room for what peers and ticks add.
pub(crate) const JOBS_MAX: usize = 64;

/// What the writer is asked to do.
pub(crate) enum Job {
    Persist(Persist),
    /// Replace log and state by a snapshot.
    Install {
        persist: Persist,
        staged: StagedSnapshot,
    },
    /// Forget the records below `first`.
    Truncate {
        first: u64,
        boundary: Bytes,
        /// Newest time stamp so far.
        stamp: Bytes,
    },
}

/// Forgets the records below `first`, and not the newest time stamp: what is left may be entries without one,
/// and the next leader would stamp below what is applied.
fn truncate(log: &LogStore, first: u64, boundary: &[u8], stamp: Bytes) -> storage::Result<()> {
    let write = LogWrite {
        records: Vec::new(),
        values: vec![(codec::STAMP, stamp)],
    };
    // Durable with the truncation, which is synced.
    log.write(&write, false)?;
    log.truncate_prefix(first, boundary)
}

/// The writer and what it works on.
pub(crate) struct Writer<R> {
    pub(crate) log: LogStore,
    pub(crate) identity: Arc<Mutex<Keeper>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) jobs_rx: Receiver<Job>,
    /// To the apply thread, which owns the state.
    pub(crate) work_tx: Sender<Work<R>>,
    pub(crate) reports_tx: mpsc::Sender<Report>,
}

/// Several writes as one.
#[derive(Default)]
struct Group {
    write: LogWrite,
    number: Option<u64>,
    ballot: Option<Ballot>,
    must_sync: bool,
}

impl Group {
    fn add(&mut self, persist: Persist) {
        if let Some(first) = persist.records.first() {
            // A later write of the group may replace a suffix an earlier one wrote.
            let keep = self
                .write
                .records
                .partition_point(|record| record.index < first.index);
            self.write.records.truncate(keep);
        }
        self.write.records.extend(persist.records);
        if let Some(state) = persist.hard_state {
            self.write.values = vec![(codec::HARD_STATE, state)];
        }
        self.number = persist.number.or(self.number);
        self.ballot = persist.ballot.or(self.ballot);
        self.must_sync |= persist.must_sync;
    }

    fn is_empty(&self) -> bool {
        self.write.records.is_empty() && self.write.values.is_empty()
    }
}

impl<R> Writer<R> {
    /// Works until the driver is gone and the queue is empty.
    pub(crate) fn run(self) -> Result<(), FatalError> {
        while let Ok(first) = self.jobs_rx.recv() {
            let mut group = Group::default();
            // At most what the queue holds: the driver cannot keep this loop from writing.
            for job in std::iter::once(first).chain(self.jobs_rx.try_iter().take(JOBS_MAX)) {
                match job {
                    Job::Persist(persist) => group.add(persist),
                    Job::Install { persist, staged } => {
                        self.write(std::mem::take(&mut group))?;
                        self.install(persist, staged)?;
                    }
                    Job::Truncate {
                        first,
                        boundary,
                        stamp,
                    } => {
                        truncate(&self.log, first, &boundary, stamp)
                            .map_err(FatalError::WriteLog)?;
                    }
                }
            }
            self.write(group)?;
        }
        Ok(())
    }

    fn write(&self, group: Group) -> Result<(), FatalError> {
        if group.is_empty() {
            return Ok(());
        }
        let watch = Stopwatch::start();
        self.log
            .write(&group.write, group.must_sync)
            .map_err(FatalError::WriteLog)?;
        if group.must_sync {
            let took = watch.elapsed();
            let counters = &self.shared.counters;
            counters.syncs.fetch_add(1, Ordering::Relaxed);
            counters.sync_micros_total.fetch_add(
                u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                Ordering::Relaxed,
            );
            counters.sync_duration.observe(took);
        }
        self.save_ballot(group.ballot)?;
        if let Some(number) = group.number {
            // The driver ended: it does not need the report, and the queue ends too.
            let _ = self.reports_tx.blocking_send(Report::Persisted { number });
        }
        Ok(())
    }

    /// Lets the apply thread put a snapshot in the place of log and state, which is one write of the log. All
    /// earlier writes are done, and this thread writes nothing meanwhile.
    fn install(&self, persist: Persist, staged: StagedSnapshot) -> Result<(), FatalError> {
        let (Some(mark), Some(number)) = (persist.snapshot, persist.number) else {
            unreachable!("the driver makes this job of a write with a mark alone");
        };
        let mut values = vec![(codec::BOUNDARY, mark.boundary), (codec::STAMP, mark.stamp)];
        values.extend(persist.hard_state.map(|state| (codec::HARD_STATE, state)));
        let (done_tx, done_rx) = crossbeam_channel::bounded(1);
        let work = Work::Install(Install {
            staged,
            values,
            done_tx,
        });
        // The apply thread installs, or dies; then its end of the channel is gone, and its own report ends the
        // group.
        if self.work_tx.send(work).is_err() || done_rx.recv().is_err() {
            return Ok(());
        }
        self.save_ballot(persist.ballot)?;
        // The driver ended: it does not need the report, and the queue ends too.
        let _ = self.reports_tx.blocking_send(Report::Installed { number });
        Ok(())
    }

    fn save_ballot(&self, ballot: Option<Ballot>) -> Result<(), FatalError> {
        let Some(ballot) = ballot else {
            return Ok(());
        };
        // Only a panic poisons the lock, and that stops the group; the identity in it is whole.
        let mut identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        identity
            .save_ballot(ballot)
            .map_err(FatalError::SaveWatermark)
    }
}

#[cfg(test)]
mod tests;
