//! Where states live, by generation: 0 is the one a node starts with, each snapshot that replaces it gets the
//! next number. The log says which one counts; all others are leftovers.

use crate::data_dir::file_error;
use crate::data_dir::files::create_private_dir;
use crate::engine::{Engine, MemoryHome, Profile, RocksEngine};
use crate::{Family, Result};
use rocksdb::Cache;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const NAME: &str = "state";

/// The place of all generations.
pub(crate) enum Home {
    Disk {
        path: PathBuf,
        profile: Profile,
        cache: Cache,
    },
    Memory(MemoryHome),
}

impl Home {
    pub(crate) fn disk(path: &Path, profile: Profile, cache: Cache) -> Home {
        Home::Disk {
            path: path.to_path_buf(),
            profile,
            cache,
        }
    }

    pub(crate) fn memory(home: MemoryHome) -> Home {
        Home::Memory(home)
    }

    /// Opens a generation, creating it.
    pub(super) fn open(&self, generation: u64, families: &[Family]) -> Result<Engine> {
        match self {
            Home::Disk {
                path,
                profile,
                cache,
            } => {
                let directory = path.join(name(generation));
                create_private_dir(&directory)?;
                RocksEngine::open(&directory, profile, families, cache).map(Engine::rocks)
            }
            Home::Memory(home) => Ok(home.open(generation, families)),
        }
    }

    /// Removes every generation but this one: staged and never installed, or replaced.
    pub(super) fn remove_others(&self, generation: u64) -> Result<()> {
        match self {
            Home::Disk { path, .. } => {
                for entry in std::fs::read_dir(path).map_err(file_error("list", path))? {
                    let entry = entry.map_err(file_error("list", path))?;
                    let found = entry.file_name().to_str().and_then(generation_of);
                    if found.is_some_and(|found| found != generation) {
                        let directory = entry.path();
                        std::fs::remove_dir_all(&directory)
                            .map_err(file_error("remove the leftover", &directory))?;
                    }
                }
            }
            Home::Memory(home) => {
                for found in home.generations() {
                    if found != generation {
                        home.remove(found);
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives up a generation that no opened engine uses.
    pub(super) fn remove(&self, generation: u64) {
        match self {
            Home::Disk { path, .. } => {
                let directory = path.join(name(generation));
                if let Err(error) = std::fs::remove_dir_all(&directory) {
                    // The next opening removes it.
                    log::warn!(
                        "remove the unfinished state {}: {error}",
                        directory.display()
                    );
                }
            }
            Home::Memory(home) => home.remove(generation),
        }
    }

    /// Gives up a generation once the last who reads it is done.
    pub(super) fn bury(&self, generation: u64, engine: &Arc<Engine>) {
        match self {
            Home::Disk { path, .. } => engine.bury(path.join(name(generation))),
            Home::Memory(home) => home.remove(generation),
        }
    }

    pub(super) fn set_current(&self, generation: u64) {
        if let Home::Memory(home) = self {
            home.set_current(generation);
        }
    }
}

fn name(generation: u64) -> String {
    match generation {
        0 => NAME.to_owned(),
        generation => format!("{NAME}-{generation}"),
    }
}

fn generation_of(file_name: &str) -> Option<u64> {
    match file_name.strip_prefix(NAME)? {
        "" => Some(0),
        rest => rest.strip_prefix('-')?.parse().ok(),
    }
}
