//! Exact key counts without a walk. The key space is cut into buckets of bounded size; the store keeps
//! the number of living keys of each. The count of a range is the sum of its whole buckets plus two
//! scanned edges. Derived data: the same keys may lie in different buckets on two nodes, and mean the same.

use super::fault::Damaged;
use super::key::Span;
use super::{COUNT, CURRENT};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use storage::{ApplyBatch, Cursor, Order, Read, Result};

// Tests make do with tiny buckets, so that few keys meet every case.

/// A bucket beyond this is split by housekeeping. Small, because each edge of a count scans up to one
/// bucket; not smaller, because a count also walks one row per whole bucket.
const BUCKET_KEYS_MAX: u64 = if cfg!(test) { 4 } else { 256 };
/// A bucket beyond this is split by the change that filled it: housekeeping has not come round under
/// load, and counts must not degrade into walks.
const BUCKET_KEYS_URGENT: u64 = if cfg!(test) { 8 } else { 1024 };
/// About this many keys go into each bucket of a split, so that it has room to grow.
const BUCKET_KEYS_SPLIT: u64 = if cfg!(test) { 2 } else { 128 };

/// The writer's copy of all buckets: a change finds its bucket without touching the store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// First key a bucket may hold -> living keys in it. A bucket ends where the next begins.
    buckets: BTreeMap<Vec<u8>, u64>,
    /// Buckets beyond `BUCKET_KEYS_MAX`.
    oversized: BTreeSet<Vec<u8>>,
}

impl Counts {
    pub(super) fn load<R: Read>(reader: &R) -> Result<Self> {
        let mut counts = Counts::default();
        let mut cursor = reader.scan(COUNT, &[], None, Order::Forward)?;
        while let Some((start, keys)) = cursor.entry() {
            counts.remember(start.to_vec(), decode(keys)?);
            cursor.advance()?;
        }
        Ok(counts)
    }

