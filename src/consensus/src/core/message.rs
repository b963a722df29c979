//! A Raft message to or from another member, opaque outside this crate.

use super::Position;
use bytes::{Bytes, BytesMut};
use raft::eraftpb;
use raft_prost::Message as _;

/// A message between members. Its content is raft-rs's; only the addresses matter outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Message(pub(crate) eraftpb::Message);

/// Bytes that are no Raft message.
#[derive(Debug, thiserror::Error)]
#[error("decode a Raft message")]
pub struct MessageError(#[source] raft_prost::DecodeError);

/// A message to send, in pieces that a peer link takes.
///
/// With batching, raft-rs adds entries to an append message without looking at its size; one to a
/// member that is far behind could hold hundreds of megabytes. A sequence of smaller appends means
/// the same to the receiver.
pub(crate) fn split(message: eraftpb::Message, bytes_max: usize) -> impl Iterator<Item = Message> {
    let mut rest = Some(message);
    std::iter::from_fn(move || {
        let mut piece = rest.take()?;
        let mut bytes = 0;
        let mut within = |entry: &eraftpb::Entry| {
            bytes += entry.encoded_len();
            bytes <= bytes_max
        };
        let fit = piece
            .entries
            .iter()
            .take_while(|entry| within(entry))
            .count()
            .max(1);
        if piece.entries.len() > fit {
            let entries = piece.entries.split_off(fit);
            let sent = std::mem::take(&mut piece.entries);
            let (index, log_term) = sent
                .last()
                .map_or((0, 0), |entry| (entry.index, entry.term));
            rest = Some(eraftpb::Message {
                index,
                log_term,
                entries,
                ..piece.clone()
            });
            piece.entries = sent;
        }
        Some(Message(piece))
    })
}

impl Message {
    /// The member that sent it.
    pub fn from(&self) -> u64 {
        self.0.from
    }

    /// The member it is for.
    pub fn to(&self) -> u64 {
        self.0.to
    }

    /// How many bytes go over the wire.
    pub fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    /// Where the snapshot stands that goes with this message, if it is of that kind.
    pub fn snapshot(&self) -> Option<Position> {
        let is_snapshot = self.0.msg_type == eraftpb::MessageType::MsgSnapshot as i32;
        let metadata = self.0.snapshot.as_ref()?.metadata.as_ref()?;
        is_snapshot.then_some(Position {
            index: metadata.index,
            term: metadata.term,
        })
    }

    /// The bytes that go over the wire.
    pub fn encode(&self) -> Bytes {
        self.0.encode_to_vec().into()
    }

    /// Appends those bytes to a buffer.
    pub fn encode_to(&self, buffer: &mut BytesMut) {
        let encoded = self.0.encode(buffer);
        encoded.expect("a buffer that grows takes every message");
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
