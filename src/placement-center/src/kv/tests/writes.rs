//! The rules of putting, deleting and forgetting, one by one.

use super::rig::{Answer, Command, Rig};
use crate::kv::testing::{delete, put, range};
use crate::kv::{CURRENT, HISTORY, REVISION, Refusal};
use protocol::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest};

fn refusal(rig: &mut Rig, request: PutRequest) -> Option<Refusal> {
    match rig.apply(&[Command::Put(request)]).pop() {
        Some(Answer::Put(answer)) => answer.err(),
        other => panic!("put answered {other:?}"),
    }
}

#[test]
fn the_first_write_is_revision_two_and_equal_values_count() {
    let mut rig = Rig::new();
    assert_eq!(rig.put(b"k", b"v"), 2);
    assert_eq!(rig.put(b"k", b"v"), 3);
    let kv = rig.range(&range(b"k", b"")).expect("a range").kvs.remove(0);
    assert_eq!(
        (kv.create_revision, kv.mod_revision, kv.version, kv.lease),
        (2, 3, 2, 0)
    );
}

#[test]
fn a_deleted_key_starts_anew() {
    let mut rig = Rig::new();
    rig.put(b"k", b"v");
    rig.put(b"k", b"v");
    assert_eq!(rig.delete(b"k", b"").header.expect("a header").revision, 4);
    rig.put(b"k", b"w");
    let kv = rig.range(&range(b"k", b"")).expect("a range").kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (5, 5, 1));
}

#[test]
fn deleting_nothing_is_no_revision() {
    let mut rig = Rig::new();
    rig.put(b"k", b"v");
    let response = rig.delete(b"x", b"z");
    assert_eq!(
        (
            response.deleted,
            response.header.expect("a header").revision
        ),
        (0, 2)
    );
    assert_eq!(rig.put(b"k", b"v"), 3);
}

#[test]
fn a_range_is_deleted_in_one_revision() {
    let mut rig = Rig::new();
    for key in [b"a", b"b", b"c", b"d"] {
        rig.put(key, key);
    }
    let request = DeleteRangeRequest {
        prev_kv: true,
        ..delete(b"b", b"d")
    };
    let Some(Answer::Delete(Ok(response))) = rig.apply(&[Command::Delete(request)]).pop() else {
        panic!("refused");
    };
    assert_eq!(
        (
            response.deleted,
            response.header.expect("a header").revision
        ),
        (2, 6)
    );
    let previous: Vec<_> = response
        .prev_kvs
        .iter()
        .map(|kv| (&kv.key[..], &kv.value[..], kv.mod_revision))
        .collect();
    assert_eq!(
        previous,
        [(&b"b"[..], &b"b"[..], 3), (&b"c"[..], &b"c"[..], 4)]
    );
    rig.check();
}

#[test]
fn puts_refuse_what_is_missing_and_change_nothing() {
    let mut rig = Rig::new();
    let keep_value = PutRequest {
        ignore_value: true,
        ..put(b"k", b"")
    };
    let keep_lease = PutRequest {
        ignore_lease: true,
        ..put(b"k", b"v")
    };
    assert_eq!(
        refusal(&mut rig, keep_value.clone()),
        Some(Refusal::KeyNotFound)
    );
    assert_eq!(
        refusal(&mut rig, keep_lease.clone()),
        Some(Refusal::KeyNotFound)
    );
    assert_eq!(
        refusal(
            &mut rig,
            PutRequest {
                lease: 7,
                ..put(b"k", b"v")
            }
        ),
        Some(Refusal::LeaseNotFound)
    );
    let on_lease = PutRequest {
        lease: 7,
        ..keep_value.clone()
    };
    assert_eq!(
        refusal(&mut rig, on_lease),
        Some(Refusal::LeaseNotFound),
        "the lease is looked up first"
    );
    assert_eq!(
        refusal(&mut rig, put(b"", b"v")),
        Some(Refusal::EmptyKey),
        "the machine checks what reached the log"
    );
    assert_eq!(rig.put(b"k", b"v"), 2, "refusals are no revisions");
    assert_eq!(refusal(&mut rig, keep_value), None);
    assert_eq!(refusal(&mut rig, keep_lease), None);
    let kv = rig.range(&range(b"k", b"")).expect("a range").kvs.remove(0);
    assert_eq!((&kv.value[..], kv.version), (&b"v"[..], 3));
}

#[test]
fn previous_values_come_on_request() {
    let mut rig = Rig::new();
    let request = PutRequest {
        prev_kv: true,
        ..put(b"k", b"1")
    };
    let answers = rig.apply(&[
        Command::Put(request.clone()),
        Command::Put(request),
        Command::Put(put(b"k", b"3")),
    ]);
    let previous: Vec<_> = answers
        .into_iter()
        .map(|answer| match answer {
            Answer::Put(Ok(response)) => response.prev_kv.map(|kv| (kv.value, kv.version)),
            other => panic!("put answered {other:?}"),
        })
        .collect();
    assert_eq!(previous, [None, Some(("1".into(), 1)), None]);
}

