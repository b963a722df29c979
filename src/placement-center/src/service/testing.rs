//! A real node in this process for the tests of the services: storage in a temporary directory, a group of
//! one, the gRPC listener on a port of its own.

use super::leases::{end_expired, write_checkpoints};
use super::{Alone, Context, Identity, Leases, Parts, server};
use crate::admin::Cluster;
use crate::config::{Config, LimitsConfig};
use crate::machine::{self, Machine};
use crate::node::peers::Requester;
use crate::watch;
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use protocol::etcdserverpb::cluster_client::ClusterClient;
use protocol::etcdserverpb::kv_client::KvClient;
use protocol::etcdserverpb::lease_client::LeaseClient;
use protocol::etcdserverpb::maintenance_client::MaintenanceClient;
use protocol::etcdserverpb::watch_client::WatchClient;
use protocol::etcdserverpb::{PutRequest, RangeRequest};
use protocol::placement::v1::kv_service_client::KvServiceClient;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use storage::{DataDir, OpenOptions};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Bound of every wait in these tests: far beyond what anything takes, even on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const CLUSTER_ID: u64 = 0xc1;
pub(super) const NODE_ID: u64 = 7;

pub(super) struct Fixture {
    pub(super) context: Arc<Context>,
    pub(super) address: SocketAddr,
    pub(super) stop: CancellationToken,
    server: JoinSet<()>,
    group: consensus::Group,
    _directory: TempDir,
}

/// What a test changes about the node.
pub(super) struct Options {
    pub(super) limits: LimitsConfig,
    pub(super) quota_bytes: u64,
    pub(super) lease_ttl_min: i64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            // A busy machine must not turn a slow answer into another one.
            limits: LimitsConfig {
                request_timeout: PATIENCE,
                ..LimitsConfig::default()
            },
            quota_bytes: u64::MAX,
            lease_ttl_min: 1,
        }
    }
}

impl Fixture {
    pub(super) async fn start() -> Fixture {
        Fixture::start_with(Options::default()).await
    }

