use super::*;
use crate::kv::testing::{compare, delete, op, put, range, txn};
use protocol::etcdserverpb::compare::{CompareResult, TargetUnion};

const OPS_MAX: usize = 128;

fn nested(depth: usize) -> TxnRequest {
    let innermost = txn(vec![], vec![op(put(b"k", b"v"))], vec![]);
    (1..depth).fold(innermost, |inner, _| txn(vec![], vec![op(inner)], vec![]))
}

#[test]
fn single_requests_are_checked_in_order() {
    assert_eq!(check_range(&range(b"", b"")), Err(Refusal::EmptyKey));
    assert_eq!(check_range(&range(b"a", b"")), Ok(()));
    assert_eq!(
        check_range(&RangeRequest {
            sort_order: 3,
            ..range(b"a", b"")
        }),
        Err(Refusal::InvalidSortOption)
    );
    assert_eq!(
        check_range(&RangeRequest {
            sort_target: 5,
            ..range(b"a", b"")
        }),
        Err(Refusal::InvalidSortOption)
    );
    assert_eq!(
        check_range(&RangeRequest {
            sort_target: -1,
            ..range(b"", b"")
        }),
        Err(Refusal::EmptyKey)
    );
    assert_eq!(check_put(&put(b"", b"v")), Err(Refusal::EmptyKey));
    assert_eq!(check_put(&put(b"k", b"")), Ok(()));
    let both = PutRequest {
        ignore_value: true,
        ignore_lease: true,
        lease: 7,
        ..put(b"k", b"v")
    };
    assert_eq!(check_put(&both), Err(Refusal::ValueProvided));
    assert_eq!(
        check_put(&PutRequest {
            value: Default::default(),
            ..both.clone()
        }),
        Err(Refusal::LeaseProvided)
    );
    assert_eq!(
        check_put(&PutRequest {
            value: Default::default(),
            lease: 0,
            ..both
        }),
        Ok(())
    );
    assert_eq!(
        check_delete_range(&delete(b"", b"z")),
        Err(Refusal::EmptyKey)
    );
    assert_eq!(check_delete_range(&delete(b"z", b"a")), Ok(()));
}

#[test]
fn the_longest_list_of_a_transaction_counts() {
    let reads = |n: usize| (0..n).map(|_| op(range(b"k", b""))).collect::<Vec<_>>();
    let compares = |n: usize| vec![compare(b"k", CompareResult::Equal, TargetUnion::Version(0)); n];
    assert_eq!(check_txn(&txn(compares(2), reads(2), reads(2)), 2), Ok(()));
    for request in [
        txn(compares(3), vec![], vec![]),
        txn(vec![], reads(3), vec![]),
        txn(vec![], vec![], reads(3)),
    ] {
        assert_eq!(check_txn(&request, 2), Err(Refusal::TooManyOperations));
    }
    assert_eq!(
        check_txn(&txn(compares(128), reads(128), reads(128)), OPS_MAX),
        Ok(())
    );
}

#[test]
fn transactions_within_get_the_rest_of_the_budget() {
    let inner = |n: usize| {
        txn(
            vec![],
            (0..n).map(|_| op(range(b"k", b""))).collect(),
            vec![],
        )
    };
    assert_eq!(
        check_txn(&txn(vec![], vec![op(inner(3))], vec![]), 4),
        Ok(())
    );
    assert_eq!(
        check_txn(&txn(vec![], vec![op(inner(4))], vec![]), 4),
        Err(Refusal::TooManyOperations)
    );
    // Each sibling gets the same rest: the budget bounds depth, not the sum.
    assert_eq!(
        check_txn(&txn(vec![], vec![op(inner(2)), op(inner(2))], vec![]), 4),
        Ok(())
    );
}

#[test]
fn nesting_is_bounded() {
    assert_eq!(check_txn(&nested(TXN_DEPTH_MAX), OPS_MAX), Ok(()));
    assert_eq!(
        check_txn(&nested(TXN_DEPTH_MAX + 1), OPS_MAX),
        Err(Refusal::TooManyOperations)
    );
}

#[test]
fn operations_of_a_transaction_are_checked() {
    let cases = [
        (
            txn(
                vec![compare(b"", CompareResult::Equal, TargetUnion::Version(0))],
                vec![],
                vec![],
            ),
            Refusal::EmptyKey,
        ),
        (
            txn(vec![], vec![op(range(b"", b""))], vec![]),
            Refusal::EmptyKey,
        ),
        (
            txn(vec![], vec![], vec![op(put(b"", b""))]),
            Refusal::EmptyKey,
        ),
        (
            txn(vec![], vec![op(delete(b"", b""))], vec![]),
            Refusal::EmptyKey,
        ),
        (
            txn(vec![], vec![RequestOp { request: None }], vec![]),
            Refusal::KeyNotFound,
        ),
        (
            txn(
                vec![],
                vec![op(txn(vec![], vec![RequestOp { request: None }], vec![]))],
                vec![],
            ),
            Refusal::KeyNotFound,
        ),
        (
            txn(
                vec![],
                vec![op(RangeRequest {
                    sort_order: 9,
                    ..range(b"k", b"")
                })],
                vec![],
            ),
            Refusal::InvalidSortOption,
        ),
        // The operations are checked before duplicates are looked for.
        (
            txn(
                vec![],
                vec![op(put(b"k", b"")), op(put(b"k", b"")), op(put(b"", b""))],
                vec![],
            ),
            Refusal::EmptyKey,
        ),
        (
            txn(vec![], vec![], vec![op(put(b"k", b"")), op(put(b"k", b""))]),
            Refusal::DuplicateKey,
        ),
    ];
    for (request, refusal) in cases {
        assert_eq!(check_txn(&request, OPS_MAX), Err(refusal), "{request:?}");
    }
}

#[test]
fn kinds_of_transactions() {
    let read = || op(range(b"k", b""));
    let stale = || {
        op(RangeRequest {
            serializable: true,
            ..range(b"k", b"")
        })
    };
    // (transaction, read-only, serializable, grows)
    let cases = [
        (txn(vec![], vec![], vec![]), true, false, false),
        (txn(vec![], vec![read()], vec![]), true, false, false),
        (txn(vec![], vec![stale()], vec![]), true, true, false),
        (txn(vec![], vec![stale()], vec![read()]), true, false, false),
        (
            txn(vec![], vec![], vec![op(delete(b"k", b""))]),
            false,
            false,
            false,
        ),
        (
            txn(vec![], vec![stale()], vec![op(put(b"k", b""))]),
            false,
            false,
            true,
        ),
        (
            txn(vec![], vec![op(txn(vec![], vec![stale()], vec![]))], vec![]),
            false,
            false,
            false,
        ),
        (nested(3), false, false, true),
    ];
    for (request, read_only, serializable, more) in cases {
        assert_eq!(
            (
                is_read_only(&request),
                is_serializable(&request),
                grows(&request)
            ),
            (read_only, serializable, more),
            "{request:?}"
        );
    }
}

#[test]
fn asking_whether_a_bottomless_transaction_grows_is_safe() {
    let bottomless = (0..50_000).fold(txn(vec![], vec![], vec![]), |inner, _| {
        txn(vec![], vec![op(inner)], vec![])
    });
    assert!(grows(&bottomless));
    assert_eq!(
        check_txn(&bottomless, usize::MAX),
        Err(Refusal::TooManyOperations)
    );
    // Dropping it would recurse as deep as it is, which is not what is under test.
    std::mem::forget(bottomless);
}
