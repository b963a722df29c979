//! One Raft group on raft-rs: a sans-io core, a tokio driver, a log writer thread and an apply thread.
//! raft-rs types never leave this crate.
#![allow(missing_docs, unused_variables, dead_code)]

use bytes::Bytes;
use std::time::Duration;
use storage::{ApplyBatch, Stores};

/// A replicated state machine. `apply` must be deterministic: no clock, randomness, hash-map order.
pub trait StateMachine: Send + 'static {
    type Reply: Send + 'static;
    /// Applies one command. An `Err` is fatal for the node (disk, corruption, unknown command version);
    /// a refused command is an ordinary reply.
    fn apply(&mut self, context: ApplyContext, command: Bytes, batch: &mut ApplyBatch<'_>) -> Result<Self::Reply, MachineError>;
    /// The batch that holds everything applied so far is committed: publish it to readers.
    /// Called before any reply of the batch is sent.
    fn committed(&mut self, applied: storage::Applied);
    /// One small, bounded step of housekeeping when the apply thread has nothing better to do (and now
    /// and then under load). Returns whether more is left. Changes no meaning.
    fn housekeep(&mut self, batch: &mut ApplyBatch<'_>) -> Result<bool, MachineError>;
}

#[derive(Clone, Copy, Debug)]
pub struct ApplyContext {
    pub index: u64,
    pub term: u64,
    /// Leader's wall clock when it proposed, ms since 1970, made monotonic over the log.
    pub time_ms: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error("read or write the state")]
    Storage(#[from] storage::Error),
    #[error("decode a command of the log: {0}")]
    Command(String),
}

#[derive(Clone, Debug)]
pub struct Config {
    pub node_id: u64,
    /// Founding voters; used only when the data directory is new.
    pub founding_voters: Vec<u64>,
    pub cluster_id: u64,
    pub heartbeat: Duration,
    pub election: Duration,
    /// Seed of the deterministic election timeouts.
    pub seed: u64,
    /// Proposals admitted and not yet answered.
    pub proposals_count_max: usize,
    pub proposals_bytes_max: usize,
    pub command_bytes_max: usize,
    /// Log kept behind the flushed applied index for slow followers.
    pub log_retention_entries: u64,
    pub log_retention_bytes: u64,
}

/// Why a proposal got no reply. Each says whether the command was applied.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProposeError {
    /// Not applied; retry later here.
    #[error("too many requests in flight")]
    Overloaded,
    /// Not applied; ask the leader.
    #[error("not the leader")]
    NotLeader { leader: Option<u64> },
    /// Not applied, never will be.
    #[error("command of {bytes} bytes exceeds {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// Not applied: another entry took its place in the log.
    #[error("leadership lost before the command was committed")]
    Superseded { leader: Option<u64> },
    /// Unknown whether applied.
    #[error("leadership lost while the command was in flight")]
    OutcomeUnknown { leader: Option<u64> },
    /// `applied_unknown` false: refused because the node is stopping; true: it was in flight.
    #[error("the node is stopping")]
    Stopping { outcome_unknown: bool },
}

#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadError {
    #[error("no leader")]
    NoLeader,
    #[error("too many requests in flight")]
    Overloaded,
    #[error("the node is stopping")]
    Stopping,
    /// The read round was lost (leadership change); retry is safe.
    #[error("leadership changed during the read")]
    LeaderChanged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role { Follower, PreCandidate, Candidate, Leader }

/// What the node knows of itself; a cheap copy of the driver's state, refreshed every turn.
#[derive(Clone, Debug)]
pub struct Status {
    pub node_id: u64, pub role: Role, pub leader: Option<u64>, pub term: u64,
    pub first_index: u64, pub last_index: u64, pub persisted_index: u64, pub committed_index: u64, pub applied_index: u64, pub flushed_index: u64,
    pub voters: Vec<u64>, pub learners: Vec<u64>,
    pub proposals_pending: usize,
}

/// Counters and histograms the metrics page shows; lock-free reads.
#[derive(Debug, Default)]
pub struct Counters {
    pub proposals_committed: std::sync::atomic::AtomicU64,
    pub proposals_applied: std::sync::atomic::AtomicU64,
    pub proposals_failed: std::sync::atomic::AtomicU64,
    pub leader_changes: std::sync::atomic::AtomicU64,
    pub reads_failed: std::sync::atomic::AtomicU64,
    pub syncs: std::sync::atomic::AtomicU64,
    pub sync_micros_total: std::sync::atomic::AtomicU64,
    pub slow_applies: std::sync::atomic::AtomicU64,
    // the consensus owner adds a fixed-bucket sync histogram (etcd_disk_wal_fsync_duration_seconds buckets)
}

/// How services talk to the group; cheap to clone.
pub struct Handle<R> { _p: std::marker::PhantomData<fn() -> R> }
impl<R> Clone for Handle<R> { fn clone(&self) -> Self { todo!() } }
impl<R: Send + 'static> Handle<R> {
    /// Admits the command (order of successful calls on one task = order in the log) and returns the
    /// pending reply. Never blocks, never waits: full queue = Overloaded.
    pub fn submit(&self, command: Bytes) -> Result<PendingReply<R>, ProposeError> { todo!() }
    /// submit + wait. Dropping the future abandons the reply, not the command.
    pub async fn propose(&self, command: Bytes) -> Result<R, ProposeError> { todo!() }
    /// Returns once a local read sees everything acknowledged before the call (coalesced ReadIndex,
    /// then wait for applied). Cancel-safe.
    pub async fn read_barrier(&self) -> Result<(), ReadError> { todo!() }
    pub fn status(&self) -> std::sync::Arc<Status> { todo!() }
    pub fn counters(&self) -> &Counters { todo!() }
    /// Resolves when the node has a leader (used at start-up and by health checks).
    pub async fn leader_known(&self) -> u64 { todo!() }
}
/// Resolves to the reply. Dropping it abandons the reply, not the command.
pub struct PendingReply<R> { _p: std::marker::PhantomData<fn() -> R> }
impl<R> std::future::Future for PendingReply<R> {
    type Output = Result<R, ProposeError>;
    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> { todo!() }
}

/// The running group.
pub struct Group {}
impl Group {
    /// Opens the core on the stores (replay starts from the applied index), spawns driver task, log writer thread and apply
    /// thread. Returns when they run; replay of the log goes on behind `read_barrier`.
    pub fn start<S: StateMachine>(config: Config, directory: storage::DataDir, stores: Stores, machine: S) -> Result<(Handle<S::Reply>, Group), StartError> { todo!() }
    /// Refuses new proposals, answers what is in flight until `deadline`, flushes the state, saves the
    /// watermark, joins task and threads.
    pub async fn shutdown(self, deadline: Duration) -> Result<(), FatalError> { todo!() }
    /// Resolves only if the group dies by itself (failed sync, corruption, panic): the process must stop.
    pub async fn failed(&mut self) -> FatalError { todo!() }
}
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Placeholder(String),
}
#[derive(Debug, thiserror::Error)]
pub enum FatalError {
    #[error("{0}")]
    Placeholder(String),
}
