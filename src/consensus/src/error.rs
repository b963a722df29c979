//! The errors of this crate's boundary. Those of a request say whether the command was applied;
//! those of the group say which operation stopped it.

use crate::core::OpenError;
use crate::machine::MachineError;
use crate::payload::PayloadError;
use std::time::Duration;

/// Why a proposal got no reply. Each says whether the command was applied.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProposeError {
    /// Not applied; retry later here.
    #[error("too many requests in flight")]
    Overloaded,
    /// Not applied; ask the leader.
    #[error("not the leader")]
    NotLeader {
        /// The leader as far as this node knows.
        leader: Option<u64>,
    },
    /// Not applied, never will be.
    #[error("command of {bytes} bytes exceeds {bytes_max}")]
    TooLarge {
        /// Size of the refused command.
        bytes: usize,
        /// Largest size admitted.
        bytes_max: usize,
    },
    /// Not applied: another entry took its place in the log.
    #[error("leadership lost before the command was committed")]
    Superseded {
        /// The leader as far as this node knows.
        leader: Option<u64>,
    },
    /// Unknown whether applied.
    #[error("leadership lost while the command was in flight")]
    OutcomeUnknown {
        /// The leader as far as this node knows.
        leader: Option<u64>,
    },
    /// The node stops.
    #[error("the node is stopping")]
    Stopping {
        /// False: refused, not applied. True: it was in flight, unknown whether applied.
        outcome_unknown: bool,
    },
}

/// Why a read barrier was not passed. Always safe to retry.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadError {
    /// No leader answered within the bound of retries.
    #[error("no leader")]
    NoLeader,
    /// Retry later here.
    #[error("too many requests in flight")]
    Overloaded,
    /// The node stops.
    #[error("the node is stopping")]
    Stopping,
    /// The read round was lost (leadership change); retry is safe.
    #[error("leadership changed during the read")]
    LeaderChanged,
}

/// Why the group does not start. Nothing was voted, proposed or applied.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A value of the configuration is impossible.
    #[error("invalid consensus configuration: {0}")]
    Config(String),
    /// `Group::start` was called outside a tokio runtime.
    #[error("no tokio runtime to run on")]
    NoRuntime(#[source] tokio::runtime::TryCurrentError),
    /// The directory belongs to another cluster.
    #[error(
        "the data directory belongs to cluster {found:#018x}, this node is configured for cluster {expected:#018x}"
    )]
    WrongCluster {
        /// Configured.
        expected: u64,
        /// In the identity file.
        found: u64,
    },
    /// The directory belongs to another node.
    #[error(
        "the data directory belongs to node {found}, this node is configured as node {expected}"
    )]
    WrongNode {
        /// Configured.
        expected: u64,
        /// In the identity file.
        found: u64,
    },
    /// Log or state without the identity file that says whose they are.
    #[error(
        "the data directory holds a log or a state but no identity; it is not safe to guess whose it is"
    )]
    IdentityMissing,
    /// The log ends before what this node is known to have made durable: it could break its promises.
    #[error(
        "the log ends at index {found}, but this node made index {expected} durable: refusing to vote with a log that lost entries"
    )]
    LogBehindWatermark {
        /// Index of the watermark.
        expected: u64,
        /// Last index of the log.
        found: u64,
    },
    /// The term went back behind what this node is known to have made durable: it could vote twice.
    #[error(
        "the log is at term {found}, but this node reached term {expected}: refusing to vote twice in one term"
    )]
    TermBehindWatermark {
        /// Term of the watermark.
        expected: u64,
        /// Term of the hard state.
        found: u64,
    },
    /// The vote differs from the one this node is known to have made durable in the same term.
    #[error(
        "the log holds a vote for node {found} in term {term}, but this node voted for node {expected}"
    )]
    VoteChanged {
        /// The term both speak of.
        term: u64,
        /// Vote of the watermark.
        expected: u64,
        /// Vote of the hard state.
        found: u64,
    },
    /// A node with a new directory is not among the founders, or is one of them and is told to join.
    #[error(
        "node {node_id} does not fit the founding voters {voters:?}: a founder is among them, a node that joins is not"
    )]
    NotAFounder {
        /// This node.
        node_id: u64,
        /// Configured founders.
        voters: Vec<u64>,
    },
    /// Log and state do not fit together.
    #[error("open the consensus core")]
    Core(#[from] OpenError),
    /// The log store failed.
    #[error("read or write the log")]
    Log(#[source] storage::Error),
    /// The identity file could not be written.
    #[error("save the identity of the data directory")]
    Identity(#[source] storage::Error),
    /// A thread could not be spawned.
    #[error("spawn the {part} thread")]
    Spawn {
        /// Which part of the group.
        part: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Why the group died. The process must stop: what is on disk is safe, what is in memory is not
/// trusted any more.
#[derive(Debug, thiserror::Error)]
pub enum FatalError {
    /// A write or sync of the log failed. After a failed sync the kernel may have dropped the
    /// data, so a retry could report success for bytes that are gone.
    #[error("write the log")]
    WriteLog(#[source] storage::Error),
    /// The watermark could not be saved.
    #[error("save the watermark")]
    SaveWatermark(#[source] storage::Error),
    /// The state machine cannot go on.
    #[error("apply entry {index}")]
    Apply {
        /// Index of the entry.
        index: u64,
        /// What the machine said.
        #[source]
        source: MachineError,
    },
    /// An entry of the log cannot be understood by this version.
    #[error("decode entry {index}")]
    Payload {
        /// Index of the entry.
        index: u64,
        /// What is wrong with it.
        #[source]
        source: PayloadError,
    },
    /// Housekeeping of the state failed.
    #[error("housekeep the state")]
    Housekeep(#[source] MachineError),
    /// A batch of the state could not be committed.
    #[error("commit the state at entry {index}")]
    CommitState {
        /// Index of the last entry of the batch.
        index: u64,
        /// What the store said.
        #[source]
        source: storage::Error,
    },
    /// A snapshot could not be put in the place of log and state.
    #[error("install the snapshot at entry {index}")]
    Install {
        /// Index of the last entry it holds.
        index: u64,
        /// What the store said.
        #[source]
        source: storage::Error,
    },
    /// The state machine cannot go on with the state of a snapshot.
    #[error("take over the state of the snapshot at entry {index}")]
    Restore {
        /// Index of the last entry it holds.
        index: u64,
        /// What the machine said.
        #[source]
        source: MachineError,
    },
    /// The state could not be flushed.
    #[error("flush the state")]
    Flush(#[source] storage::Error),
    /// A part of the group panicked: a bug.
    #[error("the {part} panicked: {message}")]
    Panicked {
        /// Which part of the group.
        part: &'static str,
        /// The panic message.
        message: String,
    },
    /// A part of the group ended although nobody asked it to.
    #[error("the {part} ended unexpectedly")]
    Ended {
        /// Which part of the group.
        part: &'static str,
    },
    /// The parts did not stop in time.
    #[error("the group did not stop within {0:?}")]
    StopDeadline(Duration),
}

/// The text of a panic, for [`FatalError::Panicked`].
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}
