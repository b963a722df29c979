//! What the core wants done. Performing it is the driver's business; so is the order it may rely on:
//! `persist` in order and reported in order, `apply` in order and reported in order.

use super::message::Message;
use super::reads::{ReadOutcome, ReadRound};
use super::snapshots::SnapshotMark;
use bytes::Bytes;
use storage::Record;

/// Everything the core wants done since it was last asked.
///
/// Messages that promise durability (votes, acknowledgements of a follower) are not here before the
/// core was told that what they promise is durable: there is no list a driver could send too early.
#[derive(Debug, Default)]
pub struct Effects {
    /// Messages to send now. Losing one is safe.
    pub send: Vec<Message>,
    /// Messages that go out together with the snapshot taken for their receiver; how that ends is reported with
    /// `Core::snapshot_sent`, always.
    pub send_snapshots: Vec<Message>,
    /// Members for which a snapshot of the state is wanted; answered with `Core::snapshot_taken`, or
    /// `Core::snapshot_not_taken`.
    pub snapshots: Vec<u64>,
    /// Writes of the log, in order; each is reported with `Core::persisted`.
    pub persist: Vec<Persist>,
    /// Committed entries in log order, each exactly once; reported with `Core::applied`.
    pub apply: Vec<Committed>,
    /// Read rounds that came to an end.
    pub reads: Vec<(ReadRound, ReadOutcome)>,
}

impl Effects {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.send.is_empty()
            && self.send_snapshots.is_empty()
            && self.snapshots.is_empty()
            && self.persist.is_empty()
            && self.apply.is_empty()
            && self.reads.is_empty()
    }
}

/// One write of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persist {
    /// Reported back when durable; larger numbers imply the smaller ones. `None`: not reported.
    pub number: Option<u64>,
    /// Entries to append; may replace a suffix of the log.
    pub records: Vec<Record>,
    /// New hard state, encoded.
    pub hard_state: Option<Bytes>,
    /// Term and vote, if this write changes them.
    pub ballot: Option<Ballot>,
    /// Whether it must survive a crash before it is reported. False only for a commit index.
    pub must_sync: bool,
    /// This write replaces the whole log, and the staged state of the snapshot replaces the state after it.
    /// When both are durable, `Core::installed` says so; it stands for the report of this write.
    pub snapshot: Option<SnapshotMark>,
}

/// What a node must not forget, or it could vote twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ballot {
    /// Current term.
    pub term: u64,
    /// Node voted for in it, 0 for none.
    pub vote: u64,
}

/// One committed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Position in the log.
    pub position: Position,
    /// Payload bytes as they stand in the log; part of the hash chain.
    pub payload: Bytes,
    /// What to do with them.
    pub kind: CommittedKind,
}

/// What a committed entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommittedKind {
    /// Commands, or nothing at all (start of a term).
    Commands,
    /// A membership change that the core has already taken into effect; `conf_state` is to be stored
    /// in the same batch as the applied position. `None`: the change was refused and changes nothing.
    Membership {
        /// Encoded membership.
        conf_state: Option<Bytes>,
        /// The same, decoded, with what the proposer added.
        membership: crate::machine::Membership,
    },
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Index of the entry.
    pub index: u64,
    /// Its term.
    pub term: u64,
}
