//! The etcd v3 services. Requests, replies, codes and texts are etcd's contract.

pub mod kv;
pub mod lease;
mod range_stream;

pub mod cluster;
mod defragment;
mod downgrade;
mod hash;
pub mod maintenance;
mod membership;
pub mod watch;

pub(super) use range_stream::successor;

/// The etcd API version that `Status.version` and `/version` report, not the product's version: clients
/// choose the `/v3` paths and the features they use by it. 3.5 is what most clients in use were written
/// for; nothing they find in it is missing from the services served here, and 3.6 would promise
/// downgrade commands.
pub const ETCD_API_VERSION: &str = "3.5.0";
