//! All sub state machines on one log: decodes a command, hands it to its owner, wraps the reply.
#![allow(missing_docs, unused_variables, dead_code)]

use crate::kv;
use bytes::Bytes;
use protocol::etcdserverpb::*;
use std::sync::Arc;

/// The replicated state machine of the placement center.
pub struct Machine {}
impl Machine {
    pub fn open(state: &storage::StateStore) -> Result<(Machine, Arc<kv::Published>), storage::Error> { todo!() }
}
impl consensus::StateMachine for Machine {
    type Reply = Reply;
    fn apply(&mut self, context: consensus::ApplyContext, command: Bytes, batch: &mut storage::ApplyBatch<'_>) -> Result<Reply, consensus::MachineError> { todo!() }
    fn committed(&mut self, applied: storage::Applied) { todo!() }
    fn housekeep(&mut self, batch: &mut storage::ApplyBatch<'_>) -> Result<bool, consensus::MachineError> { todo!() }
}

/// Reply of one command, headers carrying the revision alone; a refusal is a reply.
#[derive(Clone, Debug)]
pub enum Reply {
    Put(Result<PutResponse, kv::Refusal>),
    DeleteRange(Result<DeleteRangeResponse, kv::Refusal>),
    Txn(Result<TxnResponse, kv::Refusal>),
    Compact(Result<CompactionResponse, kv::Refusal>),
}

/// Encodes commands for the log: one version byte, then `placement.internal.v1.Command`.
pub fn encode_put(request: PutRequest) -> Bytes { todo!() }
pub fn encode_delete_range(request: DeleteRangeRequest) -> Bytes { todo!() }
pub fn encode_txn(request: TxnRequest) -> Bytes { todo!() }
pub fn encode_compact(request: CompactionRequest) -> Bytes { todo!() }
