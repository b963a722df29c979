//! The members of the center themselves, as replicated state: who they are, where they are reached, on which
//! data directory each runs, and which numbers belonged to members that were removed.
//!
//! Who votes is Raft's own state, kept by `consensus`; this is what must be known beside it. A member enters
//! with the membership change that adds it, or, if it is a founder, with its first announcement; it leaves
//! with the change that removes it.

mod published;
mod store;

pub use published::{Admission, Members, Published};
pub use store::{Configuration, Store};

pub use protocol::placement::internal::v1::command_reply::{Announced, Updated};
pub use protocol::placement::internal::v1::{MemberRecord, RemovedMember};

use storage::Family;

/// One row per member, one per removed member.
pub(crate) const MEMBERS: Family = Family("members");

/// The families this sub state machine owns.
pub const FAMILIES: &[Family] = &[MEMBERS];

/// Longest address or URL, in bytes: DNS allows names of 253.
pub const ADDRESS_BYTES_MAX: usize = 300;
/// URLs of one member: one per network it serves, and then some.
pub const CLIENT_URLS_MAX: usize = 8;
/// Bytes of an instance id.
pub const INSTANCE_BYTES: usize = 16;

/// Whether a record is one the state may hold: bounded, and of a member that can exist.
pub fn is_well_formed(record: &MemberRecord) -> bool {
    let is_short = |text: &String| text.len() <= ADDRESS_BYTES_MAX;
    record.id != 0
        && record.alias.len() <= crate::config::NAME_BYTES_MAX
        && is_short(&record.peer_address)
        && is_short(&record.http_url)
        && record.client_urls.len() <= CLIENT_URLS_MAX
        && record.client_urls.iter().all(is_short)
        && [0, INSTANCE_BYTES].contains(&record.instance.len())
}

#[cfg(test)]
mod tests;
