//! Election timeouts as a pure function, so that a simulation of the core is exact. raft-rs 0.7
//! draws them from the thread's random generator at every change of role or term; the core
//! overwrites what it drew after each input.

use raft::StateRole;

/// What the timeout depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    pub(crate) seed: u64,
    pub(crate) node_id: u64,
    pub(crate) term: u64,
    pub(crate) role: StateRole,
}

/// A timeout of `ticks_min..ticks_max` for this draw.
pub(crate) fn timeout_ticks(draw: Draw, ticks_min: usize, ticks_max: usize) -> usize {
    assert!(
        ticks_min < ticks_max,
        "the configuration leaves a choice of timeouts"
    );
    let span = (ticks_max - ticks_min) as u64;
    let mut word = draw.seed;
    for part in [draw.node_id, draw.term, draw.role as u64] {
        word = scramble(word ^ part);
    }
    let offset = usize::try_from(word % span).expect("the offset is below a usize");
    ticks_min + offset
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

    fn draw(node_id: u64, term: u64) -> usize {
        timeout_ticks(
            Draw {
                seed: 42,
                node_id,
                term,
                role: StateRole::Follower,
            },
            10,
            20,
        )
    }

    #[test]
    fn a_timeout_is_within_its_bounds_and_spread() {
        let seen: BTreeSet<_> = (0..200).map(|term| draw(1, term)).collect();
        assert_eq!(seen.first(), Some(&10));
        assert_eq!(seen.last(), Some(&19));
        assert_eq!(seen.len(), 10);
    }

    #[test]
    fn nodes_differ_and_repeat_themselves() {
        assert!((0..20).any(|term| draw(1, term) != draw(2, term)));
        assert!((0..20).all(|term| draw(3, term) == draw(3, term)));
    }
}
