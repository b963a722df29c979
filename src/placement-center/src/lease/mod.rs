//! Leases as replicated state, and the leader's reckoning of when they end, as a pure core: no clock, no
//! channel that anything waits on. Time comes in as milliseconds of whoever calls.
//!
//! What is replicated: which leases exist, their TTL, the keys attached to them, and now and then how much of
//! a lease was left ([`Store`]). What only the leader knows: when each lease ends ([`Deadlines`]). A lease
//! never ends by time alone: the leader proposes the end, and the log decides. See `docs/consistency.md`.

mod deadlines;
mod published;
mod record;
mod store;

pub use deadlines::{Deadlines, Life, Renewal};
pub use protocol::placement::internal::v1::LeaseRef;
pub use published::{Counters, Published};
pub use store::Store;

use storage::{Family, Read, Result};

/// Lease id -> record.
const LEASE: Family = Family("lease");
/// Lease id and user key -> nothing.
const LEASE_KEY: Family = Family("lease_key");

/// Families of this sub state machine; the state store is opened with them.
pub const FAMILIES: &[Family] = &[LEASE, LEASE_KEY];

/// Longest TTL in seconds, as in etcd.
pub const TTL_MAX: i64 = 9_000_000_000;

/// What is replicated of one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Seconds.
    pub ttl: i64,
    /// Index of the log entry that granted it; tells two grants of one id apart.
    pub granted: u64,
    /// How much was left when somebody last wrote it down; 0 is the whole TTL.
    pub remaining_ms: u64,
    /// Keys attached. Not stored: counted when the state is opened.
    pub keys: u64,
}

/// How much is left of a lease, to be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The lease.
    pub lease: LeaseRef,
    /// 0: the whole TTL.
    pub remaining_ms: u64,
}

/// The keys attached to a lease, in order.
///
/// # Errors
/// When the state cannot be read or holds what this program did not write.
pub fn keys<R: Read>(reader: &R, id: i64) -> Result<Vec<bytes::Bytes>> {
    store::keys(reader, id)
}

#[cfg(test)]
mod tests;
