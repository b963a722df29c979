//! Snapshots of one node, both ways: taking and sending them, receiving them chunk by chunk, and putting them
//! in the place of log and state.

use super::{CrashPoint, Halt, Running};
use crate::counters::Count;
use crate::mutant::Mutant;
use crate::ops::Answer;
use crate::world::{Around, Event, Run};
use bytes::Bytes;
use consensus::core::{Message, Persist, Position};
use consensus::simulation::{BOUNDARY, HARD_STATE, STAMP};
use placement_center::machine::Machine;
use std::collections::{BTreeMap, VecDeque};
use storage::{Snapshot, SnapshotStage, StagedSnapshot};

/// A snapshot on its way.
#[derive(Debug)]
pub(crate) struct Ship {
    pub(crate) from: Run,
    pub(crate) to: usize,
    /// Tells this attempt from others of the same sender.
    number: u64,
    message: Bytes,
    pub(crate) chunks: VecDeque<Bytes>,
}

/// What became of a chunk.
pub(crate) enum Received {
    /// The next one may come.
    More,
    /// It was the last one, and the snapshot is taken or not needed.
    Whole,
    /// The snapshot is not taken.
    Refused,
}

/// The snapshots of one run.
#[derive(Default)]
pub(super) struct Snapshots {
    /// Taken, for each receiver.
    taken: BTreeMap<u64, Snapshot>,
    shipped: u64,
    receiving: Option<Receiving>,
    /// Whole, and to be installed.
    staged: Option<StagedSnapshot>,
}

struct Receiving {
    from: Run,
    number: u64,
    stage: SnapshotStage,
}

impl Running {
    /// Sends snapshots that were taken, and orders those that are wanted.
    pub(super) fn perform_snapshots(
        &mut self,
        around: &mut Around,
        messages: Vec<Message>,
        wanted: Vec<u64>,
    ) {
        for message in messages {
            let snapshot = self.snapshots.taken.remove(&message.to());
            let to = usize::try_from(message.to() - 1).ok();
            let (Some(snapshot), Some(to)) = (snapshot, to) else {
                around
                    .check
                    .fail("what is sent was taken", || format!("{message:?}"));
                return;
            };
            self.snapshots.shipped += 1;
            let chunks: Result<VecDeque<Bytes>, storage::Error> = snapshot.chunks().collect();
            let ship = Box::new(Ship {
                from: self.run,
                to,
                number: self.snapshots.shipped,
                message: message.encode(),
                chunks: chunks.unwrap_or_default(),
            });
            around.ship(ship);
        }
        for to in wanted {
            let took = 1 + self.dice.around(around.options.disk.sync_mean);
            let run = self.run;
            around.after(took, Event::TakeSnapshot { run, to });
        }
    }

    /// The keeper takes a snapshot.
    pub(crate) fn take_snapshot(&mut self, around: &mut Around, to: u64) -> Result<(), Halt> {
        self.snapshots
            .taken
            .retain(|to, _| self.core.has_offer(*to));
        match self.state.snapshot() {
            Ok(snapshot) => {
                let conf_state = snapshot.conf_state().cloned();
                let applied = snapshot.applied();
                if self.core.snapshot_taken(to, applied, conf_state.as_ref()) {
                    self.snapshots.taken.insert(to, snapshot);
                }
            }
            Err(_) => self.core.snapshot_not_taken(to),
        }
        self.finish_turn(around)
    }

    /// The transport says how sending a snapshot ended.
    pub(crate) fn snapshot_sent(
        &mut self,
        around: &mut Around,
        to: u64,
        delivered: bool,
    ) -> Result<(), Halt> {
        self.core.snapshot_sent(to, delivered);
        self.finish_turn(around)
    }

    pub(crate) fn is_receiving(&self) -> bool {
        self.snapshots.receiving.is_some()
    }

    /// The sender of a snapshot is gone.
    pub(crate) fn drop_stage(&mut self, ship: &Ship) {
        self.snapshots
            .receiving
            .take_if(|old| (old.from, old.number) == (ship.from, ship.number));
    }

