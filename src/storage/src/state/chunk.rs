//! The pieces a snapshot travels in. Every chunk carries a checksum and its number; the first says what follows, the
//! last what it added up to. Logical records, not files: nothing in a chunk names a path, and both engines
//! speak the same form.
//!
//! ```text
//! checksum: u32 LE of the rest | number: u32 LE | kind: u8 | body
//! kind 1, head:    version: u8 | index, term, chain hash: u64 LE each | (length: u8 | family name)*
//! kind 2, records: (family: u8, the place of its name in the head | key, value lengths: u32 LE each | key | value)*
//! kind 3, end:     records: u64 LE | xxh3-64 over all bodies of records: u64 LE
//! ```

use super::Applied;
use crate::{Error, Result};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A chunk is closed at this size; it holds one record in any case.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Longest chunk that is taken: the longest record there can be, and room for what surrounds it.
pub const CHUNK_BYTES_MAX: usize = 8 << 20;
/// Version of this form.
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 9;
const RECORD_HEADER_BYTES: usize = 9;

const HEAD: u8 = 1;
const RECORDS: u8 = 2;
const END: u8 = 3;

/// What a chunk says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Head {
        applied: Applied,
        families: Vec<String>,
    },
    Records(Bytes),
    End {
        records: u64,
        hash: u64,
    },
}

fn bad(what: &str) -> Error {
    Error::BadSnapshot(what.to_owned())
}

/// A chunk under construction.
pub(super) fn begin(number: u32, kind_of: &Chunk) -> BytesMut {
    let kind = match kind_of {
        Chunk::Head { .. } => HEAD,
        Chunk::Records(_) => RECORDS,
        Chunk::End { .. } => END,
    };
    let mut chunk = BytesMut::with_capacity(HEADER_BYTES + CHUNK_BYTES);
    chunk.put_u32_le(0);
    chunk.put_u32_le(number);
    chunk.put_u8(kind);
    chunk
}

/// Seals a chunk.
pub(super) fn finish(mut chunk: BytesMut) -> Bytes {
    let checksum = crc32c::crc32c(&chunk[4..]);
    chunk[..4].copy_from_slice(&checksum.to_le_bytes());
    chunk.freeze()
}

/// What of a records chunk the hash covers.
pub(super) fn body(chunk: &[u8]) -> &[u8] {
    &chunk[HEADER_BYTES..]
}

pub(super) fn head(number: u32, applied: Applied, families: &[&str]) -> Bytes {
    let mut chunk = begin(
        number,
        &Chunk::Head {
            applied,
            families: Vec::new(),
        },
    );
    chunk.put_u8(VERSION);
    for word in [applied.index, applied.term, applied.chain_hash] {
        chunk.put_u64_le(word);
    }
    for family in families {
        chunk.put_u8(u8::try_from(family.len()).expect("a family has a short name"));
        chunk.put_slice(family.as_bytes());
    }
    finish(chunk)
}

pub(super) fn end(number: u32, records: u64, hash: u64) -> Bytes {
    let mut chunk = begin(number, &Chunk::End { records, hash });
    chunk.put_u64_le(records);
    chunk.put_u64_le(hash);
    finish(chunk)
}

pub(super) fn put_record(chunk: &mut BytesMut, family: u8, key: &[u8], value: &[u8]) {
    let length = |part: &[u8]| u32::try_from(part.len()).expect("a record is far below 4 GiB");
    chunk.reserve(RECORD_HEADER_BYTES + key.len() + value.len());
    chunk.put_u8(family);
    chunk.put_u32_le(length(key));
    chunk.put_u32_le(length(value));
    chunk.put_slice(key);
    chunk.put_slice(value);
}

/// Whether a chunk says that it is the last one. Not verified: the stage does that.
pub fn is_last_chunk(bytes: &[u8]) -> bool {
    bytes.get(HEADER_BYTES - 1) == Some(&END)
}

/// Reads a chunk that must have this number.
pub(super) fn parse(bytes: &[u8], number: u32) -> Result<Chunk> {
    if bytes.len() > CHUNK_BYTES_MAX {
        return Err(bad("a chunk is too long"));
    }
    let (checksum, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| bad("a chunk ends within its head"))?;
    if u32::from_le_bytes(*checksum) != crc32c::crc32c(rest) {
        return Err(bad("wrong checksum"));
    }
    let mut body = Bytes::copy_from_slice(rest);
    if body.len() < HEADER_BYTES - 4 {
        return Err(bad("a chunk ends within its head"));
    }
    if body.get_u32_le() != number {
        return Err(bad("a chunk out of turn"));
    }
    match body.get_u8() {
        HEAD => parse_head(body),
        RECORDS => Ok(Chunk::Records(body)),
        END if body.len() == 16 => Ok(Chunk::End {
            records: body.get_u64_le(),
            hash: body.get_u64_le(),
        }),
        _ => Err(bad("a chunk of an unknown kind")),
    }
}

fn parse_head(mut body: Bytes) -> Result<Chunk> {
    if body.len() < 25 {
        return Err(bad("the head is too short"));
    }
    let version = body.get_u8();
    if version != VERSION {
        return Err(Error::BadSnapshot(format!(
            "it has version {version}, this program reads {VERSION}"
        )));
    }
    let applied = Applied {
        index: body.get_u64_le(),
        term: body.get_u64_le(),
        chain_hash: body.get_u64_le(),
    };
    let mut families = Vec::new();
    while body.has_remaining() {
        let length = usize::from(body.get_u8());
        if length > body.len() {
            return Err(bad("the head ends within a name"));
        }
        let name = String::from_utf8(body.split_to(length).to_vec());
        families.push(name.map_err(|_| bad("a family has no readable name"))?);
    }
    Ok(Chunk::Head { applied, families })
}

/// Takes the next record off a body of records.
pub(super) fn take_record(body: &mut Bytes) -> Result<Option<(u8, Bytes, Bytes)>> {
    if body.is_empty() {
        return Ok(None);
    }
    if body.len() < RECORD_HEADER_BYTES {
        return Err(bad("a record ends within its head"));
    }
    let family = body.get_u8();
    let (key, value) = (body.get_u32_le() as usize, body.get_u32_le() as usize);
    if key.checked_add(value).is_none_or(|both| both > body.len()) {
        return Err(bad("a record ends early"));
    }
    let key = body.split_to(key);
    Ok(Some((family, key, body.split_to(value))))
}
