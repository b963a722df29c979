//! Sending side: the whole state as of one applied position, in chunks.

use super::chunk::{self, CHUNK_BYTES, Chunk};
use super::{Applied, OwnedView, StateStore};
use crate::{Error, Family, Order, Result};
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

/// A frozen copy of the whole state. Holds back the space of everything deleted since, until it is dropped.
pub struct Snapshot {
    view: OwnedView,
    families: Vec<Family>,
    applied: Applied,
    conf_state: Option<Bytes>,
    bytes: u64,
}

impl Snapshot {
    pub(super) fn take(store: &StateStore) -> Result<Snapshot> {
        let engine = store.engine();
        let bytes = engine.disk_bytes()?;
        let view = OwnedView::new(engine, |engine| engine.view());
        let (applied, conf_state) = super::position(view.borrow_dependent())?;
        let applied = applied.ok_or_else(|| {
            Error::BadSnapshot("a state that nothing was applied to cannot be sent".to_owned())
        })?;
        Ok(Snapshot {
            view,
            families: store.shared.families.clone(),
            applied,
            conf_state,
            bytes,
        })
    }

    /// The position it stands for.
    pub fn applied(&self) -> Applied {
        self.applied
    }

    /// The membership as of that position.
    pub fn conf_state(&self) -> Option<&Bytes> {
        self.conf_state.as_ref()
    }

    /// About how many bytes will be sent: what the state takes on disk, which compression makes smaller and
    /// deleted records larger.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The chunks, from the first on. Reading them blocks on the disk.
    pub fn chunks(&self) -> SnapshotChunks<'_> {
        SnapshotChunks {
            snapshot: self,
            number: 0,
            family: 0,
            after: None,
            records: 0,
            hash: Xxh3::new(),
            ended: false,
        }
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

/// The chunks of a snapshot in order. Memory: one chunk.
pub struct SnapshotChunks<'a> {
    snapshot: &'a Snapshot,
    number: u32,
    family: usize,
    /// The last key sent of the family.
    after: Option<Vec<u8>>,
    records: u64,
    hash: Xxh3,
    ended: bool,
}

impl SnapshotChunks<'_> {
    fn next_chunk(&mut self) -> Result<Bytes> {
        let number = self.number;
        self.number += 1;
        if number == 0 {
            let names: Vec<&str> = self
                .snapshot
                .families
                .iter()
                .map(|family| family.0)
                .collect();
            return Ok(chunk::head(number, self.snapshot.applied, &names));
        }
        let mut chunk = chunk::begin(number, &Chunk::Records(Bytes::new()));
        let empty = chunk.len();
        while chunk.len() < CHUNK_BYTES && self.family < self.snapshot.families.len() {
            self.fill(&mut chunk)?;
        }
        if chunk.len() == empty {
            self.ended = true;
            return Ok(chunk::end(number, self.records, self.hash.digest()));
        }
        self.hash.update(chunk::body(&chunk));
        Ok(chunk::finish(chunk))
    }

    /// Adds records of the present family until the chunk is full, or moves to the next family.
    fn fill(&mut self, chunk: &mut bytes::BytesMut) -> Result<()> {
        let family = self.snapshot.families[self.family];
        let place = u8::try_from(self.family).expect("a state has few families");
        // The smallest key behind the last one sent.
        let start = self.after.take().map(|mut key| {
            key.push(0);
            key
        });
        let view = self.snapshot.view.borrow_dependent();
        let start = start.unwrap_or_default();
        let mut cursor = view.scan(family, &start, None, Order::Forward)?;
        while let Some((key, value)) = cursor.entry() {
            chunk::put_record(chunk, place, key, value);
            self.records += 1;
            if chunk.len() >= CHUNK_BYTES {
                self.after = Some(key.to_vec());
                return Ok(());
            }
            cursor.advance()?;
        }
        self.family += 1;
        Ok(())
    }
}

impl Iterator for SnapshotChunks<'_> {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let chunk = self.next_chunk();
        // After a failure nothing that follows would fit.
        self.ended |= chunk.is_err();
        Some(chunk)
    }
}
