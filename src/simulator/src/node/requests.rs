//! The requests of clients on one node: which entry each write waits for, and which reads wait for what.

use super::run::{Unreported, Waiting};
use super::{ELECTION_TICKS, Running};
use crate::check::Served;
use crate::counters::Count;
use crate::mutant::Mutant;
use crate::ops::{Answer, OpId};
use crate::queue::MILLI;
use crate::workload::{Freshness, Request};
use crate::world::{Around, Event};
use consensus::Role;
use consensus::core::{MemberChange, Position, ProposalRefused, ReadOutcome, ReadRound};
use consensus::payload::Encoder;
use placement_center::kv::{self, ReadFailure};

/// Writes of proposals under way at once.
const WRITES_IN_FLIGHT_MAX: usize = 1;
/// Nodes a client asks before it gives up.
const ATTEMPTS_MAX: u32 = 6;
/// Ticks a write stays unresolved on a node that does not lead, before its client is told so.
const UNRESOLVED_TICKS_MAX: u64 = 4 * ELECTION_TICKS as u64;
/// Wall clock of the simulation when it begins: some time in 2026.
const WALL_MS: i64 = 1_790_000_000_000;

/// The reads of one node.
#[derive(Default)]
pub(super) struct Readers {
    /// For the next round.
    arrived: Vec<OpId>,
    round: Option<(ReadRound, Vec<OpId>)>,
    /// Confirmed at an index that is not applied.
    unapplied: Vec<(u64, Vec<OpId>)>,
    /// Waiting for a revision.
    sessions: Vec<OpId>,
}

impl Readers {
    pub(super) fn drain(&mut self) -> impl Iterator<Item = OpId> {
        let round = self.round.take().map(|(_, ops)| ops);
        let unapplied = std::mem::take(&mut self.unapplied);
        std::mem::take(&mut self.arrived)
            .into_iter()
            .chain(round.into_iter().flatten())
            .chain(unapplied.into_iter().flat_map(|(_, ops)| ops))
            .chain(std::mem::take(&mut self.sessions))
    }
}

impl Running {
    /// A request reaches this node.
    pub(crate) fn arrive(&mut self, around: &mut Around, id: OpId) -> Result<(), super::Halt> {
        let op = &around.ops[id];
        match &op.request {
            Request::Write(_) => self.proposals.push(id),
            Request::Read(_, Freshness::Serializable) => self.serve(around, id, None),
            Request::Read(_, Freshness::Session) => {
                let waits = self.published.kv.revision() < op.seen;
                if waits && !around.is_planted(Mutant::SessionNotWaited) {
                    around.count(Count::SessionWaits);
                    self.readers.sessions.push(id);
                } else {
                    self.serve(around, id, None);
                }
            }
            Request::Read(_, Freshness::Linearizable) => {
                let leads = self.core.role() == Role::Leader;
                if leads && around.is_planted(Mutant::ReadWithoutRound) {
                    self.serve(around, id, None);
                } else {
                    self.readers.arrived.push(id);
                    self.open_round();
                }
            }
        }
        self.finish_turn(around)
    }

    /// Proposes what has arrived, as one entry.
    pub(super) fn propose(&mut self, around: &mut Around) {
        if self.proposals.is_empty() {
            return;
        }
        if self.core.role() == Role::Leader && self.writes.len() >= WRITES_IN_FLIGHT_MAX {
            return;
        }
        let elapsed = i64::try_from(around.now / MILLI).unwrap_or(i64::MAX);
        let wall = u64::try_from(WALL_MS + elapsed + self.wall_ms).unwrap_or(0);
        let stamp = if around.is_planted(Mutant::StampNotRaised) {
            wall
        } else {
            wall.max(self.core.time_ms())
        };
        let mut encoder = Encoder::new(stamp, 0);
        let ops = std::mem::take(&mut self.proposals);
        for id in &ops {
            if let Request::Write(change) = &around.ops[*id].request {
                encoder.push(&change.command());
            }
        }
        let payload = encoder.finish();
        match self.core.propose(payload.clone()) {
            Ok(position) => {
                around.check.proposed(position, &payload, &ops);
                self.waiting.push_back(Waiting { position, ops });
            }
            Err(refused) => {
                let leader = match refused {
                    ProposalRefused::NotLeader { leader } => leader,
                    _ => None,
                };
                for id in ops {
                    self.redirect(around, id, leader);
                }
            }
        }
    }

    /// Proposes a change of membership that the core has found possible.
    pub(crate) fn change_members(
        &mut self,
        around: &mut Around,
        changes: &[MemberChange],
    ) -> Result<(), super::Halt> {
        if let Ok(position) = self.core.propose_members(changes, &[]) {
            around.check.proposed_change(position);
        }
        self.finish_turn(around)
    }

    /// Hands leadership to whoever is best.
    pub(crate) fn transfer(&mut self, around: &mut Around) -> Result<(), super::Halt> {
        if let Some(successor) = self.core.successor()
            && self.core.transfer(successor)
        {
            around.count(Count::Transfers);
        }
        self.finish_turn(around)
    }

    /// Sends a client on, to the leader if one is known. The request was not applied.
    fn redirect(&mut self, around: &mut Around, id: OpId, leader: Option<u64>) {
        let known = leader.and_then(|leader| usize::try_from(leader - 1).ok());
        match known {
            Some(node) if around.ops[id].attempts < ATTEMPTS_MAX => {
                around.ops[id].attempts += 1;
                let delay = around.options.network.delay_min + self.dice.below(2_000);
                around.after(delay, Event::Arrive { op: id, node });
            }
            _ => around.answer(id, Answer::NotApplied, &mut self.dice),
        }
    }

