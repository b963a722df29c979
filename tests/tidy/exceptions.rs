//! Every exception from a rule, with its reason. A row that excuses nothing any more is a finding too,
//! so that the tables stay as short as the truth.

use crate::finding::Finding;

/// One excuse.
pub struct Exception {
    /// The file.
    pub path: &'static str,
    /// What in it: the function, the lint, the word; empty for the file as a whole.
    pub subject: &'static str,
    /// Why the rule does not hold there.
    pub reason: &'static str,
}

const fn row(path: &'static str, subject: &'static str, reason: &'static str) -> Exception {
    Exception {
        path,
        subject,
        reason,
    }
}

/// Files longer than the limit.
pub const LONG_FILES: &[Exception] = &[];

/// Functions longer than the limit.
pub const LONG_FUNCTIONS: &[Exception] = &[];

/// Lints switched off in a file.
pub const SILENCED_LINTS: &[Exception] = &[
    row(
        "src/cmd/src/clock.rs",
        "clippy::disallowed_methods",
        "the module through which this crate reads time",
    ),
    row(
        "src/consensus/src/clock.rs",
        "clippy::disallowed_methods",
        "the module through which this crate reads time",
    ),
    row(
        "src/protocol/src/lib.rs",
        "missing_docs",
        "generated code: the .proto files document it",
    ),
    row(
        "src/protocol/src/lib.rs",
        "clippy::all",
        "generated code: its style is not ours",
    ),
    row(
        "src/protocol/src/lib.rs",
        "clippy::unwrap_used",
        "generated code: its style is not ours",
    ),
    row(
        "src/protocol/src/lib.rs",
        "clippy::large_futures",
        "generated code: its style is not ours",
    ),
];

/// Tests that let time pass.
pub const SLEEPS: &[Exception] = &[
    row(
        "tests/harness/wait.rs",
        "sleep",
        "the one place of the system tests that polls, with a deadline",
    ),
    row(
        "src/consensus/src/group/tests/fixture.rs",
        "sleep",
        "the one place of the group's tests that polls, with a deadline",
    ),
    row(
        "src/placement-center/src/node/tests/cluster.rs",
        "sleep",
        "the one place of the node's tests that polls, with a deadline",
    ),
    row(
        "src/placement-center/src/peer/tests.rs",
        "sleep",
        "the one place of the transport's tests that polls, with a deadline",
    ),
    row(
        "src/placement-center/src/service/testing.rs",
        "sleep",
        "the one place of the service's tests that polls, with a deadline",
    ),
    row(
        "src/placement-center/src/service/tests/pipeline.rs",
        "sleep",
        "waits until a server does nothing more, which no event announces",
    ),
];

/// Names that a pure file uses harmlessly.
pub const IMPURE: &[Exception] = &[];

/// The findings that no row excuses, and one for each row that excuses nothing.
pub fn spare(exceptions: &[Exception], findings: Vec<Finding>) -> Vec<Finding> {
    let excuses = |row: &Exception, finding: &Finding| {
        row.path == finding.path && row.subject == finding.subject
    };
    let mut left = Vec::new();
    for row in exceptions {
        if row.reason.split_whitespace().count() < 3 {
            left.push(Finding::at(
                row.path,
                0,
                row.subject,
                "the exception gives no reason",
            ));
        }
        if !findings.iter().any(|finding| excuses(row, finding)) {
            let message = format!(
                "nothing to excuse here any more ({}): remove the exception",
                row.subject
            );
            left.push(Finding::at(row.path, 0, row.subject, message));
        }
    }
    left.extend(
        findings
            .into_iter()
            .filter(|finding| !exceptions.iter().any(|row| excuses(row, finding))),
    );
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_excuses_its_finding_only() {
        let rows = [row("a.rs", "x", "because it must be so")];
        let finding = |path: &str, subject: &str| Finding::at(path, 1, subject, "bad");
        assert_eq!(spare(&rows, vec![finding("a.rs", "x")]), []);
        assert_eq!(
            spare(&rows, vec![finding("a.rs", "x"), finding("a.rs", "y")]).len(),
            1
        );
        assert_eq!(
            spare(&rows, vec![finding("a.rs", "x"), finding("b.rs", "x")]).len(),
            1
        );
    }

    #[test]
    fn a_useless_or_unexplained_row_is_found() {
        assert_eq!(
            spare(&[row("a.rs", "x", "because it must be so")], Vec::new()).len(),
            1
        );
        let findings = vec![Finding::at("a.rs", 1, "x", "bad")];
        assert_eq!(spare(&[row("a.rs", "x", "why not")], findings).len(), 1);
    }
}
