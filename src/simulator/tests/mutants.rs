//! Planted bugs: each must be found within its number of seeds. One that is not found shows a blind spot
//! of the faults or of the checkers.

use simulator::{Mutant, Plan, simulate};

/// Seeds within which each planted bug must show.
const SEEDS: u64 = 300;

#[test]
fn every_planted_bug_of_the_driver_is_found() {
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        let found = (0..SEEDS).find_map(|seed| {
            let plan = Plan {
                mutant: Some(mutant),
                ..Plan::new(seed)
            };
            simulate(&plan).violation.map(|violation| (seed, violation))
        });
        match found {
            Some((seed, violation)) => println!("{mutant:?}: seed {seed}: {violation:.200}"),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
