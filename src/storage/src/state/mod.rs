//! The state: families that change only through an [`ApplyBatch`]. One type owns every write and
//! stores the applied position in the same atomic batch, so the position on disk can never run
//! ahead of, or behind, the change it stands for, whatever the moment of a crash.

mod batch;
mod chunk;
mod home;
mod overlay;
mod snapshot;
mod stage;

pub use batch::{ApplyBatch, StateWriter};
pub use chunk::{CHUNK_BYTES, CHUNK_BYTES_MAX, is_last_chunk};
pub(crate) use home::Home;
pub use snapshot::{Snapshot, SnapshotChunks};
pub use stage::{SnapshotStage, StagedSnapshot};

use crate::engine::{Engine, EngineView};
use crate::{Cursor, Error, Family, Order, Read, Result};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
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
    /// The state that counts; a snapshot replaces it as a whole.
    engine: ArcSwap<Engine>,
    applied: Mutex<Applied>,
    home: Home,
    families: Vec<Family>,
    /// The generation in use.
    generation: AtomicU64,
    /// Set while a snapshot is being staged: one at a time.
    staging: AtomicBool,
}

impl StateStore {
    /// Opens the state of a generation, removes what is left of others. Returns the store, its only writer
    /// and the membership stored with the position. `families` are `data_families` and the store's own.
    pub(crate) fn open(
        home: Home,
        generation: u64,
        families: &[Family],
        data_families: &[Family],
    ) -> Result<(StateStore, StateWriter, Option<Bytes>)> {
        home.remove_others(generation)?;
        let engine = Arc::new(home.open(generation, families)?);
        home.set_current(generation);
        let (position, conf_state) = position(&engine.latest())?;
        let applied = match position {
            Some(applied) => applied,
            None if generation > 0 => {
                return Err(Error::Corrupt(format!(
                    "state {generation} came with a snapshot, but its applied position is missing"
                )));
            }
            None => {
                refuse_data_without_position(&engine.latest(), data_families)?;
                Applied::default()
            }
        };
        let store = StateStore {
            shared: Arc::new(Shared {
                engine: ArcSwap::new(Arc::clone(&engine)),
                applied: Mutex::new(applied),
                home,
                families: families.to_vec(),
                generation: AtomicU64::new(generation),
                staging: AtomicBool::new(false),
            }),
        };
        let writer = StateWriter::new(store.clone(), engine);
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
    pub fn view(&self) -> View {
        View(OwnedView::new(self.engine(), |engine| engine.view()))
    }

    /// Freezes the whole state as of one applied position, to be sent to another node. Cheap; holds back the
    /// space of everything deleted since, until it is dropped.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::take(self)
    }

    /// A place for a snapshot that another node sends. One at a time.
    pub fn stage(&self) -> Result<SnapshotStage> {
        SnapshotStage::open(self)
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

    /// Gives back the disk space of what was deleted, as far as it gets while `go_on` says yes; blocks. Reads and
    /// writes go on meanwhile.
    pub fn reclaim(&self, go_on: impl Fn() -> bool) -> Result<()> {
        self.engine().reclaim(&go_on)
    }

    /// Bytes on disk, including what compaction has yet to reclaim.
    pub fn disk_bytes(&self) -> Result<u64> {
        self.engine().disk_bytes()
    }

    fn engine(&self) -> Arc<Engine> {
        self.shared.engine.load_full()
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

/// Position and membership as a state holds them.
fn position(latest: &EngineView<'_>) -> Result<(Option<Applied>, Option<Bytes>)> {
    let applied = match latest.get(APPLIED_FAMILY, POSITION_KEY)? {
        Some(bytes) => Some(Applied::decode(&bytes)?),
        None => None,
    };
    Ok((applied, latest.get(APPLIED_FAMILY, CONF_STATE_KEY)?))
}

self_cell::self_cell!(
    struct OwnedView {
        owner: Arc<Engine>,
        #[covariant]
        dependent: EngineView,
    }
);

/// Consistent snapshot of the state. Goes on showing the same state when a snapshot of another node replaces it.
pub struct View(OwnedView);

impl Read for View {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.0.borrow_dependent().get(family, key)
    }

    fn exists(&self, family: Family, key: &[u8]) -> Result<bool> {
        self.0.borrow_dependent().exists(family, key)
    }

    fn scan(
        &self,
        family: Family,
        start: &[u8],
        end: Option<&[u8]>,
        order: Order,
    ) -> Result<Cursor<'_>> {
        self.0.borrow_dependent().scan(family, start, end, order)
    }
}
