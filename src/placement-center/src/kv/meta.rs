//! The counters of the store: one record, written in the batch of the change that moved them.

use super::META;
use super::fault::Damaged;
use super::key::Position;
use super::record::number;
use bytes::{Buf, BufMut};
use prost::encoding::encode_varint;
use storage::{ApplyBatch, Read, Result};

const KEY: &[u8] = b"counters";
const LAYOUT_V1: u8 = 1;

/// Where the store stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// Revision of the newest change; a store that never changed is at 1.
    pub(super) revision: i64,
    /// Lowest readable revision; -1 before the first compaction, so that compacting at 0 is accepted once.
    pub(super) compacted: i64,
    /// Everything that a compaction at this revision forgets is gone from the disk.
    pub(super) swept: i64,
    /// The sweep under way, persisted so that a restart resumes it instead of starting anew.
    pub(super) sweep: Option<Sweep>,
    /// Logical size of all retained versions.
    pub(super) logical_bytes: u64,
    /// Keys that live at `revision`.
    pub(super) keys: u64,
}

/// A sweep in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sweep {
    /// The compacted revision it works for. Fixed for the whole sweep, because it decides which
    /// tombstones stay; a compaction meanwhile gets a sweep of its own.
    pub(super) target: i64,
    /// The first row of the order of changes not yet looked at.
    pub(super) next: Position,
}

impl Default for Meta {
    fn default() -> Self {
        Meta {
            revision: 1,
            compacted: -1,
            swept: -1,
            sweep: None,
            logical_bytes: 0,
            keys: 0,
        }
    }
}

impl Meta {
    pub(super) fn load<R: Read>(reader: &R) -> Result<Self> {
        Ok(match reader.get(META, KEY)? {
            Some(bytes) => Self::decode(&bytes)?,
            None => Self::default(),
        })
    }

    pub(super) fn save(&self, batch: &mut ApplyBatch<'_>) {
        batch.put(META, KEY, &self.encode());
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        out.put_u8(LAYOUT_V1);
        let sweep = self.sweep.unwrap_or(Sweep {
            target: -1,
            next: Position::default(),
        });
        // Revisions that may be -1 are stored one higher.
        for number in [
            self.revision,
            self.compacted + 1,
            self.swept + 1,
            sweep.target + 1,
            sweep.next.main,
            sweep.next.sub,
        ] {
            encode_varint(number as u64, &mut out);
        }
        encode_varint(self.logical_bytes, &mut out);
        encode_varint(self.keys, &mut out);
        out
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, Damaged> {
        let damaged = |reason| Damaged {
            family: META,
            reason,
        };
        let mut rest = bytes;
        if rest.try_get_u8() != Ok(LAYOUT_V1) {
            return Err(damaged("unknown record layout"));
        }
        let mut number = || number(META, &mut rest);
        let (revision, compacted, swept) = (number()?, number()? - 1, number()? - 1);
        let (target, next) = (
            number()? - 1,
            Position {
                main: number()?,
                sub: number()?,
            },
        );
        let (logical_bytes, keys) = (number()?.unsigned_abs(), number()?.unsigned_abs());
        if !rest.is_empty() {
            return Err(damaged("bytes behind the counters"));
        }
        if revision < 1 || compacted > revision || swept > compacted || target > compacted {
            return Err(damaged("the counters contradict each other"));
        }
        let sweep = (target >= 0).then_some(Sweep { target, next });
        Ok(Meta {
            revision,
            compacted,
            swept,
            sweep,
            logical_bytes,
            keys,
        })
    }
}

#[cfg(test)]
mod tests;
