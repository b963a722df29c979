//! The rules of transactions, one by one.

use super::rig::Rig;
use crate::kv::Refusal;
use crate::kv::testing::{compare, copy, delete, op, put, range, txn};
use protocol::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use protocol::etcdserverpb::response_op::Response;
use protocol::etcdserverpb::{
    Compare, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnResponse,
};

fn succeeded(rig: &mut Rig, compares: Vec<Compare>) -> bool {
    rig.txn(txn(compares, vec![], vec![]))
        .expect("a transaction")
        .succeeded
}

fn revision(header: &Option<ResponseHeader>) -> i64 {
    header.as_ref().expect("a header").revision
}

fn response(answer: &TxnResponse, at: usize) -> &Response {
    answer.responses[at].response.as_ref().expect("a response")
}

#[test]
fn a_missing_key_compares_as_zero_except_its_value() {
    let mut rig = Rig::new();
    use CompareResult::*;
    let cases = [
        (Equal, TargetUnion::Version(0), true),
        (Greater, TargetUnion::Version(0), false),
        (Less, TargetUnion::CreateRevision(1), true),
        (NotEqual, TargetUnion::ModRevision(0), false),
        (Equal, TargetUnion::Lease(0), true),
        (Equal, TargetUnion::Value(copy(b"")), false),
        (NotEqual, TargetUnion::Value(copy(b"x")), false),
    ];
    for (result, operand, expected) in cases {
        let one = compare(b"missing", result, operand.clone());
        assert_eq!(
            succeeded(&mut rig, vec![one.clone()]),
            expected,
            "{result:?} {operand:?}"
        );
        let ranged = Compare {
            range_end: copy(b"n"),
            ..one
        };
        assert_eq!(
            succeeded(&mut rig, vec![ranged]),
            expected,
            "empty range: {result:?} {operand:?}"
        );
    }
}

#[test]
fn comparisons_see_every_field() {
    let mut rig = Rig::new();
    rig.put(b"k", b"old");
    rig.put(b"k", b"new");
    use CompareResult::*;
    let cases = [
        (Equal, TargetUnion::Version(2)),
        (Equal, TargetUnion::CreateRevision(2)),
        (Equal, TargetUnion::ModRevision(3)),
        (Equal, TargetUnion::Value(copy(b"new"))),
        (Less, TargetUnion::Value(copy(b"newer"))),
        (Greater, TargetUnion::Value(copy(b"neW"))),
        (NotEqual, TargetUnion::ModRevision(2)),
        (Equal, TargetUnion::Lease(0)),
    ];
    for (result, operand) in cases {
        assert!(
            succeeded(&mut rig, vec![compare(b"k", result, operand.clone())]),
            "{result:?} {operand:?}"
        );
    }
    let none = Compare {
        target_union: None,
        ..compare(b"k", Greater, TargetUnion::Version(9))
    };
    assert!(
        succeeded(&mut rig, vec![none.clone()]),
        "no operand is zero"
    );
    let other = Compare {
        target: CompareTarget::Mod as i32,
        ..compare(b"k", Greater, TargetUnion::Version(9))
    };
    assert!(
        succeeded(&mut rig, vec![other]),
        "an operand of another kind is zero"
    );
    let unknown = Compare { result: 9, ..none };
    assert!(
        succeeded(&mut rig, vec![unknown]),
        "an unknown result passes"
    );
}

#[test]
fn a_ranged_comparison_holds_for_all_keys_or_not() {
    let mut rig = Rig::new();
    rig.put(b"a", b"1");
    rig.put(b"b", b"2");
    let above = |version| Compare {
        range_end: copy(b"z"),
        ..compare(b"a", CompareResult::Greater, TargetUnion::Version(version))
    };
    assert!(succeeded(&mut rig, vec![above(0)]));
    rig.put(b"b", b"3");
    assert!(!succeeded(&mut rig, vec![above(1)]), "one of two");
    let no_end = Compare {
        range_end: copy(b"\0"),
        ..compare(b"b", CompareResult::Equal, TargetUnion::Value(copy(b"3")))
    };
    assert!(succeeded(&mut rig, vec![no_end]));
}

#[test]
fn one_revision_whatever_the_number_of_changes() {
    let mut rig = Rig::new();
    let answer = rig
        .txn(txn(
            vec![],
            vec![
                op(put(b"a", b"1")),
                op(put(b"b", b"2")),
                op(range(b"a", b"z")),
            ],
            vec![],
        ))
        .expect("a transaction");
    assert_eq!(revision(&answer.header), 2);
    let Response::ResponseRange(read) = response(&answer, 2) else {
        panic!("not a range")
    };
    assert_eq!(
        (read.count, revision(&read.header)),
        (2, 2),
        "a read sees the changes before it"
    );
    assert!(read.kvs.iter().all(|kv| kv.mod_revision == 2));
    let answer = rig
        .txn(txn(
            vec![],
            vec![op(range(b"a", b"")), op(delete(b"x", b""))],
            vec![],
        ))
        .expect("a transaction");
    assert_eq!(revision(&answer.header), 2, "no change, no revision");
    rig.check();
}

#[test]
fn headers_within_hold_the_revision_so_far() {
    let mut rig = Rig::new();
    rig.put(b"k", b"v");
    let inner = txn(vec![], vec![op(range(b"k", b""))], vec![]);
    let ops = vec![
        op(range(b"k", b"")),
        op(delete(b"x", b"")),
        op(put(b"a", b"")),
        op(delete(b"x", b"")),
        op(inner),
    ];
    let answer = rig.txn(txn(vec![], ops, vec![])).expect("a transaction");
    let headers: Vec<_> = answer
        .responses
        .iter()
        .map(|op| match op.response.as_ref().expect("a response") {
            Response::ResponseRange(response) => response.header,
            Response::ResponsePut(response) => response.header,
            Response::ResponseDeleteRange(response) => response.header,
            Response::ResponseTxn(response) => response.header,
        })
        .map(|header| header.expect("a header").revision)
        .collect();
    assert_eq!(
        headers,
        [2, 2, 3, 3, 0],
        "a transaction within has an empty header"
    );
}

