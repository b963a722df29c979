//! The node's effective configuration: typed, complete, and the rules that hold between its values.
//! Where values come from (flags, environment, file, defaults), the range of each single key and the
//! logging settings are the business of `cmd`.

mod address;
mod token;
mod validate;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

pub use address::Advertised;
pub use token::ClusterToken;
pub use validate::{check_alias, check_reachable};

/// Longest cluster name and node alias, in bytes: both travel in every status answer.
pub const NAME_BYTES_MAX: usize = 64;

/// A follower must miss several heartbeats before it calls an election; with fewer than this many
/// per election timeout one delayed packet would depose a healthy leader.
pub const HEARTBEATS_PER_ELECTION_MIN: u32 = 3;

const MIB: usize = 1024 * 1024;

/// Watchers are told of their progress no more often than this.
pub const WATCH_PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Everything a node needs to know before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of the cluster; part of its identity, the same on every member.
    pub cluster_name: String,
    /// This member's number, unique in the cluster, never 0 and never reused.
    pub node_id: u64,
    /// This member's name for people.
    pub node_alias: String,
    /// Address that both client listeners bind.
    pub addr: IpAddr,
    /// Address that the peer listener binds. Whoever reaches it needs the cluster token.
    pub peer_addr: IpAddr,
    /// Port of the gRPC services.
    pub grpc_port: u16,
    /// Port of the HTTP API.
    pub http_port: u16,
    /// Port on which other members reach this one.
    pub peer_port: u16,
    /// Directory that holds everything durable.
    pub data_path: PathBuf,
    /// Where others reach this node, where that differs from what it binds.
    pub advertise: AdvertiseConfig,
    /// Founding members: node id to `host:peer_port`. Read once, when the data directory is new.
    pub nodes: BTreeMap<u64, String>,
    /// Members to join by, `host:peer_port`; any one that answers is enough. Read once, when the data
    /// directory is new, in place of `nodes`.
    pub join: Vec<String>,
    /// What members prove to each other that they know.
    pub cluster_token: ClusterToken,
    /// Make this node the only member of its cluster when it starts: the way back when a majority is lost
    /// for good. A single start asks for it; it is no key of the configuration file.
    pub force_new_cluster: bool,
    /// Consensus timing and log retention.
    pub raft: RaftConfig,
    /// Memory and space of the stores.
    pub storage: StorageConfig,
    /// What a client may ask for.
    pub limits: LimitsConfig,
}

/// Addresses told to others, `host:port`; what is absent follows from the listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdvertiseConfig {
    /// Where other members reach this node.
    pub peer: Option<String>,
    /// Where clients reach its gRPC services.
    pub client: Option<String>,
    /// Where clients reach its HTTP API.
    pub http: Option<String>,
}

/// Consensus timing and log retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftConfig {
    /// Interval between the heartbeats of a leader.
    pub heartbeat: Duration,
    /// Silence after which a follower calls an election; drawn per node between one and two times this.
    pub election: Duration,
    /// Applied log entries kept for followers that lag.
    pub log_retention_entries: u64,
    /// Bytes of applied log entries kept at most.
    pub log_retention_bytes: u64,
    /// Rate at which a snapshot is sent to a member, so that it does not take the network from the log.
    pub snapshot_bytes_per_second: u64,
    /// Messages that wait for one member; more are dropped, and Raft sends them again.
    pub peer_queue_bytes: usize,
}

/// Memory and space of the stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// Cache of uncompressed blocks, shared by all stores.
    pub block_cache_bytes: usize,
    /// Memory that collects writes before they are flushed.
    pub write_buffer_bytes: usize,
    /// Logical bytes of all retained versions above which writes that grow the store are refused.
    pub quota_bytes: u64,
}

/// What a client may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Largest encoded request (etcd: 1.5 MiB).
    pub request_bytes_max: usize,
    /// Operations in one branch of a transaction.
    pub txn_ops_max: usize,
    /// Leases that live at the same time.
    pub leases_max: usize,
    /// Proposals that wait for consensus; more are refused at once.
    pub proposals_count_max: usize,
    /// Bytes of the proposals that wait for consensus.
    pub proposals_bytes_max: usize,
    /// Concurrent requests on one HTTP/2 connection.
    pub concurrent_streams_max: u32,
    /// Client connections of each listener.
    pub connections_max: usize,
    /// Operations of one Pipeline stream read ahead of their answers.
    pub pipeline_window: usize,
    /// Watchers of one stream.
    pub watchers_per_stream_max: usize,
    /// Watchers of this node.
    pub watchers_max: usize,
    /// Key and range end of one watcher, in bytes.
    pub watch_key_bytes_max: usize,
    /// How often a watcher that asked for it is told how far it has seen.
    pub watch_progress_interval: Duration,
    /// Deadline of a request whose client set none, and the longest one granted.
    pub request_timeout: Duration,
    /// Time that requests in flight get to finish when the node stops.
    pub shutdown_timeout: Duration,
}

impl Config {
    /// Seconds below which no lease is granted: one and a half election timeouts, rounded up, as in etcd. A
    /// lease must be longer than the time in which nobody can renew it.
    pub fn lease_ttl_min(&self) -> i64 {
        let ms = self.raft.election.as_millis().saturating_mul(3).div_ceil(2);
        i64::try_from(ms.div_ceil(1000)).unwrap_or(i64::MAX)
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            cluster_name: "placement-center".to_owned(),
            node_id: 1,
            node_alias: "node-1".to_owned(),
            addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            peer_addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            grpc_port: 8871,
            http_port: 8971,
            peer_port: 8872,
            data_path: PathBuf::from("./data"),
            advertise: AdvertiseConfig::default(),
            nodes: BTreeMap::from([(1, "127.0.0.1:8872".to_owned())]),
            join: Vec::new(),
            cluster_token: ClusterToken::default(),
            force_new_cluster: false,
            raft: RaftConfig::default(),
            storage: StorageConfig::default(),
            limits: LimitsConfig::default(),
        }
    }
}

impl Default for RaftConfig {
    fn default() -> Self {
        RaftConfig {
            heartbeat: Duration::from_millis(100),
            election: Duration::from_millis(1000),
            log_retention_entries: 100_000,
            log_retention_bytes: 256 * MIB as u64,
            snapshot_bytes_per_second: 32 * MIB as u64,
            peer_queue_bytes: 32 * MIB,
        }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        StorageConfig {
            block_cache_bytes: 64 * MIB,
            write_buffer_bytes: 32 * MIB,
            quota_bytes: 8192 * MIB as u64,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        LimitsConfig {
            request_bytes_max: 3 * MIB / 2,
            txn_ops_max: 128,
            leases_max: 1_000_000,
            proposals_count_max: 8192,
            proposals_bytes_max: 64 * MIB,
            concurrent_streams_max: 1024,
            connections_max: 4096,
            pipeline_window: 1024,
            watchers_per_stream_max: 10_000,
            watchers_max: 200_000,
            watch_key_bytes_max: 16 * 1024,
            watch_progress_interval: Duration::from_secs(600),
            request_timeout: Duration::from_secs(5),
            shutdown_timeout: Duration::from_secs(4),
        }
    }
}

/// A value that no node can run with. Names the key as it is written in the configuration file.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key} = {value} is not allowed: {allowed}")]
pub struct Invalid {
    /// Dotted key, for example `raft.election_ms`.
    pub key: &'static str,
    /// The value as the user would write it.
    pub value: String,
    /// What would be allowed, and why.
    pub allowed: String,
}

#[cfg(test)]
mod tests;
