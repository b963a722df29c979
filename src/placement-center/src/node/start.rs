//! The order of a start. Everything that can refuse comes before the first listener accepts.

use super::announce::announce;
use super::error::StartError;
use super::founding::{self, Founding};
use super::peers::{LateSender, NodeHost, Requester, follow_members, watch_transport};
use super::promotion::promote;
use super::tasks::Tasks;
use super::{Addresses, Listeners, Node};
use crate::admin::Cluster;
use crate::config::Config;
use crate::http::{self, LogLevel};
use crate::machine::{self, Machine, Published, Reply};
use crate::members::MemberRecord;
use crate::peer::{self, Transport};
use crate::service::leases::{end_expired, write_checkpoints};
use crate::service::{self, Context, Identity, Leases};
use crate::watch;
use consensus::{Group, Handle, Links, PeerHandle, peer_channel};
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use storage::{DataDir, OpenOptions, StateStore, Stores};
use tokio_util::sync::CancellationToken;

/// Election timeouts that a request waits for a leader: one to notice that the old one is gone, one to elect,
/// and one for the time of an election that nobody won.
const LEADER_WAIT_ELECTIONS: u32 = 3;

/// Storage and consensus of a node, running.
struct Opened {
    handle: Handle<Reply>,
    group: Group,
    state: StateStore,
    published: Published,
    leases: Arc<Leases>,
    sender: LateSender,
    inbox: PeerHandle,
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
    let addresses = listeners
        .addresses()
        .map_err(|source| StartError::Listener {
            listener: "gRPC, HTTP or peer",
            source,
        })?;
    let sockets = Sockets {
        grpc: into_tokio("gRPC", listeners.grpc)?,
        http: into_tokio("HTTP", listeners.http)?,
        addresses,
        log_level,
    };
    let record = record(&config, addresses);
    let (founding, opened) = open(&config, &record).await?;
    let requester = Requester::default();
    let cluster = Arc::new(cluster(&config, &founding, &opened, &requester));
    let record = connect(&config, record, listeners.peer, &opened, &cluster)?;
    Ok(serve(config, sockets, founding, opened, (cluster, record)))
}

/// Where clients come in.
struct Sockets {
    grpc: tokio::net::TcpListener,
    http: tokio::net::TcpListener,
    addresses: Addresses,
    log_level: Arc<dyn LogLevel>,
}

/// Opens the data directory, finds the cluster it belongs to or is to belong to, and starts the group.
async fn open(config: &Config, record: &MemberRecord) -> Result<(Founding, Opened), StartError> {
    let (directory, stores) = blocking(config.clone(), |config| {
        let (directory, stores) = open_stores(&config)?;
        if config.force_new_cluster {
            consensus::force_new_cluster(config.node_id, &directory, &stores)?;
        }
        Ok((directory, stores))
    })
    .await?;
    let founding = founding::find(config, directory.identity(), &record.peer_address).await?;
    let group_config = group_config(config, &founding)?;
    let runtime = tokio::runtime::Handle::current();
    let opened = blocking(group_config, move |config| {
        let _entered = runtime.enter();
        start_group(config, directory, stores)
    })
    .await?;
    Ok((founding, opened))
}

