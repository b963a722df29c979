//! One ordered, atomic key space: RocksDB in production, a map with injectable faults in tests.
//! Concrete on purpose; what is above it never knows which of the two it runs on. Only this crate
//! can name an engine, so nothing outside can write around `ApplyBatch` and `LogStore`.

mod memory;
mod memory_disk;
mod rocks;
mod rocks_options;
mod wire;

pub(crate) use memory::MemoryEngine;
pub use memory_disk::{Crash, Fault, MemoryDisk, memory_stores};
pub(crate) use memory_disk::{IdentityDevice, MemoryHome};
pub(crate) use rocks::{RocksCursor, RocksEngine};
pub(crate) use rocks_options::{Profile, block_cache};

use crate::cursor::excludes_everything;
use crate::error::EngineError;
use crate::{Cursor, Error, Family, Order, Result};
use bytes::Bytes;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a write survives once it returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A crash of the process and a power failure. One sync.
    Synced,
    /// A crash of the process; a power failure keeps a prefix of such writes.
    Logged,
    /// Nothing before the next flush: the caller can replay it.
    Flushed,
}

/// One change of one key, or of a range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    Put {
        family: Family,
        key: Cow<'a, [u8]>,
        value: Cow<'a, [u8]>,
    },
    Delete {
        family: Family,
        key: Cow<'a, [u8]>,
    },
    /// Deletes `from..to`.
    DeleteRange {
        family: Family,
        from: Cow<'a, [u8]>,
        to: Cow<'a, [u8]>,
    },
}

/// Changes that happen together or not at all, in this order.
pub(crate) type Changes<'a> = Vec<Change<'a>>;

/// An open key space.
pub(crate) struct Engine {
    kind: Kind,
    /// Set by the first failed write. A write that failed leaves an unknown image on disk (after a
    /// failed sync the kernel forgets the dirty pages), so nothing may be built on top of it: only
    /// opening again shows what is really there.
    poisoned: AtomicBool,
    /// Dropped last: what it does is done to a closed database.
    grave: Grave,
}

/// Removes the directory of a database that was replaced, once nobody reads it any more.
#[derive(Default)]
struct Grave(OnceLock<PathBuf>);

impl Drop for Grave {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = std::fs::remove_dir_all(&path)
        {
            // The next opening removes it.
            log::warn!("remove the replaced state {}: {error}", path.display());
        }
    }
}

enum Kind {
    Rocks(RocksEngine),
    Memory(MemoryEngine),
}

impl Engine {
    pub(crate) fn rocks(engine: RocksEngine) -> Engine {
        Engine::new(Kind::Rocks(engine))
    }

    pub(crate) fn memory(engine: MemoryEngine) -> Engine {
        Engine::new(Kind::Memory(engine))
    }

    fn new(kind: Kind) -> Engine {
        Engine {
            kind,
            poisoned: AtomicBool::new(false),
            grave: Grave::default(),
        }
    }

    /// Removes `path`, the directory of this database, when the database is closed.
    pub(crate) fn bury(&self, path: PathBuf) {
        // Replaced once.
        let _ = self.grave.0.set(path);
    }

    /// Consistent image of all families as of now.
    pub(crate) fn view(&self) -> EngineView<'_> {
        match &self.kind {
            Kind::Rocks(engine) => EngineView::Rocks(engine.view()),
            Kind::Memory(engine) => EngineView::Memory(engine.view()),
        }
    }

    /// Reads the newest writes. Cheaper than a view; each read sees its own moment, so it is for
    /// the one who writes.
    pub(crate) fn latest(&self) -> EngineView<'_> {
        match &self.kind {
            Kind::Rocks(engine) => EngineView::Rocks(engine.latest()),
            Kind::Memory(engine) => EngineView::Memory(engine.view()),
        }
    }

    /// What a crash now would leave at `key`, for families written with [`Durability::Flushed`].
    pub(crate) fn get_flushed(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        match &self.kind {
            Kind::Rocks(engine) => engine.get_flushed(family, key),
            Kind::Memory(engine) => engine.get_flushed(family, key),
        }
        .map_err(Error::Get)
    }

    pub(crate) fn write(&self, changes: &Changes<'_>, durability: Durability) -> Result<()> {
        self.guarded(Error::Write, || match &self.kind {
            Kind::Rocks(engine) => engine.write(changes, durability),
            Kind::Memory(engine) => engine.write(changes, durability),
        })
    }

    /// Makes every write so far durable, over all families at once.
    pub(crate) fn flush(&self) -> Result<()> {
        self.guarded(Error::Flush, || match &self.kind {
            Kind::Rocks(engine) => engine.flush(),
            Kind::Memory(engine) => engine.flush(),
        })
    }

    /// Gives back the space of deleted `from..to` where that costs nothing. The deletion must be
    /// durable already: files vanish at once.
    pub(crate) fn release(&self, family: Family, from: &[u8], to: &[u8]) -> Result<()> {
        match &self.kind {
            Kind::Rocks(engine) => engine.release(family, from, to).map_err(Error::Write),
            Kind::Memory(_) => Ok(()),
        }
    }

    /// Rewrites what holds deleted data, in steps; stops between two of them once `go_on` says no.
    pub(crate) fn reclaim(&self, go_on: &dyn Fn() -> bool) -> Result<()> {
        match &self.kind {
            Kind::Rocks(engine) => engine.reclaim(go_on).map_err(Error::Reclaim),
            // Memory is given back at once.
            Kind::Memory(_) => Ok(()),
        }
    }

    pub(crate) fn checkpoint(&self, directory: &Path) -> Result<()> {
        match &self.kind {
            Kind::Rocks(engine) => engine.checkpoint(directory),
            Kind::Memory(engine) => engine.checkpoint(directory),
        }
        .map_err(|source| Error::Checkpoint {
            path: directory.to_path_buf(),
            source,
        })
    }

    pub(crate) fn disk_bytes(&self) -> Result<u64> {
        match &self.kind {
            Kind::Rocks(engine) => engine.disk_bytes(),
            Kind::Memory(engine) => Ok(engine.disk_bytes()),
        }
    }

    fn guarded(
        &self,
        failed: fn(EngineError) -> Error,
        operation: impl FnOnce() -> std::result::Result<(), EngineError>,
    ) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::Poisoned);
        }
        operation().map_err(|source| {
            self.poisoned.store(true, Ordering::Release);
            failed(source)
        })
    }
}

/// Read side of an engine.
pub(crate) enum EngineView<'a> {
    Rocks(rocks::RocksView<'a>),
    Memory(memory::MemoryView),
}

impl EngineView<'_> {
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        match self {
            EngineView::Rocks(view) => view.get(family, key),
            EngineView::Memory(view) => Ok(view.get(family, key)),
        }
    }

    pub(crate) fn exists(&self, family: Family, key: &[u8]) -> Result<bool> {
        match self {
            EngineView::Rocks(view) => view.exists(family, key),
            EngineView::Memory(view) => Ok(view.get(family, key).is_some()),
        }
    }

    pub(crate) fn scan(
        &self,
        family: Family,
        start: &[u8],
        end: Option<&[u8]>,
        order: Order,
    ) -> Result<Cursor<'_>> {
        if excludes_everything(start, end) {
            return Ok(Cursor::empty());
        }
        match self {
            EngineView::Rocks(view) => Ok(Cursor::rocks(view.scan(family, start, end, order)?)),
            EngineView::Memory(view) => Ok(Cursor::memory(view.scan(family, start, end, order))),
        }
    }
}