    /// Living keys in all buckets.
    pub(super) fn total(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// Counts a key that the batch just created.
    pub(super) fn created(&mut self, batch: &mut ApplyBatch<'_>, key: &[u8]) -> Result<()> {
        let (start, keys) = self.bucket(key);
        let keys = keys + 1;
        batch.put(COUNT, &start, &encode(keys));
        self.remember(start.clone(), keys);
        if keys > BUCKET_KEYS_URGENT {
            self.split(batch, &start)?;
        }
        Ok(())
    }

    /// Counts keys, in ascending order, that the batch just deleted.
    pub(super) fn deleted<'k>(
        &mut self,
        batch: &mut ApplyBatch<'_>,
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> Result<()> {
        let mut keys = keys.peekable();
        while let Some(first) = keys.next() {
            let (start, held) = self.bucket(first);
            let end = self.end(&start);
            let mut gone = 1;
            while keys
                .next_if(|key| end.as_deref().is_none_or(|end| *key < end))
                .is_some()
            {
                gone += 1;
            }
            let left = held.checked_sub(gone).ok_or(Damaged {
                family: COUNT,
                reason: "a bucket held fewer keys than were deleted",
            })?;
            if left == 0 && !start.is_empty() {
                // Without its row the bucket's part of the key space belongs to the bucket before it.
                batch.delete(COUNT, &start);
                self.buckets.remove(&start);
                self.oversized.remove(&start);
            } else {
                batch.put(COUNT, &start, &encode(left));
                self.remember(start, left);
            }
        }
        Ok(())
    }

    /// Splits one oversized bucket; false when there is none.
    pub(super) fn split_one(&mut self, batch: &mut ApplyBatch<'_>) -> Result<bool> {
        match self.oversized.first().cloned() {
            Some(start) => self.split(batch, &start).map(|()| true),
            None => Ok(false),
        }
    }

    fn split(&mut self, batch: &mut ApplyBatch<'_>, start: &[u8]) -> Result<()> {
        let held = self.buckets.get(start).copied().unwrap_or(0);
        let pieces = (held / BUCKET_KEYS_SPLIT).max(2);
        let size = held.div_ceil(pieces).max(1);
        let mut starts = vec![(start.to_vec(), 0)];
        let end = self.end(start);
        let mut cursor = batch.scan(CURRENT, start, end.as_deref(), Order::Forward)?;
        while let Some((key, _)) = cursor.entry() {
            if starts.last().is_some_and(|(_, keys)| *keys == size) {
                starts.push((key.to_vec(), 0));
            }
            if let Some((_, keys)) = starts.last_mut() {
                *keys += 1;
            }
            cursor.advance()?;
        }
        drop(cursor);
        if starts.iter().map(|(_, keys)| keys).sum::<u64>() != held {
            return Err(Damaged {
                family: COUNT,
                reason: "a bucket does not hold the keys it counts",
            }
            .into());
        }
        for (start, keys) in starts {
            batch.put(COUNT, &start, &encode(keys));
            self.remember(start, keys);
        }
        Ok(())
    }

    /// Start and keys of the bucket that `key` belongs to; the first bucket exists from the first key on.
    fn bucket(&self, key: &[u8]) -> (Vec<u8>, u64) {
        let found = self
            .buckets
            .range::<[u8], _>((Unbounded, Included(key)))
            .next_back();
        found.map_or((Vec::new(), 0), |(start, keys)| (start.clone(), *keys))
    }

    fn end(&self, start: &[u8]) -> Option<Vec<u8>> {
        self.buckets
            .range::<[u8], _>((Excluded(start), Unbounded))
            .next()
            .map(|(next, _)| next.clone())
    }

    fn remember(&mut self, start: Vec<u8>, keys: u64) {
        if keys > BUCKET_KEYS_MAX {
            self.oversized.insert(start.clone());
        } else {
            self.oversized.remove(&start);
        }
        self.buckets.insert(start, keys);
    }
}

/// Living keys of `span`.
pub(super) fn count<R: Read>(reader: &R, span: Span<'_>) -> Result<u64> {
    match span {
        Span::Key(key) => Ok(u64::from(reader.exists(CURRENT, key)?)),
        _ if span.is_empty() => Ok(0),
        Span::Range { start, end } => count_rest(
            reader,
            reader.scan(CURRENT, start, end, Order::Forward)?,
            end,
        ),
    }
}

/// Living keys from where `cursor` (a forward scan of the current family that stops at `end`) stands.
pub(super) fn count_rest<R: Read>(
    reader: &R,
    mut cursor: Cursor<'_>,
    end: Option<&[u8]>,
) -> Result<u64> {
    let Some((first, _)) = cursor.entry() else {
        return Ok(0);
    };
    let mut buckets = reader.scan(COUNT, first, None, Order::Forward)?;
    let within = |start: &[u8]| end.is_none_or(|end| start < end);
    // The bucket whose end is not seen yet.
    let mut open = match buckets.entry() {
        Some((start, keys)) if within(start) => (start.to_vec(), decode(keys)?),
        _ => return count_until(&mut cursor, None),
    };
    let mut total = count_until(&mut cursor, Some(&open.0))?;
    let next = loop {
        buckets.advance()?;
        match buckets.entry() {
            Some((start, keys)) if within(start) => {
                total += open.1;
                open.0.clear();
                open.0.extend_from_slice(start);
                open.1 = decode(keys)?;
            }
            entry => break entry.map(|(start, _)| start),
        }
    };
    if reaches(reader, end, next)? {
        return Ok(total + open.1);
    }
    cursor.seek(&open.0)?;
    Ok(total + count_until(&mut cursor, None)?)
}

/// Whether a range that ends at `end` takes in all keys below `next`. One look at the key behind the
/// end spares the scan of an edge in the common case, a range that ends where keys of its kind end.
fn reaches<R: Read>(reader: &R, end: Option<&[u8]>, next: Option<&[u8]>) -> Result<bool> {
    let Some(end) = end else {
        return Ok(true);
    };
    if next == Some(end) {
        return Ok(true);
    }
    Ok(reader
        .scan(CURRENT, end, next, Order::Forward)?
        .entry()
        .is_none())
}

/// Counts keys below `stop`, or to the end of the scan.
fn count_until(cursor: &mut Cursor<'_>, stop: Option<&[u8]>) -> Result<u64> {
    let mut keys = 0;
    while cursor
        .entry()
        .is_some_and(|(key, _)| stop.is_none_or(|stop| key < stop))
    {
        keys += 1;
        cursor.advance()?;
    }
    Ok(keys)
}

fn encode(keys: u64) -> [u8; 8] {
    keys.to_be_bytes()
}

fn decode(bytes: &[u8]) -> Result<u64> {
    let keys = bytes.try_into().map_err(|_| Damaged {
        family: COUNT,
        reason: "a count is not 8 bytes",
    })?;
    Ok(u64::from_be_bytes(keys))
}
