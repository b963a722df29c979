//! How long a link waits before it tries again: longer after each failure, not in step with others, and longest after
//! refusals, which a person has to do something about.

use std::time::Duration;

/// First pause after a connection that failed, doubled up to the second.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);
/// First pause after a peer said no, doubled up to the second: what a member does not know yet it may know in a
/// moment, and what it does not believe it may never.
const FIRST_REFUSED: Duration = Duration::from_millis(200);
const LONGEST_REFUSED: Duration = Duration::from_secs(10);
/// A connection that lasted this long worked; one that ends earlier counts as a failure, or two that end each other
/// would do so for ever without a pause.
const WORKED: Duration = Duration::from_secs(1);

/// The pauses of one link.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
    next_refused: Duration,
    /// Changes with every pause, different for every pair of members.
    salt: u64,
}

impl Pause {
    pub(super) fn new(from: u64, to: u64) -> Pause {
        Pause {
            next: FIRST,
            next_refused: FIRST_REFUSED,
            salt: mixed(from.rotate_left(32) ^ to),
        }
    }

    /// A connection lasted this long.
    pub(super) fn connected(&mut self, lasted: Duration) {
        if lasted >= WORKED {
            self.next = FIRST;
            self.next_refused = FIRST_REFUSED;
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
        let pause = self.next_refused;
        self.next_refused = (pause * 2).min(LONGEST_REFUSED);
        self.jittered(pause)
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
    }

    /// When a link that is refused each time tries in a span of time; nothing passes but its pauses.
    fn attempts(pause: &mut Pause, span: Duration) -> Vec<Duration> {
        let mut now = Duration::ZERO;
        let mut attempts = Vec::new();
        while now < span {
            attempts.push(now);
            now += pause.refused();
        }
        attempts
    }

    #[test]
    fn who_is_refused_tries_soon_again_then_less_and_less_and_never_gives_up() {
        let hour = Duration::from_secs(3600);
        let mut pause = Pause::new(1, 2);
        let tried = attempts(&mut pause, hour);
        let within = |span| tried.iter().filter(|at| **at < span).count();
        assert!(within(Duration::from_secs(1)) >= 3, "{:?}", &tried[..10]);
        assert!((290..=370).contains(&tried.len()), "{}", tried.len());
        let pauses: Vec<Duration> = tried.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            pauses
                .iter()
                .all(|pause| *pause <= LONGEST_REFUSED.mul_f64(1.25))
        );
        assert!(pauses[..5].is_sorted(), "{:?}", &pauses[..10]);
        assert!(pauses[10] != pauses[11], "no jitter: {:?}", &pauses[..20]);
        // A network that fails meanwhile changes nothing, a connection that works does.
        pause.failed();
        assert!(pause.refused() >= LONGEST_REFUSED);
        pause.connected(WORKED);
        assert!(pause.refused() < FIRST_REFUSED * 2);
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
