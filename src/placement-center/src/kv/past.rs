//! Counts the keys of a past revision without a walk where it can: the count of the newest revision,
//! corrected by the changes since.

use super::REVISION;
use super::counting;
use super::key::{Position, Span};
use super::record::{Change, Record};
use super::snapshot::Snapshot;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use storage::{Order, Read, Result};

/// Keys of `span` that live at `at`, a readable revision.
pub(super) fn count<R: Read>(snapshot: &Snapshot<'_, R>, span: Span<'_>, at: i64) -> Result<u64> {
    let newest = counting::count(snapshot.reader, span)?;
    if at >= snapshot.revision {
        return Ok(newest);
    }
    match changes_since(snapshot, span, at, newest)? {
        Some((lived, live)) => Ok(newest + lived - live),
        None => walk(snapshot, span, at),
    }
}

/// Of the keys of `span` that changed since `at`: how many lived then, and how many live now. Gives up
/// after `rows_max` changes anywhere, when a walk would have cost no more.
fn changes_since<R: Read>(
    snapshot: &Snapshot<'_, R>,
    span: Span<'_>,
    at: i64,
    rows_max: u64,
) -> Result<Option<(u64, u64)>> {
    // Key -> whether it lived before its first change, whether it lives after its last.
    let mut changed: BTreeMap<Vec<u8>, (bool, bool)> = BTreeMap::new();
    let from = Position {
        main: at + 1,
        sub: 0,
    }
    .encode();
    let mut cursor = snapshot
        .reader
        .scan(REVISION, &from, None, Order::Forward)?;
    let mut rows = 0;
    while let Some((_, row)) = cursor.entry() {
        if rows == rows_max {
            return Ok(None);
        }
        rows += 1;
        let change = Change::decode(row)?;
        if span.contains(change.key) {
            let lives = !change.is_tombstone;
            let lived = change.replaced.is_some();
            match changed.get_mut(change.key) {
                Some(key) => key.1 = lives,
                None => drop(changed.insert(change.key.to_vec(), (lived, lives))),
            }
        }
        cursor.advance()?;
    }
    let lived = changed.values().filter(|(lived, _)| *lived).count() as u64;
    let live = changed.values().filter(|(_, lives)| *lives).count() as u64;
    Ok(Some((lived, live)))
}

fn walk<R: Read>(snapshot: &Snapshot<'_, R>, span: Span<'_>, at: i64) -> Result<u64> {
    let mut count = 0;
    snapshot.walk(span, at, &mut |_: &[u8], _: &Record<'_>| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}
