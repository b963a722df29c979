//! What the group must be told, and the sizes it picks itself. Where values come from is the
//! business of the caller.

use std::time::Duration;

/// Configuration of one Raft group on one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node; never zero.
    pub node_id: u64,
    /// Founding voters of the cluster, the same on all its members; used only when the data directory is new.
    pub founding_voters: Vec<u64>,
    /// This node is no founder and joins a cluster that exists; used only when the data directory is new.
    pub joining: bool,
    /// Random number for the data directory, if it is new.
    pub new_instance: u128,
    /// The cluster the data directory must belong to.
    pub cluster_id: u64,
    /// Heartbeat interval, which is also the length of a tick.
    pub heartbeat: Duration,
    /// Time without a leader after which an election may start; the longest wait for one is half as much again
    /// with up to five voters.
    pub election: Duration,
    /// Seed of the deterministic election timeouts.
    pub seed: u64,
    /// Proposals admitted and not yet answered.
    pub proposals_count_max: usize,
    /// Bytes of the proposals admitted and not yet answered.
    pub proposals_bytes_max: usize,
    /// Largest command.
    pub command_bytes_max: usize,
    /// Log entries kept behind the flushed applied index for slow followers.
    pub log_retention_entries: u64,
    /// Bytes of log kept behind the flushed applied index, whichever bound is reached first.
    pub log_retention_bytes: u64,
    /// When the group acts by itself.
    pub tuning: Tuning,
}

/// When the group acts without being asked. The defaults suit any cluster; tests shorten them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How long a snapshot may be on its way to a member.
    pub snapshot_timeout: Duration,
    /// How often a leader asks itself whether its disk and its state machine let it lead; eight bad answers out
    /// of ten move leadership.
    pub fitness_interval: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            snapshot_timeout: Duration::from_secs(900),
            fitness_interval: Duration::from_secs(1),
        }
    }
}

impl Config {
    /// Checks the values against each other; the message names the value at fault.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.node_id == 0 {
            return Err("node_id must not be 0".into());
        }
        if self.founding_voters.contains(&0) {
            return Err("a founding voter has id 0".into());
        }
        if self.heartbeat.is_zero() {
            return Err("heartbeat must not be zero".into());
        }
        if self.election < self.heartbeat * 2 {
            return Err("election must be at least twice the heartbeat".into());
        }
        if self.proposals_count_max == 0 || self.proposals_bytes_max == 0 {
            return Err("proposals_count_max and proposals_bytes_max must not be 0".into());
        }
        if self.command_bytes_max == 0 || self.command_bytes_max > COMMAND_BYTES_LIMIT {
            return Err(format!(
                "command_bytes_max must be within 1..={COMMAND_BYTES_LIMIT}"
            ));
        }
        Ok(())
    }

    /// Ticks in `time`, at least one.
    pub(crate) fn ticks(&self, time: Duration) -> u32 {
        let ticks = time.as_nanos().div_ceil(self.heartbeat.as_nanos().max(1));
        u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
    }

    /// Ticks of the shortest election timeout.
    pub(crate) fn election_ticks(&self) -> usize {
        let ticks = self.election.as_nanos().div_ceil(self.heartbeat.as_nanos());
        // raft-rs wants more election ticks than heartbeat ticks (one).
        usize::try_from(ticks)
            .unwrap_or(usize::MAX / 4)
            .clamp(2, usize::MAX / 4)
    }
}

/// Upper bound of `command_bytes_max`: a command travels in one entry, and an entry must stay far
/// below what one message and one log record may hold.
const COMMAND_BYTES_LIMIT: usize = 64 << 20;
