//! A node's storage that can be closed, crashed and opened again, on either engine.

use std::fs;
use std::path::{Path, PathBuf};
use storage::{
    Applied, ApplyBatch, Crash, DataDir, Family, MemoryDisk, OpenOptions, Result, Stores,
};

/// The families of the test state machine.
pub const KEYS: Family = Family("keys");
pub const OTHER: Family = Family("other");
pub const FAMILIES: &[Family] = &[KEYS, OTHER];

const OPTIONS: OpenOptions = OpenOptions {
    state_families: FAMILIES,
    block_cache_bytes: 4 << 20,
    write_buffer_bytes: 1 << 20,
};

pub enum Node {
    Rocks {
        root: tempfile::TempDir,
        directory: PathBuf,
    },
    Memory(MemoryDisk),
}

impl Node {
    pub fn rocks() -> Node {
        let root = tempfile::tempdir().expect("the temporary directory is writable");
        let directory = root.path().join("node");
        Node::Rocks { root, directory }
    }

    pub fn memory() -> Node {
        Node::Memory(MemoryDisk::new())
    }

    pub fn open(&self) -> Result<(DataDir, Stores)> {
        match self {
            Node::Rocks { directory, .. } => DataDir::open(directory, &OPTIONS),
            Node::Memory(disk) => disk.open(FAMILIES),
        }
    }

    /// The node dies with `opened` in use; what was not made durable is gone as far as the engine
    /// can lose it (the files of RocksDB are taken as the operating system has them).
    pub fn crash(&mut self, opened: (DataDir, Stores)) {
        match self {
            Node::Rocks { root, directory } => {
                let image = root.path().join(format!("image-{}", count(root.path())));
                copy(directory, &image);
                *directory = image;
            }
            Node::Memory(disk) => disk.crash(Crash::LoseUnsynced),
        }
        drop(opened);
    }

    /// A path for a checkpoint.
    pub fn checkpoint_path(&self) -> PathBuf {
        match self {
            Node::Rocks { root, .. } => root.path().join("checkpoint"),
            Node::Memory(_) => PathBuf::from("checkpoint"),
        }
    }

    /// Makes the checkpoint the state of the closed node.
    pub fn restore(&self, checkpoint: &Path) {
        match self {
            Node::Rocks { directory, .. } => {
                let state = directory.join("state");
                fs::remove_dir_all(&state).expect("the state is there");
                fs::rename(checkpoint, state).expect("the checkpoint is there");
            }
            Node::Memory(disk) => assert!(disk.restore_checkpoint(checkpoint)),
        }
    }

    /// Changes bytes of the closed node's log behind its back.
    pub fn tamper_log(&self, family: &'static str, key: &[u8], value: Option<&[u8]>) {
        match self {
            Node::Rocks { directory, .. } => tamper(&directory.join("raft"), family, key, value),
            Node::Memory(disk) => disk.tamper(Family(family), key, value),
        }
    }

    /// Changes bytes of the closed node's state behind its back.
    pub fn tamper_state(&self, family: &'static str, key: &[u8], value: Option<&[u8]>) {
        match self {
            Node::Rocks { directory, .. } => tamper(&directory.join("state"), family, key, value),
            Node::Memory(disk) => disk.tamper(Family(family), key, value),
        }
    }
}

/// Runs a case on each engine.
pub fn on_both(case: impl Fn(&mut Node) -> Result<()>) {
    for (name, mut node) in [("memory", Node::memory()), ("rocks", Node::rocks())] {
        println!("engine: {name}");
        case(&mut node).expect("no operation of the case fails");
    }
}

/// Commits one batch as the change at the next index.
pub fn commit(stores: &mut Stores, fill: impl FnOnce(&mut ApplyBatch<'_>)) -> Result<Applied> {
    let previous = stores.state.applied();
    let applied = Applied {
        index: previous.index + 1,
        term: previous.term.max(1),
        chain_hash: previous.chain_hash.wrapping_mul(31) + 7,
    };
    let mut batch = stores.writer.begin();
    fill(&mut batch);
    batch.commit(applied)?;
    Ok(applied)
}

fn tamper(directory: &Path, family: &str, key: &[u8], value: Option<&[u8]>) {
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, directory).expect("the database is there");
    let db = rocksdb::DB::open_cf(&options, directory, families).expect("the database opens");
    let handle = db.cf_handle(family).expect("the family is there");
    match value {
        Some(value) => db.put_cf(handle, key, value),
        None => db.delete_cf(handle, key),
    }
    .expect("the database takes writes");
}

fn count(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

/// Copies a directory whose files may vanish meanwhile, as a power failure would find it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the temporary directory is writable");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(to, mode).expect("the directory is ours");
    for entry in fs::read_dir(from).expect("the directory is there") {
        let entry = entry.expect("the directory is readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if let Err(error) = fs::copy(entry.path(), target) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}
