//! Random numbers of a simulation: one seed, the same numbers on every machine (SplitMix64). The only
//! source of chance in this crate.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of a seed. Streams of neighbouring seeds have nothing in common.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed ^ 0x5bd1_e995_9d1b_54a5);
        dice.number();
        dice
    }

    /// A stream of its own, so that what one part draws does not shift what another part draws.
    pub fn fork(&mut self) -> Dice {
        Dice::new(self.number())
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.number() % bound }
    }

    /// A number of `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `per_mille` of a thousand cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A waiting time of this mean, exponentially distributed in steps: halves of halves.
    pub fn around(&mut self, mean: u64) -> u64 {
        // The sum of a geometric number of uniform parts; no floating point, so exact everywhere.
        let mut value = self.below(mean.max(1));
        while self.chance(500) {
            value += self.below(mean.max(1));
        }
        value
    }

    /// One of a slice that is not empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        &choices[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_neighbours_differ() {
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            (0..8).map(|_| dice.number()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert!(draw(7).iter().all(|number| !draw(8).contains(number)));
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut dice = Dice::new(1);
        for _ in 0..1000 {
            assert!((3..=5).contains(&dice.between(3, 5)));
            assert!(dice.below(7) < 7);
        }
        assert_eq!(dice.below(0), 0);
        let mean = (0..10_000).map(|_| dice.around(100)).sum::<u64>() / 10_000;
        assert!((80..=120).contains(&mean), "mean {mean}");
    }
}
