//! Random requests over few keys, so that they meet each other often. Every option of every request
//! takes part.

use super::rig::Command;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use protocol::etcdserverpb::compare::TargetUnion;
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::*;

/// Revisions that a run of some hundred changes comes past.
const REVISION_MAX: i64 = 90;

fn key() -> impl Strategy<Value = Bytes> {
    const KEYS: [&[u8]; 14] = [
        b"\0",
        b"\0\0",
        b"a",
        b"a\0",
        b"a\0\x01",
        b"a\0\xff",
        b"aa",
        b"ab",
        b"b",
        b"b/1",
        b"b/2",
        b"c",
        b"\xff",
        b"\xff\xff",
    ];
    select(&KEYS[..]).prop_map(Bytes::from_static)
}

fn range_end() -> impl Strategy<Value = Bytes> {
    prop_oneof![3 => Just(Bytes::new()), 2 => Just(Bytes::from_static(b"\0")), 4 => key(), 1 => Just(Bytes::from_static(b"b0"))]
}

fn value() -> impl Strategy<Value = Bytes> {
    vec(0..3_u8, 0..3).prop_map(Bytes::from)
}

fn revision() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(0_i64), 3 => -1..REVISION_MAX]
}

fn bound() -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(0_i64), 1 => 1..REVISION_MAX]
}

pub(super) fn range_request() -> impl Strategy<Value = RangeRequest> {
    let flags = (any::<bool>(), option::weighted(0.2, Just(())), -1..7_i64);
    (
        key(),
        range_end(),
        revision(),
        0..3_i32,
        0..5_i32,
        flags,
        (bound(), bound(), bound(), bound()),
    )
        .prop_map(
            |(
                key,
                range_end,
                revision,
                sort_order,
                sort_target,
                (keys_only, count_only, limit),
                bounds,
            )| RangeRequest {
                key,
                range_end,
                limit,
                revision,
                sort_order,
                sort_target,
                serializable: false,
                keys_only,
                count_only: count_only.is_some(),
                min_mod_revision: bounds.0,
                max_mod_revision: bounds.1,
                min_create_revision: bounds.2,
                max_create_revision: bounds.3,
            },
        )
}

fn put_request() -> impl Strategy<Value = PutRequest> {
    let rarely = || option::weighted(0.1, Just(())).prop_map(|flag| flag.is_some());
    (key(), value(), any::<bool>(), rarely(), rarely(), rarely()).prop_map(
        |(key, value, prev_kv, ignore_value, ignore_lease, on_lease)| PutRequest {
            key,
            value: if ignore_value { Bytes::new() } else { value },
            lease: i64::from(on_lease && !ignore_lease),
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete_request() -> impl Strategy<Value = DeleteRangeRequest> {
    (key(), range_end(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRangeRequest {
        key,
        range_end,
        prev_kv,
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    let operand = prop_oneof![
        (0..4_i64).prop_map(TargetUnion::Version),
        (0..REVISION_MAX).prop_map(TargetUnion::CreateRevision),
        (0..REVISION_MAX).prop_map(TargetUnion::ModRevision),
        value().prop_map(TargetUnion::Value),
        (0..2_i64).prop_map(TargetUnion::Lease),
    ];
    let range_end = prop_oneof![3 => Just(Bytes::new()), 1 => range_end()];
    (
        0..4_i32,
        0..5_i32,
        key(),
        option::weighted(0.9, operand),
        range_end,
    )
        .prop_map(|(result, target, key, target_union, range_end)| Compare {
            result,
            target,
            key,
            target_union,
            range_end,
        })
}

fn operation(depth: u32) -> BoxedStrategy<RequestOp> {
    let leaf = prop_oneof![
        3 => put_request().prop_map(Request::RequestPut),
        2 => range_request().prop_map(Request::RequestRange),
        1 => delete_request().prop_map(Request::RequestDeleteRange),
    ];
    let request = if depth == 0 {
        leaf.boxed()
    } else {
        prop_oneof![4 => leaf, 1 => txn_request(depth - 1).prop_map(Request::RequestTxn)].boxed()
    };
    request
        .prop_map(|request| RequestOp {
            request: Some(request),
        })
        .boxed()
}

fn txn_request(depth: u32) -> BoxedStrategy<TxnRequest> {
    (
        vec(compare(), 0..3),
        vec(operation(depth), 0..4),
        vec(operation(depth), 0..4),
    )
        .prop_map(|(compare, success, failure)| TxnRequest {
            compare,
            success,
            failure,
        })
        .boxed()
}

pub(super) fn read_txn() -> impl Strategy<Value = TxnRequest> {
    let read = || {
        range_request().prop_map(|request| RequestOp {
            request: Some(Request::RequestRange(request)),
        })
    };
    (vec(compare(), 0..3), vec(read(), 0..4), vec(read(), 0..4)).prop_map(
        |(compare, success, failure)| TxnRequest {
            compare,
            success,
            failure,
        },
    )
}

pub(super) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        8 => put_request().prop_map(Command::Put),
        3 => delete_request().prop_map(Command::Delete),
        5 => txn_request(2).prop_map(Command::Txn),
        1 => (-2..REVISION_MAX).prop_map(Command::Compact),
    ]
}
