//! What is stored under a key: versions of a user key, and rows of the order of changes. Encoding only;
//! decoding borrows, so that a scan copies nothing it does not return.

use super::REVISION;
use super::fault::Damaged;
use super::key::Position;
use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{decode_varint, encode_varint};
use protocol::mvccpb::KeyValue;
use storage::Family;

/// What one retained version counts beyond its key and value: the metadata of the version, the row of the
/// order of changes with its second copy of the key's name, and the engine's own cost, rounded up.
pub(super) const VERSION_OVERHEAD_BYTES: u64 = 64;

/// Logical size of one version; what the quota counts. A tombstone has no value.
pub(super) fn version_bytes(key_bytes: usize, value_bytes: u64) -> u64 {
    key_bytes as u64 + value_bytes + VERSION_OVERHEAD_BYTES
}

/// Layout numbers, the first byte of every record. A new layout takes a new number; an unknown one is damage.
const LIVE_V1: u8 = 1;
const TOMBSTONE_V1: u8 = 2;

/// A version of a key that lives at its revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) create_revision: i64,
    pub(super) mod_revision: i64,
    /// Index of the change within its transaction: with `mod_revision` the key of its row in the revision family.
    pub(super) sub: i64,
    pub(super) version: i64,
    pub(super) lease: i64,
    pub(super) value: &'a [u8],
}

impl<'a> Record<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.reserve(32 + self.value.len());
        out.put_u8(LIVE_V1);
        for number in [
            self.create_revision,
            self.mod_revision,
            self.sub,
            self.version,
            self.lease,
        ] {
            encode_varint(number as u64, out);
        }
        out.put_slice(self.value);
    }

    /// Decodes a record of a family that holds no tombstones.
    pub(super) fn decode(family: Family, bytes: &'a [u8]) -> Result<Self, Damaged> {
        Self::decode_version(family, bytes)?.ok_or(Damaged {
            family,
            reason: "a tombstone where none may be",
        })
    }

    /// Decodes a version; `None` is a tombstone.
    pub(super) fn decode_version(family: Family, bytes: &'a [u8]) -> Result<Option<Self>, Damaged> {
        let mut rest = bytes;
        match rest.try_get_u8() {
            Ok(LIVE_V1) => {}
            Ok(TOMBSTONE_V1) if rest.is_empty() => return Ok(None),
            _ => {
                return Err(Damaged {
                    family,
                    reason: "unknown record layout",
                });
            }
        }
        let mut number = || number(family, &mut rest);
        let (create_revision, mod_revision, sub) = (number()?, number()?, number()?);
        let version = number()?;
        // Any number but 0 may be the id of a lease, also a negative one.
        let lease = decode_varint(&mut rest).map_err(|_| Damaged {
            family,
            reason: "a number is cut off",
        })?;
        if create_revision < 1 || create_revision > mod_revision || version < 1 {
            return Err(Damaged {
                family,
                reason: "the revisions of a record contradict each other",
            });
        }
        Ok(Some(Record {
            create_revision,
            mod_revision,
            sub,
            version,
            lease: lease.cast_signed(),
            value: rest,
        }))
    }

    pub(super) fn position(&self) -> Position {
        Position {
            main: self.mod_revision,
            sub: self.sub,
        }
    }

    /// The wire form; `key` and `value` are given because the caller knows whether they can be shared.
    pub(super) fn to_key_value(self, key: Bytes, value: Bytes) -> KeyValue {
        KeyValue {
            key,
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
            value,
            lease: self.lease,
        }
    }
}

/// The record that says "deleted here".
pub(super) const TOMBSTONE: [u8; 1] = [TOMBSTONE_V1];

/// The version that a change replaced, with what the sweep needs to forget it without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) position: Position,
    pub(super) value_bytes: u64,
}

/// A row of the order of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change<'a> {
    pub(super) key: &'a [u8],
    pub(super) is_tombstone: bool,
    pub(super) replaced: Option<Replaced>,
}

impl<'a> Change<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.reserve(32 + self.key.len());
        out.put_u8(if self.is_tombstone {
            TOMBSTONE_V1
        } else {
            LIVE_V1
        });
        // Revision 0 never holds a change, so it can say "replaced nothing".
        encode_varint(
            self.replaced
                .map_or(0, |replaced| replaced.position.main as u64),
            out,
        );
        if let Some(replaced) = self.replaced {
            encode_varint(replaced.position.sub as u64, out);
            encode_varint(replaced.value_bytes, out);
        }
        out.put_slice(self.key);
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut rest = bytes;
        let is_tombstone = match rest.try_get_u8() {
            Ok(LIVE_V1) => false,
            Ok(TOMBSTONE_V1) => true,
            _ => {
                return Err(Damaged {
                    family: REVISION,
                    reason: "unknown record layout",
                });
            }
        };
        let mut number = || number(REVISION, &mut rest);
        let replaced = match number()? {
            0 => None,
            main => Some(Replaced {
                position: Position {
                    main,
                    sub: number()?,
                },
                value_bytes: number()?.unsigned_abs(),
            }),
        };
        if is_tombstone && replaced.is_none() {
            return Err(Damaged {
                family: REVISION,
                reason: "a tombstone that replaced nothing",
            });
        }
        Ok(Change {
            key: rest,
            is_tombstone,
            replaced,
        })
    }
}

/// One non-negative number.
pub(super) fn number(family: Family, bytes: &mut &[u8]) -> Result<i64, Damaged> {
    let number = decode_varint(bytes).map_err(|_| Damaged {
        family,
        reason: "a number is cut off",
    })?;
    i64::try_from(number).map_err(|_| Damaged {
        family,
        reason: "a number is too large",
    })
}

#[cfg(test)]
mod tests;
