//! Writing the state: a batch is atomic, reads itself, and carries the position.

use super::node::{KEYS, Node, OTHER, commit, on_both};
use super::reads::{check_seek_table, entries};
use std::panic::{AssertUnwindSafe, catch_unwind};
use storage::{Applied, Order, Read, Result};

fn check_own_writes(node: &mut Node) -> Result<()> {
    let (_directory, mut stores) = node.open()?;
    commit(&mut stores, |batch| {
        for key in ["a", "b", "c", "d"] {
            batch.put(KEYS, key.as_bytes(), b"old");
        }
    })?;
    let mut batch = stores.writer.begin();
    batch.put(KEYS, b"b", b"new");
    batch.delete(KEYS, b"c");
    batch.put(KEYS, b"bb", b"new");
    batch.put(KEYS, b"gone", b"new");
    batch.delete(KEYS, b"gone");
    batch.put(OTHER, b"a", b"elsewhere");
    assert_eq!(batch.get(KEYS, b"b")?.as_deref(), Some(&b"new"[..]));
    assert_eq!(batch.get(KEYS, b"a")?.as_deref(), Some(&b"old"[..]));
    assert!(!batch.exists(KEYS, b"c")? && !batch.exists(KEYS, b"gone")?);
    assert!(batch.exists(KEYS, b"bb")? && batch.exists(KEYS, b"d")?);
    let mut expected = ["a=old", "b=new", "bb=new", "d=old"];
    assert_eq!(entries(&batch, "", None, Order::Forward)?, expected);
    assert_eq!(
        entries(&batch, "b", Some("c"), Order::Forward)?,
        expected[1..3]
    );
    let seeks = [("c", "d"), ("ba", "bb"), ("", "a"), ("e", "")];
    check_seek_table(batch.scan(KEYS, b"", None, Order::Forward)?, &seeks)?;
    let seeks = [("c", "bb"), ("ba", "b"), ("z", "d"), ("", "")];
    check_seek_table(batch.scan(KEYS, b"", None, Order::Reverse)?, &seeks)?;
    expected.reverse();
    assert_eq!(entries(&batch, "", None, Order::Reverse)?, expected);
    assert_eq!(batch.bytes(), "bnewcbbnewgonenewgoneaelsewhere".len());
    drop(batch);
    let view = stores.state.view();
    assert_eq!(view.get(KEYS, b"b")?.as_deref(), Some(&b"old"[..]));
    assert_eq!(stores.state.applied().index, 1);
    Ok(())
}

#[test]
fn a_batch_reads_its_own_writes_and_a_dropped_one_leaves_nothing() {
    on_both(check_own_writes);
}

fn check_position(node: &mut Node) -> Result<()> {
    let opened = node.open()?;
    let (_directory, mut stores) = opened;
    assert_eq!(stores.state.applied(), Applied::default());
    assert_eq!(stores.conf_state, None);
    let first = commit(&mut stores, |batch| batch.set_conf_state(b"voters 1"))?;
    assert_eq!(stores.state.applied(), first);
    assert_eq!(stores.state.flushed_index()?, 0);
    stores.state.flush()?;
    assert_eq!(stores.state.flushed_index()?, 1);
    let second = commit(&mut stores, |batch| batch.put(KEYS, b"a", b"1"))?;
    assert_eq!(stores.state.flushed_index()?, 1);
    stores.state.flush()?;
    assert_eq!(stores.state.flushed_index()?, 2);
    drop(stores);
    drop(_directory);
    let (_directory, stores) = node.open()?;
    assert_eq!(stores.state.applied(), second);
    assert_eq!(stores.conf_state.as_deref(), Some(&b"voters 1"[..]));
    Ok(())
}

#[test]
fn the_position_and_the_membership_come_back() {
    on_both(check_position);
}

/// Runs a commit that must panic and says whether it did.
fn refused(node: &Node, run: impl FnOnce(&mut storage::Stores) -> Result<()>) -> Result<bool> {
    let (_directory, mut stores) = node.open()?;
    commit(&mut stores, |batch| batch.put(KEYS, b"a", b"1"))?;
    let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut stores)));
    let value = stores.state.view().get(KEYS, b"b")?;
    assert_eq!(value, None, "a refused batch leaves nothing");
    Ok(outcome.is_err())
}

fn commit_at(stores: &mut storage::Stores, index_step: i64, term_step: i64) -> Result<()> {
    let previous = stores.state.applied();
    let mut batch = stores.writer.begin();
    batch.put(KEYS, b"b", b"2");
    batch.commit(Applied {
        index: previous.index.saturating_add_signed(index_step),
        term: previous.term.saturating_add_signed(term_step),
        chain_hash: 0,
    })
}

#[test]
fn the_position_never_goes_back() {
    for node in [Node::memory, Node::rocks] {
        let check = |index, term| refused(&node(), |stores| commit_at(stores, index, term));
        assert!(check(0, 0).expect("opens"), "the same index again");
        assert!(check(-1, 0).expect("opens"), "an older index");
        assert!(check(1, -1).expect("opens"), "an older term");
    }
}

#[test]
fn nobody_writes_the_position_beside_commit() {
    let family = storage::Family("applied");
    let put = |stores: &mut storage::Stores| {
        stores.writer.begin().put(family, b"position", b"forged");
        Ok(())
    };
    let delete = |stores: &mut storage::Stores| {
        stores.writer.begin().delete(family, b"position");
        Ok(())
    };
    let housekeeping = |stores: &mut storage::Stores| {
        let mut batch = stores.writer.begin();
        batch.set_conf_state(b"forged");
        batch.commit_housekeeping()
    };
    assert!(refused(&Node::memory(), put).expect("opens"));
    assert!(refused(&Node::memory(), delete).expect("opens"));
    assert!(refused(&Node::memory(), housekeeping).expect("opens"));
}

fn check_housekeeping(node: &mut Node) -> Result<()> {
    let (_directory, mut stores) = node.open()?;
    let applied = commit(&mut stores, |batch| batch.put(KEYS, b"a", b"1"))?;
    let mut batch = stores.writer.begin();
    batch.delete(KEYS, b"a");
    batch.commit_housekeeping()?;
    stores.writer.begin().commit_housekeeping()?;
    assert_eq!(stores.state.applied(), applied);
    assert!(!stores.state.view().exists(KEYS, b"a")?);
    Ok(())
}

#[test]
fn housekeeping_leaves_the_position() {
    on_both(check_housekeeping);
}

#[test]
fn housekeeping_needs_a_position() {
    let (_directory, mut stores) = Node::memory().open().expect("a new disk opens");
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut batch = stores.writer.begin();
        batch.put(KEYS, b"a", b"1");
        batch.commit_housekeeping()
    }));
    assert!(outcome.is_err());
}
