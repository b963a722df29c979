//! The newest entries of the log in memory. Holds at least everything that is not yet both durable
//! and applied, so that raft-rs can read an entry while it is still on its way to the disk; beyond
//! that, as much as the byte bound allows.

use raft::eraftpb::Entry;
use std::collections::VecDeque;

/// A contiguous run of entries ending at the log's last one.
#[derive(Debug)]
pub(crate) struct EntryCache {
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
}

/// What an entry costs in memory, roughly.
fn weight(entry: &Entry) -> usize {
    std::mem::size_of::<Entry>() + entry.data.len() + entry.context.len()
}

impl EntryCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        EntryCache {
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Index of the first cached entry.
    pub(crate) fn first_index(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.index)
    }

    /// Appends entries, first dropping cached ones from the same index on: they lost an election.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|entry| entry.index) else {
            return;
        };
        while self.entries.back().is_some_and(|last| last.index >= first) {
            let dropped = self
                .entries
                .pop_back()
                .expect("the loop condition saw an entry");
            self.bytes -= weight(&dropped);
        }
        if let Some(last) = self.entries.back() {
            assert_eq!(last.index + 1, first, "entries are appended without a gap");
        }
        self.bytes += entries.iter().map(weight).sum::<usize>();
        self.entries.extend(entries);
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Entry> {
        let first = self.first_index()?;
        let offset = usize::try_from(index.checked_sub(first)?).ok()?;
        self.entries.get(offset)
    }

    /// Cached entries from `low` (which must be cached) up to, not including, `high`.
    pub(crate) fn range(&self, low: u64, high: u64) -> impl Iterator<Item = &Entry> {
        let first = self.first_index().unwrap_or(low);
        let offset = |index: u64| {
            usize::try_from(index.saturating_sub(first))
                .map_or(self.entries.len(), |offset| offset.min(self.entries.len()))
        };
        let (start, end) = (offset(low), offset(high));
        self.entries.range(start..end.max(start))
    }

    /// Drops the oldest entries at or below `settled` (durable and applied) while over the bound.
    pub(crate) fn evict(&mut self, settled: u64) {
        while self.bytes > self.bytes_max
            && self
                .entries
                .front()
                .is_some_and(|first| first.index <= settled)
        {
            let dropped = self
                .entries
                .pop_front()
                .expect("the loop condition saw an entry");
            self.bytes -= weight(&dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            index,
            term,
            data: vec![0; 100],
            ..Entry::default()
        }
    }

    #[test]
    fn a_new_suffix_replaces_the_old_one() {
        let mut cache = EntryCache::new(1 << 20);
        cache.append((1..=5).map(|index| entry(index, 1)).collect());
        cache.append(vec![entry(3, 2)]);
        assert_eq!(cache.get(2).map(|e| e.term), Some(1));
        assert_eq!(cache.get(3).map(|e| e.term), Some(2));
        assert_eq!(cache.get(4), None);
        cache.append(vec![entry(1, 3)]);
        assert_eq!(cache.range(1, 9).count(), 1);
    }

    #[test]
    fn eviction_keeps_what_is_not_settled() {
        let mut cache = EntryCache::new(0);
        cache.append((1..=5).map(|index| entry(index, 1)).collect());
        cache.evict(3);
        assert_eq!(cache.first_index(), Some(4));
        cache.evict(5);
        assert_eq!(cache.first_index(), None);
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn eviction_stops_at_the_bound() {
        let mut cache = EntryCache::new(3 * weight(&entry(1, 1)));
        cache.append((1..=5).map(|index| entry(index, 1)).collect());
        cache.evict(5);
        assert_eq!(cache.first_index(), Some(3));
    }
}
