//! The replicated state machine as this crate sees it: bytes in, a reply out, changes in a batch.
//! Owns the contract between the apply thread and the machine; implements no machine.

use bytes::Bytes;
use storage::{Applied, ApplyBatch, StateStore};

/// A replicated state machine. `apply` must be deterministic: no clock, no randomness, no hash-map
/// order. Two machines that applied the same log hold the same bytes.
pub trait StateMachine: Send + 'static {
    /// What a command answers to the client that submitted it.
    type Reply: Send + 'static;

    /// Applies one command.
    ///
    /// # Errors
    /// An `Err` is fatal for the node (disk, corruption, unknown command version); a refused
    /// command is an ordinary reply.
    fn apply(
        &mut self,
        context: ApplyContext,
        command: Bytes,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<Self::Reply, MachineError>;

    /// A membership change took effect. Deterministic like `apply`.
    ///
    /// # Errors
    /// An `Err` is fatal for the node.
    fn membership(
        &mut self,
        context: ApplyContext,
        membership: &Membership,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<(), MachineError>;

    /// A batch is committed: the state store now holds everything up to `applied`; publish it to
    /// readers. Called before any reply of the batch is sent, and again (with an unchanged position)
    /// after a housekeeping batch that changed something.
    fn committed(&mut self, applied: Applied);

    /// The whole state was replaced by a snapshot of another member: read anew whatever is kept in memory, and
    /// publish it.
    ///
    /// # Errors
    /// An `Err` is fatal for the node.
    fn restored(&mut self, state: &StateStore) -> Result<(), MachineError>;

    /// One small, bounded step of housekeeping when the apply thread has nothing better to do (and
    /// now and then under load). Returns whether more is left. Changes no meaning.
    ///
    /// # Errors
    /// An `Err` is fatal for the node.
    fn housekeep(&mut self, batch: &mut ApplyBatch<'_>) -> Result<bool, MachineError>;
}

/// The membership after a change, and what the one who asked for the change added to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Voters.
    pub voters: Vec<u64>,
    /// Voters of the membership that is being left; empty unless the change is a joint one and not
    /// complete.
    pub outgoing: Vec<u64>,
    /// Learners, those included that become learners once the change is complete.
    pub learners: Vec<u64>,
    /// What `Handle::change_members` was given; empty for a change that only completes another.
    pub context: Bytes,
}

/// Where a command stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyContext {
    /// Index of the log entry that carries the command; commands of one entry share it.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
    /// Leader's wall clock when it proposed, ms since 1970; never decreases along the log. 0 with a change
    /// of membership, which carries none.
    pub time_ms: u64,
}

/// Why a machine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The state store failed.
    #[error("read or write the state")]
    Storage(#[from] storage::Error),
    /// A command in the log cannot be understood by this version.
    #[error("decode a command of the log: {0}")]
    Command(String),
}
