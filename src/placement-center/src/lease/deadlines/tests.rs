use super::*;

const TERM: u64 = 7;
const SLACK: u64 = 1_000;
const SECOND: u64 = 1_000;
const NONE: [i64; 0] = [];

fn facts(ttl: i64, remaining_ms: u64) -> Facts {
    Facts {
        ttl,
        granted: 1,
        remaining_ms,
        keys: 0,
    }
}

fn lease(id: i64) -> LeaseRef {
    LeaseRef { id, granted: 1 }
}

/// A leader of [`TERM`] at time 0, to whom leases are granted from then on.
fn leader() -> Deadlines {
    let mut deadlines = Deadlines::default();
    deadlines.promote(TERM, 0, SLACK);
    deadlines
}

fn granted(leases: &[(i64, i64)]) -> Deadlines {
    let mut deadlines = leader();
    for (id, ttl) in leases {
        deadlines.touched(*id, Some(&facts(*ttl, 0)));
    }
    deadlines.look(0);
    deadlines
}

fn expired(deadlines: &mut Deadlines, now: u64) -> Vec<i64> {
    deadlines.look(now);
    let due = deadlines.take_expired(usize::MAX, u64::MAX);
    due.into_iter().map(|(lease, _)| lease.id).collect()
}

fn is_renewed(renewal: Renewal) -> bool {
    matches!(renewal, Renewal::Renewed { .. })
}

#[test]
fn a_lease_ends_when_its_time_is_over_and_is_handed_out_once() {
    let mut deadlines = granted(&[(1, 10), (2, 5)]);
    assert_eq!(expired(&mut deadlines, 5 * SECOND - 1), NONE);
    assert_eq!(expired(&mut deadlines, 5 * SECOND), [2]);
    assert_eq!(expired(&mut deadlines, 10 * SECOND), [1]);
    assert_eq!(expired(&mut deadlines, 100 * SECOND), NONE);
    assert_eq!(deadlines.len(), 2, "only the log ends a lease");
}

#[test]
fn a_renewal_gives_the_whole_ttl_again() {
    let mut deadlines = granted(&[(1, 10)]);
    assert!(is_renewed(deadlines.renew(1, 9 * SECOND)));
    assert_eq!(expired(&mut deadlines, 19 * SECOND - 1), NONE);
    assert_eq!(expired(&mut deadlines, 19 * SECOND), [1]);
}

#[test]
fn a_lease_whose_time_is_over_cannot_be_renewed() {
    let mut deadlines = granted(&[(1, 10)]);
    // Whether or not anybody has looked.
    assert_eq!(deadlines.renew(1, 10 * SECOND), Renewal::Expiring);
    assert_eq!(expired(&mut deadlines, 10 * SECOND), [1]);
    assert_eq!(deadlines.renew(1, 10 * SECOND), Renewal::Expiring);
    assert_eq!(deadlines.life(1, 10 * SECOND), Some(Life::Expiring));
    assert_eq!(deadlines.holds(lease(1)), Some(false));
}

#[test]
fn what_could_not_be_ended_is_due_again() {
    let mut deadlines = granted(&[(1, 10)]);
    deadlines.look(10 * SECOND);
    let due = deadlines.take_expired(1, 1);
    assert_eq!(due, [(lease(1), 10 * SECOND)]);
    deadlines.give_back(&due);
    assert_eq!(expired(&mut deadlines, 10 * SECOND), [1]);
    deadlines.give_back(&due);
    deadlines.touched(1, None);
    assert_eq!(
        expired(&mut deadlines, 10 * SECOND),
        NONE,
        "a client revoked it"
    );
}

