//! What the transport is told, and the times it keeps.

use crate::config::ClusterToken;
use std::time::Duration;

/// Who this node is to its peers, and the bounds of its links.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This member.
    pub node_id: u64,
    /// The cluster.
    pub cluster_id: u64,
    /// What members prove to each other.
    pub token: ClusterToken,
    /// The data directory.
    pub instance: [u8; 16],
    /// How often the directory was started.
    pub incarnation: u64,
    /// Random number of this run.
    pub boot: u64,
    /// Bytes of messages that wait for one member; more are dropped.
    pub queue_bytes_max: usize,
    /// Rate at which a snapshot is sent.
    pub snapshot_bytes_per_second: u64,
    /// Silence of the network after which a connection is given up: about an election timeout.
    pub dead_after: Duration,
}

/// Random bytes of the operating system, for nonces and identities.
///
/// # Errors
/// When the system has none to give.
pub fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes)
}
