//! Opening the core: the checks that log and state fit together, and raft-rs's configuration.

use super::reads::Origin;
use crate::log::codec::{self, CodecError};
use crate::log::{LogError, LogView};
use bytes::Bytes;
use raft::ReadOnlyOption;
use raft::eraftpb::ConfState;
use storage::{Applied, LogStore};

/// Entries of one message to a peer: with raft-rs's default of 0 each entry would travel alone.
pub(crate) const MESSAGE_BYTES_MAX: u64 = 128 << 10;
/// Append messages on their way to one peer. Full ones are 32 MiB, which the driver reads in one go for a
/// member that comes back; a member that keeps up has one for each sync of the leader.
const MESSAGES_IN_FLIGHT_MAX: usize = 256;
/// Committed entries handed out in one piece.
const COMMITTED_BYTES_MAX: u64 = 4 << 20;

/// What a core is opened with.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// This member.
    pub node_id: u64,
    /// Boot epoch, different in every run of this member.
    pub incarnation: u64,
    /// Seed of the election timeouts.
    pub seed: u64,
    /// Ticks without a leader after which a member may campaign; see `election`. A heartbeat is one tick.
    pub election_ticks: usize,
    /// Ticks a snapshot may be on its way to a member before the leader gives it up for lost. Until it is
    /// reported delivered or failed, raft-rs sends that member nothing else.
    pub snapshot_ticks_max: u32,
    /// Bytes of proposals that may be uncommitted at once.
    pub uncommitted_bytes_max: u64,
    /// Position of the state machine.
    pub applied: Applied,
    /// Membership as of that position, encoded; `None` if none was ever stored with the state.
    pub conf_state: Option<Bytes>,
}

impl CoreConfig {
    pub(super) fn origin(&self) -> Origin {
        Origin {
            node_id: self.node_id,
            incarnation: self.incarnation,
        }
    }

    /// raft-rs's configuration. Every value whose default hurts is set.
    pub(super) fn raft(&self) -> raft::Config {
        raft::Config {
            id: self.node_id,
            election_tick: self.election_ticks,
            heartbeat_tick: 1,
            // Never the commit index: entries between the two would be skipped for ever.
            applied: self.applied.index,
            max_size_per_msg: MESSAGE_BYTES_MAX,
            max_inflight_msgs: MESSAGES_IN_FLIGHT_MAX,
            check_quorum: true,
            pre_vote: true,
            // LeaseBased is no lease: a cut-off leader answers stale reads for an election timeout.
            read_only_option: ReadOnlyOption::Safe,
            batch_append: true,
            max_uncommitted_size: self.uncommitted_bytes_max.max(MESSAGE_BYTES_MAX),
            max_committed_size_per_ready: COMMITTED_BYTES_MAX,
            ..raft::Config::default()
        }
    }

    /// The configuration, with a planted bug if there is one.
    #[cfg(feature = "mutants")]
    pub(super) fn raft_mutated(&self, commit: u64) -> raft::Config {
        use super::mutation::{Mutation, is_planted};
        let mut config = self.raft();
        if is_planted(Mutation::ReadByLease) {
            config.read_only_option = ReadOnlyOption::LeaseBased;
        }
        if is_planted(Mutation::AppliedIsCommit) {
            config.applied = commit;
        }
        config
    }
}

/// Why log and state cannot be opened together.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log cannot be read.
    #[error("open the log")]
    Log(#[from] LogError),
    /// The stored membership cannot be read.
    #[error("read the membership")]
    Membership(#[from] CodecError),
    /// Neither the state nor the log knows any member.
    #[error("the data directory has no membership")]
    NoMembership,
    /// The state holds entries the log does not: the log lost its end.
    #[error("the state has applied entry {applied}, but the log ends at {last}")]
    AppliedBeyondLog {
        /// Applied index of the state.
        applied: u64,
        /// Last index of the log.
        last: u64,
    },
    /// The log starts behind the state: what lies between cannot be replayed.
    #[error("the state has applied entry {applied}, but the log starts at {first}")]
    LogStartsLate {
        /// Applied index of the state.
        applied: u64,
        /// First index of the log.
        first: u64,
    },
    /// The state was made from another log.
    #[error(
        "the state has applied entry {index} of term {state}, but the log holds one of term {log}"
    )]
    StateOfAnotherLog {
        /// Applied index.
        index: u64,
        /// Term in the state.
        state: u64,
        /// Term in the log.
        log: u64,
    },
    /// The log lost entries that were committed.
    #[error("entries up to {commit} were committed, but the log ends at {last}")]
    CommitBeyondLog {
        /// Persisted commit index.
        commit: u64,
        /// Last index of the log.
        last: u64,
    },
    /// The hard state is older than the log.
    #[error("the log holds an entry of term {entry}, but the hard state is at term {hard_state}")]
    HardStateBehindLog {
        /// Term of the last entry.
        entry: u64,
        /// Term of the hard state.
        hard_state: u64,
    },
    /// raft-rs refused the configuration.
    #[error("configure raft-rs")]
    Raft(#[from] raft::Error),
}

/// Opens the log and checks that the state fits to it.
///
/// The state may be ahead of the persisted commit index (that is written lazily), but never ahead of
/// the log's end. raft-rs panics if applied is above commit, so the commit index is raised first.
pub(super) fn open_log(config: &CoreConfig, store: LogStore) -> Result<LogView, OpenError> {
    let founders = store.value(codec::FOUNDERS).map_err(LogError::from)?;
    let conf_state = config
        .conf_state
        .clone()
        .or(founders)
        .ok_or(OpenError::NoMembership)?;
    let conf_state: ConfState = codec::decode_conf_state(&conf_state)?;
    let mut log = LogView::open(store, conf_state)?;
    let (applied, first, last) = (config.applied, log.first(), log.last());
    if applied.index > last {
        return Err(OpenError::AppliedBeyondLog {
            applied: applied.index,
            last,
        });
    }
    if applied.index + 1 < first {
        return Err(OpenError::LogStartsLate {
            applied: applied.index,
            first,
        });
    }
    let log_term = log.term_at(applied.index)?;
    if applied.index > 0 && log_term != applied.term {
        return Err(OpenError::StateOfAnotherLog {
            index: applied.index,
            state: applied.term,
            log: log_term,
        });
    }
    let commit = log.hard_state().commit;
    if commit > last {
        return Err(OpenError::CommitBeyondLog { commit, last });
    }
    let (last_term, hard_state_term) = (log.term_at(last)?, log.hard_state().term);
    if last_term > hard_state_term {
        return Err(OpenError::HardStateBehindLog {
            entry: last_term,
            hard_state: hard_state_term,
        });
    }
    #[cfg(feature = "mutants")]
    if super::mutation::is_planted(super::mutation::Mutation::CommitNotRaised) {
        return Ok(log);
    }
    log.set_commit(commit.max(applied.index));
    Ok(log)
}
