//! The log writer's part: everything queued becomes one write, which takes time to become durable; the log
//! first, then the ballot, then the report.

use super::{Halt, Running};
use crate::counters::Count;
use crate::mutant::Mutant;
use crate::world::{Around, Event};
use bytes::Bytes;
use consensus::core::{Ballot, Persist};
use consensus::simulation::{HARD_STATE, STAMP};
use storage::LogWrite;

/// Writes of the lazy mutant until it syncs.
const LAZY_WRITES: u32 = 20;

/// What the writer is asked to do.
pub(super) enum Job {
    Persist(Persist),
    /// A snapshot takes the place of log and state.
    Install(Persist),
    /// Forget the records below `first`.
    Truncate {
        first: u64,
        boundary: Bytes,
        stamp: Bytes,
    },
}

impl Job {
    pub(super) fn new(persist: Persist) -> Self {
        if persist.snapshot.is_some() {
            Job::Install(persist)
        } else {
            Job::Persist(persist)
        }
    }
}

/// A write that is not durable yet.
pub(super) struct Writing {
    /// The snapshot it installs, if it does.
    install: Option<Persist>,
    number: Option<u64>,
    ballot: Option<Ballot>,
    must_sync: bool,
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
            let keep = self
                .write
                .records
                .partition_point(|record| record.index < first.index);
            self.write.records.truncate(keep);
        }
        self.write.records.extend(persist.records);
        if let Some(state) = persist.hard_state {
            self.write.values = vec![(HARD_STATE, state)];
        }
        self.number = persist.number.or(self.number);
        self.ballot = persist.ballot.or(self.ballot);
        self.must_sync |= persist.must_sync;
    }

    fn is_empty(&self) -> bool {
        self.write.records.is_empty() && self.write.values.is_empty()
    }
}

impl Running {
    /// Starts a write if there is something to write and none is under way.
    pub(super) fn begin_write(&mut self, around: &mut Around) -> Result<(), Halt> {
        if self.writing.is_some() || self.jobs.is_empty() {
            return Ok(());
        }
        let mut group = Group::default();
        while let Some(job) = self.jobs.pop_front() {
            match job {
                Job::Persist(persist) => group.add(persist),
                Job::Install(persist) if group.is_empty() => {
                    return self.begin_install(around, persist);
                }
                Job::Install(persist) => {
                    self.jobs.push_front(Job::Install(persist));
                    break;
                }
                Job::Truncate {
                    first,
                    boundary,
                    stamp,
                } => {
                    if !around.is_planted(Mutant::StampNotKept) {
                        let write = LogWrite {
                            records: Vec::new(),
                            values: vec![(STAMP, stamp)],
                        };
                        self.log.write(&write, false)?;
                    }
                    self.log.truncate_prefix(first, &boundary)?;
                    around.count(Count::Truncations);
                }
            }
        }
        if group.is_empty() {
            return Ok(());
        }
        let mut writing = Writing {
            install: None,
            number: group.number,
            ballot: group.ballot,
            must_sync: group.must_sync,
        };
        if around.is_planted(Mutant::VoteNotSynced) && group.write.records.is_empty() {
            (writing.must_sync, writing.ballot) = (false, None);
        }
        if around.is_planted(Mutant::LazySync) {
            self.unsynced_writes += 1;
            writing.must_sync = self.unsynced_writes.is_multiple_of(LAZY_WRITES);
            writing.ballot = None;
        }
        let written = self.log.write(&group.write, false);
        self.unless_ignored(around, written)?;
        self.writing = Some(writing);
        let took = self.write_time(around);
        around.after(took, Event::Written(self.run));
        if around.is_planted(Mutant::AckBeforePersist)
            && let Some(number) = group.number
        {
            self.report_written(around, number);
            return self.finish_turn(around);
        }
        Ok(())
    }

    fn begin_install(&mut self, around: &mut Around, persist: Persist) -> Result<(), Halt> {
        self.writing = Some(Writing {
            number: persist.number,
            ballot: persist.ballot,
            must_sync: false,
            install: Some(persist),
        });
        let took = self.write_time(around);
        around.after(took, Event::Written(self.run));
        Ok(())
    }

    fn write_time(&mut self, around: &mut Around) -> u64 {
        let disk = &around.options.disk;
        let mut took = 1 + self.dice.around(disk.sync_mean);
        if !around.healed && self.dice.chance(disk.slow_per_mille) {
            took += self.dice.around(disk.slow_mean);
            around.count(Count::SlowWrites);
        }
        took
    }

    /// The write under way reaches the disk.
    pub(crate) fn written(&mut self, around: &mut Around) -> Result<(), Halt> {
        let Some(writing) = self.writing.take() else {
            return Ok(());
        };
        if let Some(persist) = writing.install {
            return self.install(around, persist);
        }
        if writing.must_sync {
            let synced = self.log.write(&LogWrite::default(), true);
            self.unless_ignored(around, synced)?;
            around.check.written(self.run.node);
        }
        if let Some(ballot) = writing.ballot {
            let saved = self.directory.save_ballot(ballot);
            self.unless_ignored(around, saved)?;
        }
        if let Some(number) = writing.number
            && !around.is_planted(Mutant::AckBeforePersist)
        {
            self.report_written(around, number);
        }
        self.finish_turn(around)
    }

    fn report_written(&mut self, around: &mut Around, number: u64) {
        while self.writes.front().is_some_and(|first| *first <= number) {
            self.writes.pop_front();
        }
        self.core.persisted(number);
        if around.is_planted(Mutant::ReplyBeforeCommit) {
            self.reply_early(around);
        }
    }

    fn unless_ignored(
        &self,
        around: &Around,
        result: Result<(), storage::Error>,
    ) -> Result<(), Halt> {
        match result {
            Err(error)
                if around.is_planted(Mutant::WriteErrorIgnored) && !error.is_power_loss() =>
            {
                Ok(())
            }
            other => Ok(other?),
        }
    }
}