/// Starts everything that serves on top of the group. Nothing here can fail.
fn serve(
    config: Config,
    sockets: Sockets,
    founding: Founding,
    opened: Opened,
    (cluster, record): (Arc<Cluster>, MemberRecord),
) -> Node {
    let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
    let requester = cluster.requester.clone();
    let mut tasks = Tasks::default();
    let watches = start_watches(&config, &opened, &mut tasks, &stop);
    let running = (watches, cut.clone());
    let context = Context::new(parts(&config, &opened, (&cluster, &record), running));
    let (shutdown_timeout, hand_over_time) = (config.limits.shutdown_timeout, config.raft.election);
    let members = opened.published.members;
    let following = follow_members(
        config.node_id,
        founding.addresses,
        Arc::clone(&members),
        requester.clone(),
        stop.clone(),
    );
    tasks.spawn("members", following);
    let watching = watch_transport(requester.clone(), stop.clone());
    tasks.spawn("peer connections", watching);
    let announcing = announce(Arc::clone(&context), record, stop.clone());
    tasks.spawn("announcement", announcing);
    let promoting = promote(opened.handle.clone(), members, stop.clone());
    tasks.spawn("promotion", promoting);
    let ending = end_expired(Arc::clone(&opened.leases), stop.clone());
    tasks.spawn("lease expiry", ending);
    let writing = write_checkpoints(opened.leases, stop.clone());
    tasks.spawn("lease checkpoints", writing);
    let bounds = http::Bounds::with_connections(config.limits.connections_max);
    let shared = http::Shared::new(http::Parts {
        config: Arc::new(config),
        context: Arc::clone(&context),
        addresses: sockets.addresses,
        admin: cluster.clone(),
        log_level: sockets.log_level,
        cut: cut.clone(),
    });
    let stopping = stop.clone().cancelled_owned();
    let pages = http::router(shared);
    tasks.spawn(
        "gRPC",
        service::server::serve(sockets.grpc, context, pages.clone(), stopping),
    );
    let serving = http::serve(sockets.http, pages, bounds, stop.clone());
    tasks.spawn("HTTP", async move {
        serving.await;
        Ok::<(), Infallible>(())
    });
    Node {
        addresses: sockets.addresses,
        shutdown_timeout,
        hand_over_time,
        handle: opened.handle,
        group: opened.group,
        requester,
        cluster,
        tasks,
        stop,
        cut,
    }
}

/// What the services work with.
fn parts(
    config: &Config,
    opened: &Opened,
    (cluster, record): (&Arc<Cluster>, &MemberRecord),
    (watches, cut): (watch::Hub, CancellationToken),
) -> service::Parts {
    service::Parts {
        handle: opened.handle.clone(),
        state: opened.state.clone(),
        published: opened.published.clone(),
        leases: Arc::clone(&opened.leases),
        lease_ttl_min: config.lease_ttl_min(),
        identity: identity(config, cluster.cluster_id, record),
        limits: config.limits.clone(),
        quota_bytes: config.storage.quota_bytes,
        watches,
        forward: Arc::new(cluster.requester.clone()),
        admin: cluster.clone(),
        leader_wait: LEADER_WAIT_ELECTIONS * config.raft.election,
        cut,
    }
}

/// Starts the hub of watches, and the task that tells it of a leader that stays away.
fn start_watches(
    config: &Config,
    opened: &Opened,
    tasks: &mut Tasks,
    stop: &CancellationToken,
) -> watch::Hub {
    let (hub, runner) = watch::Hub::new(watch::Parts {
        state: opened.state.clone(),
        published: Arc::clone(&opened.published.kv),
        recent: Arc::clone(&opened.published.recent),
        limits: watch::Limits::of(&config.limits),
        tuning: watch::Tuning::default(),
    });
    tasks.spawn("watches", runner.run(stop.clone()));
    let patience = LEADER_WAIT_ELECTIONS * config.raft.election;
    let handle = opened.handle.clone();
    let following = watch::follow_leader(handle, hub.clone(), patience, stop.clone());
    tasks.spawn("leader of watches", following);
    hub
}

/// What clients are told about this node.
fn identity(config: &Config, cluster_id: u64, record: &MemberRecord) -> Identity {
    Identity {
        cluster_id,
        node_id: config.node_id,
        alias: config.node_alias.clone(),
        cluster_name: config.cluster_name.clone(),
        client_urls: record.client_urls.clone(),
        peer_urls: vec![format!("http://{}", record.peer_address)],
    }
}

/// What this node says of itself.
fn record(config: &Config, addresses: Addresses) -> MemberRecord {
    let advertised = config.advertised(addresses.peer, addresses.grpc, addresses.http);
    MemberRecord {
        id: config.node_id,
        alias: config.node_alias.clone(),
        peer_address: advertised.peer,
        client_urls: vec![format!("http://{}", advertised.client)],
        http_url: format!("http://{}", advertised.http),
        ..MemberRecord::default()
    }
}

fn cluster(
    config: &Config,
    founding: &Founding,
    opened: &Opened,
    requester: &Requester,
) -> Cluster {
    Cluster {
        node_id: config.node_id,
        cluster_id: founding.cluster_id,
        cluster_name: config.cluster_name.clone(),
        handle: opened.handle.clone(),
        state: opened.state.clone(),
        published: opened.published.clone(),
        requester: requester.clone(),
        request_timeout: config.limits.request_timeout,
        heartbeat: config.raft.heartbeat,
    }
}

