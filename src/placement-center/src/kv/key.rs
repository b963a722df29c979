//! Shapes of keys: ranges as clients name them, and the keys of the history and revision families.
//! Knows the order of bytes, not what is stored under them.

use super::fault::Damaged;
use super::{HISTORY, REVISION};

/// The keys a request names: from `start` on, below `end` (`None`: without end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span<'a> {
    Key(&'a [u8]),
    Range {
        start: &'a [u8],
        end: Option<&'a [u8]>,
    },
}

impl<'a> Span<'a> {
    /// Reads the wire form: no `range_end` is the single key, one zero byte is no end at all.
    pub(super) fn new(key: &'a [u8], range_end: &'a [u8]) -> Self {
        match range_end {
            [] => Span::Key(key),
            [0] => Span::Range {
                start: key,
                end: None,
            },
            end => Span::Range {
                start: key,
                end: Some(end),
            },
        }
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        match *self {
            Span::Key(own) => own == key,
            Span::Range { start, end } => start <= key && end.is_none_or(|end| key < end),
        }
    }

    /// An inverted range holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Span::Range { start, end: Some(end) } if start >= end)
    }
}

/// Where a change stands in the one order of all changes: the revision, and the index of the change
/// within the transaction that made the revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) main: i64,
    pub(super) sub: i64,
}

impl Position {
    /// Key in the revision family; big-endian, so that rows lie in the order of changes.
    pub(super) fn encode(self) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.main.to_be_bytes());
        key[8..].copy_from_slice(&self.sub.to_be_bytes());
        key
    }

    pub(super) fn decode(key: &[u8]) -> Result<Self, Damaged> {
        let parts = key
            .split_first_chunk::<8>()
            .and_then(|(main, rest)| Some((main, rest.first_chunk::<8>()?, rest.len())));
        let Some((main, sub, 8)) = parts else {
            return Err(Damaged {
                family: REVISION,
                reason: "the key is not 16 bytes",
            });
        };
        let position = Position {
            main: i64::from_be_bytes(*main),
            sub: i64::from_be_bytes(*sub),
        };
        if position.main < 0 || position.sub < 0 {
            return Err(Damaged {
                family: REVISION,
                reason: "the revision is negative",
            });
        }
        Ok(position)
    }
}

/// Ends an escaped user key. Sorts below an escaped zero byte, so that a key sorts before its extensions.
const END: [u8; 2] = [0x00, 0x00];
/// Stands for a zero byte inside a user key.
const ESCAPED_ZERO: [u8; 2] = [0x00, 0xFF];
/// Sorts after every version of a key and before every version of the next key.
const AFTER: [u8; 2] = [0x00, 0x01];

/// First part of a history key: the user key, escaped so that no key is the prefix of another.
pub(super) fn history_prefix(user_key: &[u8], out: &mut Vec<u8>) {
    escape(user_key, out);
    out.extend_from_slice(&END);
}

/// Key in the history family: newest version of a user key first.
pub(super) fn history_key(user_key: &[u8], revision: i64, out: &mut Vec<u8>) {
    history_prefix(user_key, out);
    out.extend_from_slice(&(!revision).to_be_bytes());
}

/// The position right behind every version of `user_key`.
pub(super) fn history_after(user_key: &[u8], out: &mut Vec<u8>) {
    escape(user_key, out);
    out.extend_from_slice(&AFTER);
}

fn escape(user_key: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(user_key.len() + 10);
    let mut rest = user_key;
    while let Some(zero) = rest.iter().position(|byte| *byte == 0) {
        out.extend_from_slice(&rest[..zero]);
        out.extend_from_slice(&ESCAPED_ZERO);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
}

/// Splits a history key: the user key goes to `user_key`, the revision is returned.
pub(super) fn split_history_key(key: &[u8], user_key: &mut Vec<u8>) -> Result<i64, Damaged> {
    let damaged = |reason| Damaged {
        family: HISTORY,
        reason,
    };
    user_key.clear();
    let mut rest = key;
    loop {
        let zero = rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(|| damaged("the key has no end mark"))?;
        user_key.extend_from_slice(&rest[..zero]);
        let mark = rest
            .get(zero..zero + 2)
            .ok_or_else(|| damaged("the key has no end mark"))?;
        rest = &rest[zero + 2..];
        if mark == END {
            break;
        }
        if mark != ESCAPED_ZERO {
            return Err(damaged("the key has an unknown escape"));
        }
        user_key.push(0);
    }
    let inverted: [u8; 8] = rest
        .try_into()
        .map_err(|_| damaged("the key does not end in a revision"))?;
    let revision = !i64::from_be_bytes(inverted);
    if revision < 0 {
        return Err(damaged("the revision is negative"));
    }
    Ok(revision)
}

#[cfg(test)]
mod tests;
