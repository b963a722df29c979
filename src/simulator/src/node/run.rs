//! One run of a node, from its start to its crash: the driver's part. It turns events into inputs of the
//! core and performs the effects.

use super::requests::Readers;
use super::snapshots::Snapshots;
use super::writer::{Job, Writing};
use super::{CrashPoint, Halt};
use crate::counters::Count;
use crate::dice::Dice;
use crate::ops::{Answer, OpId};
use crate::queue::Micros;
use crate::world::{Around, Event, Run};
use consensus::core::{Committed, CommittedKind, Core, Effects, Message, Position};
use consensus::simulation::{self, Directory, Kind};
use placement_center::machine::{Machine, Published, Reply};
use std::collections::VecDeque;
use storage::{Applied, LogStore, StateStore, StateWriter, Stores};

/// Rounds of effects that one input may cause; a handful does.
const ROUNDS_MAX: u32 = 1_000;

/// What a run starts with.
pub(super) struct Parts {
    pub(super) run: Run,
    pub(super) core: Core,
    pub(super) applied: Applied,
    pub(super) stores: Stores,
    pub(super) machine: Machine,
    pub(super) published: Published,
    pub(super) directory: Directory,
    pub(super) tick: Micros,
    pub(super) wall_ms: i64,
    pub(super) dice: Dice,
}

/// A committed entry and the requests that wait for it.
pub(super) struct Item {
    pub(super) committed: Committed,
    pub(super) ops: Vec<OpId>,
}

/// An entry that was proposed, and the requests in it.
pub(super) struct Waiting {
    pub(super) position: Position,
    pub(super) ops: Vec<OpId>,
}

/// Answers of one applied entry, not yet reported.
pub(super) struct Unreported {
    pub(super) position: Position,
    pub(super) replies: Vec<(OpId, Reply)>,
}

/// A node that is up.
pub(crate) struct Running {
    pub(crate) run: Run,
    pub(crate) core: Core,
    pub(super) log: LogStore,
    pub(crate) state: StateStore,
    pub(super) writer: StateWriter,
    pub(super) machine: Machine,
    pub(super) published: Published,
    pub(super) directory: Directory,
    pub(super) tick: Micros,
    pub(crate) wall_ms: i64,
    pub(super) dice: Dice,
    /// A crash that waits for its point.
    pub(crate) crash_at: Option<CrashPoint>,
    pub(super) jobs: VecDeque<Job>,
    pub(super) writing: Option<Writing>,
    /// Numbers of the writes that are not durable yet.
    pub(super) writes: VecDeque<u64>,
    pub(super) items: VecDeque<Item>,
    pub(super) apply_due: bool,
    pub(super) applied: Applied,
    pub(super) unreported: VecDeque<Unreported>,
    pub(super) proposals: Vec<OpId>,
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) readers: Readers,
    pub(super) snapshots: Snapshots,
    pub(super) ticks: u64,
    pub(super) keeper_busy: bool,
    pub(super) flushed_index: u64,
    pub(super) flush_at: Micros,
    pub(super) unsynced_writes: u32,
    led: bool,
}

impl Running {
    pub(super) fn new(parts: Parts) -> Self {
        Running {
            run: parts.run,
            core: parts.core,
            log: parts.stores.log,
            state: parts.stores.state,
            writer: parts.stores.writer,
            machine: parts.machine,
            published: parts.published,
            directory: parts.directory,
            tick: parts.tick,
            wall_ms: parts.wall_ms,
            dice: parts.dice,
            crash_at: None,
            jobs: VecDeque::new(),
            writing: None,
            writes: VecDeque::new(),
            items: VecDeque::new(),
            apply_due: false,
            applied: parts.applied,
            unreported: VecDeque::new(),
            proposals: Vec::new(),
            waiting: VecDeque::new(),
            readers: Readers::default(),
            snapshots: Snapshots::default(),
            ticks: 0,
            keeper_busy: false,
            flushed_index: 0,
            flush_at: 0,
            unsynced_writes: 0,
            led: false,
        }
    }

    /// The first turn.
    pub(super) fn begin(&mut self, around: &mut Around) -> Result<(), Halt> {
        self.flushed_index = self.state.flushed_index()?;
        let first = 1 + self.dice.below(self.tick);
        around.after(first, Event::Tick(self.run));
        self.finish_turn(around)
    }

    pub(crate) fn tick(&mut self, around: &mut Around) -> Result<(), Halt> {
        self.ticks += 1;
        around.after(self.tick, Event::Tick(self.run));
        self.core.tick();
        self.age_waiting(around);
        self.order_duty(around);
        self.finish_turn(around)
    }