#[test]
fn a_sweep_leaves_what_can_be_read() {
    let mut rig = Rig::new();
    for value in [b"1", b"2", b"3"] {
        rig.put(b"k", value);
    }
    rig.put(b"gone", b"x");
    rig.delete(b"gone", b"");
    rig.compact(6).expect("compact");
    assert_eq!(
        rig.dump(HISTORY).len(),
        4,
        "nothing is gone before the sweep"
    );
    rig.housekeep_fully();
    assert_eq!(rig.dump(CURRENT).len(), 1);
    assert_eq!(
        rig.dump(HISTORY).len(),
        1,
        "the tombstone at the compacted revision stays"
    );
    assert_eq!(rig.dump(REVISION).len(), 2);
    rig.put(b"k", b"4");
    rig.compact(7).expect("compact");
    rig.housekeep_fully();
    assert_eq!(
        (rig.dump(HISTORY).len(), rig.dump(REVISION).len()),
        (0, 1),
        "until the next one"
    );
    rig.check();
}

#[test]
fn a_sweep_goes_on_after_a_restart() {
    let mut rig = Rig::new();
    for n in 0..40_u8 {
        rig.put(b"k", &[n]);
    }
    rig.compact(41).expect("compact");
    assert!(rig.housekeep() && rig.housekeep());
    let left = rig.dump(HISTORY).len();
    assert!(0 < left && left < 39, "two steps do not do everything");
    rig = rig.reopen();
    rig.check();
    rig.housekeep_fully();
    assert_eq!(rig.dump(HISTORY).len(), 0);
    rig.check();
}

#[test]
fn a_compaction_during_a_sweep_gets_its_own() {
    let mut rig = Rig::new();
    rig.put(b"k", b"1");
    rig.delete(b"k", b"");
    for n in 0..9_u8 {
        rig.put(b"other", &[n]);
    }
    rig.compact(3).expect("compact");
    assert!(rig.housekeep(), "leaves the tombstone at 3");
    for revision in [8, 12] {
        rig.compact(revision).expect("compact");
        assert!(rig.housekeep());
    }
    rig.housekeep_fully();
    assert_eq!((rig.dump(HISTORY).len(), rig.dump(REVISION).len()), (0, 1));
    rig.check();
}

#[test]
fn a_compaction_in_the_middle_of_a_revision_leaves_no_tombstone_behind() {
    let mut rig = Rig::new();
    for key in [b"a", b"b", b"c", b"d"] {
        rig.put(key, key);
    }
    rig.delete(b"a", b"e");
    rig.compact(6).expect("compact");
    assert!(rig.housekeep() && rig.housekeep());
    rig.put(b"x", b"x");
    rig.compact(7).expect("compact");
    rig.housekeep_fully();
    assert_eq!((rig.dump(HISTORY).len(), rig.dump(REVISION).len()), (0, 1));
    rig.check();
}

#[tokio::test]
async fn waiting_for_a_sweep_ends_with_it() {
    let mut rig = Rig::new();
    for n in 0..20_u8 {
        rig.put(b"k", &[n]);
    }
    rig.compact(20).expect("compact");
    assert!(rig.housekeep());
    let mut waiting = Box::pin(rig.published.swept(20));
    assert!(
        futures::poll!(waiting.as_mut()).is_pending(),
        "one step is not the sweep"
    );
    drop(waiting);
    rig.housekeep_fully();
    let deadline = std::time::Duration::from_secs(10);
    tokio::time::timeout(deadline, rig.published.swept(20))
        .await
        .expect("swept");
}

#[test]
fn counts_stay_exact_through_splits_and_drops() {
    let mut rig = Rig::new();
    let key = |n: u32| format!("k{:05}", (n * 7919) % 997).into_bytes();
    for n in 0..300 {
        rig.put(&key(n), b"v");
        if n % 11 == 0 {
            rig.housekeep();
        }
    }
    rig.check();
    for n in 0..300_u32 {
        let from = key(n);
        let response = rig
            .range(&RangeRequest {
                count_only: true,
                ..range(&from, b"k00500")
            })
            .expect("a range");
        let walked = rig
            .range(&RangeRequest {
                sort_target: 3,
                ..range(&from, b"k00500")
            })
            .expect("a range");
        assert_eq!(response.count, walked.kvs.len() as i64);
    }
    rig.delete(b"k00100", b"k00900");
    rig.check();
    rig.delete(b"\0", b"\0");
    rig.check();
    assert_eq!(rig.published.keys(), 0);
}

#[test]
fn buckets_stay_small_without_housekeeping() {
    let mut rig = Rig::new();
    for n in 0..200_u32 {
        rig.put(&n.to_be_bytes(), b"v");
    }
    rig.check();
    assert!(rig.fullest_bucket() <= 8, "{}", rig.fullest_bucket());
    rig.housekeep_fully();
    assert!(rig.fullest_bucket() <= 4, "{}", rig.fullest_bucket());
    rig.check();
}
