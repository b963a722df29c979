//! The node's effective configuration: typed, validated, complete. Where values come from (flags,
//! environment, file, defaults) is the business of `cmd`.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Config {
    pub cluster_name: String,
    pub node_id: u64,
    pub node_alias: String,
    pub addr: IpAddr,
    pub grpc_port: u16,
    pub http_port: u16,
    pub peer_port: u16,
    pub data_path: PathBuf,
    pub nodes: BTreeMap<u64, String>,
    pub raft: RaftConfig,
    pub storage: StorageConfig,
    pub limits: LimitsConfig,
}
#[derive(Clone, Debug)]
pub struct RaftConfig { pub heartbeat: Duration, pub election: Duration, pub log_retention_entries: u64, pub log_retention_bytes: u64 }
#[derive(Clone, Debug)]
pub struct StorageConfig { pub block_cache_bytes: usize, pub write_buffer_bytes: usize, pub quota_bytes: u64 }
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// Largest encoded request (etcd: 1.5 MiB).
    pub request_bytes_max: usize,
    pub txn_ops_max: usize,
    pub proposals_count_max: usize,
    pub proposals_bytes_max: usize,
    pub concurrent_streams_max: u32,
    pub connections_max: usize,
    /// Operations of one Pipeline stream read ahead of their answers.
    pub pipeline_window: usize,
    pub request_timeout: Duration,
    pub shutdown_timeout: Duration,
}