    /// The next chunk arrives.
    pub(crate) fn receive(
        &mut self,
        around: &mut Around,
        ship: &mut Ship,
    ) -> Result<Received, Halt> {
        let Some(chunk) = ship.chunks.pop_front() else {
            return Ok(Received::Refused);
        };
        let is_new = |old: &Receiving| (old.from, old.number) != (ship.from, ship.number);
        if self.snapshots.receiving.as_ref().is_none_or(is_new) {
            // Whoever sent another one before has given it up, or will find it refused.
            self.snapshots.receiving = None;
            let Ok(stage) = self.state.stage() else {
                return Ok(Received::Refused);
            };
            self.snapshots.receiving = Some(Receiving {
                from: ship.from,
                number: ship.number,
                stage,
            });
        }
        let Some(mut receiving) = self.snapshots.receiving.take() else {
            return Ok(Received::Refused);
        };
        match receiving.stage.push(&chunk) {
            Ok(()) if !ship.chunks.is_empty() => {
                self.snapshots.receiving = Some(receiving);
                return Ok(Received::More);
            }
            Ok(()) => {}
            // The middle of one that was given up.
            Err(storage::Error::BadSnapshot(_)) => return Ok(Received::Refused),
            Err(error) => return Err(error.into()),
        }
        let staged = match receiving.stage.finish() {
            Ok(staged) => staged,
            Err(storage::Error::BadSnapshot(_)) => return Ok(Received::Refused),
            Err(error) => return Err(error.into()),
        };
        self.arrived(around, &ship.message, staged)
    }

    /// A snapshot is here, whole.
    fn arrived(
        &mut self,
        around: &mut Around,
        message: &[u8],
        staged: StagedSnapshot,
    ) -> Result<Received, Halt> {
        let Ok(message) = Message::decode(message) else {
            return Ok(Received::Refused);
        };
        let conf_state = staged.conf_state().cloned();
        let stepped = self
            .core
            .step_snapshot(message, staged.applied(), conf_state.as_ref());
        if stepped == Ok(true) {
            self.snapshots.staged = Some(staged);
        }
        self.finish_turn(around)?;
        Ok(match stepped {
            Ok(_) => Received::Whole,
            Err(_) => Received::Refused,
        })
    }

    /// Puts the staged state in the place of log and state.
    pub(super) fn install(&mut self, around: &mut Around, persist: Persist) -> Result<(), Halt> {
        self.strike_at_install(around)?;
        let (Some(mark), Some(staged)) = (persist.snapshot, self.snapshots.staged.take()) else {
            around
                .check
                .fail("what is installed was staged", || format!("{:?}", self.run));
            return Ok(());
        };
        let applied = staged.applied();
        let early = around.is_planted(Mutant::InstallReportedEarly);
        if early {
            self.core.installed();
            self.finish_turn(around)?;
            self.strike_at_install(around)?;
        }
        let mut values = vec![(BOUNDARY, mark.boundary), (STAMP, mark.stamp)];
        values.extend(persist.hard_state.map(|state| (HARD_STATE, state)));
        self.writer.install(staged, &self.log, &values)?;
        around.count(Count::SnapshotsInstalled);
        around.check.installed(self.core.node_id(), mark.position);
        around.flushed[self.run.node] = applied.index;
        (self.applied, self.flushed_index) = (applied, applied.index);
        around.check.batch(self.core.node_id(), applied);
        if !around.is_planted(Mutant::MachineNotRestored) {
            (self.machine, self.published) = Machine::open(&self.state)?;
        }
        self.strike_at_install(around)?;
        if let Some(ballot) = persist.ballot {
            self.directory.save_ballot(ballot)?;
        }
        self.end_install(around, mark.position, persist.number);
        if !early {
            self.core.installed();
        }
        self.answer_readers(around, applied.index);
        self.finish_turn(around)
    }

    /// What was on its way to the state machine is part of the snapshot, or lost.
    fn end_install(&mut self, around: &mut Around, position: Position, number: Option<u64>) {
        for unreported in std::mem::take(&mut self.unreported) {
            self.reply(around, unreported);
        }
        let queued: Vec<_> = self.items.drain(..).flat_map(|item| item.ops).collect();
        for id in queued {
            around.answer(id, Answer::Unknown, &mut self.dice);
        }
        let number = number.unwrap_or(0);
        while self.writes.front().is_some_and(|first| *first <= number) {
            self.writes.pop_front();
        }
        for id in self.take_waiting(around, position) {
            around.answer(id, Answer::Unknown, &mut self.dice);
        }
    }

    fn strike_at_install(&mut self, around: &Around) -> Result<(), Halt> {
        let per_mille = around.options.crash_at_install_per_mille;
        if !around.healed && self.dice.chance(per_mille) {
            return Err(Halt::Struck(CrashPoint::AtInstall));
        }
        Ok(())
    }
}
