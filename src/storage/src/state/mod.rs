//! The state: families that change only through an [`ApplyBatch`]. One type owns every write and
//! stores the applied position in the same atomic batch, so the position on disk can never run
//! ahead of, or behind, the change it stands for, whatever the moment of a crash.

mod batch;
mod overlay;

pub use batch::{ApplyBatch, StateWriter};

use crate::engine::{Engine, EngineView};
use crate::{Cursor, Error, Family, Order, Read, Result};
use bytes::Bytes;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where the applied position and the membership live. Ours alone.
pub(crate) const APPLIED_FAMILY: Family = Family("applied");
const POSITION_KEY: &[u8] = b"position";
const CONF_STATE_KEY: &[u8] = b"conf_state";

/// Position of the state in the log, stored in the same batch as the change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Log index of the newest applied record; 0 before the first.
    pub index: u64,
    /// Term of that record.
    pub term: u64,
    /// Hash over everything applied so far; equal on every node at the same index.
    pub chain_hash: u64,
}

impl Applied {
    const BYTES: usize = 24;

    fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.index.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.term.to_be_bytes());
        bytes[16..].copy_from_slice(&self.chain_hash.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Applied> {
        let Ok(bytes) = <[u8; Self::BYTES]>::try_from(bytes) else {
            return Err(Error::Corrupt(format!(
                "the applied position has {} bytes instead of {}",
                bytes.len(),
                Self::BYTES
            )));
        };
        let number = |at: usize| {
            let word = bytes[at..at + 8].try_into();
            u64::from_be_bytes(word.expect("the slice has eight bytes"))
        };
        Ok(Applied {
            index: number(0),
            term: number(8),
            chain_hash: number(16),
        })
    }
}

/// Shared, cheap to clone, read side of the state.
#[derive(Clone)]
pub struct StateStore {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    applied: Mutex<Applied>,
}

impl StateStore {
    /// Takes over an opened engine. Returns the store, its only writer and the membership stored
    /// with the position.
    pub(crate) fn open(
        engine: Engine,
        families: &[Family],
    ) -> Result<(StateStore, StateWriter, Option<Bytes>)> {
        let latest = engine.latest();
        let position = latest.get(APPLIED_FAMILY, POSITION_KEY)?;
        let conf_state = latest.get(APPLIED_FAMILY, CONF_STATE_KEY)?;
        let applied = match position {
            Some(bytes) => Applied::decode(&bytes)?,
            None => {
                refuse_data_without_position(&latest, families)?;
                Applied::default()
            }
        };
        drop(latest);
        let store = StateStore {
            shared: Arc::new(Shared {
                engine,
                applied: Mutex::new(applied),
            }),
        };
        let writer = StateWriter::new(store.clone());
        Ok((store, writer, conf_state))
    }

    /// Position of the newest committed batch.
    pub fn applied(&self) -> Applied {
        *self.applied_slot()
    }

    /// Applied index that a crash now would keep. The log must be kept from there on.
    pub fn flushed_index(&self) -> Result<u64> {
        let row = self.engine().get_flushed(APPLIED_FAMILY, POSITION_KEY)?;
        Ok(match row {
            Some(bytes) => Applied::decode(&bytes)?.index,
            None => 0,
        })
    }

    /// Consistent snapshot over all families; short-lived, because it holds back the space of
    /// everything deleted since.
    pub fn view(&self) -> View<'_> {
        View {
            view: self.engine().view(),
        }
    }

    /// Makes everything committed so far durable, all families at once; blocks. A failure means the
    /// store takes no more writes.
    pub fn flush(&self) -> Result<()> {
        self.engine().flush()
    }

    /// Hard-linked copy of the whole state into the new directory `directory`, whose parent exists.
    pub fn checkpoint(&self, directory: &Path) -> Result<()> {
        self.engine().checkpoint(directory)
    }

    /// Bytes on disk, including what compaction has yet to reclaim.
    pub fn disk_bytes(&self) -> Result<u64> {
        self.engine().disk_bytes()
    }

    fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    fn applied_slot(&self) -> MutexGuard<'_, Applied> {
        // Held for one copy of a plain value: a panic cannot leave it half written.
        let slot = self.shared.applied.lock();
        slot.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Data of which nobody knows how much of the log it contains cannot be continued.
fn refuse_data_without_position(latest: &EngineView<'_>, families: &[Family]) -> Result<()> {
    for family in families {
        let cursor = latest.scan(*family, &[], None, Order::Forward)?;
        if cursor.entry().is_some() {
            return Err(Error::Corrupt(format!(
                "family {} holds data, but the applied position is missing",
                family.0
            )));
        }
    }
    Ok(())
}

/// Consistent snapshot of the state.
pub struct View<'a> {
    view: EngineView<'a>,
}

impl Read for View<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.view.get(family, key)
    }

    fn exists(&self, family: Family, key: &[u8]) -> Result<bool> {
        self.view.exists(family, key)
    }

    fn scan(
        &self,
        family: Family,
        start: &[u8],
        end: Option<&[u8]>,
        order: Order,
    ) -> Result<Cursor<'_>> {
        self.view.scan(family, start, end, order)
    }
}
