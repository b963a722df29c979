//! Is a recorded history linearizable? A black-box checker for histories of real processes: it knows calls
//! and answers, and nothing of logs or revisions. The search of Wing and Gong with Lowe's memory, one key
//! at a time where no call spans several.
//!
//! An operation that answered nothing may have taken effect at any time after it was invoked, or never.
//! The search is bounded; a history that exhausts the bound is reported as [`Verdict::Unknown`], which
//! whoever asks must treat as a failure.

mod history;
mod search;

pub use history::{Answer, Call, Operation};

use history::Partition;
use search::search;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order of the operations that explains every answer.
    Linearizable,
    /// There is none.
    Violation {
        /// The keys whose operations contradict each other.
        keys: Vec<String>,
        /// Numbers, in the history, of operations that no order could place after the longest one
        /// found.
        unplaced: Vec<usize>,
    },
    /// The search was cut off.
    Unknown,
}

/// Checks a history. `steps_max` bounds the search of each group of keys.
pub fn check(history: &[Operation], steps_max: u64) -> Verdict {
    let mut verdict = Verdict::Linearizable;
    for partition in Partition::split(history) {
        match search(&partition, steps_max) {
            Verdict::Linearizable => {}
            Verdict::Unknown => verdict = Verdict::Unknown,
            violation => return violation,
        }
    }
    verdict
}
