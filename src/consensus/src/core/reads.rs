//! Read rounds: which ReadIndex requests are under way, and which of their answers may be believed.
//!
//! raft-rs drops a request in silence when it cannot serve it, matches acknowledgements by the bytes
//! of the request, and releases every older request together with an acknowledged one. So a request
//! is never repeated with the same bytes (a late acknowledgement of the first would confirm what a
//! deposed leader does not know), it is repeated a bounded number of times, and an answer counts
//! only under the term and leader the request was made in.

use std::collections::BTreeMap;

/// Names one read round of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadRound(pub u64);

/// How a read round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// A local read sees everything acknowledged before the round once this index is applied.
    Ready {
        /// The read index.
        index: u64,
    },
    /// No leader answered within the bound of attempts.
    NoLeader,
}

/// Identity of the requests of one run of one member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) node_id: u64,
    /// Boot epoch: a request of an earlier run of this member never looks like one of this run.
    pub(crate) incarnation: u64,
}

/// Term and leader a request was made under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reign {
    pub(crate) term: u64,
    pub(crate) leader: u64,
}

/// Ticks a request may stay without an answer before it is made anew: one lost message must not
/// hold up a reader for longer than a few heartbeats.
const ANSWER_TICKS_MAX: u32 = 3;
/// Ticks a round may last in all. Three times the usual election timeout of ten ticks.
const ROUND_TICKS_MAX: u32 = 30;
const CONTEXT_BYTES: usize = 24;

/// One round and its newest request.
#[derive(Debug)]
struct Round {
    round: ReadRound,
    age_ticks: u32,
    request: Option<Request>,
}

#[derive(Debug)]
struct Request {
    counter: u64,
    reign: Reign,
    age_ticks: u32,
}

/// The rounds under way.
#[derive(Debug)]
pub(crate) struct Reads {
    origin: Origin,
    counter: u64,
    rounds: BTreeMap<u64, Round>,
}

impl Reads {
    pub(crate) fn new(origin: Origin) -> Self {
        Reads {
            origin,
            counter: 0,
            rounds: BTreeMap::new(),
        }
    }

