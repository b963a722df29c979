//! Election timeouts as a pure function, so that a simulation of the core is exact. raft-rs 0.7
//! draws them from the thread's random generator at every change of role or term; the core
//! overwrites what it drew after each input.
//!
//! They are not random at all: the members that may campaign take turns. Two that fire in the same
//! tick split the vote, and a wide range that makes this unlikely makes every election slow. Which
//! timeout a member has is no matter of safety, so members that see different memberships or
//! leaders, and collide, lose an election and nothing else.

use super::Core;
#[cfg(feature = "mutants")]
use super::mutation;
use raft::StateRole;
use std::collections::BTreeSet;

/// Ticks between two members in line, if there is room: time enough to win an election.
const SPACING_TICKS_MAX: usize = 2;

/// What the timeout depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    pub(crate) seed: u64,
    pub(crate) term: u64,
    /// Place of this member among those that may campaign, in order of their ids.
    pub(crate) place: usize,
    /// How many those are.
    pub(crate) members: usize,
}

/// A timeout for this draw, of `election_ticks..2 * election_ticks` as raft-rs wants it, and of the first
/// half of that as long as there is room for all members.
///
/// The first in line waits one tick more than `election_ticks`: only then do all others, whose ticks are at
/// most one apart from its own, hold the old leader for gone too and answer it.
pub(crate) fn timeout_ticks(draw: Draw, election_ticks: usize) -> usize {
    assert!(
        election_ticks >= 2,
        "the configuration leaves a choice of timeouts"
    );
    let members = draw.members.max(1);
    let half = election_ticks.div_ceil(2).max(2);
    let first = usize::from(election_ticks > half);
    let span = half.max(members).min(election_ticks - first);
    let spacing = ((span - 1) / (members - 1).max(1)).clamp(1, SPACING_TICKS_MAX);
    let shift = scramble(draw.seed ^ scramble(draw.term)) % members as u64;
    let shift = usize::try_from(shift).expect("the shift is below the number of members");
    let turn = (draw.place + shift) % members;
    election_ticks + first + (turn * spacing) % span
}

/// What the election timeout depends on, besides the membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occasion {
    term: u64,
    role: StateRole,
    leader: u64,
}

impl Core {
    /// Overwrites what raft-rs drew. Runs after every input, so it computes only on a new occasion.
    pub(super) fn fix_election_timeout(&mut self) {
        #[cfg(feature = "mutants")]
        if mutation::is_planted(mutation::Mutation::ElectionTimeoutKept) {
            return;
        }
        let occasion = Occasion {
            term: self.raw.raft.term,
            role: self.raw.raft.state,
            leader: self.raw.raft.leader_id,
        };
        let ticks = match self.election {
            Some((known, ticks)) if known == occasion => ticks,
            _ => self.election_timeout(occasion),
        };
        self.election = Some((occasion, ticks));
        let raft = &mut self.raw.raft;
        if raft.randomized_election_timeout() != ticks {
            raft.set_randomized_election_timeout(ticks);
        }
    }

    /// Those that may campaign take turns; the leader they would replace is not one of them.
    fn election_timeout(&self, occasion: Occasion) -> usize {
        let state = &self.conf_state;
        let voters: BTreeSet<u64> = state
            .voters
            .iter()
            .chain(&state.voters_outgoing)
            .copied()
            .collect();
        let node_id = self.config.node_id;
        let is_rival = |id: &&u64| **id == node_id || **id != occasion.leader;
        let rivals: Vec<u64> = voters.iter().filter(is_rival).copied().collect();
        let draw = Draw {
            seed: self.config.seed,
            term: occasion.term,
            place: rivals.partition_point(|id| *id < node_id),
            members: rivals.len(),
        };
        timeout_ticks(draw, self.config.election_ticks)
    }
}

/// Spreads every input bit over the whole word (the finaliser of splitmix64).
fn scramble(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn draws(members: usize, term: u64, election_ticks: usize) -> Vec<usize> {
        let draw = |place| Draw {
            seed: 42,
            term,
            place,
            members,
        };
        (0..members)
            .map(|place| timeout_ticks(draw(place), election_ticks))
            .collect()
    }

    #[test]
    fn no_two_members_fire_together_and_none_waits_long() {
        for members in 1..=9 {
            for term in 0..50 {
                let ticks = draws(members, term, 10);
                let distinct: BTreeSet<_> = ticks.iter().copied().collect();
                assert_eq!(distinct.len(), members, "{ticks:?} in term {term}");
                assert_eq!(distinct.first(), Some(&11), "someone is first");
                let latest = if members <= 5 { 15 } else { 10 + members };
                assert!(distinct.last() <= Some(&latest), "{ticks:?}");
            }
        }
    }

    #[test]
    fn the_first_in_line_has_time_to_win() {
        let mut ticks = draws(2, 1, 10);
        ticks.sort_unstable();
        assert_eq!(ticks, [11, 13]);
    }

    #[test]
    fn the_members_take_turns() {
        let first = |term| draws(3, term, 10).iter().position(|ticks| *ticks == 11);
        let firsts: BTreeSet<_> = (0..20).map(first).collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn any_configuration_gives_what_raft_takes() {
        for election_ticks in 2..30 {
            for members in 1..=9 {
                for ticks in draws(members, 7, election_ticks) {
                    assert!((election_ticks..2 * election_ticks).contains(&ticks));
                }
            }
        }
    }
}
