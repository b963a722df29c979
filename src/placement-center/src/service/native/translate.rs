//! Native requests in the terms of the store, and its replies in native terms. No waiting, no I/O.

use crate::kv::{self, PageRequest};
use crate::machine::{self, Reply};
use crate::service::Failure;
use crate::service::etcd::successor;
use bytes::Bytes;
use protocol::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::response_op::Response;
use protocol::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, RequestOp,
    ResponseHeader, TxnRequest, TxnResponse,
};
use protocol::mvccpb::KeyValue;
use protocol::placement::v1::{
    Consistency, DeleteRequest, DeleteResponse, ExistsRequest, ExistsResponse, GetRequest,
    GetResponse, Item, ListPrefixRequest, SetRequest, SetResponse,
};

/// Keys of a page when the request names no number.
const PAGE_KEYS_DEFAULT: u32 = 1000;
/// Keys of a page at most.
const PAGE_KEYS_MAX: u32 = 10_000;
/// A page ends with the key that brings it to this many bytes, so that it stays within the 4 MiB that
/// clients accept in one message even when its last value is as large as a value can be.
const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Checks a write and encodes it as a command.
pub(super) fn encode_set(request: SetRequest) -> Result<Bytes, Failure> {
    let put = PutRequest {
        key: request.key,
        value: request.value,
        ..PutRequest::default()
    };
    kv::check_put(&put)?;
    Ok(match request.expected_mod_revision {
        None => machine::encode_put(put),
        Some(expected) => machine::encode_txn(compare_and(
            put.key.clone(),
            expected,
            Request::RequestPut(put),
        )?),
    })
}

/// Checks a delete and encodes it as a command.
pub(super) fn encode_delete(request: DeleteRequest) -> Result<Bytes, Failure> {
    let delete = DeleteRangeRequest {
        key: request.key,
        ..DeleteRangeRequest::default()
    };
    kv::check_delete_range(&delete)?;
    Ok(match request.expected_mod_revision {
        None => machine::encode_delete_range(delete),
        Some(expected) => machine::encode_txn(compare_and(
            delete.key.clone(),
            expected,
            Request::RequestDeleteRange(delete),
        )?),
    })
}

/// A transaction that runs `operation` if the key was last changed at `expected`.
fn compare_and(key: Bytes, expected: i64, operation: Request) -> Result<TxnRequest, Failure> {
    if expected < 0 {
        return Err(Failure::Invalid("expected_mod_revision is negative"));
    }
    let compare = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key,
        target_union: Some(TargetUnion::ModRevision(expected)),
        ..Compare::default()
    };
    Ok(TxnRequest {
        compare: vec![compare],
        success: vec![RequestOp {
            request: Some(operation),
        }],
        failure: Vec::new(),
    })
}

/// The reply to what [`encode_set`] encoded.
pub(super) fn set_response(reply: Reply) -> Result<SetResponse, Failure> {
    match reply {
        Reply::Put(put) => Ok(SetResponse {
            revision: revision(put?.header),
            written: true,
        }),
        Reply::Txn(txn) => txn
            .map(|txn| SetResponse {
                revision: revision(txn.header),
                written: txn.succeeded,
            })
            .map_err(Failure::from),
        _ => Err(Failure::Broken),
    }
}

/// The reply to what [`encode_delete`] encoded.
pub(super) fn delete_response(reply: Reply) -> Result<DeleteResponse, Failure> {
    match reply {
        Reply::DeleteRange(delete) => {
            let delete = delete?;
            Ok(DeleteResponse {
                revision: revision(delete.header),
                deleted: delete.deleted > 0,
            })
        }
        Reply::Txn(txn) => {
            let txn = txn?;
            Ok(DeleteResponse {
                revision: revision(txn.header),
                deleted: deleted_any(&txn),
            })
        }
        _ => Err(Failure::Broken),
    }
}

fn deleted_any(txn: &TxnResponse) -> bool {
    let first = txn
        .responses
        .first()
        .and_then(|operation| operation.response.as_ref());
    matches!(first, Some(Response::ResponseDeleteRange(delete)) if delete.deleted > 0)
}

/// The range that answers a get.
pub(super) fn get_range(request: GetRequest) -> Result<RangeRequest, Failure> {
    let range = RangeRequest {
        serializable: is_serializable(request.consistency)?,
        key: request.key,
        revision: checked_revision(request.revision)?,
        ..RangeRequest::default()
    };
    kv::check_range(&range)?;
    Ok(range)
}

/// The range that answers an exists.
pub(super) fn exists_range(request: ExistsRequest) -> Result<RangeRequest, Failure> {
    let serializable = is_serializable(request.consistency)?;
    let range = RangeRequest {
        serializable,
        key: request.key,
        count_only: true,
        ..RangeRequest::default()
    };
    kv::check_range(&range)?;
    Ok(range)
}

/// The answer to a get.
pub(super) fn get_response(mut range: RangeResponse) -> GetResponse {
    GetResponse {
        revision: revision(range.header),
        item: range.kvs.pop().map(item),
    }
}

/// The answer to an exists.
pub(super) fn exists_response(range: RangeResponse) -> ExistsResponse {
    ExistsResponse {
        revision: revision(range.header),
        exists: range.count > 0,
    }
}