    pub(crate) fn deliver(&mut self, around: &mut Around, bytes: &[u8]) -> Result<(), Halt> {
        let Ok(message) = Message::decode(bytes) else {
            around
                .check
                .fail("a message survives the wire", || format!("{bytes:?}"));
            return Ok(());
        };
        // A message that is refused (a read request delivered twice) is a lost one.
        let _ = self.core.step(message);
        self.finish_turn(around)
    }

    /// Performs the effects until there are none.
    pub(super) fn finish_turn(&mut self, around: &mut Around) -> Result<(), Halt> {
        self.propose(around);
        for round in 0.. {
            let effects = self.core.take_effects();
            if effects.is_empty() {
                break;
            }
            if round == ROUNDS_MAX {
                let text = || format!("node {}: {ROUNDS_MAX} rounds of effects", self.run.node + 1);
                around.check.fail("a turn ends", text);
                break;
            }
            self.perform(around, effects)?;
        }
        self.begin_write(around)?;
        self.begin_apply(around);
        let leads = self.core.role() == consensus::Role::Leader;
        if leads && !self.led {
            around.count(Count::Elections);
        }
        self.led = leads;
        around.check.observe(self.run.node, &self.core);
        Ok(())
    }

    fn perform(&mut self, around: &mut Around, effects: Effects) -> Result<(), Halt> {
        for persist in effects.persist {
            self.writes.extend(persist.number);
            if let Some(mark) = &persist.snapshot {
                around.check.replaced(self.run.node, mark.position);
            }
            around.check.appended(self.run.node, &persist.records);
            self.jobs.push_back(Job::new(persist));
        }
        for committed in effects.apply {
            around.committed(&self.core, &committed);
            self.strike_at_change(around, &committed)?;
            let ops = self.take_waiting(around, committed.position);
            self.items.push_back(Item { committed, ops });
        }
        for message in &effects.send {
            around.send(self.run.node, message);
            self.strike_after(around, message)?;
        }
        self.perform_snapshots(around, effects.send_snapshots, effects.snapshots);
        for (round, outcome) in effects.reads {
            self.end_round(around, round, outcome);
        }
        Ok(())
    }

    /// Crashes behind a message, if that is planned.
    fn strike_after(&mut self, around: &mut Around, message: &Message) -> Result<(), Halt> {
        if self.crash_at == Some(CrashPoint::AfterSend) {
            return Err(Halt::Struck(CrashPoint::AfterSend));
        }
        let glance = simulation::glance(message);
        let is_new_leaders = !self.led && glance.kind == Kind::Append;
        let votes = glance.kind == Kind::Vote
            || (glance.kind == Kind::VoteResponse && !glance.reject)
            || is_new_leaders;
        let per_mille = around.options.crash_after_vote_per_mille;
        if votes && !around.healed && self.dice.chance(per_mille) {
            return Err(Halt::Struck(CrashPoint::AfterVote));
        }
        Ok(())
    }

    /// Crashes where a change of membership is handed out or applied, if that is planned.
    pub(super) fn strike_at_change(
        &mut self,
        around: &Around,
        committed: &Committed,
    ) -> Result<(), Halt> {
        let changes = matches!(committed.kind, CommittedKind::Membership { .. });
        let per_mille = around.options.crash_at_change_per_mille;
        if changes && !around.healed && self.dice.chance(per_mille) {
            return Err(Halt::Struck(CrashPoint::AtChange));
        }
        Ok(())
    }

    /// Requests that end with this run; nobody knows what becomes of them.
    pub(crate) fn abandon(&mut self, around: &mut Around) {
        let waiting = self.waiting.drain(..).flat_map(|waiting| waiting.ops);
        let items = self.items.drain(..).flat_map(|item| item.ops);
        let unreported = self
            .unreported
            .drain(..)
            .flat_map(|unreported| unreported.replies)
            .map(|(op, _)| op);
        let ops: Vec<OpId> = waiting
            .chain(items)
            .chain(unreported)
            .chain(self.proposals.drain(..))
            .chain(self.readers.drain())
            .collect();
        for op in ops {
            around.answer(op, Answer::Unknown, &mut self.dice);
        }
    }

    /// Nothing is on its way here.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.jobs.is_empty()
            && self.writing.is_none()
            && !self.core.is_installing()
            && self.items.is_empty()
            && self.unreported.is_empty()
    }
}
