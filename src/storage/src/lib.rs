//! Bytes and durability. This crate keeps ordered bytes in named families, on RocksDB or on an
//! in-memory twin that can inject faults, behind two narrow interfaces:
//!
//! * [`LogStore`]: numbered records and a few named values; every write may be synced. The Raft log.
//! * [`StateStore`]: families of keys that change only through an [`ApplyBatch`], which carries the
//!   applied index in the same atomic batch as the change. Not synced: replayed from the log.
//!
//! It knows nothing of Raft messages, protobuf or the meaning of a key.
#![allow(missing_docs, unused_variables, dead_code)]

use bytes::Bytes;
use std::ops::Range;
use std::path::Path;

/// Why a storage operation failed. (The storage owner refines this: variant = operation, #[source].)
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Placeholder(String),
}
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Family(pub &'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order { Forward, Reverse }

/// What both a [`View`] and an [`ApplyBatch`] offer to readers.
pub trait Read {
    /// The value at `key`, or `None`.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>>;
    /// Exact, never a bloom-filter hint.
    fn exists(&self, family: Family, key: &[u8]) -> Result<bool> { Ok(self.get(family, key)?.is_some()) }
    /// Cursor over `start..end` (`end` None = to the end of the family), positioned on the first
    /// record in `order` (Reverse: the last record below `end`).
    fn scan(&self, family: Family, start: &[u8], end: Option<&[u8]>, order: Order) -> Result<Cursor<'_>>;
}

/// A position in a scan. `entry` is None past the end.
pub struct Cursor<'a> { _p: std::marker::PhantomData<&'a ()> }
impl<'a> Cursor<'a> {
    pub fn entry(&self) -> Option<(&[u8], &[u8])> { todo!() }
    pub fn advance(&mut self) -> Result<()> { todo!() }
    /// Jumps to the first record at or beyond `key` in scan order, never leaving the scan's bounds.
    pub fn seek(&mut self, key: &[u8]) -> Result<()> { todo!() }
}

/// Position of the state in the log, stored in the same batch as the change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied { pub index: u64, pub term: u64, pub chain_hash: u64 }

/// Shared, cheap to clone, read side of the state.
#[derive(Clone)]
pub struct StateStore {}
impl StateStore {
    /// Position of the newest committed batch.
    pub fn applied(&self) -> Applied { todo!() }
    /// Applied index that a crash now would keep (RocksDB persisted tier).
    pub fn flushed_index(&self) -> Result<u64> { todo!() }
    /// Consistent snapshot over all families; short-lived.
    pub fn view(&self) -> View<'_> { todo!() }
    /// Makes everything committed so far durable; blocks.
    pub fn flush(&self) -> Result<()> { todo!() }
    /// Hard-linked copy of the whole state into a new directory.
    pub fn checkpoint(&self, directory: &Path) -> Result<()> { todo!() }
    /// Bytes on disk.
    pub fn disk_bytes(&self) -> Result<u64> { todo!() }
}
pub struct View<'a> { _p: std::marker::PhantomData<&'a ()> }
impl Read for View<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> { todo!() }
    fn scan(&self, family: Family, start: &[u8], end: Option<&[u8]>, order: Order) -> Result<Cursor<'_>> { todo!() }
}

/// The only write handle of the state; not Clone. Owned by the apply thread.
pub struct StateWriter {}
impl StateWriter {
    pub fn store(&self) -> &StateStore { todo!() }
    pub fn begin(&mut self) -> ApplyBatch<'_> { todo!() }
}
/// One atomic change: reads see the batch's own writes.
pub struct ApplyBatch<'a> { _p: std::marker::PhantomData<&'a mut ()> }
impl ApplyBatch<'_> {
    pub fn put(&mut self, family: Family, key: &[u8], value: &[u8]) { todo!() }
    pub fn delete(&mut self, family: Family, key: &[u8]) { todo!() }
    /// Opaque membership bytes stored with the applied position.
    pub fn set_conf_state(&mut self, conf_state: &[u8]) { todo!() }
    pub fn bytes(&self) -> usize { todo!() }
    /// Commits as the change that brings the state to `applied`. Asserts applied.index > previous
    /// index and term >= previous term. No sync.
    pub fn commit(self, applied: Applied) -> Result<()> { todo!() }
    /// Commits housekeeping that changes no meaning (physical deletion of compacted versions): the
    /// applied position stays.
    pub fn commit_housekeeping(self) -> Result<()> { todo!() }
}
impl Read for ApplyBatch<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> { todo!() }
    fn scan(&self, family: Family, start: &[u8], end: Option<&[u8]>, order: Order) -> Result<Cursor<'_>> { todo!() }
}

/// Record of the log: `payload` is opaque. A CRC guards each record on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record { pub index: u64, pub payload: Bytes }

/// One atomic, optionally synced, write of the log.
#[derive(Default, Debug)]
pub struct LogWrite {
    /// Contiguous; may start at or below the last index: then the old suffix from there is replaced.
    pub records: Vec<Record>,
    /// Named values, e.g. ("hard_state", bytes).
    pub values: Vec<(&'static str, Bytes)>,
}

/// Shared, cheap to clone; one writer at a time by convention of the log writer thread (asserted).
#[derive(Clone)]
pub struct LogStore {}
impl LogStore {
    /// Lowest retained index; `last_index() + 1` when the log is empty.
    pub fn first_index(&self) -> u64 { todo!() }
    /// Highest index written (not: synced).
    pub fn last_index(&self) -> u64 { todo!() }
    /// Records of `range`, at least one if present, then while the sum of payload bytes stays <= bytes_max.
    /// Error `Compacted` below first_index, `Unavailable` beyond last_index.
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Record>> { todo!() }
    pub fn value(&self, name: &str) -> Result<Option<Bytes>> { todo!() }
    /// One batch; with `sync`, durable when it returns. Refuses a gap, also into an empty log.
    pub fn write(&self, write: &LogWrite, sync: bool) -> Result<()> { todo!() }
    /// Forgets records below `first`. `boundary` (term bytes of first-1) is stored as value "boundary" in the same batch.
    pub fn truncate_prefix(&self, first: u64, boundary: &[u8]) -> Result<()> { todo!() }
}

/// Which engine, with which faults.
pub struct OpenOptions { pub state_families: &'static [Family], pub block_cache_bytes: usize, pub write_buffer_bytes: usize }

/// An opened data directory: FORMAT checked, locked, identity read.
pub struct DataDir {}
pub struct Stores { pub log: LogStore, pub state: StateStore, pub writer: StateWriter, pub conf_state: Option<Bytes> }
impl DataDir {
    /// Locks and opens (creating when absent). Errors: Locked (by another process), FormatUnknown, Io...
    pub fn open(path: &Path, options: &OpenOptions) -> Result<(DataDir, Stores)> { todo!() }
    pub fn identity(&self) -> Option<&Identity> { todo!() }
    /// Writes the identity file durably (two slots + CRC).
    pub fn save_identity(&mut self, identity: &Identity) -> Result<()> { todo!() }
}
/// Who this directory belongs to, and the lowest point its log may end at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity { pub cluster_id: u64, pub node_id: u64, pub incarnation: u64, pub watermark: Watermark }
/// Durable log position and vote that a later start must not fall behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark { pub index: u64, pub term: u64, pub vote: u64 }

/// In-memory stores for tests and simulation, same code above the engine.
pub fn memory_stores(families: &'static [Family]) -> Stores { todo!() }
