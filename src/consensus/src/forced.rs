//! Makes a member the only one of its group, when a majority is lost for good: the last resort, which gives up
//! what only the lost members had. Works on the stores of a directory that no group runs on.
//!
//! One synced batch changes the log and nothing else, so that a crash leaves all of it or nothing:
//! * membership changes that were not applied yet become entries without effect: who they would add may be
//!   lost too;
//! * a last entry makes this member a voter, which it is; applying it stores the membership with the state;
//! * until that entry is applied, a named value says that the group is this member alone. Without it the entry
//!   could not be committed.

use crate::core::MemberChange;
use crate::log::codec::{self, CodecError};
use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState};
use raft_prost::Message as _;
use storage::{DataDir, LogStore, LogWrite, Record, Stores};

/// Named value of the log store: index of the last entry of a forced change, and the membership until then.
const FORCED: &str = "forced";
const INDEX_BYTES: usize = 8;
/// Bytes of entries read at once.
const READ_BYTES: usize = 4 << 20;

/// Why a member was not made the only one. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ForceError {
    /// The directory holds nothing that could be saved.
    #[error("the data directory is new: there is nothing to recover")]
    Empty,
    /// The directory is that of another member.
    #[error("the data directory belongs to node {found}, not to node {expected}")]
    WrongNode {
        /// This member.
        expected: u64,
        /// The owner.
        found: u64,
    },
    /// The log cannot be read or written.
    #[error("change the log")]
    Log(#[from] storage::Error),
    /// The log holds bytes this code does not understand.
    #[error("understand the log")]
    Codec(#[from] CodecError),
}

/// Makes `node_id` the only member of the group on these stores, from the next start on. Blocks on the disk.
///
/// The other members must never run again on what they have: they know nothing of this, and would go on as the
/// group they were.
///
/// # Errors
/// [`ForceError`]; nothing was changed.
pub fn force_new_cluster(
    node_id: u64,
    directory: &DataDir,
    stores: &Stores,
) -> Result<(), ForceError> {
    let owner = directory.identity().ok_or(ForceError::Empty)?;
    if owner.node_id != node_id {
        return Err(ForceError::WrongNode {
            expected: node_id,
            found: owner.node_id,
        });
    }
    let applied = stores.state.applied().index;
    let last = stores.log.last_index();
    if applied.max(last) == 0 {
        return Err(ForceError::Empty);
    }
    let mut write = LogWrite {
        records: without_changes(&stores.log, applied + 1, last)?,
        values: Vec::new(),
    };
    let hard_state = match stores.log.value(codec::HARD_STATE)? {
        Some(bytes) => codec::decode_hard_state(&bytes)?,
        None => HardState::default(),
    };
    let alone = crate::core::conf_change(&[MemberChange::AddVoter(node_id)], &[]);
    let mut entry = Entry {
        index: last + 1,
        term: hard_state.term,
        data: alone.encode_to_vec(),
        ..Entry::default()
    };
    entry.set_entry_type(EntryType::EntryConfChangeV2);
    write.records.push(codec::encode_entry(&entry));
    let membership = ConfState {
        voters: vec![node_id],
        ..ConfState::default()
    };
    write
        .values
        .push((FORCED, encode(entry.index, &membership)));
    stores.log.write(&write, true)?;
    log::warn!(
        target: "raft",
        "node {node_id} is made the only member of its group; what only other members had is lost"
    );
    Ok(())
}

/// The entries from `first` to `last` as they should be, from the first one on that is to change.
fn without_changes(log: &LogStore, first: u64, last: u64) -> Result<Vec<Record>, ForceError> {
    let mut kept = Vec::new();
    let mut next = first;
    while next <= last {
        let records = log.read(next..last + 1, READ_BYTES)?;
        next += records.len() as u64;
        for record in records {
            let mut entry = codec::decode_entry(&record)?;
            if entry.entry_type == EntryType::EntryNormal as i32 {
                if !kept.is_empty() {
                    kept.push(record);
                }
                continue;
            }
            entry.set_entry_type(EntryType::EntryNormal);
            entry.data.clear();
            kept.push(codec::encode_entry(&entry));
        }
    }
    Ok(kept)
}

/// The membership of a forced change whose last entry is not applied yet.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn membership(log: &LogStore, applied: u64) -> Result<Option<Bytes>, storage::Error> {
    let Some(forced) = log.value(FORCED)? else {
        return Ok(None);
    };
    let Some((index, membership)) = forced.split_first_chunk::<INDEX_BYTES>() else {
        return Err(storage::Error::Corrupt("the forced membership".into()));
    };
    let is_ahead = applied < u64::from_be_bytes(*index);
    Ok(is_ahead.then(|| Bytes::copy_from_slice(membership)))
}

fn encode(index: u64, membership: &ConfState) -> Bytes {
    let mut bytes = index.to_be_bytes().to_vec();
    bytes.extend_from_slice(&codec::encode_conf_state(membership));
    bytes.into()
}
