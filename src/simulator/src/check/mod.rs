//! The checkers: every rule that must hold after every step, and the first that did not.

mod kv;
mod log;
mod protocol;

use crate::counters::Counters;
use crate::ops::Op;
use std::fmt;
use storage::MemoryDisk;

pub(crate) use kv::{Served, learnt};
use log::CommittedLog;
use protocol::NodeRecord;
use std::collections::BTreeMap;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: &'static str,
    /// By what.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)
    }
}

/// What the checkers remember.
pub(crate) struct Checker {
    violation: Option<Violation>,
    disks: Vec<MemoryDisk>,
    /// The disk that was replaced: what it held counted when it was committed.
    lost: Option<(usize, MemoryDisk)>,
    nodes: Vec<NodeRecord>,
    /// Who led each term.
    leaders: BTreeMap<u64, u64>,
    /// Whom each node voted for in each term.
    votes: BTreeMap<(u64, u64), u64>,
    /// Of each entry ever appended, by index and term: a digest, and the term of the entry before.
    appended: BTreeMap<(u64, u64), (u64, u64)>,
    committed: CommittedLog,
    /// Newest entry a client knows of.
    floor: u64,
}

impl Checker {
    pub(crate) fn new(disks: Vec<MemoryDisk>, founders: usize) -> Self {
        let nodes = disks.iter().map(|_| NodeRecord::default()).collect();
        Checker {
            violation: None,
            disks,
            lost: None,
            nodes,
            leaders: BTreeMap::new(),
            votes: BTreeMap::new(),
            appended: BTreeMap::new(),
            committed: CommittedLog::new((1..=founders as u64).collect()),
            floor: 0,
        }
    }

    /// A node lost its disk and has a new one. What it promised is forgotten; whoever admits it again
    /// must answer for that.
    pub(crate) fn wiped(&mut self, node: usize, disk: MemoryDisk) {
        let lost = std::mem::replace(&mut self.disks[node], disk);
        self.lost = Some((node, lost));
        self.nodes[node] = NodeRecord::default();
    }

    /// A rule was broken; the first one counts.
    pub(crate) fn fail(&mut self, rule: &'static str, detail: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(Violation {
                rule,
                detail: detail(),
            });
        }
    }

    pub(crate) fn require(
        &mut self,
        holds: bool,
        rule: &'static str,
        detail: impl FnOnce() -> String,
    ) {
        if !holds {
            self.fail(rule, detail);
        }
    }

    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Newest entry any client knows of.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// Entries committed so far.
    pub(crate) fn committed_index(&self) -> u64 {
        self.committed.last()
    }
}

/// What a checker needs besides its own memory.
pub(crate) struct Scene<'a> {
    pub(crate) ops: &'a [Op],
    pub(crate) counters: &'a mut Counters,
}