#[test]
fn comparisons_within_look_at_the_state_before() {
    let mut rig = Rig::new();
    let inner = txn(
        vec![compare(b"a", CompareResult::Equal, TargetUnion::Version(0))],
        vec![op(put(b"inner", b"then"))],
        vec![op(put(b"inner", b"else"))],
    );
    rig.txn(txn(vec![], vec![op(put(b"a", b"1")), op(inner)], vec![]))
        .expect("a transaction");
    let read = rig.range(&range(b"inner", b"")).expect("a range");
    assert_eq!(read.kvs[0].value, "then");
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let mut rig = Rig::new();
    rig.put(b"k", b"1");
    rig.put(b"k", b"2");
    rig.compact(3).expect("compact");
    let at = |revision| {
        op(RangeRequest {
            revision,
            ..range(b"k", b"")
        })
    };
    let kept = op(PutRequest {
        ignore_value: true,
        ..put(b"missing", b"")
    });
    let on_lease = op(PutRequest {
        lease: 7,
        ..put(b"l", b"")
    });
    let cases: Vec<(Vec<RequestOp>, Refusal)> = vec![
        (vec![at(2)], Refusal::Compacted),
        (vec![at(4)], Refusal::FutureRevision),
        (vec![kept.clone()], Refusal::KeyNotFound),
        (vec![on_lease.clone()], Refusal::LeaseNotFound),
        (vec![at(4), on_lease], Refusal::LeaseNotFound),
        (
            vec![
                op(txn(vec![], vec![], vec![])),
                op(txn(vec![], vec![kept.clone()], vec![])),
            ],
            Refusal::KeyNotFound,
        ),
        (vec![op(put(b"w", b"2"))], Refusal::DuplicateKey),
        (vec![RequestOp { request: None }], Refusal::KeyNotFound),
    ];
    for (ops, refusal) in cases {
        let ops = [vec![op(put(b"w", b"1"))], ops].concat();
        assert_eq!(
            rig.txn(txn(vec![], ops.clone(), vec![])),
            Err(refusal),
            "{ops:?}"
        );
        assert_eq!(rig.range(&range(b"w", b"")).expect("a range").count, 0);
        assert_eq!(rig.published.revision(), 3);
        rig.check();
    }
    let elsewhere = txn(vec![], vec![op(put(b"w", b"1"))], vec![kept]);
    assert!(
        rig.txn(elsewhere).is_ok(),
        "a branch that does not run refuses nothing"
    );
}

#[test]
fn a_later_revision_of_the_same_transaction_is_the_future() {
    let mut rig = Rig::new();
    let ops = vec![
        op(put(b"k", b"v")),
        op(RangeRequest {
            revision: 2,
            ..range(b"k", b"")
        }),
    ];
    assert_eq!(
        rig.txn(txn(vec![], ops, vec![])),
        Err(Refusal::FutureRevision)
    );
    let ops = vec![
        op(put(b"k", b"v")),
        op(RangeRequest {
            revision: 1,
            ..range(b"k", b"")
        }),
    ];
    let answer = rig.txn(txn(vec![], ops, vec![])).expect("a transaction");
    let Response::ResponseRange(read) = response(&answer, 1) else {
        panic!("not a range")
    };
    assert_eq!(
        (read.count, revision(&read.header)),
        (0, 2),
        "the past, though the present has the key"
    );
}

#[test]
fn a_read_transaction_answers_like_a_written_one() {
    let mut rig = Rig::new();
    rig.put(b"k", b"v");
    let exists = compare(b"k", CompareResult::Greater, TargetUnion::Version(0));
    let request = txn(
        vec![exists],
        vec![op(range(b"k", b"")), op(range(b"x", b""))],
        vec![],
    );
    let read = rig.txn_read(&request);
    assert_eq!(read, rig.txn(request));
    assert_eq!(revision(&read.expect("a transaction").header), 2);
    let future = txn(
        vec![],
        vec![op(RangeRequest {
            revision: 9,
            ..range(b"k", b"")
        })],
        vec![],
    );
    assert_eq!(rig.txn_read(&future), Err(Refusal::FutureRevision));
}

#[test]
#[should_panic(expected = "goes through the log")]
fn a_write_is_never_run_as_a_read() {
    let _ = Rig::new().txn_read(&txn(vec![], vec![op(put(b"k", b"v"))], vec![]));
}

#[test]
fn a_negative_revision_in_a_transaction_is_older_than_a_compaction() {
    let mut rig = Rig::new();
    rig.put(b"k", b"v");
    let below = txn(
        vec![],
        vec![op(RangeRequest {
            revision: -1,
            ..range(b"k", b"")
        })],
        vec![],
    );
    assert!(rig.txn(below.clone()).is_ok(), "nothing is compacted yet");
    rig.compact(0).expect("compact");
    assert_eq!(rig.txn(below.clone()), Err(Refusal::Compacted));
    assert_eq!(rig.txn_read(&below), Err(Refusal::Compacted));
    let alone = RangeRequest {
        revision: -1,
        ..range(b"k", b"")
    };
    assert_eq!(rig.range(&alone).expect("a range").count, 1);
}
