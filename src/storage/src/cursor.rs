//! Positions in a scan. A [`Cursor`] hides which engine it walks, and, inside an apply batch, the
//! merge of stored records with the batch's own writes. It allocates per scan, never per record.

mod map;
mod merge;

pub(crate) use map::{MapCursor, Table};
pub(crate) use merge::MergeCursor;

use crate::engine::RocksCursor;
use crate::{Order, Result};
use bytes::Bytes;

/// A position in a scan.
pub struct Cursor<'a> {
    walk: Walk<'a>,
}

enum Walk<'a> {
    /// The bounds exclude everything.
    Empty,
    Rocks(RocksCursor<'a>),
    Memory(MapCursor<'a, Bytes>),
    Merge(Box<MergeCursor<'a>>),
}

impl<'a> Cursor<'a> {
    pub(crate) fn empty() -> Self {
        Cursor { walk: Walk::Empty }
    }

    pub(crate) fn rocks(cursor: RocksCursor<'a>) -> Self {
        Cursor {
            walk: Walk::Rocks(cursor),
        }
    }

    pub(crate) fn memory(cursor: MapCursor<'a, Bytes>) -> Self {
        Cursor {
            walk: Walk::Memory(cursor),
        }
    }

    pub(crate) fn merge(cursor: MergeCursor<'a>) -> Self {
        Cursor {
            walk: Walk::Merge(Box::new(cursor)),
        }
    }

    /// Key and value at the position; `None` past the end.
    pub fn entry(&self) -> Option<(&[u8], &[u8])> {
        match &self.walk {
            Walk::Empty => None,
            Walk::Rocks(cursor) => cursor.entry(),
            Walk::Memory(cursor) => cursor.entry().map(|(key, value)| (key, value.as_ref())),
            Walk::Merge(cursor) => cursor.entry(),
        }
    }

    /// Moves to the next record in scan order; past the end it stays there.
    pub fn advance(&mut self) -> Result<()> {
        match &mut self.walk {
            Walk::Empty => Ok(()),
            Walk::Rocks(cursor) => cursor.advance(),
            Walk::Memory(cursor) => {
                cursor.advance();
                Ok(())
            }
            Walk::Merge(cursor) => cursor.advance(),
        }
    }

    /// Jumps to the first record at or beyond `key` in scan order, never leaving the scan's bounds.
    /// May jump backwards.
    pub fn seek(&mut self, key: &[u8]) -> Result<()> {
        match &mut self.walk {
            Walk::Empty => Ok(()),
            Walk::Rocks(cursor) => cursor.seek(key),
            Walk::Memory(cursor) => {
                cursor.seek(key);
                Ok(())
            }
            Walk::Merge(cursor) => cursor.seek(key),
        }
    }
}

/// Bounds that no key can satisfy. Checked before any engine sees them, because an inverted range
/// panics in an ordered map and is undefined in RocksDB.
pub(crate) fn excludes_everything(start: &[u8], end: Option<&[u8]>) -> bool {
    end.is_some_and(|end| start >= end)
}

/// Whether `a` is visited before `b`.
pub(crate) fn comes_before(order: Order, a: &[u8], b: &[u8]) -> bool {
    match order {
        Order::Forward => a < b,
        Order::Reverse => a > b,
    }
}
