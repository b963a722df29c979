//! The rules of reading, one by one.

use super::rig::Rig;
use crate::kv::testing::{compact, copy, range};
use crate::kv::{PageRequest, Refusal};
use protocol::etcdserverpb::range_request::{SortOrder, SortTarget};
use protocol::etcdserverpb::{RangeRequest, RangeResponse};

fn keys(response: &RangeResponse) -> Vec<String> {
    response
        .kvs
        .iter()
        .map(|kv| String::from_utf8_lossy(&kv.key).into_owned())
        .collect()
}

fn revision(response: &RangeResponse) -> i64 {
    response.header.as_ref().expect("a header").revision
}

/// a (2), b (3), c (4), b again (5), d (6), c deleted (7).
fn filled() -> Rig {
    let mut rig = Rig::new();
    for (key, value) in [
        (b"a", b"4"),
        (b"b", b"3"),
        (b"c", b"2"),
        (b"b", b"1"),
        (b"d", b"1"),
    ] {
        rig.put(key, value);
    }
    rig.delete(b"c", b"");
    rig
}

#[test]
fn an_empty_store_is_at_revision_one() {
    let rig = Rig::new();
    let response = rig.range(&range(b"\0", b"\0")).expect("a range");
    assert_eq!(
        (
            revision(&response),
            response.count,
            response.more,
            response.kvs.len()
        ),
        (1, 0, false, 0)
    );
}

#[test]
fn limit_cuts_the_answer_and_not_the_count() {
    let rig = filled();
    let request = RangeRequest {
        limit: 2,
        ..range(b"a", b"\0")
    };
    let response = rig.range(&request).expect("a range");
    assert_eq!(
        (keys(&response), response.more, response.count),
        (vec!["a".into(), "b".into()], true, 3)
    );
    let response = rig
        .range(&RangeRequest {
            limit: 3,
            ..request
        })
        .expect("a range");
    assert_eq!(
        (response.kvs.len(), response.more, response.count),
        (3, false, 3)
    );
}

#[test]
fn old_revisions_read_the_past_and_report_the_present() {
    let rig = filled();
    let response = rig
        .range(&RangeRequest {
            revision: 4,
            ..range(b"a", b"z")
        })
        .expect("a range");
    assert_eq!(
        (keys(&response), response.count, revision(&response)),
        (vec!["a".into(), "b".into(), "c".into()], 3, 7)
    );
    assert_eq!(response.kvs[1].value, "3");
    let response = rig
        .range(&RangeRequest {
            revision: 6,
            ..range(b"c", b"")
        })
        .expect("a range");
    assert_eq!(
        (response.kvs[0].version, response.kvs[0].mod_revision),
        (1, 4)
    );
    let response = rig.range(&range(b"c", b"")).expect("a range");
    assert_eq!((response.count, response.kvs.len()), (0, 0));
}

#[test]
fn reads_reach_down_to_the_compacted_revision() {
    let mut rig = filled();
    rig.compact(5).expect("compact");
    for swept in [false, true] {
        if swept {
            rig.housekeep_fully();
        }
        let at = |revision| {
            rig.range(&RangeRequest {
                revision,
                ..range(b"a", b"z")
            })
        };
        assert_eq!(at(4), Err(Refusal::Compacted));
        assert_eq!(
            keys(&at(5).expect("the compacted revision is readable")),
            ["a", "b", "c"]
        );
        assert_eq!(at(8), Err(Refusal::FutureRevision));
        assert_eq!(
            keys(&at(-1).expect("below zero is the newest")),
            ["a", "b", "d"]
        );
    }
}

#[test]
fn compactions_go_forward_only() {
    let mut rig = filled();
    assert_eq!(rig.compact(8), Err(Refusal::FutureRevision));
    assert!(
        rig.compact(0).is_ok(),
        "a fresh store may be compacted at 0, once"
    );
    assert_eq!(rig.compact(0), Err(Refusal::Compacted));
    assert_eq!(rig.compact(-3), Err(Refusal::Compacted));
    assert_eq!(
        rig.compact(7)
            .expect("at the newest")
            .header
            .expect("a header")
            .revision,
        7
    );
    assert_eq!(rig.compact(compact(7).revision), Err(Refusal::Compacted));
}

#[test]
fn every_target_sorts_and_none_means_ascending() {
    let rig = filled();
    let sorted = |target: SortTarget, order: SortOrder| {
        let request = RangeRequest {
            sort_target: target as i32,
            sort_order: order as i32,
            ..range(b"a", b"z")
        };
        keys(&rig.range(&request).expect("a range")).concat()
    };
    for (target, ascending, descending) in [
        (SortTarget::Key, "abd", "dba"),
        (SortTarget::Version, "adb", "bad"),
        (SortTarget::Create, "abd", "dba"),
        (SortTarget::Mod, "abd", "dba"),
        // b and d hold the same value: key order both ways.
        (SortTarget::Value, "bda", "abd"),
    ] {
        assert_eq!(sorted(target, SortOrder::Ascend), ascending, "{target:?}");
        assert_eq!(sorted(target, SortOrder::None), ascending, "{target:?}");
        assert_eq!(sorted(target, SortOrder::Descend), descending, "{target:?}");
    }
}

