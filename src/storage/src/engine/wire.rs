//! The journal of the simulated disk: batches as bytes, each behind its length and checksum, so
//! that a crash can cut them anywhere and a torn one is recognised, as in a real write-ahead log.

use super::{Change, Changes};
use crate::Family;
use std::borrow::Cow;

const HEADER_BYTES: usize = 8;

/// Appends one batch to `journal`.
pub(super) fn append(journal: &mut Vec<u8>, changes: &Changes<'_>) {
    let start = journal.len();
    journal.extend_from_slice(&[0; HEADER_BYTES]);
    for change in changes {
        let (tag, family, first, second) = match change {
            Change::Put { family, key, value } => (0, family, key, value.as_ref()),
            Change::Delete { family, key } => (1, family, key, [].as_slice()),
            Change::DeleteRange { family, from, to } => (2, family, from, to.as_ref()),
        };
        journal.push(tag);
        for part in [family.0.as_bytes(), first.as_ref(), second] {
            journal.extend_from_slice(&length(part).to_le_bytes());
            journal.extend_from_slice(part);
        }
    }
    let body = &journal[start + HEADER_BYTES..];
    let (bytes, checksum) = (length(body), crc32c::crc32c(body));
    journal[start..start + 4].copy_from_slice(&bytes.to_le_bytes());
    journal[start + 4..start + HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

/// The batches of `journal` up to the first one that is torn or damaged.
pub(super) fn replay(journal: &[u8], families: &[Family]) -> Vec<Changes<'static>> {
    let mut reader = Reader { rest: journal };
    let mut batches = Vec::new();
    while let Some(batch) = reader.batch(families) {
        batches.push(batch);
    }
    batches
}

fn length(part: &[u8]) -> u32 {
    u32::try_from(part.len()).expect("a batch in a test is far below 4 GiB")
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn batch(&mut self, families: &[Family]) -> Option<Changes<'static>> {
        let bytes = self.number()? as usize;
        let checksum = self.number()?;
        let body = self.take(bytes)?;
        if crc32c::crc32c(body) != checksum {
            return None;
        }
        let mut changes = Vec::new();
        let mut reader = Reader { rest: body };
        while !reader.rest.is_empty() {
            changes.push(reader.change(families)?);
        }
        Some(changes)
    }

    fn change(&mut self, families: &[Family]) -> Option<Change<'static>> {
        let tag = self.take(1)?[0];
        let name = self.part()?;
        let family = *families.iter().find(|known| known.0.as_bytes() == name)?;
        let first = Cow::Owned(self.part()?.to_vec());
        let second = Cow::Owned(self.part()?.to_vec());
        match tag {
            0 => Some(Change::Put {
                family,
                key: first,
                value: second,
            }),
            1 => Some(Change::Delete { family, key: first }),
            2 => Some(Change::DeleteRange {
                family,
                from: first,
                to: second,
            }),
            _ => None,
        }
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let bytes = self.number()? as usize;
        self.take(bytes)
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.take(4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: Family = Family("f");

    fn put(key: &'static [u8]) -> Change<'static> {
        Change::Put {
            family: FAMILY,
            key: key.into(),
            value: b"value".into(),
        }
    }

    #[test]
    fn every_cut_keeps_exactly_the_whole_batches_before_it() {
        let batches = [vec![put(b"a")], vec![put(b"b"), put(b"c")], vec![put(b"d")]];
        let mut journal = Vec::new();
        let mut ends = Vec::new();
        for batch in &batches {
            append(&mut journal, batch);
            ends.push(journal.len());
        }
        for cut in 0..=journal.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(
                replay(&journal[..cut], &[FAMILY]),
                batches[..whole],
                "cut {cut}"
            );
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_replay() {
        let mut journal = Vec::new();
        append(&mut journal, &vec![put(b"a")]);
        for index in 0..journal.len() {
            let mut damaged = journal.clone();
            damaged[index] ^= 1;
            assert_eq!(
                replay(&damaged, &[FAMILY]),
                Vec::<Changes<'_>>::new(),
                "byte {index}"
            );
        }
    }
}
