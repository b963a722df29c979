//! The gRPC API: etcd v3 services and our own, on one store.
//!
//! Owns what a request goes through between the socket and the state machine: deadline, checks, quota,
//! consensus or read barrier, and what a failure looks like. Which keys hold what belongs to `kv`.

mod call;
mod connection;
mod deadline;
mod dispatch;
pub mod errors;
pub mod etcd;
mod execute;
mod gateway;
mod health;
mod lease;
pub mod leases;
pub mod metrics;
pub mod native;
pub mod server;
pub mod session;
mod write;

pub use deadline::Deadline;
pub use errors::{Failure, Outcome};
pub use lease::LeaseView;
pub use leases::Leases;
pub use write::{Alone, Forward, Forwarded};

use crate::admin::Admin;
use crate::config::LimitsConfig;
use crate::kv;
use crate::machine::{Published, Reply};
use crate::members::Members;
use crate::watch;
use metrics::Metrics;
use protocol::etcdserverpb::ResponseHeader;
use std::sync::Arc;
use std::time::Duration;
use storage::StateStore;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Long reads that run at the same time. Each occupies a thread of the blocking pool and a processor;
/// more at once would only slow each other and the apply thread down. The others wait in line.
const LONG_READS_MAX: usize = 8;

/// Who this node is, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster_id: u64,
    /// This node's id.
    pub node_id: u64,
    /// This node's name for people.
    pub alias: String,
    /// The cluster's name.
    pub cluster_name: String,
    /// Where clients reach this node.
    pub client_urls: Vec<String>,
    /// Where other members reach this node.
    pub peer_urls: Vec<String>,
}

/// What a context is made of.
pub struct Parts {
    /// The consensus group.
    pub handle: consensus::Handle<Reply>,
    /// The read side of the state.
    pub state: StateStore,
    /// What the state machine shows of itself.
    pub published: Published,
    /// The leader's side of leases.
    pub leases: Arc<Leases>,
    /// Seconds below which no lease is granted: a leader change must fit into it.
    pub lease_ttl_min: i64,
    /// Who this node is.
    pub identity: Identity,
    /// What a client may ask for.
    pub limits: LimitsConfig,
    /// Logical bytes above which requests that grow the store are refused.
    pub quota_bytes: u64,
    /// The watches.
    pub watches: watch::Hub,
    /// The way to the other members.
    pub forward: Arc<dyn Forward>,
    /// The administration of the cluster.
    pub admin: Arc<dyn Admin>,
    /// How long a request that finds no leader waits for one.
    pub leader_wait: Duration,
    /// Cancelled when requests in flight must be answered now, because the node stops.
    pub cut: CancellationToken,
}

/// Everything the services share. One for the node, behind an `Arc`.
pub struct Context {
    handle: consensus::Handle<Reply>,
    state: StateStore,
    published: Published,
    leases: Arc<Leases>,
    lease_ttl_min: i64,
    identity: Identity,
    limits: LimitsConfig,
    quota_bytes: u64,
    watches: watch::Hub,
    forward: Arc<dyn Forward>,
    admin: Arc<dyn Admin>,
    leader_wait: Duration,
    cut: CancellationToken,
    /// Cancelled when the listener stops: streams without end come to one.
    draining: CancellationToken,
    metrics: Metrics,
    long_reads: Arc<Semaphore>,
    /// Held by who has the store give disk space back: one at a time.
    reclaiming: Arc<Semaphore>,
}

impl Context {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Arc<Context> {
        Arc::new(Context {
            handle: parts.handle,
            state: parts.state,
            published: parts.published,
            leases: parts.leases,
            lease_ttl_min: parts.lease_ttl_min,
            identity: parts.identity,
            limits: parts.limits,
            quota_bytes: parts.quota_bytes,
            watches: parts.watches,
            forward: parts.forward,
            admin: parts.admin,
            leader_wait: parts.leader_wait,
            cut: parts.cut,
            draining: CancellationToken::new(),
            metrics: Metrics::default(),
            long_reads: Arc::new(Semaphore::new(LONG_READS_MAX)),
            reclaiming: Arc::new(Semaphore::new(1)),
        })
    }

    /// The consensus group.
    pub fn handle(&self) -> &consensus::Handle<Reply> {
        &self.handle
    }

    /// The read side of the state.
    pub fn state(&self) -> &StateStore {
        &self.state
    }

    /// Figures of the key-value store.
    pub fn published(&self) -> &kv::Published {
        &self.published.kv
    }

    /// The members of the center.
    pub fn members(&self) -> Arc<Members> {
        self.published.members.members()
    }

    /// Who this node is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What a client may ask for.
    pub fn limits(&self) -> &LimitsConfig {
        &self.limits
    }

    /// The watches.
    pub fn watches(&self) -> &watch::Hub {
        &self.watches
    }

    /// Figures of the gRPC services.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Logical bytes above which requests that grow the store are refused.
    pub fn quota_bytes(&self) -> u64 {
        self.quota_bytes
    }

    /// Whether the store is over its quota, so that growing it is refused. Ends by itself when keys are
    /// deleted and their history is compacted.
    pub fn is_over_quota(&self) -> bool {
        self.published.kv.logical_bytes() > self.quota_bytes
    }

    /// A response header at `revision`.
    pub(crate) fn header(&self, revision: i64) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.identity.cluster_id,
            member_id: self.identity.node_id,
            revision,
            raft_term: self.handle.status().term,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
