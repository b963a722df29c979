//! What a driver of the core needs besides the core itself, opened up for a simulator that is one: the
//! identity of a data directory, the hash chain, the names under which the log keeps its values, and a
//! look into messages and records. The product's own driver uses the same parts from within.

pub use crate::apply::chain_hash;

use crate::config::Config;
use crate::core::{Ballot, Message, Position};
use crate::error::StartError;
use crate::identity::Keeper;
use crate::log::codec::{self, CodecError};
use raft::eraftpb::MessageType;
use storage::{DataDir, Record, Stores};

/// Name under which the log keeps the hard state.
pub const HARD_STATE: &str = codec::HARD_STATE;
/// Name under which the log keeps the term of the entry before its first.
pub const BOUNDARY: &str = codec::BOUNDARY;
/// Name under which the log keeps the newest time stamp of what it no longer holds.
pub const STAMP: &str = codec::STAMP;

/// The identity and the watermark of an open data directory.
pub struct Directory(Keeper);

impl Directory {
    /// Checks the directory against configuration and log, founds a new one, and counts the start.
    ///
    /// # Errors
    /// [`StartError`] if this node must not start on it.
    pub fn open(config: &Config, directory: DataDir, stores: &Stores) -> Result<Self, StartError> {
        Keeper::open(config, directory, stores).map(Directory)
    }

    /// Boot epoch of this run.
    pub fn incarnation(&self) -> u64 {
        self.0.incarnation()
    }

    /// Term and vote are durable in the log; called before the vote leaves the node.
    ///
    /// # Errors
    /// The disk's.
    pub fn save_ballot(&mut self, ballot: Ballot) -> Result<(), storage::Error> {
        self.0.save_ballot(ballot)
    }

    /// The log is durable and committed up to `index`.
    ///
    /// # Errors
    /// The disk's.
    pub fn save_index(&mut self, index: u64) -> Result<(), storage::Error> {
        self.0.save_index(index)
    }
}

/// Where a record of the log stands.
///
/// # Errors
/// [`CodecError`] if it is no entry.
pub fn position(record: &Record) -> Result<Position, CodecError> {
    let entry = codec::decode_entry(record)?;
    Ok(Position {
        index: entry.index,
        term: entry.term,
    })
}

/// What a message says, as far as a checker looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Its type.
    pub kind: Kind,
    /// Its term.
    pub term: u64,
    /// What its type makes of it: of an append the entry before, of an answer the entry matched.
    pub index: u64,
    /// Whether an answer refuses.
    pub reject: bool,
}

/// Types of messages a checker tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Entries from a leader.
    Append,
    /// The answer to entries; not rejecting, it promises that they are durable.
    AppendResponse,
    /// A candidate asks for a vote, and has voted for itself.
    Vote,
    /// The answer; not rejecting, it is a vote.
    VoteResponse,
    /// A snapshot from a leader.
    Snapshot,
    /// Anything else.
    Other,
}

/// Looks into a message.
pub fn glance(message: &Message) -> Glance {
    let message = &message.0;
    let kind = match MessageType::from_i32(message.msg_type) {
        Some(MessageType::MsgAppend) => Kind::Append,
        Some(MessageType::MsgAppendResponse) => Kind::AppendResponse,
        Some(MessageType::MsgRequestVote) => Kind::Vote,
        Some(MessageType::MsgRequestVoteResponse) => Kind::VoteResponse,
        Some(MessageType::MsgSnapshot) => Kind::Snapshot,
        _ => Kind::Other,
    };
    Glance {
        kind,
        term: message.term,
        index: message.index,
        reject: message.reject,
    }
}

/// What a message says it is, in Raft's words.
pub fn kind_name(message: &Message) -> String {
    let kind = MessageType::from_i32(message.0.msg_type);
    kind.map_or_else(|| "unknown".to_owned(), |kind| format!("{kind:?}"))
}
