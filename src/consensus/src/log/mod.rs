//! The Raft log as raft-rs reads it: the log store for what was written long ago, the entry cache
//! for what is new or still on its way to the disk. Reads only; writing is the log writer's business.

mod cache;
pub(crate) mod codec;
mod offers;

use crate::core::Position;
use cache::EntryCache;
use codec::CodecError;
use offers::Offers;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, StorageError};
use raft_prost::Message as _;
use std::cell::Cell;
use storage::LogStore;

/// Memory the cache may use for entries that are durable and applied already. Followers that keep
/// up are served from it, so a few messages of 1 MiB must fit.
const CACHE_BYTES_MAX: usize = 4 << 20;
/// Records are scanned in pieces of this size when raft-rs looks for membership changes.
const SCAN_BYTES: usize = 1 << 20;

/// A part of the log that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log store failed.
    #[error("read the log")]
    Store(#[from] storage::Error),
    /// The log holds bytes this code does not understand.
    #[error("understand the log")]
    Codec(#[from] CodecError),
    /// The log was truncated but does not say at which term.
    #[error("the log starts at {first_index} but its boundary is missing")]
    BoundaryMissing {
        /// First index of the log.
        first_index: u64,
    },
    /// The store returned no record where one must be.
    #[error("the log has no entry {index}")]
    Missing {
        /// Index of the entry.
        index: u64,
    },
}

impl From<LogError> for raft::Error {
    fn from(error: LogError) -> Self {
        raft::Error::Store(StorageError::Other(Box::new(error)))
    }
}

/// The log of one group; implements `raft::Storage`.
pub(crate) struct LogView {
    store: LogStore,
    cache: EntryCache,
    first_index: u64,
    /// Term of the entry before the first one; raft-rs matches logs against it.
    boundary_term: u64,
    /// Last index readable here, durable or not.
    last_index: u64,
    hard_state: HardState,
    conf_state: ConfState,
    /// The last answer of `term` that came from the store: it is asked again and again for the same
    /// index right after a start, before anything is cached.
    term_read: Cell<(u64, u64)>,
    /// Membership the directory was founded with, if it says so.
    founders: Option<ConfState>,
    offers: Offers,
    /// Newest time stamp of what a snapshot replaced.
    stamp: u64,
}

impl LogView {
    /// Looks at what the store holds. `conf_state` is the membership as of the applied index.
    pub(crate) fn open(store: LogStore, conf_state: ConfState) -> Result<Self, LogError> {
        let hard_state = match store.value(codec::HARD_STATE)? {
            Some(bytes) => codec::decode_hard_state(&bytes)?,
            None => HardState::default(),
        };
        let (first_index, last_index) = (store.first_index(), store.last_index());
        let boundary_term = match store.value(codec::BOUNDARY)? {
            Some(bytes) => codec::decode_boundary(&bytes)?,
            None if first_index <= 1 => 0,
            None => return Err(LogError::BoundaryMissing { first_index }),
        };
        let founders = match store.value(codec::FOUNDERS)? {
            Some(bytes) => Some(codec::decode_conf_state(&bytes)?),
            None => None,
        };
        let stamp = match store.value(codec::STAMP)? {
            Some(bytes) => codec::decode_stamp(&bytes)?,
            None => 0,
        };
        let cache = EntryCache::new(CACHE_BYTES_MAX);
        let term_read = Cell::new((0, 0));
        Ok(LogView {
            store,
            cache,
            first_index,
            boundary_term,
            last_index,
            hard_state,
            conf_state,
            term_read,
            founders,
            offers: Offers::default(),
            stamp,
        })
    }

    pub(crate) fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    pub(crate) fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    /// Newest time stamp among the last `entries_max` entries, or of the snapshot before them; 0 if none
    /// carries one.
    pub(crate) fn newest_stamp(&self, entries_max: u64) -> Result<u64, LogError> {
        let oldest = self
            .first_index
            .max(self.last_index.saturating_sub(entries_max));
        for index in (oldest..=self.last_index).rev() {
            let entry = self
                .read(index, index + 1, 0)?
                .pop()
                .ok_or(LogError::Missing { index })?;
            if let Some(stamp) = crate::payload::time_ms(&entry.data) {
                return Ok(stamp.max(self.stamp));
            }
        }
        Ok(self.stamp)
    }

    pub(crate) fn first(&self) -> u64 {
        self.first_index
    }

    pub(crate) fn last(&self) -> u64 {
        self.last_index
    }

    /// Sets the commit index a start continues from; see `core::open`.
    pub(crate) fn set_commit(&mut self, commit: u64) {
        self.hard_state.commit = commit;
    }

    /// Makes entries readable; they may replace a suffix of the log. Durability comes later.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return;
        };
        assert!(
            first.index <= self.last_index + 1,
            "entries are appended without a gap"
        );
        assert!(
            first.index >= self.first_index,
            "an entry that was applied and forgotten is not replaced"
        );
        self.last_index = last.index;
        self.term_read.set((0, 0));
        self.cache.append(entries);
    }

    /// Forgets everything: a snapshot that ends at `position` comes in its place.
    pub(crate) fn reset(&mut self, position: Position) {
        self.cache = EntryCache::new(CACHE_BYTES_MAX);
        self.term_read.set((0, 0));
        self.first_index = position.index + 1;
        self.last_index = position.index;
        self.boundary_term = position.term;
    }

    /// Membership the directory was founded with.
    pub(crate) fn founders(&self) -> Option<ConfState> {
        self.founders.clone()
    }

    /// Snapshots for members, and who wants one.
    pub(crate) fn offers(&mut self) -> &mut Offers {
        &mut self.offers
    }

    /// Looks at the snapshots for members.
    pub(crate) fn offered(&self) -> &Offers {
        &self.offers
    }

    /// Entries at or below `index` are durable and applied: the cache may drop them.
    pub(crate) fn settled(&mut self, index: u64) {
        self.cache.evict(index);
    }

    /// Forgets the entries below `first` and returns the boundary to store with the truncation.
    pub(crate) fn compact(&mut self, first: u64) -> Result<bytes::Bytes, LogError> {
        assert!(
            first > self.first_index && first <= self.last_index,
            "truncation stays within the log"
        );
        self.boundary_term = self.term_at(first - 1)?;
        #[cfg(feature = "mutants")]
        if crate::core::mutation::is_planted(crate::core::mutation::Mutation::BoundaryForgotten) {
            self.boundary_term = 0;
        }
        self.first_index = first;
        Ok(codec::encode_boundary(self.boundary_term))
    }

    /// Term of an entry of `first - 1..=last`.
    pub(crate) fn term_at(&self, index: u64) -> Result<u64, LogError> {
        if index + 1 == self.first_index {
            return Ok(self.boundary_term);
        }
        if let Some(entry) = self.cache.get(index) {
            return Ok(entry.term);
        }
        let (read_index, read_term) = self.term_read.get();
        if read_index == index && index != 0 {
            return Ok(read_term);
        }
        let record = self
            .store
            .read(index..index + 1, 0)?
            .into_iter()
            .next()
            .ok_or(LogError::Missing { index })?;
        let term = codec::decode_entry(&record)?.term;
        self.term_read.set((index, term));
        Ok(term)
    }

    /// Entries of `low..high` while they stay within `bytes_max` encoded bytes, at least one.
    fn read(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, LogError> {
        #[cfg(feature = "mutants")]
        let low = crate::core::mutation::read_from(low, high);
        let mut entries = Vec::new();
        let mut bytes = 0_u64;
        let cached_from = self.cache.first_index().unwrap_or(u64::MAX);
        if low < cached_from {
            let stored_high = high.min(cached_from);
            let budget = usize::try_from(bytes_max).unwrap_or(usize::MAX);
            for record in self.store.read(low..stored_high, budget)? {
                bytes += record.payload.len() as u64;
                entries.push(codec::decode_entry(&record)?);
            }
            if entries.is_empty() {
                return Err(LogError::Missing { index: low });
            }
            if low + (entries.len() as u64) < stored_high {
                return Ok(entries);
            }
        }
        for entry in self.cache.range(low.max(cached_from), high) {
            bytes += entry.encoded_len() as u64;
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    /// The membership changes of `low..high` without their data, read in bounded pieces.
    ///
    /// raft-rs asks for all unapplied entries at once before it campaigns, only to count membership
    /// changes (its issue 530): after a crash that would be the whole tail of the log in memory.
    /// The core steps nothing while entries are unstable, so a short answer hides none from it.
    fn membership_changes(&self, low: u64, high: u64) -> Result<Vec<Entry>, LogError> {
        let mut changes = Vec::new();
        let mut next = low;
        while next < high {
            let entries = self.read(next, high, SCAN_BYTES as u64)?;
            next += entries.len() as u64;
            let is_change = |entry: &Entry| entry.entry_type != EntryType::EntryNormal as i32;
            changes.extend(entries.into_iter().filter(is_change).map(|entry| Entry {
                data: Vec::new(),
                context: Vec::new(),
                ..entry
            }));
        }
        Ok(changes)
    }
}

impl raft::Storage for LogView {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(
            self.hard_state.clone(),
            self.conf_state.clone(),
        ))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first_index {
            return Err(StorageError::Compacted.into());
        }
        assert!(high <= self.last_index + 1, "raft-rs reads within the log");
        if low >= high {
            return Ok(Vec::new());
        }
        match max_size.into() {
            None if !context.can_async() => Ok(self.membership_changes(low, high)?),
            bytes_max => Ok(self.read(low, high, bytes_max.unwrap_or(u64::MAX))?),
        }
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index + 1 < self.first_index {
            return Err(StorageError::Compacted.into());
        }
        if index > self.last_index {
            return Err(StorageError::Unavailable.into());
        }
        Ok(self.term_at(index)?)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first_index)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last_index)
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        // One that ends before the log begins would leave its receiver with a gap.
        let index_min = request_index.max(self.first_index - 1);
        let offer = self.offers.get(to, index_min);
        offer.ok_or_else(|| StorageError::SnapshotTemporarilyUnavailable.into())
    }
}

#[cfg(test)]
mod tests;
