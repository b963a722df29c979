//! The calls of a recorded history as requests of the etcd API.

use harness::client::{self, Kv};
use protocol::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use protocol::etcdserverpb::{
    Compare, DeleteRangeRequest, RangeRequest, RequestOp, ResponseOp, TxnRequest, request_op,
    response_op,
};
use simulator::linear::{Answer, Call};
use tonic::Status;

/// Asks a member what a call says.
pub async fn ask(kv: &mut Kv, call: &Call, serializable: bool) -> Result<Answer, Status> {
    match call {
        Call::Read { key } => {
            let request = RangeRequest {
                serializable,
                ..client::get(key.clone())
            };
            let answer = kv.range(request).await?.into_inner();
            Ok(Answer::Value(first_value(&answer.kvs)))
        }
        Call::Write {
            key,
            value: Some(value),
        } => {
            kv.put(client::put(key.clone(), value.clone())).await?;
            Ok(Answer::Done)
        }
        Call::Write { key, value: None } => {
            kv.delete_range(delete(key)).await?;
            Ok(Answer::Done)
        }
        Call::Swap {
            key,
            expected,
            value,
        } => {
            let request = TxnRequest {
                compare: vec![compare(key, expected.as_deref())],
                success: vec![write(key, value.as_deref())],
                failure: Vec::new(),
            };
            Ok(Answer::Swapped(
                kv.txn(request).await?.into_inner().succeeded,
            ))
        }
        Call::Batch { reads, writes } => {
            let read = reads.iter().map(|key| {
                let request = request_op::Request::RequestRange(client::get(key.clone()));
                RequestOp {
                    request: Some(request),
                }
            });
            let written = writes
                .iter()
                .map(|(key, value)| write(key, value.as_deref()));
            let request = TxnRequest {
                success: read.chain(written).collect(),
                ..TxnRequest::default()
            };
            let answer = kv.txn(request).await?.into_inner();
            let values = answer.responses.iter().take(reads.len()).map(range_value);
            Ok(Answer::Values(values.collect()))
        }
    }
}

fn range_value(response: &ResponseOp) -> Option<String> {
    match &response.response {
        Some(response_op::Response::ResponseRange(range)) => first_value(&range.kvs),
        _ => Some("no answer to a read".to_owned()),
    }
}

fn first_value(kvs: &[protocol::mvccpb::KeyValue]) -> Option<String> {
    kvs.first()
        .map(|item| String::from_utf8_lossy(&item.value).into_owned())
}

fn delete(key: &str) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: key.to_owned().into(),
        ..DeleteRangeRequest::default()
    }
}

fn write(key: &str, value: Option<&str>) -> RequestOp {
    let request = match value {
        Some(value) => {
            let request = client::put(key.to_owned(), value.to_owned());
            request_op::Request::RequestPut(request)
        }
        None => request_op::Request::RequestDeleteRange(delete(key)),
    };
    RequestOp {
        request: Some(request),
    }
}

/// That a key has a value, or does not exist.
fn compare(key: &str, value: Option<&str>) -> Compare {
    let (target, union) = match value {
        Some(value) => (
            CompareTarget::Value,
            TargetUnion::Value(value.to_owned().into()),
        ),
        None => (CompareTarget::Create, TargetUnion::CreateRevision(0)),
    };
    Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: key.to_owned().into(),
        target_union: Some(union),
        ..Compare::default()
    }
}
