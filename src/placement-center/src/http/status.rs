//! `/version`, `/v1/status` and `/v1/config`: what this node is, where it stands, how it is set up.

use super::Shared;
use super::decode::Query;
use super::error::ApiError;
use crate::admin::{ProgressView, progress};
use crate::config::{AdvertiseConfig, Config, LimitsConfig, RaftConfig, StorageConfig};
use crate::peer::{LinkState, LinkStatus};
use crate::service::etcd::ETCD_API_VERSION;
use axum::Json;
use axum::extract::State;
use consensus::Role;
use http::Uri;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The version of this product.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const MIB: u64 = 1024 * 1024;

pub(super) async fn version() -> Json<Value> {
    Json(json!({
        "etcdserver": ETCD_API_VERSION,
        "etcdcluster": ETCD_API_VERSION,
        "placement_center": VERSION,
    }))
}

pub(super) async fn status(
    State(shared): State<Shared>,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let query = Query::parse(&uri, &["all"])?;
    if query.flag("all")? {
        return status_of_all(&shared).await;
    }
    let disk_bytes = shared
        .disk_read(|context| context.state().disk_bytes())
        .await?;
    let disk_bytes = disk_bytes
        .inspect_err(|error| log::warn!("measure the disk usage: {error}"))
        .ok();
    let parts = &shared.parts;
    let (config, published) = (&parts.config, parts.context.published());
    let status = parts.context.handle().status();
    let oldest = parts.context.handle().oldest_entry_age();
    let logical_bytes = published.logical_bytes();
    let peers = peers(progress(&status, config.raft.heartbeat));
    Ok(Json(json!({
        "cluster_name": config.cluster_name,
        // As text: a 64-bit number does not survive JavaScript.
        "cluster_id": format!("{:016x}", parts.context.identity().cluster_id),
        "node_id": config.node_id,
        "node_alias": config.node_alias,
        "role": role_name(status.role),
        "leader": status.leader,
        "term": status.term,
        "voters": status.voters,
        "learners": status.learners,
        "outgoing_voters": status.outgoing,
        "peers": peers,
        "links": links(&parts.admin.links()),
        "index": {
            "first": status.first_index,
            "last": status.last_index,
            "persisted": status.persisted_index,
            "committed": status.committed_index,
            "applied": status.applied_index,
            "flushed": status.flushed_index,
        },
        "oldest_entry_age_ms": oldest.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        "proposals_pending": status.proposals_pending,
        "kv": {
            "revision": published.revision(),
            "compacted_revision": published.compacted_revision().max(0),
            "keys": published.keys(),
            "logical_bytes": logical_bytes,
            "quota_bytes": config.storage.quota_bytes,
            "over_quota": logical_bytes > config.storage.quota_bytes,
        },
        "disk_bytes": disk_bytes,
        "addresses": { "grpc": parts.addresses.grpc.to_string(), "http": parts.addresses.http.to_string() },
        "versions": { "placement_center": VERSION, "etcd_api": ETCD_API_VERSION },
        "uptime_seconds": shared.started.elapsed().as_secs(),
    })))
}

/// How far the others are, the id beside the figures; empty unless this node leads.
fn peers(progress: BTreeMap<u64, ProgressView>) -> Vec<Value> {
    let peer = |(id, progress): (u64, ProgressView)| {
        let mut peer = json!(progress);
        peer["id"] = json!(id);
        peer
    };
    progress.into_iter().map(peer).collect()
}

/// The links of this node to the others.
fn links(links: &[LinkStatus]) -> Vec<Value> {
    let link = |link: &LinkStatus| {
        let (state, reason) = match &link.state {
            LinkState::Connecting => ("connecting", None),
            LinkState::Connected => ("connected", None),
            LinkState::Failed(reason) => ("failed", Some(reason)),
        };
        json!({
            "id": link.node_id,
            "address": link.address,
            "state": state,
            "reason": reason,
            "messages_dropped": link.dropped,
            "snapshot": link.snapshot.map(|(sent, total)| json!({ "sent_bytes": sent, "total_bytes": total })),
        })
    };
    links.iter().map(link).collect()
}

