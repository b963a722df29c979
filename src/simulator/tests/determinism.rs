//! One seed, one run: everything that happens is the same, byte for byte, however often it is run.

use simulator::{Plan, SECOND, simulate};

/// Seeds that are run twice.
const SEEDS: u64 = 12;

#[test]
fn a_seed_run_twice_leaves_the_same_trace() {
    for seed in 0..SEEDS {
        let plan = Plan {
            duration: 10 * SECOND,
            keep_text: true,
            ..Plan::new(seed)
        };
        let (first, second) = (simulate(&plan), simulate(&plan));
        let text = first.trace.expect("the text is kept");
        assert!(text.len() > 10_000, "seed {seed}: {} bytes", text.len());
        assert!(
            second.trace.as_deref() == Some(text.as_str()),
            "seed {seed} left two traces"
        );
        assert_eq!(first.trace_hash, second.trace_hash);
        assert_eq!(first.counters, second.counters);
    }
}

#[test]
fn the_text_of_a_trace_does_not_change_the_run() {
    let quiet = Plan {
        duration: 10 * SECOND,
        ..Plan::new(1)
    };
    let loud = Plan {
        keep_text: true,
        ..quiet
    };
    assert_eq!(simulate(&quiet).trace_hash, simulate(&loud).trace_hash);
}

#[test]
fn seeds_differ() {
    let hash = |seed| {
        let plan = Plan {
            duration: 2 * SECOND,
            ..Plan::new(seed)
        };
        simulate(&plan).trace_hash
    };
    assert_ne!(hash(1), hash(2));
}
