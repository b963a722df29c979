//! The node's effective configuration: typed, complete, and the rules that hold between its values.
//! Where values come from (flags, environment, file, defaults), the range of each single key and the
//! logging settings are the business of `cmd`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Longest cluster name and node alias, in bytes: both travel in every status answer.
pub const NAME_BYTES_MAX: usize = 64;

/// A follower must miss several heartbeats before it calls an election; with fewer than this many
/// per election timeout one delayed packet would depose a healthy leader.
pub const HEARTBEATS_PER_ELECTION_MIN: u32 = 3;

const MIB: usize = 1024 * 1024;

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
    /// Port of the gRPC services.
    pub grpc_port: u16,
    /// Port of the HTTP API.
    pub http_port: u16,
    /// Port on which other members reach this one.
    pub peer_port: u16,
    /// Directory that holds everything durable.
    pub data_path: PathBuf,
    /// Founding members: node id to `host:peer_port`. Read once, when the data directory is new.
    pub nodes: BTreeMap<u64, String>,
    /// Consensus timing and log retention.
    pub raft: RaftConfig,
    /// Memory and space of the stores.
    pub storage: StorageConfig,
    /// What a client may ask for.
    pub limits: LimitsConfig,
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
    /// Deadline of a request whose client set none, and the longest one granted.
    pub request_timeout: Duration,
    /// Time that requests in flight get to finish when the node stops.
    pub shutdown_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            cluster_name: "placement-center".to_owned(),
            node_id: 1,
            node_alias: "node-1".to_owned(),
            addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            grpc_port: 8871,
            http_port: 8971,
            peer_port: 8872,
            data_path: PathBuf::from("./data"),
            nodes: BTreeMap::from([(1, "127.0.0.1:8872".to_owned())]),
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
            proposals_count_max: 8192,
            proposals_bytes_max: 64 * MIB,
            concurrent_streams_max: 1024,
            connections_max: 4096,
            pipeline_window: 1024,
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