/// Every member with where it stands, or why it does not say. Asking takes as long as the slowest.
async fn status_of_all(shared: &Shared) -> Result<Json<Value>, ApiError> {
    let all = shared.parts.admin.status_all().await?;
    let members: Vec<Value> = all
        .into_iter()
        .map(|(member, status)| match status {
            Ok(status) => json!({ "member": member, "status": status, "error": null }),
            Err(reason) => json!({ "member": member, "status": null, "error": reason }),
        })
        .collect();
    Ok(Json(json!({ "members": members })))
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

pub(super) async fn config(
    State(shared): State<Shared>,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    Query::parse(&uri, &[])?;
    Ok(Json(config_json(&shared.parts.config)))
}

/// The configuration under the names of its file. Taken apart field by field, so that a new one cannot
/// be forgotten, and a secret one is left out on purpose rather than by luck.
fn config_json(config: &Config) -> Value {
    let Config {
        cluster_name,
        node_id,
        node_alias,
        addr,
        peer_addr,
        grpc_port,
        http_port,
        peer_port,
        data_path,
        advertise,
        nodes,
        join,
        cluster_token,
        // Asked for on one command line, not configured.
        force_new_cluster: _,
        raft,
        storage,
        limits,
    } = config;
    let AdvertiseConfig { peer, client, http } = advertise;
    let nodes: serde_json::Map<String, Value> = nodes
        .iter()
        .map(|(id, address)| (id.to_string(), json!(address)))
        .collect();
    json!({
        "cluster_name": cluster_name,
        "node_id": node_id,
        "node_alias": node_alias,
        "addr": addr.to_string(),
        "peer_addr": peer_addr.to_string(),
        "grpc_port": grpc_port,
        "http_port": http_port,
        "peer_port": peer_port,
        "data_path": data_path.to_string_lossy(),
        "advertise_peer": peer,
        "advertise_client": client,
        "advertise_http": http,
        "nodes": nodes,
        "join": join,
        // A secret: only whether there is one.
        "cluster_token_set": cluster_token.is_set(),
        "raft": raft_json(raft),
        "storage": storage_json(storage),
        "limits": limits_json(limits),
    })
}

fn raft_json(raft: &RaftConfig) -> Value {
    let RaftConfig {
        heartbeat,
        election,
        log_retention_entries,
        log_retention_bytes,
        snapshot_bytes_per_second,
        peer_queue_bytes,
    } = raft;
    json!({
        "heartbeat_ms": heartbeat.as_millis(),
        "election_ms": election.as_millis(),
        "log_retention_entries": log_retention_entries,
        "log_retention_mib": log_retention_bytes / MIB,
        "snapshot_bytes_per_second": snapshot_bytes_per_second,
        "peer_queue_bytes": peer_queue_bytes,
    })
}

fn storage_json(storage: &StorageConfig) -> Value {
    let StorageConfig {
        block_cache_bytes,
        write_buffer_bytes,
        quota_bytes,
    } = storage;
    json!({
        "block_cache_mib": *block_cache_bytes as u64 / MIB,
        "write_buffer_mib": *write_buffer_bytes as u64 / MIB,
        "quota_mib": quota_bytes / MIB,
    })
}

fn limits_json(limits: &LimitsConfig) -> Value {
    let LimitsConfig {
        request_bytes_max,
        txn_ops_max,
        leases_max,
        proposals_count_max,
        proposals_bytes_max,
        concurrent_streams_max,
        connections_max,
        pipeline_window,
        watchers_per_stream_max,
        watchers_max,
        watch_key_bytes_max,
        watch_progress_interval,
        request_timeout,
        shutdown_timeout,
    } = limits;
    json!({
        "request_bytes_max": request_bytes_max,
        "txn_ops_max": txn_ops_max,
        "leases_max": leases_max,
        "proposals_count_max": proposals_count_max,
        "proposals_bytes_max": proposals_bytes_max,
        "concurrent_streams_max": concurrent_streams_max,
        "connections_max": connections_max,
        "pipeline_window": pipeline_window,
        "watchers_per_stream_max": watchers_per_stream_max,
        "watchers_max": watchers_max,
        "watch_key_bytes_max": watch_key_bytes_max,
        "watch_progress_interval_ms": watch_progress_interval.as_millis(),
        "request_timeout_ms": request_timeout.as_millis(),
        "shutdown_timeout_ms": shutdown_timeout.as_millis(),
    })
}
