//! etcd's hash over the keys and their history: equal to that of any etcd, and of any other member, with the
//! same history, whatever lies where on the disk.
//!
//! It is the CRC-32C over the name of etcd's bucket and then, in the order of changes, each change's place (its
//! key in that bucket) and what it made of the key. Of the changes up to the compacted revision only those count
//! that still show at the revision asked for; where none does, etcd counts those that the compaction kept.

use super::REVISION;
use super::fault::{Damaged, ReadFailure};
use super::key::{Position, Span};
use super::record::{Change, Record};
use super::snapshot::Snapshot;
use bytes::Bytes;
use prost::Message;
use protocol::mvccpb::KeyValue;
use std::ops::ControlFlow;
use storage::{Order, Read, Result};

/// Name of the bucket in which etcd keeps its keys.
const BUCKET: &[u8] = b"key";

/// Rows between two looks whether anybody still wants the hash.
const ROWS_BETWEEN_LOOKS: u32 = 1024;

/// A hash and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryHash {
    /// The hash.
    pub hash: u32,
    /// The changes up to this revision are in it.
    pub hashed_revision: i64,
    /// The compacted revision, which is part of what is hashed; -1 before the first compaction.
    pub compacted_revision: i64,
    /// Revision of the newest change.
    pub revision: i64,
}

/// Hashes the changes up to `revision`, 0 being the newest; `None` when `go_on` said no.
pub(super) fn hash<R: Read>(
    snapshot: &Snapshot<'_, R>,
    revision: i64,
    go_on: impl Fn() -> bool,
) -> std::result::Result<Option<HistoryHash>, ReadFailure> {
    let at = snapshot.resolve(revision)?;
    let kept_at = match lives_anything(snapshot, at)? {
        true => at,
        false => snapshot.compacted,
    };
    let end = Position {
        main: at.saturating_add(1),
        sub: 0,
    };
    let mut rows = snapshot
        .reader
        .scan(REVISION, &[], Some(&end.encode()), Order::Forward)?;
    let mut hash = crc32c::crc32c(BUCKET);
    let mut encoded = Vec::new();
    let mut number = 0_u32;
    while let Some((key, row)) = rows.entry() {
        number = number.wrapping_add(1);
        if number.is_multiple_of(ROWS_BETWEEN_LOOKS) && !go_on() {
            return Ok(None);
        }
        let (position, change) = (Position::decode(key)?, Change::decode(row)?);
        if let Some(made) = made(snapshot, position, &change, kept_at)? {
            hash = crc32c::crc32c_append(hash, &place(position, change.is_tombstone));
            encoded.clear();
            made.encode_raw(&mut encoded);
            hash = crc32c::crc32c_append(hash, &encoded);
        }
        rows.advance()?;
    }
    Ok(Some(HistoryHash {
        hash,
        hashed_revision: at,
        compacted_revision: snapshot.compacted,
        revision: snapshot.revision,
    }))
}

fn lives_anything<R: Read>(snapshot: &Snapshot<'_, R>, at: i64) -> Result<bool> {
    let all = Span::Range {
        start: &[],
        end: None,
    };
    let mut lives = false;
    snapshot.walk(all, at, &mut |_: &[u8], _: &Record<'_>| {
        lives = true;
        ControlFlow::Break(())
    })?;
    Ok(lives)
}

/// What a change made of its key, as etcd stores it; `None` when it does not count.
fn made<R: Read>(
    snapshot: &Snapshot<'_, R>,
    position: Position,
    change: &Change<'_>,
    kept_at: i64,
) -> Result<Option<KeyValue>> {
    let key = Bytes::copy_from_slice(change.key);
    let is_compacted = position.main <= snapshot.compacted;
    if change.is_tombstone {
        let tombstone = KeyValue {
            key,
            ..KeyValue::default()
        };
        return Ok((!is_compacted).then_some(tombstone));
    }
    let at = match is_compacted {
        true => kept_at,
        false => position.main,
    };
    let found = snapshot.get(change.key, at)?;
    let found = match &found {
        Some(found) if found.record()?.position() == position => found,
        _ if is_compacted => return Ok(None),
        _ => {
            let reason = "a change without the version it made";
            let family = REVISION;
            return Err(Damaged { family, reason }.into());
        }
    };
    Ok(Some(found.record()?.to_key_value(key, found.value()?)))
}

/// The key of a change in etcd's bucket.
fn place(position: Position, is_tombstone: bool) -> Vec<u8> {
    let mut place = Vec::with_capacity(18);
    place.extend_from_slice(&position.main.to_be_bytes());
    place.push(b'_');
    place.extend_from_slice(&position.sub.to_be_bytes());
    if is_tombstone {
        place.push(b't');
    }
    place
}

#[cfg(test)]
mod tests;
