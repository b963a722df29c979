//! The multi-version key-value store with etcd's semantics, as a pure state machine: no clock, no
//! randomness, no channel that anything waits on, no iteration order of hash maps. Writes go through
//! the [`storage::ApplyBatch`] of the command they belong to; reads work on any [`storage::Read`].
//!
//! A living key's newest version is one record of the current family, so a range is one sequential
//! scan whatever the number of old versions. A version moves to the history family when it is
//! overwritten or deleted. The revision family lists all changes in order, for compaction and for watches.
//! See `docs/decisions/0002-current-and-history.md`.

mod check;
mod compare;
mod counting;
mod counts;
mod event;
mod fault;
mod hash;
mod intervals;
mod key;
mod meta;
mod page;
mod past;
mod published;
mod range;
mod record;
mod refusal;
mod replay;
mod select;
mod snapshot;
mod store;
mod sweep;
mod txn;
mod write;

pub use check::{
    check_delete_range, check_put, check_range, check_txn, grows, is_read_only, is_serializable,
};
pub use event::{Event, Revision};
pub use fault::ReadFailure;
pub use hash::HistoryHash;
pub use page::{Page, PageRequest};
pub use published::Published;
pub use refusal::Refusal;
pub use replay::{Interest, ReplayRequest, Replayed, replay};
pub use store::Store;

use protocol::etcdserverpb::{RangeRequest, RangeResponse, TxnRequest, TxnResponse};
use snapshot::Snapshot;
use storage::{Family, Read};

/// User key -> newest version, of living keys only.
const CURRENT: Family = Family("kv_current");
/// Escaped user key, inverted revision -> replaced version or tombstone.
const HISTORY: Family = Family("kv_history");
/// Main and sub-revision -> what changed, and what it replaced.
const REVISION: Family = Family("kv_revision");
/// First key of a bucket -> living keys in it.
const COUNT: Family = Family("kv_count");
/// The counters of the store.
const META: Family = Family("kv_meta");

/// Families of this sub state machine; the state store is opened with them.
pub const FAMILIES: &[Family] = &[CURRENT, HISTORY, REVISION, COUNT, META];

/// Answers a range request; of the header only the revision is filled.
pub fn range<R: Read>(reader: &R, request: &RangeRequest) -> Result<RangeResponse, ReadFailure> {
    range::range(&Snapshot::open(reader)?, request)
}

/// Reads one page of a range.
pub fn page<R: Read>(reader: &R, request: &PageRequest) -> Result<Page, ReadFailure> {
    page::page(&Snapshot::open(reader)?, request)
}

/// Hashes the changes up to `revision`, 0 being the newest, as etcd does; gives up with `None` once `go_on` says no.
pub fn history_hash<R: Read>(
    reader: &R,
    revision: i64,
    go_on: impl Fn() -> bool,
) -> Result<Option<HistoryHash>, ReadFailure> {
    hash::hash(&Snapshot::open(reader)?, revision, go_on)
}

/// Answers a transaction of ranges; of the header only the revision is filled.
///
/// # Panics
/// When [`is_read_only`] is false for the request.
pub fn txn_read<R: Read>(reader: &R, request: &TxnRequest) -> Result<TxnResponse, ReadFailure> {
    txn::read(&Snapshot::open(reader)?, request)
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