/// The page that answers a listing, and whether old data will do.
pub(super) fn list_page(request: ListPrefixRequest) -> Result<(PageRequest, bool), Failure> {
    let serializable = is_serializable(request.consistency)?;
    let limit = match request.limit {
        0 => PAGE_KEYS_DEFAULT,
        limit @ 1..=PAGE_KEYS_MAX => limit,
        _ => return Err(Failure::Invalid("limit exceeds 10000")),
    };
    if !request.after_key.is_empty() && !request.after_key.starts_with(&request.prefix) {
        return Err(Failure::Invalid("after_key does not start with prefix"));
    }
    let key = match (request.after_key.is_empty(), request.prefix.is_empty()) {
        (false, _) => successor(&request.after_key),
        (true, false) => request.prefix.clone(),
        // The first of all keys; the store takes no empty one.
        (true, true) => Bytes::from_static(b"\0"),
    };
    let page = PageRequest {
        key,
        range_end: prefix_end(&request.prefix),
        revision: checked_revision(request.revision)?,
        keys_max: usize::try_from(limit).unwrap_or(usize::MAX),
        bytes_max: PAGE_BYTES_MAX,
        keys_only: request.keys_only,
    };
    Ok((page, serializable))
}

/// The first key behind all keys that start with `prefix`, as the store has it: one zero byte when there is none.
fn prefix_end(prefix: &[u8]) -> Bytes {
    let Some(last) = prefix.iter().rposition(|byte| *byte != u8::MAX) else {
        return Bytes::from_static(b"\0");
    };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Bytes::from(end)
}

pub(super) fn item(kv: KeyValue) -> Item {
    Item {
        key: kv.key,
        value: kv.value,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
    }
}

fn is_serializable(consistency: i32) -> Result<bool, Failure> {
    match Consistency::try_from(consistency) {
        Ok(Consistency::Linearizable) => Ok(false),
        Ok(Consistency::Serializable) => Ok(true),
        Err(_) => Err(Failure::Invalid("unknown consistency")),
    }
}

fn checked_revision(revision: i64) -> Result<i64, Failure> {
    if revision < 0 {
        Err(Failure::Invalid("revision is negative"))
    } else {
        Ok(revision)
    }
}

fn revision(header: Option<ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_behind_all_its_keys() {
        let cases: [(&[u8], &[u8]); 5] = [
            (b"a", b"b"),
            (b"a\xff", b"b"),
            (b"\xff\xff", b"\0"),
            (b"", b"\0"),
            (b"a\0", b"a\x01"),
        ];
        for (prefix, end) in cases {
            assert_eq!(prefix_end(prefix), end, "{prefix:?}");
        }
    }

    #[test]
    fn a_listing_goes_on_behind_the_last_key_and_no_further_than_its_prefix() {
        let list = |prefix: &'static str, after_key: &'static str, limit| ListPrefixRequest {
            prefix: prefix.into(),
            after_key: after_key.into(),
            limit,
            ..ListPrefixRequest::default()
        };
        let (page, serializable) = list_page(list("a/", "", 0)).expect("valid");
        assert_eq!(
            (page.key.as_ref(), page.range_end.as_ref(), page.keys_max),
            (&b"a/"[..], &b"a0"[..], 1000)
        );
        assert!(!serializable);
        let (page, _) = list_page(list("a/", "a/x", 10_000)).expect("valid");
        assert_eq!(
            (page.key.as_ref(), page.range_end.as_ref()),
            (&b"a/x\0"[..], &b"a0"[..])
        );
        let (page, _) = list_page(list("", "", 1)).expect("valid");
        assert_eq!(
            (page.key.as_ref(), page.range_end.as_ref()),
            (&b"\0"[..], &b"\0"[..])
        );
        assert_eq!(
            list_page(list("a/", "b", 1)).unwrap_err(),
            Failure::Invalid("after_key does not start with prefix")
        );
        assert_eq!(
            list_page(list("a/", "", 10_001)).unwrap_err(),
            Failure::Invalid("limit exceeds 10000")
        );
    }

    #[test]
    fn fields_that_mean_nothing_are_refused() {
        let get = |key: &'static str, consistency, revision| {
            get_range(GetRequest {
                key: key.into(),
                consistency,
                revision,
            })
        };
        assert!(get("k", 0, 0).is_ok_and(|range| !range.serializable));
        assert!(get("k", 1, 3).is_ok_and(|range| range.serializable && range.revision == 3));
        assert_eq!(get("k", 2, 0), Err(Failure::Invalid("unknown consistency")));
        assert_eq!(
            get("k", 0, -1),
            Err(Failure::Invalid("revision is negative"))
        );
        assert_eq!(get("", 0, 0), Err(Failure::Refused(kv::Refusal::EmptyKey)));
        let set = SetRequest {
            key: "k".into(),
            expected_mod_revision: Some(-1),
            ..SetRequest::default()
        };
        assert_eq!(
            encode_set(set),
            Err(Failure::Invalid("expected_mod_revision is negative"))
        );
        assert_eq!(
            encode_delete(DeleteRequest::default()),
            Err(Failure::Refused(kv::Refusal::EmptyKey))
        );
    }
}
