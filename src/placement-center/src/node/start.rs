//! The order of a start. Everything that can refuse comes before the first listener accepts.

use super::error::StartError;
use super::identity::cluster_id;
use super::tasks::Tasks;
use super::{Addresses, Listeners, Node};
use crate::admin::Unserved;
use crate::config::Config;
use crate::http::{self, LogLevel};
use crate::machine::{self, Machine, Published, Reply};
use crate::service::{self, Context, Identity};
use consensus::{Group, Handle, Links};
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use storage::{DataDir, OpenOptions, StateStore};
use tokio_util::sync::CancellationToken;

/// Election timeouts that a request waits for a leader: one to notice that the old one is gone, one to elect,
/// and one for the time of an election that nobody won.
const LEADER_WAIT_ELECTIONS: u32 = 3;

/// Storage and consensus of a node, opened.
struct Opened {
    handle: Handle<Reply>,
    group: Group,
    state: StateStore,
    published: Published,
}

pub(super) async fn start(
    config: Config,
    listeners: Listeners,
    log_level: Arc<dyn LogLevel>,
) -> Result<Node, StartError> {
    config.validate()?;
    if !config.is_founded() {
        config.validate_founding()?;
    }
    if config.nodes.len() > 1 {
        return Err(StartError::SeveralFounders(config.nodes.len()));
    }
    let cluster_id = cluster_id(&config.cluster_name, &config.nodes);
    let addresses = listeners
        .addresses()
        .map_err(|source| StartError::Listener {
            listener: "gRPC or HTTP",
            source,
        })?;
    let grpc_listener = into_tokio("gRPC", listeners.grpc)?;
    let http_listener = into_tokio("HTTP", listeners.http)?;
    let opened = open(config.clone(), cluster_id).await?;

    let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
    let shutdown_timeout = config.limits.shutdown_timeout;
    let context = Context::new(service::Parts {
        handle: opened.handle.clone(),
        state: opened.state,
        published: opened.published,
        identity: identity(&config, cluster_id, addresses),
        limits: config.limits.clone(),
        quota_bytes: config.storage.quota_bytes,
        forward: Arc::new(service::Alone),
        leader_wait: LEADER_WAIT_ELECTIONS * config.raft.election,
        cut: cut.clone(),
    });
    let bounds = http::Bounds::with_connections(config.limits.connections_max);
    let shared = http::Shared::new(http::Parts {
        config: Arc::new(config),
        context: Arc::clone(&context),
        addresses,
        admin: Arc::new(Unserved),
        log_level,
        cut: cut.clone(),
    });
    let mut tasks = Tasks::default();
    tasks.spawn(
        "gRPC",
        service::server::serve(grpc_listener, context, stop.clone().cancelled_owned()),
    );
    let serving = http::serve(http_listener, http::router(shared), bounds, stop.clone());
    tasks.spawn("HTTP", async move {
        serving.await;
        Ok::<(), Infallible>(())
    });
    Ok(Node {
        addresses,
        shutdown_timeout,
        handle: opened.handle,
        group: opened.group,
        tasks,
        stop,
        cut,
    })
}

/// What clients are told about this node. They reach it at the addresses that are bound, which the
/// configuration does not know where it says port 0.
fn identity(config: &Config, cluster_id: u64, addresses: Addresses) -> Identity {
    let peer_urls = config
        .nodes
        .get(&config.node_id)
        .map(|address| format!("http://{address}"));
    Identity {
        cluster_id,
        node_id: config.node_id,
        alias: config.node_alias.clone(),
        cluster_name: config.cluster_name.clone(),
        client_urls: vec![format!("http://{}", addresses.grpc)],
        peer_urls: peer_urls.into_iter().collect(),
    }
}

fn into_tokio(
    name: &'static str,
    listener: TcpListener,
) -> Result<tokio::net::TcpListener, StartError> {
    let converted = listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::TcpListener::from_std(listener));
    converted.map_err(|source| StartError::Listener {
        listener: name,
        source,
    })
}

/// Locks, opens and replays off the runtime's workers: all of it blocks on the disk.
async fn open(config: Config, cluster_id: u64) -> Result<Opened, StartError> {
    match tokio::task::spawn_blocking(move || open_blocking(&config, cluster_id)).await {
        Ok(opened) => opened,
        Err(error) => Err(match error.try_into_panic() {
            Ok(panic) => StartError::Panicked(http::panic_text(panic.as_ref()).to_owned()),
            Err(error) => StartError::Panicked(error.to_string()),
        }),
    }
}

fn open_blocking(config: &Config, cluster_id: u64) -> Result<Opened, StartError> {
    let options = OpenOptions {
        state_families: machine::FAMILIES,
        block_cache_bytes: config.storage.block_cache_bytes,
        write_buffer_bytes: config.storage.write_buffer_bytes,
    };
    let (directory, stores) =
        DataDir::open(&config.data_path, &options).map_err(|source| StartError::Open {
            path: config.data_path.clone(),
            source,
        })?;
    let state = stores.state.clone();
    let (machine, published) = Machine::open(&state).map_err(StartError::Machine)?;
    let (handle, group) = Group::start(
        group_config(config, cluster_id),
        directory,
        stores,
        machine,
        Links::none(),
    )?;
    Ok(Opened {
        handle,
        group,
        state,
        published,
    })
}

fn group_config(config: &Config, cluster_id: u64) -> consensus::Config {
    consensus::Config {
        node_id: config.node_id,
        founding_voters: config.nodes.keys().copied().collect(),
        joining: false,
        new_instance: 1,
        cluster_id,
        heartbeat: config.raft.heartbeat,
        election: config.raft.election,
        // Clusters that run side by side should not hold their elections in step.
        seed: cluster_id,
        proposals_count_max: config.limits.proposals_count_max,
        proposals_bytes_max: config.limits.proposals_bytes_max,
        command_bytes_max: config.limits.request_bytes_max,
        log_retention_entries: config.raft.log_retention_entries,
        log_retention_bytes: config.raft.log_retention_bytes,
    }
}
