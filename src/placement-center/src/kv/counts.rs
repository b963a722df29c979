//! The number of living keys in each bucket of the key space, so that a range can be counted without a
//! walk. Keeps the buckets up to date and small; `counting` reads them. Buckets lie many to a row (a page), because a row that changes often costs a reader
//! far more than its bytes until the engine has dropped its old versions.
//! Derived data: the same keys may lie in different buckets on two nodes, and mean the same.

use super::fault::Damaged;
use super::record::number;
use super::{COUNT, CURRENT};
use bytes::{Buf, BufMut};
use prost::encoding::encode_varint;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::ops::ControlFlow;
use storage::{ApplyBatch, Order, Read, Result};

// Tests make do with tiny buckets and pages, so that few keys meet every case.

/// A bucket beyond this is split by housekeeping. Small, because each edge of a count scans up to one bucket.
const BUCKET_KEYS_MAX: u64 = if cfg!(test) { 4 } else { 64 };
/// A bucket beyond this is split by the change that filled it: housekeeping has not come round under
/// load, and counts must not degrade into walks.
const BUCKET_KEYS_URGENT: u64 = if cfg!(test) { 8 } else { 256 };
/// About this many keys go into each bucket of a split, so that it has room to grow.
const BUCKET_KEYS_SPLIT: u64 = if cfg!(test) { 2 } else { 32 };
/// A page of more than one bucket beyond this is cut in two. Creating a key writes one page.
const PAGE_BYTES_MAX: usize = if cfg!(test) { 32 } else { 1024 };

/// Bytes of a bucket in a page beyond its start, at most: the length of the start and the count.
const PAGE_ENTRY_BYTES: usize = 20;

/// First byte of a page; another one is damage.
const LAYOUT_V1: u8 = 1;

/// The writer's copy of all buckets: a change finds its bucket without touching the store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// First key a bucket may hold -> living keys in it. A bucket ends where the next begins.
    buckets: BTreeMap<Vec<u8>, u64>,
    /// The buckets that begin a page.
    pages: BTreeSet<Vec<u8>>,
    /// Buckets beyond `BUCKET_KEYS_MAX`.
    oversized: BTreeSet<Vec<u8>>,
}

impl Counts {
    pub(super) fn load<R: Read>(reader: &R) -> Result<Self> {
        let mut counts = Counts::default();
        let mut cursor = reader.scan(COUNT, &[], None, Order::Forward)?;
        while let Some((start, page)) = cursor.entry() {
            counts.pages.insert(start.to_vec());
            let _ = each_of_page(start, page, &mut |start, keys| {
                counts.remember(start.to_vec(), keys);
                Ok(ControlFlow::Continue(()))
            })?;
            cursor.advance()?;
        }
        Ok(counts)
    }

    #[cfg(test)]
    pub(super) fn buckets(&self) -> &BTreeMap<Vec<u8>, u64> {
        &self.buckets
    }

    /// Living keys in all buckets.
    pub(super) fn total(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// Counts a key that the batch just created.
    pub(super) fn created(&mut self, batch: &mut ApplyBatch<'_>, key: &[u8]) -> Result<()> {
        let (start, keys) = self.bucket(key);
        let keys = keys + 1;
        self.remember(start.clone(), keys);
        if keys > BUCKET_KEYS_URGENT {
            return self.split(batch, &start);
        }
        self.save(batch, &start);
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
                self.drop_bucket(batch, &start);
            } else {
                self.remember(start.clone(), left);
                self.save(batch, &start);
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
        for (start, keys) in &starts {
            self.remember(start.clone(), *keys);
        }
        self.save(batch, start);
        Ok(())
    }

    /// Removes an empty bucket: its part of the key space belongs to the bucket before it. The first
    /// bucket has none before it, and stays.
    fn drop_bucket(&mut self, batch: &mut ApplyBatch<'_>, start: &[u8]) {
        self.buckets.remove(start);
        self.oversized.remove(start);
        if self.pages.remove(start) {
            // What is left of the page joins the page before it.
            batch.delete(COUNT, start);
        }
        self.save(batch, start);
    }

    /// Writes the page that `key` belongs to, cut until its pieces are small enough.
    fn save(&mut self, batch: &mut ApplyBatch<'_>, key: &[u8]) {
        let start = last_up_to(&self.pages, key).cloned().unwrap_or_default();
        self.pages.insert(start.clone());
        let mut out = Vec::with_capacity(PAGE_BYTES_MAX * 2);
        let mut page = start.clone();
        let next = self
            .pages
            .range::<[u8], _>((Excluded(&start[..]), Unbounded))
            .next()
            .cloned();
        let end = next.as_deref().map_or(Unbounded, Excluded);
        for (bucket, keys) in self.buckets.range::<[u8], _>((Included(&start[..]), end)) {
            let bytes = bucket.len() + PAGE_ENTRY_BYTES;
            if !out.is_empty() && out.len() + bytes > PAGE_BYTES_MAX {
                batch.put(COUNT, &page, &out);
                self.pages.insert(bucket.clone());
                page.clone_from(bucket);
                out.clear();
            }
            if out.is_empty() {
                out.put_u8(LAYOUT_V1);
            } else {
                encode_varint(bucket.len() as u64, &mut out);
                out.put_slice(bucket);
            }
            encode_varint(*keys, &mut out);
        }
        batch.put(COUNT, &page, &out);
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

fn last_up_to<'s>(starts: &'s BTreeSet<Vec<u8>>, key: &[u8]) -> Option<&'s Vec<u8>> {
    starts
        .range::<[u8], _>((Unbounded, Included(key)))
        .next_back()
}

/// What is called for each bucket, with its start and its keys.
pub(super) trait Visit: FnMut(&[u8], u64) -> Result<ControlFlow<()>> {}
impl<F: FnMut(&[u8], u64) -> Result<ControlFlow<()>>> Visit for F {}

/// Visits the buckets of one page: the first starts where the page does.
pub(super) fn each_of_page(
    start: &[u8],
    page: &[u8],
    visit: &mut impl Visit,
) -> Result<ControlFlow<()>> {
    let damaged = |reason| Damaged {
        family: COUNT,
        reason,
    };
    let mut rest = page;
    if rest.try_get_u8() != Ok(LAYOUT_V1) {
        return Err(damaged("unknown record layout").into());
    }
    let mut start = start;
    loop {
        let keys = number(COUNT, &mut rest)?.unsigned_abs();
        if visit(start, keys)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if rest.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let length = number(COUNT, &mut rest)?;
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| rest.split_at_checked(length));
        (start, rest) = split.ok_or_else(|| damaged("the start of a bucket is cut off"))?;
    }
}
