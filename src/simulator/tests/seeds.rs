//! Many seeds, no planted bug: no rule may break, and every fault must really have struck.

use simulator::{Count, Counters, Plan, simulate};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Seeds of one run of the suite; `SIM_SEEDS` names another number, `SIM_FIRST` the first of them.
const SEEDS: u64 = 1_000;
/// Seeds are shared out among this many threads.
const THREADS: usize = 2;

fn number(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(otherwise, |value| value.parse().expect("a number of seeds"))
}

/// Runs seeds until there are none left, and says which of them broke a rule.
fn run_share(next: &AtomicU64, end: u64, met: &Mutex<Counters>) -> Vec<String> {
    let mut broken = Vec::new();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return broken;
        }
        let outcome = simulate(&Plan::new(seed));
        if let Some(violation) = outcome.violation {
            let (at, options) = (outcome.elapsed, outcome.options);
            println!("seed {seed} at {at} us: {violation:.600}");
            broken.push(format!("seed {seed} at {at} us: {violation}\n{options:#?}"));
        }
        met.lock()
            .expect("no holder of the lock panics")
            .merge(&outcome.counters);
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // measures how many seeds a minute takes
fn no_rule_breaks_and_every_fault_strikes() {
    let (first, seeds) = (number("SIM_FIRST", 0), number("SIM_SEEDS", SEEDS));
    let (next, met) = (AtomicU64::new(first), Mutex::new(Counters::default()));
    let began = Instant::now();
    let broken: Vec<String> = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| run_share(&next, first + seeds, &met)))
            .collect();
        let shares = shares.into_iter().map(|share| share.join().unwrap());
        shares.flatten().collect()
    });
    let core_minutes = began.elapsed().as_secs_f64() / 60.0 * THREADS as f64;
    let counters = met.into_inner().unwrap();
    println!(
        "{seeds} seeds from {first}: {:.0} seeds per core-minute; {counters}",
        seeds as f64 / core_minutes
    );
    assert!(
        broken.is_empty(),
        "{} seeds broke a rule, the first:\n{}",
        broken.len(),
        broken[0]
    );
    let unseen: Vec<Count> = counters.unseen();
    assert!(unseen.is_empty(), "never seen: {unseen:?}");
}