/// Starts the transport; from here on the group talks to the others. Returns the node's record with what its
/// data directory adds.
fn connect(
    config: &Config,
    record: MemberRecord,
    listener: TcpListener,
    opened: &Opened,
    cluster: &Arc<Cluster>,
) -> Result<MemberRecord, StartError> {
    let (instance, incarnation) = opened.group.instance();
    let boot = peer::random().map_err(StartError::Random)?;
    let settings = peer::Settings {
        node_id: config.node_id,
        cluster_id: cluster.cluster_id,
        token: config.cluster_token.clone(),
        instance: instance.to_be_bytes(),
        incarnation,
        boot: u64::from_be_bytes(boot),
        queue_bytes_max: config.raft.peer_queue_bytes,
        snapshot_bytes_per_second: config.raft.snapshot_bytes_per_second,
        dead_after: config.raft.election,
    };
    let record = MemberRecord {
        instance: settings.instance.to_vec().into(),
        incarnation,
        boot: settings.boot,
        ..record
    };
    let host = Arc::new(NodeHost {
        handle: opened.handle.clone(),
        members: Arc::clone(&opened.published.members),
        cluster: Arc::clone(cluster),
        leases: Arc::clone(&opened.leases),
    });
    let started = Transport::start(
        settings,
        listener,
        host,
        opened.inbox.clone(),
        opened.state.clone(),
    );
    let (transport, sender) = started.map_err(|source| StartError::Listener {
        listener: "peer",
        source,
    })?;
    opened.sender.set(sender);
    cluster.requester.set(transport);
    Ok(record)
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

/// Runs what blocks on the disk off the runtime's workers.
async fn blocking<C, T>(
    input: C,
    work: impl FnOnce(C) -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError>
where
    C: Send + 'static,
    T: Send + 'static,
{
    match tokio::task::spawn_blocking(move || work(input)).await {
        Ok(done) => done,
        Err(error) => Err(match error.try_into_panic() {
            Ok(panic) => StartError::Panicked(http::panic_text(panic.as_ref()).to_owned()),
            Err(error) => StartError::Panicked(error.to_string()),
        }),
    }
}

/// Locks and opens the data directory.
fn open_stores(config: &Config) -> Result<(DataDir, Stores), StartError> {
    let options = OpenOptions {
        state_families: machine::FAMILIES,
        block_cache_bytes: config.storage.block_cache_bytes,
        write_buffer_bytes: config.storage.write_buffer_bytes,
    };
    DataDir::open(&config.data_path, &options).map_err(|source| StartError::Open {
        path: config.data_path.clone(),
        source,
    })
}

/// Loads the state and starts the group; replay goes on behind it.
fn start_group(
    config: consensus::Config,
    directory: DataDir,
    stores: Stores,
) -> Result<Opened, StartError> {
    let state = stores.state.clone();
    let (machine, published) = Machine::open(&state).map_err(StartError::Machine)?;
    let (inbox, peer_inbox) = peer_channel();
    let sender = LateSender::default();
    let links = Links {
        peers: Box::new(sender.clone()),
        inbox: peer_inbox,
    };
    let election = config.election;
    let (handle, group) = Group::start(config, directory, stores, machine, links)?;
    let leases = Leases::new(handle.clone(), Arc::clone(&published.leases), election);
    Ok(Opened {
        handle,
        group,
        state,
        published,
        leases: Arc::new(leases),
        sender,
        inbox,
    })
}

fn group_config(config: &Config, founding: &Founding) -> Result<consensus::Config, StartError> {
    let new_instance = peer::random().map_err(StartError::Random)?;
    Ok(consensus::Config {
        node_id: config.node_id,
        founding_voters: founding.founders.clone(),
        joining: founding.joining,
        new_instance: u128::from_be_bytes(new_instance),
        cluster_id: founding.cluster_id,
        heartbeat: config.raft.heartbeat,
        election: config.raft.election,
        // Clusters that run side by side should not hold their elections in step.
        seed: founding.cluster_id,
        proposals_count_max: config.limits.proposals_count_max,
        proposals_bytes_max: config.limits.proposals_bytes_max,
        command_bytes_max: config.limits.request_bytes_max,
        log_retention_entries: config.raft.log_retention_entries,
        log_retention_bytes: config.raft.log_retention_bytes,
        tuning: consensus::Tuning::default(),
    })
}
