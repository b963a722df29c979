//! A Raft message to or from another member, opaque outside this crate.

use bytes::Bytes;
use raft::eraftpb;
use raft_prost::Message as _;

/// A message between members. Its content is raft-rs's; only the addresses matter outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Message(pub(crate) eraftpb::Message);

/// Bytes that are no Raft message.
#[derive(Debug, thiserror::Error)]
#[error("decode a Raft message")]
pub struct MessageError(#[source] raft_prost::DecodeError);

impl Message {
    /// The member that sent it.
    pub fn from(&self) -> u64 {
        self.0.from
    }

    /// The member it is for.
    pub fn to(&self) -> u64 {
        self.0.to
    }

    /// The bytes that go over the wire.
    pub fn encode(&self) -> Bytes {
        self.0.encode_to_vec().into()
    }

    /// Reads bytes from the wire. The content is checked by `Core::step`.
    ///
    /// # Errors
    /// [`MessageError`] if the bytes are no Raft message.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        eraftpb::Message::decode(bytes)
            .map(Message)
            .map_err(MessageError)
    }
}
