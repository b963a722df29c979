//! The data directory: who may use it, in which format it is, whose it is, and the two databases in
//! it. Layout:
//!
//! ```text
//! LOCK       held exclusively while a process uses the directory
//! FORMAT     version of this layout
//! identity   cluster, node, and the lowest point the log may end at (see `identity`)
//! raft/      the log
//! state/     the state; `state-N/` once a snapshot has replaced it, N as a value in the log says
//! ```

pub(crate) mod files;
mod format;
mod identity;

pub use identity::{Identity, Watermark};

use crate::engine::{Engine, IdentityDevice, MemoryHome, Profile, RocksEngine, block_cache};
use crate::log_store::LOG_FAMILIES;
use crate::state::{APPLIED_FAMILY, Home};
use crate::{Error, Family, LogStore, Result, StateStore, StateWriter};
use bytes::Bytes;
use identity::IdentityFile;
use std::fs::File;
use std::path::Path;

/// How to open the stores.
pub struct OpenOptions {
    /// Families of the state machine; the store adds its own.
    pub state_families: &'static [Family],
    /// Memory for blocks of tables, index and filters included, log and state together.
    pub block_cache_bytes: usize,
    /// Memory a family of the state may fill before it is flushed.
    pub write_buffer_bytes: usize,
}

/// An opened data directory: FORMAT checked, locked, identity read. Keeps the directory locked.
pub struct DataDir {
    identity: IdentityFile,
    _lock: Option<File>,
}

/// The opened stores of one node.
pub struct Stores {
    /// The log.
    pub log: LogStore,
    /// The read side of the state.
    pub state: StateStore,
    /// The write side of the state.
    pub writer: StateWriter,
    /// Membership stored with the applied position, if any was.
    pub conf_state: Option<Bytes>,
}

impl DataDir {
    /// Locks and opens, creating what is absent. When the path cannot be used, nothing is created.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<(DataDir, Stores)> {
        let lock = files::prepare(path)?;
        let identity = IdentityFile::open(path)?;
        let cache = block_cache(options.block_cache_bytes);
        let rocks = |name: &str, profile: Profile, families: &[Family]| {
            let directory = path.join(name);
            files::create_private_dir(&directory)?;
            RocksEngine::open(&directory, &profile, families, &cache).map(Engine::rocks)
        };
        let home = Home::disk(
            path,
            Profile::State {
                write_buffer_bytes: options.write_buffer_bytes,
            },
            cache.clone(),
        );
        let log = rocks("raft", Profile::Log, LOG_FAMILIES)?;
        let stores = Stores::open(log, home, options.state_families)?;
        let directory = DataDir {
            identity,
            _lock: Some(lock),
        };
        Ok((directory, stores))
    }

    /// Whether somebody owns the directory at this path. Neither opens nor locks it, and creates nothing.
    pub fn is_founded(path: &Path) -> bool {
        path.join(identity::NAME).exists()
    }

    pub(crate) fn open_memory(
        identity: IdentityDevice,
        log: impl FnOnce(&[Family]) -> Engine,
        home: MemoryHome,
        state_families: &[Family],
    ) -> Result<(DataDir, Stores)> {
        let identity = IdentityFile::open_memory(identity)?;
        let stores = Stores::open(log(LOG_FAMILIES), Home::memory(home), state_families)?;
        let directory = DataDir {
            identity,
            _lock: None,
        };
        Ok((directory, stores))
    }

    /// Who the directory belongs to; `None` before the first save.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.current()
    }

    /// Writes the identity durably. A crash meanwhile leaves the old one or the new one.
    pub fn save_identity(&mut self, identity: &Identity) -> Result<()> {
        self.identity.save(identity)
    }
}

impl Stores {
    fn open(log: Engine, home: Home, state_families: &[Family]) -> Result<Stores> {
        let log = LogStore::open(log)?;
        assert!(
            !state_families.contains(&APPLIED_FAMILY),
            "the family {} is the store's own",
            APPLIED_FAMILY.0
        );
        let families = [state_families, &[APPLIED_FAMILY]].concat();
        let generation = log.state_generation()?;
        let (state, writer, conf_state) =
            StateStore::open(home, generation, &families, state_families)?;
        Ok(Stores {
            log,
            state,
            writer,
            conf_state,
        })
    }
}

/// Turns an [`std::io::Error`] into ours, naming the operation and the path.
pub(crate) fn file_error(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::File {
        operation,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
