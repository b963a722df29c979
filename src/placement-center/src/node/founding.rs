//! Which cluster a node belongs to: what its data directory says, or, for a new one, what the configuration says,
//! or what the member says that it joins by.

use super::error::StartError;
use super::identity::cluster_id;
use crate::config::Config;
use crate::peer::{self, Settings};
use protocol::placement::internal::v1::{JoinRequest, MemberRecord};
use std::collections::BTreeMap;
use storage::Identity;

/// The cluster of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Founding {
    /// The cluster's id.
    pub(super) cluster_id: u64,
    /// The members that founded it.
    pub(super) founders: Vec<u64>,
    /// Whether this node comes to a cluster that exists.
    pub(super) joining: bool,
    /// Where members are reached until the replicated state says so.
    pub(super) addresses: BTreeMap<u64, String>,
}

/// Finds the cluster. Asks a member only when the directory is new and the configuration names one.
pub(super) async fn find(
    config: &Config,
    identity: Option<&Identity>,
    peer_address: &str,
) -> Result<Founding, StartError> {
    let configured = cluster_id(&config.cluster_name, &config.nodes);
    if let Some(identity) = identity {
        if identity.cluster_id != configured && config.join.is_empty() {
            log::info!(
                "the data directory belongs to cluster {:016x}; cluster_name and nodes would have founded {configured:016x} and are not read",
                identity.cluster_id
            );
        }
        return Ok(Founding {
            cluster_id: identity.cluster_id,
            founders: config.nodes.keys().copied().collect(),
            joining: false,
            addresses: config.nodes.clone(),
        });
    }
    if config.join.is_empty() {
        return Ok(Founding {
            cluster_id: configured,
            founders: config.nodes.keys().copied().collect(),
            joining: false,
            addresses: config.nodes.clone(),
        });
    }
    join(config, peer_address).await
}

async fn join(config: &Config, peer_address: &str) -> Result<Founding, StartError> {
    let settings = Settings {
        node_id: config.node_id,
        cluster_id: 0,
        token: config.cluster_token.clone(),
        instance: [0; 16],
        incarnation: 0,
        boot: 0,
        queue_bytes_max: config.raft.peer_queue_bytes,
        snapshot_bytes_per_second: config.raft.snapshot_bytes_per_second,
        dead_after: config.raft.election,
    };
    let request = JoinRequest {
        member: Some(MemberRecord {
            id: config.node_id,
            alias: config.node_alias.clone(),
            peer_address: peer_address.to_owned(),
            ..MemberRecord::default()
        }),
    };
    log::info!("joining by {}", config.join.join(", "));
    let reply = peer::join(&settings, &config.join, &request).await?;
    log::info!(
        "cluster {:016x} ({}) has taken node {} in as a learner",
        reply.cluster_id,
        reply.cluster_name,
        config.node_id
    );
    let addresses = reply
        .members
        .into_iter()
        .map(|member| (member.id, member.peer_address));
    Ok(Founding {
        cluster_id: reply.cluster_id,
        founders: reply.founders,
        joining: true,
        addresses: addresses.collect(),
    })
}
