use super::*;
use crate::kv::Refusal::DuplicateKey;
use crate::kv::testing::{delete, op, put, range, txn};

fn p(key: &[u8]) -> RequestOp {
    op(put(key, b"v"))
}

fn d(key: &[u8], range_end: &[u8]) -> RequestOp {
    op(delete(key, range_end))
}

fn t(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
    op(txn(vec![], success, failure))
}

#[test]
fn a_key_changes_at_most_once() {
    let ok = Ok(());
    let twice = Err(DuplicateKey);
    let cases: Vec<(&str, Vec<RequestOp>, Result<(), Refusal>)> = vec![
        ("nothing", vec![], ok),
        ("different keys", vec![p(b"a"), p(b"b")], ok),
        ("put twice", vec![p(b"a"), p(b"a")], twice),
        ("put and delete", vec![p(b"a"), d(b"a", b"")], twice),
        ("delete and put", vec![d(b"a", b""), p(b"a")], twice),
        ("delete twice", vec![d(b"a", b""), d(b"a", b"")], ok),
        (
            "overlapping deletes",
            vec![d(b"a", b"c"), d(b"b", b"d")],
            ok,
        ),
        (
            "put inside a deleted range",
            vec![d(b"a", b"c"), p(b"b")],
            twice,
        ),
        (
            "put at the start of a deleted range",
            vec![d(b"a", b"c"), p(b"a")],
            twice,
        ),
        (
            "put at the end of a deleted range",
            vec![d(b"a", b"c"), p(b"c")],
            ok,
        ),
        (
            "put behind an open start",
            vec![p(b"z"), d(b"a", b"\0")],
            twice,
        ),
        (
            "put before an open start",
            vec![p(b"a"), d(b"b", b"\0")],
            ok,
        ),
        ("inverted delete", vec![p(b"b"), d(b"c", b"a")], ok),
        (
            "reads do not matter",
            vec![p(b"a"), op(range(b"a", b""))],
            ok,
        ),
        (
            "both branches of one",
            vec![t(vec![p(b"a")], vec![p(b"a")])],
            ok,
        ),
        (
            "put and delete in the branches of one",
            vec![t(vec![p(b"a")], vec![d(b"a", b"")])],
            ok,
        ),
        (
            "outer put, inner put",
            vec![p(b"a"), t(vec![], vec![p(b"a")])],
            twice,
        ),
        (
            "inner put, outer put",
            vec![t(vec![p(b"a")], vec![]), p(b"a")],
            twice,
        ),
        (
            "outer delete, inner put",
            vec![d(b"a", b"c"), t(vec![p(b"b")], vec![])],
            twice,
        ),
        (
            "inner delete, outer put",
            vec![t(vec![], vec![d(b"a", b"c")]), p(b"b")],
            twice,
        ),
        (
            "two within put the same",
            vec![t(vec![p(b"a")], vec![]), t(vec![], vec![p(b"a")])],
            twice,
        ),
        (
            "one within puts, the next deletes",
            vec![t(vec![p(b"a")], vec![]), t(vec![d(b"a", b"")], vec![])],
            twice,
        ),
        (
            "one within deletes, the next puts",
            vec![t(vec![d(b"a", b"")], vec![]), t(vec![p(b"a")], vec![])],
            twice,
        ),
        (
            "deeper",
            vec![p(b"a"), t(vec![t(vec![], vec![p(b"a")])], vec![])],
            twice,
        ),
        (
            "bad inside a branch",
            vec![t(vec![], vec![p(b"a"), p(b"a")])],
            twice,
        ),
    ];
    for (name, operations, expected) in cases {
        assert_eq!(check(&operations), expected, "{name}");
    }
}
