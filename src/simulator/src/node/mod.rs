//! One simulated node: its disk, which outlives crashes, and the run that is up. A run does what the
//! driver and its threads do in the product, at virtual times, one step at a time; every step may be
//! the one during which the power fails.

mod applier;
mod keeper;
mod requests;
mod run;
mod snapshots;
mod start;
mod writer;

pub(crate) use run::Running;
pub(crate) use snapshots::{Received, Ship};

use crate::dice::Dice;
use crate::queue::Micros;
use storage::{Fault, MemoryDisk};

/// Length of a tick when the node's clock is right.
pub(crate) const TICK: Micros = 100_000;
/// Ticks of the shortest election timeout.
pub(crate) const ELECTION_TICKS: usize = 10;

/// Why a run ends.
#[derive(Debug)]
pub(crate) enum Halt {
    /// A crash that was planned for this point.
    Struck(CrashPoint),
    /// The storage failed.
    Storage(storage::Error),
    /// The node refuses to start.
    Refused(String),
    /// The state machine cannot go on.
    Broken(String),
}

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Halt::Struck(point) => write!(f, "struck {point:?}"),
            Halt::Storage(error) => write!(f, "{error} ({error:?})"),
            Halt::Refused(reason) => write!(f, "refuses to start: {reason}"),
            Halt::Broken(reason) => write!(f, "cannot go on: {reason}"),
        }
    }
}

impl From<storage::Error> for Halt {
    fn from(error: storage::Error) -> Self {
        Halt::Storage(error)
    }
}

/// Where a crash strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashPoint {
    AfterSend,
    AfterVote,
    BetweenBatches,
    AtChange,
    AtInstall,
}

/// One node.
pub(crate) struct Node {
    pub(crate) at: usize,
    pub(crate) id: u64,
    pub(crate) disk: MemoryDisk,
    pub(crate) running: Option<Box<Running>>,
    pub(crate) boot: u64,
    /// Events wait until then.
    pub(crate) paused_until: Micros,
    /// Operation of the disk at which a fault was planned.
    pub(crate) fails_at: Option<(u64, Fault)>,
    pub(crate) tick: Micros,
    /// It left and does not come back.
    pub(crate) gone: bool,
    /// How far the wall clock is off.
    pub(crate) wall_ms: i64,
    pub(crate) dice: Dice,
}

impl Node {
    pub(crate) fn new(at: usize, tick: Micros, dice: Dice) -> Self {
        Node {
            at,
            id: at as u64 + 1,
            disk: MemoryDisk::new(),
            running: None,
            boot: 0,
            paused_until: 0,
            fails_at: None,
            tick,
            gone: false,
            wall_ms: 0,
            dice,
        }
    }

    /// The planned fault of the disk, if it has come to pass.
    pub(crate) fn disk_failed(&self) -> Option<Fault> {
        let (_, fault) = self
            .fails_at
            .filter(|(operation, _)| self.disk.operations() >= *operation)?;
        Some(fault)
    }
}
