//! Forgets compacted versions, in steps too small to delay a write. The rows of the order of changes
//! say what each change replaced, so that a step deletes by key and looks nothing up.

use super::key::{Position, history_key};
use super::meta::{Meta, Sweep};
use super::record::{Change, Replaced, version_bytes};
use super::{HISTORY, REVISION};
use storage::{ApplyBatch, Order, Read, Result};

/// Rows looked at in one step: a fraction of a millisecond of work. (Few in tests, so that small
/// sweeps have many steps.)
const STEP_ROWS: usize = if cfg!(test) { 3 } else { 200 };

/// Does one step; false when nothing was left to do.
pub(super) fn step(meta: &mut Meta, batch: &mut ApplyBatch<'_>) -> Result<bool> {
    let Some(sweep) = meta.sweep.or_else(|| begin(meta)) else {
        return Ok(false);
    };
    let rows = rows(batch, sweep)?;
    let mut key = Vec::new();
    for (position, row) in &rows {
        let change = Change::decode(row)?;
        for version in released(*position, &change, meta.swept, sweep.target) {
            history_key(change.key, version.position.main, &mut key);
            batch.delete(HISTORY, &key);
            batch.delete(REVISION, &version.position.encode());
            let freed = version_bytes(change.key.len(), version.value_bytes);
            meta.logical_bytes = meta.logical_bytes.saturating_sub(freed);
        }
    }
    match rows.last() {
        Some((last, _)) if rows.len() == STEP_ROWS => {
            let next = Position {
                sub: last.sub + 1,
                ..*last
            };
            meta.sweep = Some(Sweep { next, ..sweep });
        }
        _ => {
            meta.swept = sweep.target;
            meta.sweep = None;
        }
    }
    meta.save(batch);
    Ok(true)
}

/// The sweep that the newest compaction calls for. It starts at the revision the last one ended with,
/// where tombstones may have been left.
fn begin(meta: &Meta) -> Option<Sweep> {
    let next = Position {
        main: meta.swept.max(0),
        sub: 0,
    };
    (meta.compacted > meta.swept).then_some(Sweep {
        target: meta.compacted,
        next,
    })
}

fn rows(batch: &ApplyBatch<'_>, sweep: Sweep) -> Result<Vec<(Position, Vec<u8>)>> {
    let end = Position {
        main: sweep.target + 1,
        sub: 0,
    }
    .encode();
    let mut cursor = batch.scan(REVISION, &sweep.next.encode(), Some(&end), Order::Forward)?;
    let mut rows = Vec::new();
    while rows.len() < STEP_ROWS
        && let Some((key, row)) = cursor.entry()
    {
        rows.push((Position::decode(key)?, row.to_vec()));
        cursor.advance()?;
    }
    Ok(rows)
}

/// The versions that the change at `position` lets go, now that revisions below `target` are forgotten
/// and a sweep up to `swept` has been.
fn released(
    position: Position,
    change: &Change<'_>,
    swept: i64,
    target: i64,
) -> impl Iterator<Item = Replaced> {
    // Changes up to `swept` let go of what they replaced in an earlier sweep.
    let replaced = change.replaced.filter(|_| position.main > swept);
    // A tombstone at the compacted revision itself stays: a watch may still start there and must see it.
    let tombstone = (change.is_tombstone && position.main < target).then_some(Replaced {
        position,
        value_bytes: 0,
    });
    replaced.into_iter().chain(tombstone)
}
