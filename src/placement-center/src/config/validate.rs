//! The rules between the values: what no node can run with, and what a new data directory needs.

use std::collections::BTreeSet;

use storage::DataDir;

use super::address::{check_host_port, is_loopback, is_unspecified};
use super::{
    Config, HEARTBEATS_PER_ELECTION_MIN, Invalid, NAME_BYTES_MAX, WATCH_PROGRESS_INTERVAL_MIN,
};

impl Config {
    /// Checks the rules that a node relies on, whoever built the configuration.
    ///
    /// Port 0 passes: embedding code and tests hand over listeners that are already bound.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_name("cluster_name", &self.cluster_name)?;
        check_alias(&self.node_alias)
            .map_err(|allowed| invalid("node_alias", format!("{:?}", self.node_alias), allowed))?;
        self.check_members()?;
        self.check_ports()?;
        self.check_advertised()?;
        self.check_token()?;
        self.check_raft()?;
        self.check_limits()
    }

    /// Checks what must hold besides [`Config::validate`] when the data directory is new: it is either
    /// founded from `nodes` or joins by `join`. Once it exists, membership is replicated state, and neither
    /// is read again.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn validate_founding(&self) -> Result<(), Invalid> {
        if self.force_new_cluster {
            return Err(invalid(
                "data_path",
                format!("{:?}", self.data_path.display().to_string()),
                "--force-new-cluster needs the data directory of a surviving member; this one is new",
            ));
        }
        if self.join.is_empty() {
            return self.check_founding_by_nodes();
        }
        if !self.nodes.is_empty() {
            return Err(invalid(
                "join",
                self.join_text(),
                "a new node either founds a cluster with others (nodes) or joins one (join): leave one of \
                 them out",
            ));
        }
        let own = self.advertised_as_configured().peer;
        if self.join.contains(&own) {
            return Err(invalid(
                "join",
                self.join_text(),
                format!("{own} is this node itself; name a member that runs already"),
            ));
        }
        Ok(())
    }

    /// Whether the data directory belongs to somebody already, so that its own record of the members counts.
    pub fn is_founded(&self) -> bool {
        DataDir::is_founded(&self.data_path)
    }

    fn check_founding_by_nodes(&self) -> Result<(), Invalid> {
        let Some(listed) = self.nodes.get(&self.node_id) else {
            let reason = format!(
                "it must list this node's own id, node_id = {}, for example {{ {} = \"{}:{}\" }}",
                self.node_id, self.node_id, self.peer_addr, self.peer_port
            );
            return Err(invalid("nodes", self.nodes_text(), reason));
        };
        match &self.advertise.peer {
            Some(advertised) if advertised != listed => Err(invalid(
                "advertise_peer",
                format!("{advertised:?}"),
                format!(
                    "nodes lists this node at {listed:?}: the founders must agree on one address"
                ),
            )),
            _ => Ok(()),
        }
    }

    fn check_members(&self) -> Result<(), Invalid> {
        if self.node_id == 0 {
            let reason = "a member id is 1 or greater (0 means \"no member\")";
            return Err(invalid("node_id", "0", reason));
        }
        let mut addresses = BTreeSet::new();
        for (id, address) in &self.nodes {
            let wrong = |reason: &str| {
                Err(invalid(
                    "nodes",
                    format!("{{ {id} = {address:?} }}"),
                    reason,
                ))
            };
            if *id == 0 {
                return wrong("a member id is 1 or greater");
            }
            if let Err(reason) = check_reachable(address) {
                return wrong(reason);
            }
            if !addresses.insert(address) {
                return wrong("every member needs an address of its own");
            }
        }
        let mut addresses = BTreeSet::new();
        for address in &self.join {
            if let Err(reason) = check_reachable(address) {
                return Err(invalid("join", format!("{address:?}"), reason));
            }
            if !addresses.insert(address) {
                return Err(invalid(
                    "join",
                    format!("{address:?}"),
                    "it is listed twice",
                ));
            }
        }
        Ok(())
    }

    fn check_advertised(&self) -> Result<(), Invalid> {
        let advertise = &self.advertise;
        let configured = [
            ("advertise_peer", &advertise.peer),
            ("advertise_client", &advertise.client),
            ("advertise_http", &advertise.http),
        ];
        for (key, address) in configured {
            if let Some(address) = address
                && let Err(reason) = check_reachable(address)
            {
                return Err(invalid(key, format!("{address:?}"), reason));
            }
        }
        let peer = self.advertised_as_configured().peer;
        if is_unspecified(&peer) {
            let reason = format!(
                "peer_addr = {} is no address that others can connect to: say where they reach this node, \
                 as \"host:port\"",
                self.peer_addr
            );
            return Err(invalid("advertise_peer", "\"\"", reason));
        }
        Ok(())
    }

    /// Without a token, whoever reaches the peer port could join, vote and read everything.
    fn check_token(&self) -> Result<(), Invalid> {
        if self.cluster_token.is_set() {
            return Ok(());
        }
        let reason = |subject: String| {
            Err(invalid(
                "cluster_token",
                "\"\"",
                format!(
                    "{subject}, so that others could pose as a member: set cluster_token or cluster_token_file \
                     to the same secret on every member"
                ),
            ))
        };
        if !self.peer_addr.is_loopback() {
            return reason(format!("peer_addr = {} is not loopback", self.peer_addr));
        }
        let several = self.nodes.len() > 1 || !self.join.is_empty();
        let remote = self
            .nodes
            .values()
            .chain(&self.join)
            .find(|address| !is_loopback(address));
        match remote {
            Some(address) if several => reason(format!("{address} is not loopback")),
            _ => Ok(()),
        }
    }

    /// The founding members as the configuration file writes them.
    pub fn nodes_text(&self) -> String {
        if self.nodes.is_empty() {
            return "{}".to_owned();
        }
        let members: Vec<String> = self
            .nodes
            .iter()
            .map(|(id, address)| format!("{id} = {address:?}"))
            .collect();
        format!("{{ {} }}", members.join(", "))
    }

    /// The members to join by, as the configuration file writes them.
    pub fn join_text(&self) -> String {
        format!("{:?}", self.join)
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
        let zero = [
            ("raft.heartbeat_ms", self.raft.heartbeat.is_zero()),
            (
                "raft.snapshot_bytes_per_second",
                self.raft.snapshot_bytes_per_second == 0,
            ),
        ];
        if let Some((key, _)) = zero.iter().find(|(_, zero)| *zero) {
            return Err(invalid(key, "0", "it must be 1 or more"));
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
            ("limits.leases_max", limits.leases_max),
            ("limits.proposals_count_max", limits.proposals_count_max),
            ("limits.connections_max", limits.connections_max),
            (
                "limits.concurrent_streams_max",
                limits.concurrent_streams_max as usize,
            ),
            ("limits.pipeline_window", limits.pipeline_window),
            (
                "limits.watchers_per_stream_max",
                limits.watchers_per_stream_max,
            ),
            ("limits.watchers_max", limits.watchers_max),
            ("limits.watch_key_bytes_max", limits.watch_key_bytes_max),
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
            let reason = "it must be 1 or more; nothing could ever be served";
            return Err(invalid(key, "0", reason));
        }
        if limits.watch_progress_interval < WATCH_PROGRESS_INTERVAL_MIN {
            return Err(invalid(
                "limits.watch_progress_interval_ms",
                limits.watch_progress_interval.as_millis().to_string(),
                format!(
                    "it must be at least {}: more often would only burn the processor",
                    WATCH_PROGRESS_INTERVAL_MIN.as_millis()
                ),
            ));
        }
        if self.raft.peer_queue_bytes < limits.request_bytes_max {
            return Err(invalid(
                "raft.peer_queue_bytes",
                self.raft.peer_queue_bytes.to_string(),
                format!(
                    "it must be at least limits.request_bytes_max ({}), or the largest request could never be \
                     sent to a member",
                    limits.request_bytes_max
                ),
            ));
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
    name_allowed(name).map_err(|allowed| invalid(key, format!("{name:?}"), allowed))
}

fn name_allowed(name: &str) -> Result<(), String> {
    let printable = name.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && printable {
        return Ok(());
    }
    Err(format!(
        "expected 1 to {NAME_BYTES_MAX} bytes without spaces or control characters"
    ))
}

/// Checks a member's name for people. A number would be taken for an id wherever a member is named.
///
/// # Errors
/// What is allowed.
pub fn check_alias(alias: &str) -> Result<(), String> {
    if alias.parse::<u64>().is_ok() {
        return Err("a number names a member by its id; expected another name".to_owned());
    }
    name_allowed(alias)
}

/// Checks the address at which members will reach another: `host:port` of one machine.
///
/// # Errors
/// What is allowed.
pub fn check_reachable(address: &str) -> Result<(), &'static str> {
    check_host_port(address)?;
    if is_unspecified(address) {
        return Err("nobody can connect to it: name one address of the machine");
    }
    Ok(())
}

fn invalid(key: &'static str, value: impl Into<String>, allowed: impl Into<String>) -> Invalid {
    Invalid {
        key,
        value: value.into(),
        allowed: allowed.into(),
    }
}
