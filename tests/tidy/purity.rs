//! State machines and the consensus core give the same output for the same input on every machine. This
//! keeps out of their files the names through which time, chance, threads and the outside world enter.

use crate::finding::Finding;
use crate::masked::Masked;
use crate::source::is_test_file;

/// Files and folders that must be pure.
const PURE: [&str; 3] = [
    "src/placement-center/src/kv/",
    "src/placement-center/src/machine",
    "src/consensus/src/core",
];

/// A name, and why it may not appear there.
const IMPURE_NAMES: [(&str, &str); 9] = [
    ("Instant", "time comes in with the command or as ticks"),
    ("SystemTime", "time comes in with the command"),
    ("tokio::time", "time comes in with the command or as ticks"),
    ("HashMap", "its order differs between runs; use BTreeMap"),
    ("HashSet", "its order differs between runs; use BTreeSet"),
    ("std::thread", "the driver owns threads"),
    ("std::fs", "storage goes through the `storage` crate"),
    ("std::net", "the service owns sockets"),
    (
        "log::",
        "say it in the reply or the effects; the driver logs",
    ),
];

/// Names that would make a pure file depend on more than its input.
pub fn impure(path: &str, source: &Masked) -> Vec<Finding> {
    let mut findings = Vec::new();
    if is_test_file(path) || !PURE.iter().any(|pure| path.starts_with(pure)) {
        return findings;
    }
    for (name, reason) in IMPURE_NAMES {
        // `crate::log::` is the Raft log, `log::` at the start of a path the logging crate.
        let begins = |at: &usize| name != "log::" || !source.code[..*at].ends_with("::");
        let places = source.words(name).filter(begins);
        for at in places.filter(|at| !source.in_tests(*at)) {
            let message = format!("`{name}` in a pure file: {reason}");
            findings.push(Finding::at(path, source.line(at), name, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impure_names_are_found() {
        let found = |path: &str, text: &str| impure(path, &Masked::new(text)).len();
        assert_eq!(
            found("src/consensus/src/core/a.rs", "use std::time::Instant;"),
            1
        );
        for (name, _) in IMPURE_NAMES {
            let text = format!("use {name};");
            assert_eq!(found("src/consensus/src/core/read.rs", &text), 1, "{name}");
            assert_eq!(found("src/consensus/src/driver/mod.rs", &text), 0, "{name}");
            assert_eq!(
                found("src/placement-center/src/kv/check/tests.rs", &text),
                0,
                "{name}"
            );
        }
        assert_eq!(
            found(
                "src/placement-center/src/kv/txn.rs",
                "// a HashMap would do\n"
            ),
            0
        );
        assert_eq!(
            found("src/consensus/src/core/mod.rs", "use crate::log::Entry;"),
            0
        );
    }
}