#[test]
fn an_entry_is_bounded_by_leases_and_by_keys() {
    let mut deadlines = leader();
    for id in 1..=4 {
        let keys = if id == 3 { 500 } else { 1 };
        deadlines.touched(
            id,
            Some(&Facts {
                keys,
                ..facts(10, 0)
            }),
        );
    }
    deadlines.look(0);
    deadlines.look(10 * SECOND);
    let mut take = |leases_max, keys_max| {
        let due = deadlines.take_expired(leases_max, keys_max);
        due.into_iter()
            .map(|(lease, _)| lease.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(take(2, 100), [1, 2]);
    assert_eq!(take(9, 100), [3], "whatever it holds goes in one revision");
    assert_eq!(take(9, 100), [4]);
}

#[test]
fn a_new_leader_gives_every_lease_its_time_and_that_of_the_election() {
    let mut deadlines = granted(&[(1, 10)]);
    deadlines.touched(2, Some(&facts(3600, 20 * SECOND)));
    deadlines.promote(TERM + 1, 100 * SECOND, SLACK);
    assert_eq!(
        deadlines.life(1, 100 * SECOND),
        Some(Life::Live {
            ttl: 10,
            remaining_ms: 10 * SECOND
        })
    );
    // Written down: not the whole hour again.
    assert_eq!(expired(&mut deadlines, 121 * SECOND - 1), [1]);
    assert_eq!(expired(&mut deadlines, 121 * SECOND), [2]);
}

#[test]
fn a_renewal_does_not_take_back_what_a_leader_change_gave() {
    let mut deadlines = granted(&[(1, 10)]);
    deadlines.promote(TERM + 1, 0, SLACK);
    deadlines.renew(1, 0);
    assert_eq!(expired(&mut deadlines, 11 * SECOND - 1), NONE);
}

#[test]
fn a_follower_keeps_no_time() {
    let mut deadlines = granted(&[(1, 10)]);
    deadlines.demote();
    assert_eq!(deadlines.renew(1, 0), Renewal::NotLeading);
    assert_eq!(deadlines.life(1, 0), None);
    assert_eq!(expired(&mut deadlines, 100 * SECOND), NONE);
    deadlines.touched(2, Some(&facts(10, 0)));
    assert_eq!(deadlines.ends().len(), 2, "it knows of them all the same");
}

#[test]
fn a_lease_granted_anew_under_its_old_id_starts_anew() {
    let mut deadlines = granted(&[(1, 10)]);
    deadlines.look(10 * SECOND);
    deadlines.touched(1, None);
    let again = Facts {
        granted: 9,
        ..facts(10, 0)
    };
    deadlines.touched(1, Some(&again));
    assert_eq!(expired(&mut deadlines, 10 * SECOND), NONE);
    assert_eq!(
        deadlines.holds(lease(1)),
        Some(false),
        "not the one renewed"
    );
    assert_eq!(expired(&mut deadlines, 20 * SECOND), [1]);
}

/// The first half hour of a lease of an hour that nobody renews.
fn written_down(deadlines: &mut Deadlines) -> Vec<(u64, u64)> {
    let mut written = Vec::new();
    for now in (0..1800 * SECOND).step_by(SECOND as usize) {
        deadlines.look(now);
        for checkpoint in deadlines.take_checkpoints(10, now) {
            written.push((now, checkpoint.remaining_ms));
        }
    }
    written
}

#[test]
fn a_lease_that_nobody_renews_is_written_down_every_five_minutes() {
    let written = written_down(&mut granted(&[(1, 3600)]));
    let at = |minute: u64| (minute * 60 * SECOND, (60 - minute) * 60 * SECOND);
    assert_eq!(written, [5, 10, 15, 20, 25].map(at));
}

#[test]
fn a_lease_that_is_renewed_in_time_is_never_written_down() {
    let mut deadlines = granted(&[(1, 60), (2, 300)]);
    for now in (0..3600 * SECOND).step_by(SECOND as usize) {
        for (id, ttl) in [(1, 60), (2, 300)] {
            if now % (ttl * SECOND / 3) == 0 {
                let renewed = deadlines.renew(id, now);
                assert!(matches!(renewed, Renewal::Renewed { is_clean: true, .. }));
            }
        }
        deadlines.look(now);
        assert_eq!(deadlines.take_checkpoints(10, now).len(), 0);
    }
}

#[test]
fn a_renewal_waits_until_the_checkpoint_is_cleared() {
    let mut deadlines = granted(&[(1, 3600)]);
    let now = 400 * SECOND;
    deadlines.look(now);
    assert_eq!(deadlines.take_checkpoints(10, now).len(), 1);
    // Whether it has been applied yet or not, it stands in the log.
    let dirty = Renewal::Renewed {
        ttl: 3600,
        granted: 1,
        is_clean: false,
    };
    assert_eq!(deadlines.renew(1, now), dirty);
    assert_eq!(deadlines.renew(1, now), dirty, "the clear is on its way");
    assert_eq!(deadlines.holds(lease(1)), None);
    let clear = Checkpoint {
        lease: lease(1),
        remaining_ms: 0,
    };
    assert_eq!(deadlines.take_checkpoints(10, now), [clear]);
    // The checkpoint is applied only now, and keys come and go: none of it is the clear.
    deadlines.touched(1, Some(&facts(3600, 3200 * SECOND)));
    deadlines.touched(1, Some(&facts(3600, 0)));
    assert_eq!(deadlines.holds(lease(1)), None);
    deadlines.give_back_checkpoints(&[clear]);
    assert_eq!(
        deadlines.take_checkpoints(10, now),
        [clear],
        "proposed again"
    );
    deadlines.cleared(1);
    assert_eq!(deadlines.holds(lease(1)), Some(true));
    assert!(matches!(
        deadlines.renew(1, now),
        Renewal::Renewed { is_clean: true, .. }
    ));
}

#[test]
fn a_checkpoint_that_was_not_proposed_yet_gives_way_to_the_renewal() {
    let mut deadlines = granted(&[(1, 3600)]);
    let now = 400 * SECOND;
    deadlines.look(now);
    deadlines.renew(1, now);
    let taken = deadlines.take_checkpoints(10, now);
    assert_eq!(
        taken.iter().map(|c| c.remaining_ms).collect::<Vec<_>>(),
        [0]
    );
}

#[test]
fn a_leader_that_starts_from_a_checkpoint_clears_it_with_the_first_renewal() {
    let mut deadlines = Deadlines::default();
    deadlines.touched(1, Some(&facts(3600, 20 * SECOND)));
    deadlines.promote(TERM, 0, SLACK);
    assert!(matches!(
        deadlines.renew(1, 0),
        Renewal::Renewed {
            is_clean: false,
            ..
        }
    ));
    assert!(deadlines.has_clears());
}

#[test]
fn leases_that_come_and_go_leave_a_bounded_heap_behind() {
    let mut deadlines = leader();
    for _ in 0..10 * STALE_MAX {
        deadlines.touched(1, Some(&facts(3600, 0)));
        deadlines.look(0);
        deadlines.touched(1, None);
    }
    assert!(
        deadlines.wakes.len() <= STALE_MAX,
        "{}",
        deadlines.wakes.len()
    );
    deadlines.touched(1, Some(&facts(10, 0)));
    deadlines.look(0);
    assert_eq!(expired(&mut deadlines, 10 * SECOND), [1]);
}

#[test]
fn the_longest_lease_is_no_overflow() {
    let mut deadlines = granted(&[(1, crate::lease::TTL_MAX)]);
    let Some(Life::Live { remaining_ms, .. }) = deadlines.life(1, 0) else {
        panic!("it lives");
    };
    assert_eq!(remaining_ms, 9_000_000_000_000);
}

/// Chance for the test below.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// Leases, renewals and leader changes at random: no lease is due before what its owner was last promised,
/// nor later than that plus what leader changes give.
#[test]
fn whatever_happens_no_lease_ends_early() {
    for seed in 0..50 {
        let mut dice = Dice(seed);
        let mut deadlines = leader();
        // Of each lease: until when its owner may count on it, and what is durable of it.
        let mut promised = std::collections::BTreeMap::new();
        let (mut now, mut term) = (0, TERM);
        for step in 0..2000_u64 {
            now += dice.roll(20 * SECOND);
            match dice.roll(8) {
                0 => {
                    let facts = Facts {
                        granted: step,
                        ..facts(1 + dice.roll(1200) as i64, 0)
                    };
                    deadlines.touched(step as i64, Some(&facts));
                    deadlines.look(now);
                    promised.insert(step as i64, (now + ttl_ms(&facts), facts));
                }
                1 => {
                    term += 1;
                    deadlines.promote(term, now, SLACK);
                }
                2 => {
                    for checkpoint in deadlines.take_checkpoints(3, now) {
                        let id = checkpoint.lease.id;
                        let Some((_, facts)) = promised.get_mut(&id) else {
                            continue;
                        };
                        facts.remaining_ms = checkpoint.remaining_ms;
                        deadlines.touched(id, Some(facts));
                        if checkpoint.remaining_ms == 0 {
                            deadlines.cleared(id);
                        }
                    }
                }
                _ => {
                    let ids: Vec<i64> = promised.keys().copied().collect();
                    if ids.is_empty() {
                        continue;
                    }
                    let id = ids[dice.roll(ids.len() as u64) as usize];
                    if let Renewal::Renewed { is_clean: true, .. } = deadlines.renew(id, now) {
                        let (until, facts) = promised.get_mut(&id).expect("a lease");
                        *until = now + ttl_ms(facts);
                    }
                }
            }
            deadlines.look(now);
            for (lease, _) in deadlines.take_expired(usize::MAX, u64::MAX) {
                let (until, _) = promised.remove(&lease.id).expect("it ends once");
                assert!(
                    now >= until,
                    "seed {seed} step {step}: {} ended early",
                    lease.id
                );
                deadlines.touched(lease.id, None);
            }
        }
    }
}
