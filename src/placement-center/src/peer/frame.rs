//! Frames: length and CRC-32C of what follows (u32 each, little-endian), kind, body. Reading is bounded before
//! anything is allocated. The checksum is there because an entry damaged on its way, which TCP's own sum lets pass
//! now and then, would be applied as if the leader had said it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consensus::Message;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest frame of a member: a batch of messages, or one request, each with room for what surrounds it.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// Longest frame of somebody who has not proved that he is a member.
pub(super) const STRANGER_BYTES_MAX: usize = 4 << 10;
/// A batch of messages is closed at this size; it holds one message in any case.
pub(super) const BATCH_BYTES: usize = 2 << 20;
/// Bytes of a frame taken on trust before they have arrived.
const TRUSTED_BYTES: usize = 64 << 10;

pub(super) const CHALLENGE: u8 = 1;
pub(super) const HELLO: u8 = 2;
pub(super) const WELCOME: u8 = 3;
pub(super) const REFUSED: u8 = 4;
/// Raft messages, each behind its length (u32, little-endian).
pub(super) const MESSAGES: u8 = 5;
/// A number (u64, little-endian) and what is asked.
pub(super) const REQUEST: u8 = 6;
/// The number of a request and the answer.
pub(super) const ANSWER: u8 = 7;
pub(super) const JOIN: u8 = 8;
pub(super) const JOINED: u8 = 9;
/// The Raft message that a snapshot belongs to.
pub(super) const SNAPSHOT: u8 = 10;
/// A chunk of a snapshot, in the form of `storage`.
pub(super) const CHUNK: u8 = 11;
pub(super) const TAKEN: u8 = 12;

const LENGTH_BYTES: usize = 4;
/// Length and checksum.
const HEAD_BYTES: usize = 8;
const NUMBER_BYTES: usize = 8;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) body: Bytes,
}

/// Reads a frame; `None` at the end of the stream. Not cancel-safe: see [`Partial`].
pub(super) async fn read<R>(stream: &mut R, bytes_max: usize) -> io::Result<Option<Frame>>
where
    R: AsyncRead + Unpin,
{
    Partial::default().read(stream, bytes_max).await
}

/// A frame of which some may have arrived.
#[derive(Default)]
pub(super) struct Partial {
    head: BytesMut,
    body: BytesMut,
}

impl Partial {
    /// Reads on until the frame is whole; `None` at the end of the stream between two frames. Cancel-safe.
    pub(super) async fn read<R>(
        &mut self,
        stream: &mut R,
        bytes_max: usize,
    ) -> io::Result<Option<Frame>>
    where
        R: AsyncRead + Unpin,
    {
        if !fill(stream, &mut self.head, HEAD_BYTES).await? {
            return match self.head.is_empty() {
                true => Ok(None),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        let (length, sum) = split_head(&self.head);
        if length == 0 || length > bytes_max {
            return Err(malformed("a frame of an impossible length"));
        }
        if !fill(stream, &mut self.body, length).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.head.clear();
        let body = std::mem::take(&mut self.body).freeze();
        if crc32c::crc32c(&body) != sum {
            return Err(malformed("a frame that was damaged on its way"));
        }
        Ok(Some(Frame {
            kind: body[0],
            body: body.slice(1..),
        }))
    }
}

/// Length and checksum of a head that has arrived.
fn split_head(mut head: &[u8]) -> (usize, u32) {
    (head.get_u32_le() as usize, head.get_u32_le())
}

/// Reads until `buffer` holds `length` bytes; false if the stream ends before. The buffer grows with what
/// arrives, so that a claim alone costs no memory.
async fn fill<R>(stream: &mut R, buffer: &mut BytesMut, length: usize) -> io::Result<bool>
where
    R: AsyncRead + Unpin,
{
    while buffer.len() < length {
        let left = length - buffer.len();
        if buffer.capacity() == buffer.len() {
            buffer.reserve(left.min(TRUSTED_BYTES));
        }
        if stream.read_buf(&mut buffer.limit(left)).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Appends a frame to a buffer that is written later.
pub(super) fn put(buffer: &mut BytesMut, kind: u8, body: &[u8]) {
    put_with(buffer, kind, |buffer| buffer.put_slice(body));
}

/// Appends a frame whose body is a message of the protocol.
pub(super) fn put_message(buffer: &mut BytesMut, kind: u8, message: &impl prost::Message) {
    put(buffer, kind, &message.encode_to_vec());
}

/// Appends a frame that starts with a number.
pub(super) fn put_numbered(buffer: &mut BytesMut, kind: u8, number: u64, body: &[u8]) {
    put_with(buffer, kind, |buffer| {
        buffer.reserve(NUMBER_BYTES + body.len());
        buffer.put_u64_le(number);
        buffer.put_slice(body);
    });
}

/// Appends a frame of Raft messages, each encoded in its place: what a batch holds is copied once.
pub(super) fn put_messages<'a>(
    buffer: &mut BytesMut,
    messages: impl Iterator<Item = &'a (Message, usize)>,
) {
    put_with(buffer, MESSAGES, |buffer| {
        for (message, bytes) in messages {
            let length = u32::try_from(*bytes).expect("a message is far below 4 GiB");
            buffer.reserve(LENGTH_BYTES + bytes);
            buffer.put_u32_le(length);
            message.encode_to(buffer);
        }
    });
}

fn put_with(buffer: &mut BytesMut, kind: u8, put_body: impl FnOnce(&mut BytesMut)) {
    let start = buffer.len();
    buffer.put_bytes(0, HEAD_BYTES);
    buffer.put_u8(kind);
    put_body(buffer);
    let (mut head, content) = buffer[start..].split_at_mut(HEAD_BYTES);
    head.put_u32_le(u32::try_from(content.len()).expect("a frame is far below 4 GiB"));
    head.put_u32_le(crc32c::crc32c(content));
}

/// Writes one frame at once.
pub(super) async fn write<W>(
    stream: &mut W,
    kind: u8,
    message: &impl prost::Message,
) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let mut buffer = BytesMut::new();
    put_message(&mut buffer, kind, message);
    stream.write_all(&buffer).await
}

/// The number and the rest of a numbered body.
pub(super) fn numbered(mut body: Bytes) -> io::Result<(u64, Bytes)> {
    let Some(number) = body.first_chunk::<NUMBER_BYTES>() else {
        return Err(malformed("a request without a number"));
    };
    let number = u64::from_le_bytes(*number);
    let rest = body.split_off(NUMBER_BYTES);
    Ok((number, rest))
}

/// A body of this protocol.
pub(super) fn decode<M: prost::Message + Default>(body: Bytes) -> io::Result<M> {
    M::decode(body).map_err(|_| malformed("a message that cannot be decoded"))
}

/// The Raft messages of a batch; all must be of member `from`.
pub(super) fn messages(mut body: &[u8], from: u64) -> io::Result<Vec<Message>> {
    let mut messages = Vec::new();
    while !body.is_empty() {
        let (length, rest) = body
            .split_first_chunk::<LENGTH_BYTES>()
            .ok_or_else(|| malformed("a batch that ends within a length"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (bytes, rest) = rest
            .split_at_checked(length)
            .ok_or_else(|| malformed("a batch that ends within a message"))?;
        let message = Message::decode(bytes).map_err(io::Error::other)?;
        if message.from() != from {
            return Err(malformed("a message in the name of another member"));
        }
        messages.push(message);
        body = rest;
    }
    Ok(messages)
}

pub(super) fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
