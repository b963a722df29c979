//! What every reader of the state offers, whatever it reads from: a snapshot, or a batch with its
//! own uncommitted writes. The state machine is written against this trait alone.

use crate::{Cursor, Result};
use bytes::Bytes;

/// A named, separately ordered set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Family(pub &'static str);

/// Direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the lowest key up.
    Forward,
    /// From the highest key down.
    Reverse,
}

/// What both a [`View`](crate::View) and an [`ApplyBatch`](crate::ApplyBatch) offer to readers.
///
/// # Panics
/// Every method panics when `family` was not named at opening: that is a bug of the caller.
pub trait Read {
    /// The value at `key`, or `None`.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>>;

    /// Whether `key` has a value. Exact, never a bloom-filter hint.
    fn exists(&self, family: Family, key: &[u8]) -> Result<bool> {
        Ok(self.get(family, key)?.is_some())
    }

    /// Cursor over `start..end` (`end` None = to the end of the family), positioned on the first
    /// record in `order` (Reverse: the last record below `end`).
    fn scan(
        &self,
        family: Family,
        start: &[u8],
        end: Option<&[u8]>,
        order: Order,
    ) -> Result<Cursor<'_>>;
}
