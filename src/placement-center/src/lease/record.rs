//! What is stored of a lease, and under which keys. Encoding only.

use super::{Facts, LEASE, LEASE_KEY, TTL_MAX};
use bytes::{Buf, BufMut};
use prost::encoding::{decode_varint, encode_varint};
use storage::{Error, Family};

/// First byte of every record. A new layout takes a new number; an unknown one is damage.
const LAYOUT_V1: u8 = 1;

/// Bytes of a lease id, the key of a lease and the beginning of those of its attached keys.
pub(super) const ID_BYTES: usize = 8;

pub(super) fn id_key(id: i64) -> [u8; ID_BYTES] {
    id.to_be_bytes()
}

/// The key of an attached key.
pub(super) fn attached_key(id: i64, user_key: &[u8]) -> Vec<u8> {
    [&id_key(id)[..], user_key].concat()
}

/// The first key behind those of a lease; none for the last id there is.
pub(super) fn after_id(id: i64) -> Option<[u8; ID_BYTES]> {
    u64::from_be_bytes(id_key(id))
        .checked_add(1)
        .map(u64::to_be_bytes)
}

pub(super) fn split_id(family: Family, key: &[u8]) -> Result<(i64, &[u8]), Error> {
    let (id, rest) = key
        .split_first_chunk::<ID_BYTES>()
        .ok_or_else(|| damaged(family, "the key is too short for a lease id"))?;
    Ok((i64::from_be_bytes(*id), rest))
}

pub(super) fn encode(facts: &Facts) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    out.put_u8(LAYOUT_V1);
    for number in [facts.ttl.unsigned_abs(), facts.granted, facts.remaining_ms] {
        encode_varint(number, &mut out);
    }
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Facts, Error> {
    let mut rest = bytes;
    if rest.try_get_u8() != Ok(LAYOUT_V1) {
        return Err(damaged(LEASE, "unknown record layout"));
    }
    let mut number =
        || decode_varint(&mut rest).map_err(|_| damaged(LEASE, "a number is cut short"));
    let (ttl, granted, remaining_ms) = (number()?, number()?, number()?);
    if !rest.is_empty() {
        return Err(damaged(LEASE, "bytes behind the record"));
    }
    let ttl = i64::try_from(ttl).ok().filter(|ttl| *ttl <= TTL_MAX);
    Ok(Facts {
        ttl: ttl.ok_or_else(|| damaged(LEASE, "the TTL is longer than any"))?,
        granted,
        remaining_ms,
        keys: 0,
    })
}

pub(super) fn damaged(family: Family, reason: &str) -> Error {
    Error::Corrupt(format!("{reason}, in {}", family.0))
}

/// A key is attached to a lease that is not there.
pub(super) fn without_lease() -> Error {
    damaged(
        LEASE_KEY,
        "a key is attached to a lease that does not exist",
    )
}