    pub(super) async fn start_with(options: Options) -> Fixture {
        let directory = TempDir::new().unwrap();
        let open = OpenOptions {
            state_families: machine::FAMILIES,
            block_cache_bytes: 8 << 20,
            write_buffer_bytes: 8 << 20,
        };
        let (data_dir, stores) = DataDir::open(directory.path(), &open).unwrap();
        let state = stores.state.clone();
        let (machine, published) = Machine::open(&state).unwrap();
        let config = group_config(&options.limits);
        let election = config.election;
        let (handle, group) =
            consensus::Group::start(config, data_dir, stores, machine, consensus::Links::none())
                .unwrap();
        bounded(handle.leader_known()).await;
        let cluster = Cluster {
            node_id: NODE_ID,
            cluster_id: CLUSTER_ID,
            cluster_name: "test".to_owned(),
            handle: handle.clone(),
            state: state.clone(),
            published: published.clone(),
            requester: Requester::default(),
            request_timeout: PATIENCE,
            heartbeat: Config::default().raft.heartbeat,
        };
        let stop = CancellationToken::new();
        let mut server = JoinSet::new();
        let (watches, watching) = watch::Hub::new(watch::Parts {
            state: state.clone(),
            published: Arc::clone(&published.kv),
            recent: Arc::clone(&published.recent),
            limits: watch::Limits::of(&options.limits),
            tuning: watch::Tuning::default(),
        });
        let hub_stop = stop.clone();
        let leases = Leases::new(handle.clone(), Arc::clone(&published.leases), election);
        let leases = Arc::new(leases);
        let context = Context::new(Parts {
            handle,
            state,
            published,
            leases: Arc::clone(&leases),
            lease_ttl_min: options.lease_ttl_min,
            identity: Identity {
                cluster_id: CLUSTER_ID,
                node_id: NODE_ID,
                alias: "seven".to_owned(),
                cluster_name: "test".to_owned(),
                client_urls: vec!["http://c:1".to_owned()],
                peer_urls: vec!["http://p:1".to_owned()],
            },
            limits: options.limits,
            quota_bytes: options.quota_bytes,
            watches,
            forward: Arc::new(Alone),
            admin: Arc::new(cluster),
            leader_wait: PATIENCE,
            cut: CancellationToken::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        server.spawn(async move {
            let Ok(()) = watching.run(hub_stop).await;
        });
        let serving = server::serve(
            listener,
            Arc::clone(&context),
            pages(),
            stop.clone().cancelled_owned(),
        );
        server.spawn(async move { serving.await.unwrap() });
        let (ending, writing) = (stop.child_token(), stop.child_token());
        let ending = end_expired(Arc::clone(&leases), ending);
        server.spawn(async move { ending.await.unwrap() });
        let writing = write_checkpoints(Arc::clone(&leases), writing);
        server.spawn(async move { writing.await.unwrap() });
        // Leases are granted before that, too, but then their times are those of a new leader.
        until(|| leases.published().deadlines().term().is_some()).await;
        Fixture {
            context,
            address,
            stop,
            server,
            group,
            _directory: directory,
        }
    }

    pub(super) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        bounded(endpoint.connect()).await.unwrap()
    }

    pub(super) async fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel().await)
    }

    pub(super) async fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel().await)
    }

    pub(super) async fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel().await)
    }

    pub(super) async fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel().await)
    }

    pub(super) async fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel().await)
    }

    pub(super) async fn native(&self) -> KvServiceClient<Channel> {
        KvServiceClient::new(self.channel().await)
    }

    /// Writes `count` keys with a prefix, in order.
    pub(super) async fn fill(&self, prefix: &str, count: usize, value_bytes: usize) {
        let mut kv = self.kv().await;
        let value = Bytes::from(vec![b'v'; value_bytes]);
        for number in 0..count {
            let key = Bytes::from(format!("{prefix}{number:05}"));
            bounded(kv.put(PutRequest {
                key,
                value: value.clone(),
                ..PutRequest::default()
            }))
            .await
            .unwrap();
        }
    }

    /// Waits until the listener and the hub of watches have returned.
    pub(super) async fn stopped(&mut self) {
        while let Some(ended) = bounded(self.server.join_next()).await {
            ended.unwrap();
        }
    }

    /// Stops the group under a listener that goes on.
    pub(super) async fn stop_group(self) -> (Arc<Context>, JoinSet<()>) {
        bounded(self.group.shutdown(PATIENCE)).await.unwrap();
        (self.context, self.server)
    }
}

/// What stands for the pages of the HTTP API.
fn pages() -> Router {
    let health = || async { Json(json!({ "health": "true" })) };
    Router::new().route("/health", get(health))
}

fn group_config(limits: &LimitsConfig) -> consensus::Config {
    let raft = Config::default().raft;
    consensus::Config {
        node_id: NODE_ID,
        founding_voters: vec![NODE_ID],
        joining: false,
        new_instance: 1,
        cluster_id: CLUSTER_ID,
        heartbeat: raft.heartbeat,
        election: raft.election,
        seed: 1,
        proposals_count_max: limits.proposals_count_max,
        proposals_bytes_max: limits.proposals_bytes_max,
        command_bytes_max: limits.request_bytes_max,
        log_retention_entries: raft.log_retention_entries,
        log_retention_bytes: raft.log_retention_bytes,
        tuning: consensus::Tuning::default(),
    }
}

pub(super) async fn bounded<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("took too long")
}

/// Waits for a condition that becomes true without telling anybody.
pub(super) async fn until(mut condition: impl FnMut() -> bool) {
    bounded(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    }
}

pub(super) fn range(key: impl Into<Bytes>, range_end: impl Into<Bytes>) -> RangeRequest {
    RangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        ..RangeRequest::default()
    }
}

/// Code, text and outcome of a refusal.
pub(super) fn told<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String, String) {
    let status = result.expect_err("must be refused");
    let outcome = status.metadata().get(super::errors::OUTCOME_METADATA);
    let outcome = outcome.map_or(String::new(), |outcome| {
        outcome.to_str().unwrap().to_owned()
    });
    (status.code(), status.message().to_owned(), outcome)
}

pub(super) fn not_applied(code: Code, text: &str) -> (Code, String, String) {
    (code, text.to_owned(), "not-applied".to_owned())
}
