//! The apply thread: committed entries in log order through the state machine into the state store.
//! One batch for all that is queued; its replies go to the driver after it is committed and published.
//! It never waits for a client, and never for the disk (the state is not synced).

use crate::clock::Stopwatch;
use crate::core::{Committed, CommittedKind, Position};
use crate::error::{FatalError, ProposeError};
use crate::handle::{Shared, Waiter};
use crate::machine::{ApplyContext, StateMachine};
use crate::payload::{Decoder, PayloadError};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use storage::{Applied, ApplyBatch, LogStore, StagedSnapshot, StateWriter};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::Xxh3;

/// Entries on their way to the apply thread; what is beyond waits in the driver.
pub(crate) const QUEUE_MAX: usize = 256;
/// Payload bytes after which a batch is committed: bounds its memory and the wait of its first client.
const BATCH_BYTES_MAX: usize = 2 << 20;
/// A batch slower than this is counted and logged.
const SLOW_APPLY: Duration = Duration::from_millis(100);
/// Batches after which housekeeping gets one step even under load, so that it cannot starve.
const HOUSEKEEP_EVERY_BATCHES: u32 = 32;

/// A committed entry and those who wait for its commands (none on replay or on a follower).
pub(crate) struct Item<R> {
    pub(crate) committed: Committed,
    pub(crate) waiters: Vec<Waiter<R>>,
}

impl<R> Item<R> {
    /// It is part of a snapshot; what its commands answered is not known here.
    fn swallowed(self) {
        for waiter in self.waiters {
            waiter.answer(Err(ProposeError::OutcomeUnknown { leader: None }));
        }
    }
}

/// What the apply thread is given.
pub(crate) enum Work<R> {
    Entry(Item<R>),
    Install(Install),
}

/// A snapshot to put in the place of log and state.
pub(crate) struct Install {
    pub(crate) staged: StagedSnapshot,
    /// What the log says of it.
    pub(crate) values: Vec<(&'static str, Bytes)>,
    /// Told when it is done, and durable.
    pub(crate) done_tx: Sender<()>,
}

/// A batch that is applied, committed and published, with the replies it owes.
pub(crate) struct AppliedBatch<R> {
    pub(crate) index: u64,
    replies: Vec<(Waiter<R>, R)>,
}

impl<R> AppliedBatch<R> {
    /// Answers all who wait. The driver does so rather than the apply thread: from within the
    /// runtime a wake-up is cheap, and the tasks of one connection are all awake before any of them
    /// runs, so that their answers leave in one write.
    pub(crate) fn answer(self) {
        for (waiter, reply) in self.replies {
            waiter.answer(Ok(reply));
        }
    }
}

/// The apply thread and what it works on.
pub(crate) struct Apply<S: StateMachine> {
    pub(crate) machine: S,
    pub(crate) writer: StateWriter,
    pub(crate) applied: Applied,
    pub(crate) shared: Arc<Shared>,
    pub(crate) work_rx: Receiver<Work<S::Reply>>,
    /// Emptied by the installation of a snapshot, and not otherwise touched.
    pub(crate) log: LogStore,
    pub(crate) applied_tx: mpsc::Sender<AppliedBatch<S::Reply>>,
}

/// Hash over the whole log up to and including one entry; equal on all members at the same index.
pub fn chain_hash(previous: u64, position: Position, payload: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    for word in [previous, position.index, position.term] {
        hasher.update(&word.to_le_bytes());
    }
    hasher.update(payload);
    hasher.digest()
}

impl<S: StateMachine> Apply<S> {
    /// Works until the driver is gone and the queue is empty.
    pub(crate) fn run(mut self) -> Result<(), FatalError> {
        // A machine that was stopped amid its housekeeping goes on with it.
        let mut housekeeping_left = true;
        let mut batches = 0_u32;
        loop {
            let next = if housekeeping_left {
                match self.work_rx.try_recv() {
                    Ok(work) => Some(work),
                    Err(crossbeam_channel::TryRecvError::Empty) => None,
                    Err(crossbeam_channel::TryRecvError::Disconnected) => return Ok(()),
                }
            } else {
                match self.work_rx.recv() {
                    Ok(work) => Some(work),
                    Err(_) => return Ok(()),
                }
            };
            match next {
                Some(Work::Install(install)) => {
                    self.install(install)?;
                    housekeeping_left = true;
                }
                Some(Work::Entry(item)) => {
                    if let Some(install) = self.apply_queued(item)? {
                        self.install(install)?;
                    }
                    batches += 1;
                    // A command may have left something to clean up.
                    housekeeping_left = true;
                    if batches.is_multiple_of(HOUSEKEEP_EVERY_BATCHES) {
                        self.housekeep()?;
                    }
                }
                None => housekeeping_left = self.housekeep()?,
            }
        }
    }

    /// Applies `first` and what is queued behind it as one batch, up to a snapshot, which is returned.
    fn apply_queued(&mut self, first: Item<S::Reply>) -> Result<Option<Install>, FatalError> {
        let watch = Stopwatch::start();
        let mut batch = self.writer.begin();
        let mut replies = Vec::new();
        let mut applied = self.applied;
        let (mut bytes, mut commands) = (0, 0);
        let mut install = None;
        let queued = self.work_rx.try_iter().take(QUEUE_MAX);
        for work in std::iter::once(Work::Entry(first)).chain(queued) {
            let item = match work {
                Work::Entry(item) => item,
                Work::Install(next) => {
                    install = Some(next);
                    break;
                }
            };
            if item.committed.position.index <= applied.index {
                // A snapshot that holds it was installed meanwhile.
                item.swallowed();
                continue;
            }
            bytes += item.committed.payload.len();
            applied = next_applied(applied, &item.committed);
            let context = EntryContext {
                machine: &mut self.machine,
                batch: &mut batch,
                replies: &mut replies,
            };
            commands += context.apply(item)?;
            if bytes >= BATCH_BYTES_MAX {
                break;
            }
        }
        let index = applied.index;
        if index == self.applied.index {
            return Ok(install);
        }
        batch
            .commit(applied)
            .map_err(|source| FatalError::CommitState { index, source })?;
        self.applied = applied;
        self.machine.committed(applied);
        self.count(commands, bytes, watch.elapsed());
        if let Err(refused) = self
            .applied_tx
            .blocking_send(AppliedBatch { index, replies })
        {
            // The driver ended; what is applied is applied, and those who wait learn it from here.
            refused.0.answer();
        }
        Ok(install)
    }

