//! Planted bugs: each must be found within its number of seeds. One that is not found shows a blind spot
//! of the faults or of the checkers.

use consensus::core::mutation::{self, Mutation};
use simulator::{Mutant, Plan, Violation, simulate};

/// Seeds within which each planted bug must show; most show within a hundred.
const SEEDS: u64 = 2_000;

/// The first seed that breaks a rule.
fn hunt(mutant: Option<Mutant>) -> Option<(u64, Violation)> {
    (0..SEEDS).find_map(|seed| {
        let plan = Plan {
            mutant,
            ..Plan::new(seed)
        };
        simulate(&plan).violation.map(|violation| (seed, violation))
    })
}

#[test]
fn every_planted_bug_of_the_driver_is_found() {
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        match hunt(Some(mutant)) {
            Some((seed, violation)) => println!("{mutant:?}: seed {seed}: {violation:.300}"),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn every_planted_bug_of_the_core_is_found() {
    let mut missed = Vec::new();
    for planted in Mutation::ALL {
        if planted == Mutation::ElectionTimeoutKept {
            continue;
        }
        mutation::plant(Some(planted));
        let found = hunt(None);
        mutation::plant(None);
        match found {
            Some((seed, violation)) => println!("{planted:?}: seed {seed}: {violation:.300}"),
            None => missed.push(planted),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// Timeouts by chance break no rule; what they break is that a seed repeats itself.
#[test]
fn election_timeouts_by_chance_are_found_by_running_a_seed_twice() {
    mutation::plant(Some(Mutation::ElectionTimeoutKept));
    let differs = (0..10).any(|seed| {
        let hash = || simulate(&Plan::new(seed)).trace_hash;
        hash() != hash()
    });
    mutation::plant(None);
    assert!(differs, "ten seeds ran twice and left the same traces");
}