#[test]
fn keys_are_sorted_by_values_that_are_not_returned() {
    let rig = filled();
    let target = SortTarget::Value as i32;
    let response = rig
        .range(&RangeRequest {
            sort_target: target,
            keys_only: true,
            ..range(b"a", b"z")
        })
        .expect("a range");
    assert_eq!(keys(&response).concat(), "bda");
    assert!(response.kvs.iter().all(|kv| kv.value.is_empty()));
}

#[test]
fn filters_come_before_the_limit_and_leave_the_count() {
    let rig = filled();
    let request = RangeRequest {
        min_mod_revision: 5,
        limit: 1,
        ..range(b"a", b"z")
    };
    let response = rig.range(&request).expect("a range");
    assert_eq!(
        (keys(&response).concat(), response.more, response.count),
        ("b".into(), true, 3)
    );
    let request = RangeRequest {
        max_create_revision: 3,
        ..range(b"a", b"z")
    };
    assert_eq!(keys(&rig.range(&request).expect("a range")).concat(), "ab");
    let request = RangeRequest {
        min_create_revision: 6,
        max_mod_revision: 6,
        ..range(b"a", b"z")
    };
    assert_eq!(keys(&rig.range(&request).expect("a range")).concat(), "d");
    let request = RangeRequest {
        min_create_revision: 6,
        ..range(b"a", b"")
    };
    let response = rig.range(&request).expect("a range");
    assert_eq!((response.kvs.len(), response.count), (0, 1));
}

#[test]
fn counting_returns_no_keys() {
    let rig = filled();
    for (request, count) in [
        (range(b"a", b"z"), 3),
        (range(b"b", b""), 1),
        (range(b"c", b""), 0),
        (range(b"z", b"a"), 0),
    ] {
        let response = rig
            .range(&RangeRequest {
                count_only: true,
                limit: 1,
                ..request
            })
            .expect("a range");
        assert_eq!(
            (response.count, response.kvs.len(), response.more),
            (count, 0, false)
        );
    }
}

#[test]
fn an_inverted_range_is_empty_at_any_revision() {
    let rig = filled();
    for revision in [0, 4] {
        for order in [SortOrder::None, SortOrder::Descend] {
            let request = RangeRequest {
                revision,
                sort_order: order as i32,
                ..range(b"z", b"a")
            };
            let response = rig.range(&request).expect("a range");
            assert_eq!(
                (response.count, response.kvs.len(), response.more),
                (0, 0, false)
            );
        }
    }
}

#[test]
fn a_large_sorted_selection_keeps_the_best() {
    let mut rig = Rig::new();
    for n in 0..3000_u32 {
        rig.put(
            format!("k{n:04}").as_bytes(),
            format!("{:04}", (n * 7919) % 3000).as_bytes(),
        );
    }
    let request = RangeRequest {
        sort_target: SortTarget::Value as i32,
        limit: 5,
        ..range(b"k", b"l")
    };
    let response = rig.range(&request).expect("a range");
    let values: Vec<_> = response.kvs.iter().map(|kv| kv.value.clone()).collect();
    assert_eq!(values, ["0000", "0001", "0002", "0003", "0004"]);
    assert_eq!((response.more, response.count), (true, 3000));
}

#[test]
fn pages_join_to_the_range() {
    let rig = filled();
    for revision in [0, 6] {
        let whole = rig
            .range(&RangeRequest {
                revision,
                ..range(b"a", b"z")
            })
            .expect("a range");
        let mut joined = Vec::new();
        let mut request = PageRequest {
            key: copy(b"a"),
            range_end: copy(b"z"),
            revision,
            keys_max: 2,
            bytes_max: usize::MAX,
            keys_only: false,
        };
        let is_last = (0..9).any(|_| {
            let page = crate::kv::page(&rig.stores.state.view(), &request).expect("a page");
            assert!(page.kvs.len() <= 2);
            assert_eq!(page.read_at, if revision == 0 { 7 } else { revision });
            joined.extend(page.kvs);
            let last = joined.last().expect("a key");
            request.key = [&last.key[..], b"\0"].concat().into();
            !page.more
        });
        assert!(is_last);
        assert_eq!(joined, whole.kvs);
    }
}

#[test]
fn the_past_is_counted_by_what_changed_since() {
    let mut rig = Rig::new();
    for n in 0..30 {
        rig.put(format!("k{n:02}").as_bytes(), b"v");
    }
    let then = rig.published.revision();
    rig.put(b"k00", b"overwritten");
    for key in [b"k05", b"k06", b"k29"] {
        rig.delete(key, b"");
    }
    for key in ["k05", "k07x", "k08x", "k09x"] {
        rig.put(key.as_bytes(), b"v");
    }
    for key in [b"a", b"z"] {
        rig.put(key, b"outside of the range");
    }
    let at = |revision, limit| {
        let request = RangeRequest {
            revision,
            limit,
            ..range(b"k", b"k20")
        };
        let response = rig.range(&request).expect("a range");
        (response.count, response.kvs.len())
    };
    assert_eq!((at(then, 0), at(then, 5)), ((20, 20), (20, 5)));
    assert_eq!((at(0, 0), at(0, 5)), ((22, 22), (22, 5)));
}
