//! How long a link waits before it tries again: longer after each failure, not in step with others, and long after
//! a refusal, which a person has to do something about.

use std::time::Duration;

/// First pause after a connection that failed, doubled up to the second.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);
/// Pause after a peer said no.
const REFUSED: Duration = Duration::from_secs(5);
/// A connection that lasted this long worked; one that ends earlier counts as a failure, or two that end each other
/// would do so for ever without a pause.
const WORKED: Duration = Duration::from_secs(1);

/// The pauses of one link.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
    /// Changes with every pause, different for every pair of members.
    salt: u64,
}

impl Pause {
    pub(super) fn new(from: u64, to: u64) -> Pause {
        Pause {
            next: FIRST,
            salt: mixed(from.rotate_left(32) ^ to),
        }
    }

    /// A connection lasted this long.
    pub(super) fn connected(&mut self, lasted: Duration) {
        if lasted >= WORKED {
            self.next = FIRST;
        }
    }

    /// The pause after a failure of the network.
    pub(super) fn failed(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        self.jittered(pause)
    }

    /// The pause after a refusal.
    pub(super) fn refused(&mut self) -> Duration {
        self.jittered(REFUSED)
    }

    /// Up to a quarter more. Computed, not drawn: the same run gives the same pauses.
    fn jittered(&mut self, pause: Duration) -> Duration {
        self.salt = mixed(self.salt);
        pause + pause.mul_f64((self.salt >> 40) as f64 / (1_u64 << 26) as f64)
    }
}

/// Scatters a number (the finaliser of splitmix64).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew_after_a_connection_that_worked() {
        let mut pause = Pause::new(1, 2);
        let mut expected = FIRST;
        for _ in 0..20 {
            let waited = pause.failed();
            assert!(waited >= expected && waited <= expected.mul_f64(1.25));
            expected = (expected * 2).min(LONGEST);
        }
        pause.connected(WORKED / 2);
        assert!(pause.failed() >= LONGEST, "a short one is a failure");
        pause.connected(WORKED);
        assert!(pause.failed() < FIRST * 2);
        assert!(pause.refused() >= REFUSED);
    }

    #[test]
    fn members_do_not_try_in_step() {
        let pauses = |from, to| {
            let mut pause = Pause::new(from, to);
            std::iter::repeat_with(|| pause.refused())
                .take(10)
                .collect::<Vec<_>>()
        };
        assert_eq!(pauses(1, 2), pauses(1, 2));
        assert_ne!(pauses(1, 2), pauses(2, 1));
        assert_ne!(pauses(1, 3), pauses(2, 3));
        let first = pauses(1, 2);
        assert!(first.iter().any(|pause| *pause != first[0]));
    }
}