    /// Puts a snapshot in the place of log and state.
    fn install(&mut self, install: Install) -> Result<(), FatalError> {
        let applied = install.staged.applied();
        let index = applied.index;
        self.writer
            .install(install.staged, &self.log, &install.values)
            .map_err(|source| FatalError::Install { index, source })?;
        self.applied = applied;
        self.machine
            .restored(self.writer.store())
            .map_err(|source| FatalError::Restore { index, source })?;
        // The writer waits for this; if it died, its own report ends the group.
        let _ = install.done_tx.send(());
        Ok(())
    }

    fn count(&self, commands: usize, bytes: usize, took: Duration) {
        let counters = &self.shared.counters;
        counters
            .proposals_applied
            .fetch_add(commands as u64, Ordering::Relaxed);
        counters
            .applied_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
        if took > SLOW_APPLY {
            counters.slow_applies.fetch_add(1, Ordering::Relaxed);
            let millis = took.as_millis();
            let index = self.applied.index;
            ::log::warn!(target: "slow", "apply of {commands} commands ({bytes} bytes) up to index {index} took {millis} ms");
        }
    }

    /// One step of housekeeping; returns whether more is left.
    fn housekeep(&mut self) -> Result<bool, FatalError> {
        let mut batch = self.writer.begin();
        let more = self
            .machine
            .housekeep(&mut batch)
            .map_err(FatalError::Housekeep)?;
        if batch.bytes() > 0 {
            batch
                .commit_housekeeping()
                .map_err(|source| FatalError::Housekeep(source.into()))?;
            self.machine.committed(self.applied);
        }
        Ok(more)
    }
}

/// Position after one more entry.
fn next_applied(applied: Applied, committed: &Committed) -> Applied {
    let position = committed.position;
    assert_eq!(
        position.index,
        applied.index + 1,
        "entries are applied in order, each once"
    );
    Applied {
        index: position.index,
        term: position.term,
        chain_hash: chain_hash(applied.chain_hash, position, &committed.payload),
    }
}

/// What applying an entry works on.
struct EntryContext<'a, 'b, S: StateMachine> {
    machine: &'a mut S,
    batch: &'a mut ApplyBatch<'b>,
    replies: &'a mut Vec<(Waiter<S::Reply>, S::Reply)>,
}

impl<S: StateMachine> EntryContext<'_, '_, S> {
    /// Applies one entry; returns how many commands it held.
    fn apply(self, item: Item<S::Reply>) -> Result<usize, FatalError> {
        let Committed {
            position,
            payload,
            kind,
        } = item.committed;
        if let CommittedKind::Membership {
            conf_state,
            membership,
        } = kind
        {
            if let Some(conf_state) = conf_state {
                self.batch.set_conf_state(&conf_state);
                let index = position.index;
                let context = ApplyContext {
                    index,
                    term: position.term,
                    time_ms: 0,
                };
                self.machine
                    .membership(context, &membership, self.batch)
                    .map_err(|source| FatalError::Apply { index, source })?;
            }
            return Ok(0);
        }
        if payload.is_empty() {
            return Ok(0);
        }
        let index = position.index;
        let undecodable = |source: PayloadError| FatalError::Payload { index, source };
        let decoder = Decoder::new(payload).map_err(undecodable)?;
        let context = ApplyContext {
            index,
            term: position.term,
            time_ms: decoder.time_ms(),
        };
        let has_waiters = !item.waiters.is_empty();
        let mut waiters = item.waiters.into_iter();
        let mut commands = 0;
        for command in decoder {
            let command = command.map_err(undecodable)?;
            let reply = self
                .machine
                .apply(context, command, self.batch)
                .map_err(|source| FatalError::Apply { index, source })?;
            if let Some(waiter) = waiters.next() {
                self.replies.push((waiter, reply));
            } else {
                assert!(
                    !has_waiters,
                    "an entry has a waiter for each of its commands"
                );
            }
            commands += 1;
        }
        assert!(
            waiters.next().is_none(),
            "an entry has a command for each of its waiters"
        );
        Ok(commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_depends_on_all_that_went_before() {
        let position = Position { index: 5, term: 2 };
        let hash = chain_hash(1, position, b"payload");
        assert_ne!(hash, chain_hash(2, position, b"payload"));
        assert_ne!(
            hash,
            chain_hash(
                1,
                Position {
                    index: 6,
                    ..position
                },
                b"payload"
            )
        );
        assert_ne!(
            hash,
            chain_hash(
                1,
                Position {
                    term: 3,
                    ..position
                },
                b"payload"
            )
        );
        assert_ne!(hash, chain_hash(1, position, b"payloae"));
    }

    #[test]
    fn the_chain_on_disk_does_not_change_its_meaning() {
        let first = chain_hash(0, Position { index: 1, term: 1 }, b"");
        let second = chain_hash(first, Position { index: 2, term: 1 }, b"commands");
        assert_eq!(second, 227_560_476_654_229_740);
    }
}
