//! Short forms of requests, shared by the tests of this module.

use bytes::Bytes;
use protocol::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::*;

pub(super) fn put(key: &[u8], value: &[u8]) -> PutRequest {
    PutRequest {
        key: copy(key),
        value: copy(value),
        ..PutRequest::default()
    }
}

pub(super) fn delete(key: &[u8], range_end: &[u8]) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: copy(key),
        range_end: copy(range_end),
        prev_kv: false,
    }
}

pub(super) fn range(key: &[u8], range_end: &[u8]) -> RangeRequest {
    RangeRequest {
        key: copy(key),
        range_end: copy(range_end),
        ..RangeRequest::default()
    }
}

pub(super) fn txn(
    compare: Vec<Compare>,
    success: Vec<RequestOp>,
    failure: Vec<RequestOp>,
) -> TxnRequest {
    TxnRequest {
        compare,
        success,
        failure,
    }
}

pub(super) fn compare(key: &[u8], result: CompareResult, operand: TargetUnion) -> Compare {
    let target = match operand {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    Compare {
        result: result as i32,
        target: target as i32,
        key: copy(key),
        target_union: Some(operand),
        range_end: Bytes::new(),
    }
}

pub(super) fn compact(revision: i64) -> CompactionRequest {
    CompactionRequest {
        revision,
        physical: false,
    }
}

pub(super) fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// An operation of a transaction.
pub(super) fn op(request: impl Into<Op>) -> RequestOp {
    RequestOp {
        request: Some(request.into().0),
    }
}

pub(super) struct Op(Request);

impl From<PutRequest> for Op {
    fn from(request: PutRequest) -> Self {
        Op(Request::RequestPut(request))
    }
}

impl From<RangeRequest> for Op {
    fn from(request: RangeRequest) -> Self {
        Op(Request::RequestRange(request))
    }
}

impl From<DeleteRangeRequest> for Op {
    fn from(request: DeleteRangeRequest) -> Self {
        Op(Request::RequestDeleteRange(request))
    }
}

impl From<TxnRequest> for Op {
    fn from(request: TxnRequest) -> Self {
        Op(Request::RequestTxn(request))
    }
}