    /// Opens a round; its first request is made by the next `due`.
    pub(crate) fn open(&mut self) -> ReadRound {
        self.counter += 1;
        let round = ReadRound(self.counter);
        self.rounds.insert(
            round.0,
            Round {
                round,
                age_ticks: 0,
                request: None,
            },
        );
        round
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    /// Rounds that need a request: they have none, or theirs belongs to an earlier reign.
    pub(crate) fn due(&mut self, reign: Reign) -> Vec<ReadRound> {
        let mut due = Vec::new();
        for round in self.rounds.values_mut() {
            if round
                .request
                .as_ref()
                .is_some_and(|request| request.reign != reign)
            {
                round.request = None;
            }
            if round.request.is_none() {
                due.push(round.round);
            }
        }
        due
    }

    /// Bytes for a new request; no two are ever equal, across members and restarts.
    pub(crate) fn next_context(&mut self) -> (u64, Vec<u8>) {
        self.counter += 1;
        #[cfg(feature = "mutants")]
        if super::mutation::is_planted(super::mutation::Mutation::ReadContextReused) {
            self.counter = 1;
        }
        let mut context = Vec::with_capacity(CONTEXT_BYTES);
        for part in [self.origin.node_id, self.origin.incarnation, self.counter] {
            context.extend_from_slice(&part.to_be_bytes());
        }
        (self.counter, context)
    }

    /// raft-rs took the request of this round.
    pub(crate) fn requested(&mut self, round: ReadRound, counter: u64, reign: Reign) {
        if let Some(round) = self.rounds.get_mut(&round.0) {
            round.request = Some(Request {
                counter,
                reign,
                age_ticks: 0,
            });
        }
    }

    /// The round an answer ends, if it may be believed.
    pub(crate) fn answered(&mut self, context: &[u8], reign: Reign) -> Option<ReadRound> {
        #[cfg(feature = "mutants")]
        if super::mutation::is_planted(super::mutation::Mutation::ReadAnswerUnchecked) {
            return self.rounds.pop_first().map(|(_, round)| round.round);
        }
        let counter = self.counter_of(context)?;
        let round = self
            .rounds
            .values()
            .find(|round| {
                round
                    .request
                    .as_ref()
                    .is_some_and(|r| r.counter == counter && r.reign == reign)
            })?
            .round;
        self.rounds.remove(&round.0);
        Some(round)
    }

    /// Ages rounds and requests; returns the rounds that lasted too long.
    pub(crate) fn tick(&mut self) -> Vec<ReadRound> {
        let mut expired = Vec::new();
        self.rounds.retain(|_, round| {
            round.age_ticks += 1;
            if let Some(request) = &mut round.request {
                request.age_ticks += 1;
                if request.age_ticks > ANSWER_TICKS_MAX {
                    round.request = None;
                }
            }
            let keep = round.age_ticks <= ROUND_TICKS_MAX;
            if !keep {
                expired.push(round.round);
            }
            keep
        });
        expired
    }

    fn counter_of(&self, context: &[u8]) -> Option<u64> {
        let (node_id, incarnation, counter) = parse_context(context)?;
        (node_id == self.origin.node_id && incarnation == self.origin.incarnation)
            .then_some(counter)
    }
}

/// `(member, incarnation, counter)` of a request.
pub(crate) fn parse_context(context: &[u8]) -> Option<(u64, u64, u64)> {
    let context: &[u8; CONTEXT_BYTES] = context.try_into().ok()?;
    let mut words = context
        .chunks_exact(8)
        .map(|chunk| u64::from_be_bytes(chunk.try_into().expect("chunks of eight")));
    Some((words.next()?, words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REIGN: Reign = Reign { term: 1, leader: 1 };

    fn reads(incarnation: u64) -> Reads {
        Reads::new(Origin {
            node_id: 1,
            incarnation,
        })
    }

    fn request(reads: &mut Reads, round: ReadRound, reign: Reign) -> Vec<u8> {
        let (counter, context) = reads.next_context();
        reads.requested(round, counter, reign);
        context
    }

    #[test]
    fn contexts_never_repeat_across_attempts_and_restarts() {
        let mut seen = std::collections::BTreeSet::new();
        for incarnation in 1..=3 {
            let mut reads = reads(incarnation);
            for _ in 0..10 {
                assert!(seen.insert(reads.next_context().1));
            }
        }
    }

    #[test]
    fn an_answer_under_another_reign_is_not_believed() {
        let mut reads = reads(1);
        let round = reads.open();
        let context = request(&mut reads, round, REIGN);
        let later = Reign { term: 2, leader: 1 };
        assert_eq!(reads.answered(&context, later), None);
        assert_eq!(reads.due(later), [round]);
        let retry = request(&mut reads, round, later);
        assert_ne!(context, retry);
        assert_eq!(
            reads.answered(&context, later),
            None,
            "an answer to an abandoned request"
        );
        assert_eq!(reads.answered(&retry, later), Some(round));
    }

    #[test]
    fn an_answer_for_another_run_or_member_is_not_ours() {
        let mut ours = reads(2);
        let round = ours.open();
        let context = request(&mut ours, round, REIGN);
        let mut before = reads(1);
        let stale_round = before.open();
        let stale = request(&mut before, stale_round, REIGN);
        assert_eq!(ours.answered(&stale, REIGN), None);
        assert_eq!(ours.answered(b"short", REIGN), None);
        assert_eq!(ours.answered(&context, REIGN), Some(round));
    }

    #[test]
    fn a_silent_request_is_made_anew_and_a_round_is_bounded() {
        let mut reads = reads(1);
        let round = reads.open();
        let mut requests = 0;
        for tick in 0..=ROUND_TICKS_MAX {
            if !reads.due(REIGN).is_empty() {
                request(&mut reads, round, REIGN);
                requests += 1;
            }
            let expired = reads.tick();
            assert_eq!(expired.is_empty(), tick < ROUND_TICKS_MAX);
        }
        assert!(
            (2..=ROUND_TICKS_MAX).contains(&requests),
            "{requests} requests"
        );
        assert!(reads.is_empty());
    }
}