    /// Requests that wait for the entry at a position; those that waited for another entry at that
    /// index have lost.
    pub(super) fn take_waiting(&mut self, around: &mut Around, position: Position) -> Vec<OpId> {
        let mut ours = Vec::new();
        while let Some(first) = self.waiting.front() {
            // What an earlier leadership proposed behind this entry is lost with it.
            if first.position.index > position.index && first.position.term >= position.term {
                break;
            }
            let passed = first.position.index < position.index;
            let by_index =
                around.is_planted(Mutant::ReplyByIndex) && first.position.index == position.index;
            let wins = first.position == position || by_index;
            let Some(waiting) = self.waiting.pop_front() else {
                break;
            };
            if wins {
                ours = waiting.ops;
            } else {
                let answer = if passed {
                    Answer::Unknown
                } else {
                    Answer::NotApplied
                };
                for id in waiting.ops {
                    around.answer(id, answer.clone(), &mut self.dice);
                }
            }
            if wins {
                break;
            }
        }
        ours
    }

    /// A node that does not lead cannot wait for ever for what becomes of its entries.
    pub(super) fn age_waiting(&mut self, around: &mut Around) {
        let leads = self.core.role() == Role::Leader;
        if leads || self.waiting.is_empty() || !self.ticks.is_multiple_of(UNRESOLVED_TICKS_MAX) {
            return;
        }
        for id in std::mem::take(&mut self.waiting)
            .into_iter()
            .flat_map(|waiting| waiting.ops)
        {
            around.answer(id, Answer::Unknown, &mut self.dice);
        }
    }

    /// Answers the requests of an applied entry.
    pub(super) fn reply(&mut self, around: &mut Around, unreported: Unreported) {
        let position = unreported.position;
        for (slot, (id, reply)) in unreported.replies.into_iter().enumerate() {
            let answer = Answer::Written {
                position,
                slot,
                reply,
            };
            around.answer(id, answer, &mut self.dice);
        }
    }

    /// A planted bug: answers what is durable here and committed nowhere.
    pub(super) fn reply_early(&mut self, around: &mut Around) {
        use placement_center::machine::Reply;
        for waiting in std::mem::take(&mut self.waiting) {
            for (slot, id) in waiting.ops.into_iter().enumerate() {
                let answer = Answer::Written {
                    position: waiting.position,
                    slot,
                    reply: Reply::Put(Ok(Default::default())),
                };
                around.answer(id, answer, &mut self.dice);
            }
        }
    }

    fn open_round(&mut self) {
        if self.readers.round.is_none() && !self.readers.arrived.is_empty() {
            let round = self.core.read();
            self.readers.round = Some((round, std::mem::take(&mut self.readers.arrived)));
        }
    }

    /// A read round came to its end.
    pub(super) fn end_round(&mut self, around: &mut Around, round: ReadRound, end: ReadOutcome) {
        let Some((_, ops)) = self.readers.round.take_if(|(open, _)| *open == round) else {
            return;
        };
        match end {
            ReadOutcome::Ready { index } => {
                let ready = index <= self.core.applied_index();
                if ready || around.is_planted(Mutant::ReadBeforeApplied) {
                    for id in ops {
                        self.serve(around, id, Some(index));
                    }
                } else {
                    self.readers.unapplied.push((index, ops));
                }
            }
            ReadOutcome::NoLeader => {
                for id in ops {
                    around.answer(id, Answer::NotApplied, &mut self.dice);
                }
            }
        }
        self.open_round();
    }

    /// The state machine reached `index`.
    pub(super) fn answer_readers(&mut self, around: &mut Around, index: u64) {
        let (ready, later) = std::mem::take(&mut self.readers.unapplied)
            .into_iter()
            .partition(|(wanted, _)| *wanted <= index);
        self.readers.unapplied = later;
        for (wanted, ops) in ready {
            for id in ops {
                self.serve(around, id, Some(wanted));
            }
        }
        let revision = self.published.kv.revision();
        let (ready, later) = std::mem::take(&mut self.readers.sessions)
            .into_iter()
            .partition(|id| around.ops[*id].seen <= revision);
        self.readers.sessions = later;
        for id in ready {
            self.serve(around, id, None);
        }
    }

    /// Reads the state and answers.
    fn serve(&mut self, around: &mut Around, id: OpId, read_index: Option<u64>) {
        let op = &around.ops[id];
        let Request::Read(request, freshness) = &op.request else {
            return;
        };
        let applied = self.state.applied().index;
        let response = match kv::range(&self.state.view(), request) {
            Ok(response) => Ok(response),
            Err(ReadFailure::Refused(refusal)) => Err(refusal),
            Err(ReadFailure::Storage(error)) => {
                around
                    .check
                    .fail("a read does not fail", || format!("{error:?}"));
                return;
            }
        };
        let follows = self.core.role() != Role::Leader;
        around.counters.add(match freshness {
            Freshness::Linearizable => Count::LinearizableReads,
            Freshness::Serializable => Count::SerializableReads,
            Freshness::Session => Count::SessionReads,
        });
        if *freshness == Freshness::Linearizable && follows {
            around.counters.add(Count::FollowerReads);
        }
        let served = Served {
            op: id,
            node: self.core.node_id(),
            request,
            freshness: *freshness,
            read_index,
            applied,
            response: &response,
        };
        around.check.served(&served, op);
        let answer = Answer::Read { applied, response };
        around.answer(id, answer, &mut self.dice);
    }
}
