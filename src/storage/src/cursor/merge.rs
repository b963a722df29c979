//! A scan inside an apply batch: stored records, overlaid with what the batch wrote. A write of the
//! batch hides the stored record of the same key; a delete hides it without a replacement.

use super::{Cursor, MapCursor, comes_before};
use crate::{Order, Result};
use bytes::Bytes;
use std::cmp::Ordering;

/// Walks stored records and pending writes together. `None` among the writes is a delete.
pub(crate) struct MergeCursor<'a> {
    stored: Cursor<'a>,
    pending: MapCursor<'a, Option<Bytes>>,
    order: Order,
    current: Source,
}

#[derive(Clone, Copy)]
enum Source {
    Stored,
    Pending,
    End,
}

impl<'a> MergeCursor<'a> {
    pub(crate) fn new(
        stored: Cursor<'a>,
        pending: MapCursor<'a, Option<Bytes>>,
        order: Order,
    ) -> Result<MergeCursor<'a>> {
        let mut cursor = MergeCursor {
            stored,
            pending,
            order,
            current: Source::End,
        };
        cursor.settle()?;
        Ok(cursor)
    }

    pub(crate) fn entry(&self) -> Option<(&[u8], &[u8])> {
        match self.current {
            Source::Stored => self.stored.entry(),
            Source::Pending => match self.pending.entry() {
                Some((key, Some(value))) => Some((key, value.as_ref())),
                // `settle` never stops on a delete.
                _ => None,
            },
            Source::End => None,
        }
    }

    pub(crate) fn advance(&mut self) -> Result<()> {
        match self.current {
            Source::Stored => self.stored.advance()?,
            Source::Pending => self.pending.advance(),
            Source::End => return Ok(()),
        }
        self.settle()
    }

    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.stored.seek(key)?;
        self.pending.seek(key);
        self.settle()
    }

    /// Decides which side the position is on. Each round consumes a delete, so it ends.
    fn settle(&mut self) -> Result<()> {
        while let Some((pending_key, pending_value)) = self.pending.entry() {
            let stored_is = match self.stored.entry() {
                None => Ordering::Greater,
                Some((key, _)) if key == pending_key => Ordering::Equal,
                Some((key, _)) if comes_before(self.order, key, pending_key) => Ordering::Less,
                Some(_) => Ordering::Greater,
            };
            if stored_is == Ordering::Less {
                self.current = Source::Stored;
                return Ok(());
            }
            if stored_is == Ordering::Equal {
                self.stored.advance()?;
            }
            if pending_value.is_some() {
                self.current = Source::Pending;
                return Ok(());
            }
            self.pending.advance();
        }
        self.current = match self.stored.entry() {
            Some(_) => Source::Stored,
            None => Source::End,
        };
        Ok(())
    }
}
