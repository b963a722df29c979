//! How entries, hard state, membership and the log's boundary are written as bytes: the protobuf
//! encoding of raft-rs, whose prost differs from the one the rest of the product uses.

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, HardState};
use raft_prost::Message as _;
use storage::Record;

/// Named value of the log store: term, vote, commit.
pub(crate) const HARD_STATE: &str = "hard_state";
/// Named value of the log store: membership the directory was founded with.
pub(crate) const FOUNDERS: &str = "founders";
/// Named value of the log store: term of the entry before the first one. Written by the store.
pub(crate) const BOUNDARY: &str = "boundary";

/// Named value of the log store: newest time stamp of what a snapshot replaced.
pub(crate) const STAMP: &str = "stamp";

/// Bytes of the log that are not what this code writes.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Not a protobuf of the expected type.
    #[error("decode {what}")]
    Decode {
        /// What was expected.
        what: &'static str,
        /// What the decoder said.
        #[source]
        source: raft_prost::DecodeError,
    },
    /// An entry that stands at another index than it says.
    #[error("the record at index {record} holds entry {entry}")]
    Misplaced {
        /// Index of the record.
        record: u64,
        /// Index in the entry.
        entry: u64,
    },
    /// A boundary that is not a term, or a time stamp that is none.
    #[error("a number of the log is {0} bytes long, expected 8")]
    Number(usize),
}

/// An entry as the log store keeps it.
pub(crate) fn encode_entry(entry: &Entry) -> Record {
    Record {
        index: entry.index,
        payload: entry.encode_to_vec().into(),
    }
}

/// Reads an entry and checks that it stands where it should.
pub(crate) fn decode_entry(record: &Record) -> Result<Entry, CodecError> {
    let entry = Entry::decode(record.payload.as_ref()).map_err(|source| CodecError::Decode {
        what: "a log entry",
        source,
    })?;
    if entry.index != record.index {
        return Err(CodecError::Misplaced {
            record: record.index,
            entry: entry.index,
        });
    }
    Ok(entry)
}

pub(crate) fn encode_hard_state(state: &HardState) -> Bytes {
    state.encode_to_vec().into()
}

pub(crate) fn decode_hard_state(bytes: &[u8]) -> Result<HardState, CodecError> {
    HardState::decode(bytes).map_err(|source| CodecError::Decode {
        what: "the hard state",
        source,
    })
}

pub(crate) fn encode_conf_state(state: &ConfState) -> Bytes {
    state.encode_to_vec().into()
}

pub(crate) fn decode_conf_state(bytes: &[u8]) -> Result<ConfState, CodecError> {
    ConfState::decode(bytes).map_err(|source| CodecError::Decode {
        what: "the membership",
        source,
    })
}

pub(crate) fn encode_boundary(term: u64) -> Bytes {
    Bytes::copy_from_slice(&term.to_be_bytes())
}

pub(crate) fn decode_boundary(bytes: &[u8]) -> Result<u64, CodecError> {
    decode_number(bytes)
}

pub(crate) fn encode_stamp(time_ms: u64) -> Bytes {
    Bytes::copy_from_slice(&time_ms.to_be_bytes())
}

pub(crate) fn decode_stamp(bytes: &[u8]) -> Result<u64, CodecError> {
    decode_number(bytes)
}

fn decode_number(bytes: &[u8]) -> Result<u64, CodecError> {
    let number: [u8; 8] = bytes
        .try_into()
        .map_err(|_| CodecError::Number(bytes.len()))?;
    Ok(u64::from_be_bytes(number))
}