impl Config {
    /// Checks the rules that a node relies on, whoever built the configuration.
    ///
    /// Port 0 passes: embedding code and tests hand over listeners that are already bound.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_name("cluster_name", &self.cluster_name)?;
        check_name("node_alias", &self.node_alias)?;
        self.check_members()?;
        self.check_ports()?;
        self.check_raft()?;
        self.check_limits()
    }

    fn check_members(&self) -> Result<(), Invalid> {
        let invalid = |value: String, allowed: String| {
            Err(Invalid {
                key: "nodes",
                value,
                allowed,
            })
        };
        if self.node_id == 0 {
            return Err(Invalid {
                key: "node_id",
                value: "0".to_owned(),
                allowed: "a member id is 1 or greater (0 means \"no member\")".to_owned(),
            });
        }
        let mut addresses = BTreeSet::new();
        for (id, address) in &self.nodes {
            if *id == 0 {
                return invalid(
                    format!("{{ 0 = {address:?} }}"),
                    "a member id is 1 or greater".to_owned(),
                );
            }
            if let Err(reason) = check_host_port(address) {
                return invalid(format!("{{ {id} = {address:?} }}"), reason.to_owned());
            }
            if !addresses.insert(address) {
                let reason = "every member needs an address of its own".to_owned();
                return invalid(format!("{{ {id} = {address:?} }}"), reason);
            }
        }
        if !self.nodes.contains_key(&self.node_id) {
            let reason = format!(
                "it must list this node's own id, node_id = {}, for example {{ {} = \"{}:{}\" }}",
                self.node_id, self.node_id, self.addr, self.peer_port
            );
            return invalid(self.nodes_text(), reason);
        }
        Ok(())
    }

    /// The founding members as the configuration file writes them.
    pub fn nodes_text(&self) -> String {
        let members: Vec<String> = self
            .nodes
            .iter()
            .map(|(id, address)| format!("{id} = {address:?}"))
            .collect();
        format!("{{ {} }}", members.join(", "))
    }

    fn check_ports(&self) -> Result<(), Invalid> {
        let ports = [
            ("grpc_port", self.grpc_port),
            ("http_port", self.http_port),
            ("peer_port", self.peer_port),
        ];
        for (position, (key, port)) in ports.iter().enumerate() {
            if let Some((other, _)) = ports[..position]
                .iter()
                .find(|(_, earlier)| earlier == port && *port != 0)
            {
                return Err(Invalid {
                    key,
                    value: port.to_string(),
                    allowed: format!("it must differ from {other}, which has the same port"),
                });
            }
        }
        Ok(())
    }

    fn check_raft(&self) -> Result<(), Invalid> {
        if self.raft.heartbeat.is_zero() {
            return Err(Invalid {
                key: "raft.heartbeat_ms",
                value: "0".to_owned(),
                allowed: "it must be 1 or more".to_owned(),
            });
        }
        let election_min = self.raft.heartbeat * HEARTBEATS_PER_ELECTION_MIN;
        if self.raft.election < election_min {
            return Err(Invalid {
                key: "raft.election_ms",
                value: self.raft.election.as_millis().to_string(),
                allowed: format!(
                    "it must be at least {HEARTBEATS_PER_ELECTION_MIN} x raft.heartbeat_ms ({}), so {} or more",
                    self.raft.heartbeat.as_millis(),
                    election_min.as_millis()
                ),
            });
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Invalid> {
        let limits = &self.limits;
        let counts = [
            ("limits.request_bytes_max", limits.request_bytes_max),
            ("limits.txn_ops_max", limits.txn_ops_max),
            ("limits.proposals_count_max", limits.proposals_count_max),
            ("limits.connections_max", limits.connections_max),
            (
                "limits.concurrent_streams_max",
                limits.concurrent_streams_max as usize,
            ),
            ("limits.pipeline_window", limits.pipeline_window),
            (
                "limits.request_timeout_ms",
                usize::from(!limits.request_timeout.is_zero()),
            ),
            (
                "limits.shutdown_timeout_ms",
                usize::from(!limits.shutdown_timeout.is_zero()),
            ),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, value)| *value == 0) {
            let allowed = "it must be 1 or more; nothing could ever be served".to_owned();
            return Err(Invalid {
                key,
                value: "0".to_owned(),
                allowed,
            });
        }
        if limits.proposals_bytes_max < limits.request_bytes_max {
            return Err(Invalid {
                key: "limits.proposals_bytes_max",
                value: limits.proposals_bytes_max.to_string(),
                allowed: format!(
                    "it must be at least limits.request_bytes_max ({}), or the largest request could never be proposed",
                    limits.request_bytes_max
                ),
            });
        }
        Ok(())
    }
}

fn check_name(key: &'static str, name: &str) -> Result<(), Invalid> {
    let printable = name.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && printable {
        return Ok(());
    }
    Err(Invalid {
        key,
        value: format!("{name:?}"),
        allowed: format!(
            "expected 1 to {NAME_BYTES_MAX} bytes without spaces or control characters"
        ),
    })
}

/// Accepts `host:port` and `[ipv6]:port`; the host is not resolved, because at the first start of a
/// cluster the names of the other members may not exist yet.
fn check_host_port(address: &str) -> Result<(), &'static str> {
    const SHAPE: &str = "expected \"host:port\", for example \"127.0.0.1:8872\" or \"[::1]:8872\"";
    let (host, port) = address.rsplit_once(':').ok_or(SHAPE)?;
    let port: u16 = port
        .parse()
        .map_err(|_| "its port must be a number from 1 to 65535")?;
    if port == 0 {
        return Err("its port must be a number from 1 to 65535");
    }
    let host_valid = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(inside) => inside.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.len() <= 253 && host.chars().all(allowed)
        }
    };
    if host_valid { Ok(()) } else { Err(SHAPE) }
}

#[cfg(test)]
mod tests;
