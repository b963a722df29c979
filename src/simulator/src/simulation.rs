//! Running one seed, and what comes out of it.

use crate::check::Violation;
use crate::counters::Counters;
use crate::mutant::Mutant;
use crate::options::Options;
use crate::queue::{Micros, SECOND};
use crate::world::{Setup, World};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What to simulate.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Virtual length of the phase of faults.
    pub duration: Micros,
    /// Keep the text of what happened.
    pub keep_text: bool,
    /// A bug to plant in the driver.
    pub mutant: Option<Mutant>,
}

impl Plan {
    /// Sixty virtual seconds of faults, no planted bug.
    pub fn new(seed: u64) -> Self {
        Plan {
            seed,
            duration: 60 * SECOND,
            keep_text: false,
            mutant: None,
        }
    }
}

/// What came out.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first rule that broke. A panic of the product is one too.
    pub violation: Option<Violation>,
    /// What the run met.
    pub counters: Counters,
    /// Hash over everything that happened.
    pub trace_hash: u64,
    /// The text of it, if it was kept.
    pub trace: Option<String>,
    /// Conditions of the seed, printed with a violation; `None` after a panic.
    pub options: Option<Options>,
    /// Virtual time at the end.
    pub elapsed: Micros,
}

/// Runs one seed to its end or to the first violation.
pub fn simulate(plan: &Plan) -> Outcome {
    let setup = Setup {
        seed: plan.seed,
        duration: plan.duration,
        keep_text: plan.keep_text,
        mutant: plan.mutant,
    };
    match catch_unwind(AssertUnwindSafe(|| World::new(&setup).run())) {
        Ok(end) => Outcome {
            seed: plan.seed,
            violation: end.violation,
            counters: end.counters,
            trace_hash: end.hash,
            trace: end.text,
            options: Some(end.options),
            elapsed: end.elapsed,
        },
        Err(panic) => Outcome {
            seed: plan.seed,
            violation: Some(Violation {
                rule: "nothing panics",
                detail: message(panic.as_ref()),
            }),
            counters: Counters::default(),
            trace_hash: 0,
            trace: None,
            options: None,
            elapsed: 0,
        },
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
        .to_owned()
}
