//! Reads past changes from the store, for those who watch from a revision that memory no longer holds.

use super::event::{Changed, Collector, Revision};
use super::fault::Damaged;
use super::key::{Position, history_key};
use super::record::{Change, Record};
use super::snapshot::Snapshot;
use super::{CURRENT, HISTORY, REVISION};
use bytes::Bytes;
use std::sync::Arc;
use storage::{Order, Read, Result};

/// How much of the past to read.
#[derive(Clone, Copy, Debug)]
pub struct ReplayRequest {
    /// First revision.
    pub from: i64,
    /// Revisions that hold something wanted.
    pub revisions_max: usize,
    /// Changes looked at, wanted or not.
    pub rows_max: usize,
    /// Memory of the events, as [`Revision::bytes`] counts it.
    pub bytes_max: usize,
}

/// What a change is to whom the replay is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Nothing.
    Skip,
    /// An event.
    Event,
    /// An event with the version before it.
    WithPrevious,
}

/// Some of the past.
#[derive(Debug)]
pub struct Replayed {
    /// Revisions that hold something wanted, with nothing else in them.
    pub revisions: Vec<Arc<Revision>>,
    /// Everything wanted up to this revision is there.
    pub upto: i64,
    /// Newest revision of the store that was read.
    pub newest: i64,
    /// Lowest revision that could be read; the replay began there if the request began below.
    pub compacted: i64,
}

/// Reads the changes from a revision on, each revision whole, until a bound is passed.
///
/// # Errors
/// When the store cannot be read.
pub fn replay<R: Read>(
    reader: &R,
    request: &ReplayRequest,
    mut interest: impl FnMut(&[u8], bool) -> Interest,
) -> Result<Replayed> {
    let snapshot = Snapshot::open(reader)?;
    let from = request.from.max(snapshot.compacted).max(0);
    let start = Position { main: from, sub: 0 }.encode();
    let mut cursor = reader.scan(REVISION, &start, None, Order::Forward)?;
    let mut collector = Collector::gathering();
    let mut revisions: Vec<Arc<Revision>> = Vec::new();
    let (mut rows, mut bytes, mut at) = (0, 0, from - 1);
    let mut upto = snapshot.revision.max(from - 1);
    while let Some((key, row)) = cursor.entry() {
        let position = Position::decode(key)?;
        if position.main != at {
            bytes += collector.open_bytes();
            collector.close(at);
            revisions.append(&mut collector.take());
            let is_full = revisions.len() >= request.revisions_max || bytes >= request.bytes_max;
            if is_full || rows >= request.rows_max {
                upto = at;
                break;
            }
            at = position.main;
        }
        rows += 1;
        let change = Change::decode(row)?;
        let interest = interest(change.key, change.is_tombstone);
        if interest != Interest::Skip {
            let with_previous = interest == Interest::WithPrevious && at > snapshot.compacted;
            add(reader, &mut collector, (position, change), with_previous)?;
        }
        cursor.advance()?;
    }
    collector.close(at);
    revisions.append(&mut collector.take());
    Ok(Replayed {
        revisions,
        upto,
        newest: snapshot.revision,
        compacted: snapshot.compacted,
    })
}

fn add<R: Read>(
    reader: &R,
    collector: &mut Collector,
    (position, change): (Position, Change<'_>),
    with_previous: bool,
) -> Result<()> {
    let version = match change.is_tombstone {
        true => None,
        false => Some(version(reader, change.key, position.main)?),
    };
    let previous = match change.replaced.filter(|_| with_previous) {
        Some(replaced) => Some(past_version(reader, change.key, replaced.position.main)?),
        None => None,
    };
    collector.add(Changed {
        key: change.key,
        revision: position.main,
        version: version.as_deref(),
        previous,
    });
    Ok(())
}

/// The version that the change at `revision` made.
fn version<R: Read>(reader: &R, key: &[u8], revision: i64) -> Result<Bytes> {
    if let Some(bytes) = reader.get(CURRENT, key)?
        && Record::decode(CURRENT, &bytes)?.mod_revision == revision
    {
        return Ok(bytes);
    }
    past_version(reader, key, revision)
}

/// A version that was replaced since.
fn past_version<R: Read>(reader: &R, key: &[u8], revision: i64) -> Result<Bytes> {
    let mut history = Vec::new();
    history_key(key, revision, &mut history);
    let found = reader.get(HISTORY, &history)?;
    let bytes = found.ok_or(Damaged {
        family: HISTORY,
        reason: "a change has no version",
    })?;
    Record::decode(HISTORY, &bytes)?;
    Ok(bytes)
}
