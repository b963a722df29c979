//! Hashes against values that etcd 3.4.23 gave for the same histories, and against the layout of the store.

use super::*;
use crate::kv::Refusal;
use crate::kv::tests::rig::{Command, Rig};

fn hash(rig: &Rig, revision: i64) -> HistoryHash {
    let view = rig.stores.state.view();
    let hash = crate::kv::history_hash(&view, revision, || true);
    hash.expect("readable").expect("not given up")
}

/// Revision 2: a=1; 3: b=2; 4: a=3; 5: b deleted; 6: c=4.
fn history() -> Rig {
    let mut rig = Rig::new();
    rig.put(b"a", b"1");
    rig.put(b"b", b"2");
    rig.put(b"a", b"3");
    rig.delete(b"b", b"");
    rig.put(b"c", b"4");
    rig
}

#[test]
fn a_history_has_the_hash_that_etcd_gives_it() {
    assert_eq!(hash(&Rig::new(), 0).hash, 1_084_519_789);
    let mut rig = history();
    assert_eq!(hash(&rig, 0).hash, 2_750_537_463);
    assert_eq!(hash(&rig, 3).hash, 1_827_592_406);
    rig.apply(&[Command::Compact(4)]);
    let after = hash(&rig, 0);
    assert_eq!(
        after,
        HistoryHash {
            hash: 2_450_235_489,
            hashed_revision: 6,
            compacted_revision: 4,
            revision: 6
        }
    );
}

#[test]
fn the_hash_does_not_depend_on_what_was_removed_already() {
    for compacted in 2..=6 {
        let mut rig = history();
        rig.apply(&[Command::Compact(compacted)]);
        let before: Vec<u32> = (compacted..=6).map(|at| hash(&rig, at).hash).collect();
        rig.housekeep_fully();
        let after: Vec<u32> = (compacted..=6).map(|at| hash(&rig, at).hash).collect();
        assert_eq!(before, after, "compacted at {compacted}");
    }
}

#[test]
fn where_nothing_lives_what_the_compaction_kept_counts() {
    let mut rig = Rig::new();
    rig.put(b"a", b"1");
    rig.put(b"a", b"2");
    rig.apply(&[Command::Compact(3)]);
    rig.delete(b"a", b"");
    let before = hash(&rig, 0);
    rig.housekeep_fully();
    assert_eq!(hash(&rig, 0), before);
    assert_eq!(before.hash, 573_317_793);
}

#[test]
fn revisions_that_cannot_be_read_have_no_hash() {
    let mut rig = history();
    rig.apply(&[Command::Compact(4)]);
    let view = rig.stores.state.view();
    let refused = |at| crate::kv::history_hash(&view, at, || true).expect_err("refused");
    assert!(matches!(
        refused(3),
        ReadFailure::Refused(Refusal::Compacted)
    ));
    assert!(matches!(
        refused(7),
        ReadFailure::Refused(Refusal::FutureRevision)
    ));
}

#[test]
fn a_hash_that_nobody_wants_is_given_up() {
    let mut rig = Rig::new();
    for _ in 0..ROWS_BETWEEN_LOOKS {
        rig.put(b"a", b"1");
    }
    let view = rig.stores.state.view();
    let hash = crate::kv::history_hash(&view, 0, || false).expect("readable");
    assert_eq!(hash, None);
}
