//! The multi-version key-value store as a pure state machine over `storage::Read` and `ApplyBatch`.
#![allow(missing_docs, unused_variables, dead_code)]

use bytes::Bytes;
use protocol::etcdserverpb::*;
use std::sync::Arc;
use storage::{Family, Read};

/// Families of this sub state machine; `node` opens the state store with them.
pub const FAMILIES: &[Family] = &[];

/// A request the store refuses; Display is etcd's message without the "etcdserver: " prefix where etcd has one.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    #[error("placeholder")]
    Placeholder,
}
#[derive(Debug, thiserror::Error)]
pub enum ReadFailure {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("read the store")]
    Storage(#[from] storage::Error),
}

/// Checks at the edge, before a request is proposed or read (etcd's v3rpc checks).
pub fn check_range(request: &RangeRequest) -> Result<(), Refusal> { todo!() }
pub fn check_put(request: &PutRequest) -> Result<(), Refusal> { todo!() }
pub fn check_delete_range(request: &DeleteRangeRequest) -> Result<(), Refusal> { todo!() }
pub fn check_txn(request: &TxnRequest, ops_max: usize) -> Result<(), Refusal> { todo!() }
/// Every op of both branches is a Range (nested txns make it false): may run as a read.
pub fn is_read_only(request: &TxnRequest) -> bool { todo!() }
/// Read-only and every range serializable, and at least one range.
pub fn is_serializable(request: &TxnRequest) -> bool { todo!() }
/// The request may grow the store: refused over quota.
pub fn grows(request: &TxnRequest) -> bool { todo!() }

/// Reads; header.revision is filled, the rest of the header is the service's.
pub fn range<R: Read>(reader: &R, request: &RangeRequest) -> Result<RangeResponse, ReadFailure> { todo!() }
pub fn txn_read<R: Read>(reader: &R, request: &TxnRequest) -> Result<TxnResponse, ReadFailure> { todo!() }

/// What readers outside the apply thread may know without touching the store.
pub struct Published {}
impl Published {
    pub fn revision(&self) -> i64 { todo!() }
    pub fn compacted_revision(&self) -> i64 { todo!() }
    /// Logical bytes of all retained versions (keys + values + fixed overhead); what the quota counts.
    pub fn logical_bytes(&self) -> u64 { todo!() }
    /// Living keys.
    pub fn keys(&self) -> u64 { todo!() }
    /// Resolves when versions forgotten by a compaction at `revision` are physically gone.
    pub async fn swept(&self, revision: i64) { todo!() }
}
