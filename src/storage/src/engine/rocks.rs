//! RocksDB as an engine: one database, its families, and the translation of our batches and errors.
//! Settings live in `rocks_options`.

use super::rocks_options::{
    LOG_WRITE_BUFFER_BYTES, Profile, RECYCLED_LOG_FILES, database_options, family_options,
};
use super::{Change, Changes, Durability};
use crate::error::EngineError;
use crate::{Error, Family, Order, Result};
use bytes::Bytes;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB, DBRawIterator, FlushOptions,
    ReadOptions, ReadTier, Snapshot, WriteBatch, WriteOptions,
};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

type EngineResult<T> = std::result::Result<T, EngineError>;

/// What fills log files before their first use.
const FILLER_KEY: &[u8] = b"filler";
/// Written page by page: the kernel would keep larger writes in larger units, and count a whole unit
/// as written whenever a later sync changes a few bytes of it.
const FILLER_BYTES: usize = 4 << 10;

/// One open RocksDB database.
pub(crate) struct RocksEngine {
    db: DB,
    families: Vec<Family>,
    path: PathBuf,
}

impl RocksEngine {
    /// Opens the database in the existing directory `path`, creating it and missing families.
    pub(crate) fn open(
        path: &Path,
        profile: &Profile,
        families: &[Family],
        cache: &Cache,
    ) -> Result<RocksEngine> {
        let descriptors = families.iter().map(|family| {
            ColumnFamilyDescriptor::new(family.0, family_options(profile, *family, cache))
        });
        let options = database_options(profile);
        let db =
            DB::open_cf_descriptors(&options, path, descriptors).map_err(|error| Error::Open {
                path: path.to_path_buf(),
                source: error.into(),
            })?;
        let engine = RocksEngine {
            db,
            families: families.to_vec(),
            path: path.to_path_buf(),
        };
        if let Profile::Log = profile {
            engine.lay_out_log_files().map_err(|source| Error::Open {
                path: path.to_path_buf(),
                source,
            })?;
        }
        Ok(engine)
    }

    /// Fills the write-ahead log files that will be overwritten, so that every sync from the first
    /// on writes data alone. A sync of a growing file also commits its new size and blocks to the
    /// file system's journal, and waits there for whatever else is being written: with 64 clients
    /// that halved the throughput. RocksDB recycles a file once its writes are flushed, and the
    /// second switch takes the first file up again. What is written is deleted again, in the family
    /// that every RocksDB database has and we do not use.
    fn lay_out_log_files(&self) -> EngineResult<()> {
        let filler = vec![0; FILLER_BYTES];
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        for _ in 0..RECYCLED_LOG_FILES {
            for _ in 0..LOG_WRITE_BUFFER_BYTES / FILLER_BYTES {
                self.db.put(FILLER_KEY, &filler)?;
            }
            // The sync makes the file system allocate the blocks now.
            self.db.delete_opt(FILLER_KEY, &synced)?;
            self.db.flush()?;
        }
        Ok(())
    }

    /// A look-up among a handful of names in one tree node: a few nanoseconds, and no pointer into
    /// the database to keep alive.
    fn family(&self, family: Family) -> &ColumnFamily {
        match self.db.cf_handle(family.0) {
            Some(handle) => handle,
            None => panic!(
                "family {} was not named when the store was opened",
                family.0
            ),
        }
    }

    pub(crate) fn view(&self) -> RocksView<'_> {
        RocksView {
            engine: self,
            snapshot: Some(self.db.snapshot()),
        }
    }

    pub(crate) fn latest(&self) -> RocksView<'_> {
        RocksView {
            engine: self,
            snapshot: None,
        }
    }

    pub(crate) fn get_flushed(&self, family: Family, key: &[u8]) -> EngineResult<Option<Bytes>> {
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::Persisted);
        let value = self
            .db
            .get_pinned_cf_opt(self.family(family), key, &options)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    pub(crate) fn write(&self, changes: &Changes<'_>, durability: Durability) -> EngineResult<()> {
        let mut batch = WriteBatch::default();
        // Changes come grouped by family: one look-up a group.
        let mut current: Option<(Family, &ColumnFamily)> = None;
        let mut handle_of = |family: Family| match current {
            Some((known, handle)) if known == family => handle,
            _ => {
                let handle = self.family(family);
                current = Some((family, handle));
                handle
            }
        };
        for change in changes {
            match change {
                Change::Put { family, key, value } => {
                    batch.put_cf(&handle_of(*family), key, value);
                }
                Change::Delete { family, key } => batch.delete_cf(&handle_of(*family), key),
                Change::DeleteRange { family, from, to } => {
                    batch.delete_range_cf(&handle_of(*family), from, to);
                }
            }
        }
        let mut options = WriteOptions::default();
        match durability {
            Durability::Synced => options.set_sync(true),
            Durability::Logged => {}
            Durability::Flushed => options.disable_wal(true),
        }
        Ok(self.db.write_opt(batch, &options)?)
    }

    pub(crate) fn flush(&self) -> EngineResult<()> {
        let handles: Vec<&ColumnFamily> = self.families.iter().map(|f| self.family(*f)).collect();
        let handles: Vec<&&ColumnFamily> = handles.iter().collect();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        Ok(self.db.flush_cfs_opt(&handles, &options)?)
    }

    pub(crate) fn release(&self, family: Family, from: &[u8], to: &[u8]) -> EngineResult<()> {
        Ok(self
            .db
            .delete_file_in_range_cf(self.family(family), from, to)?)
    }

    /// Compacts the range of one table file after the other: each step is short, and what was won stays won.
    pub(crate) fn reclaim(&self, go_on: &dyn Fn() -> bool) -> EngineResult<()> {
        let mut options = CompactOptions::default();
        // The engine's own compactions go on beside this: they keep writes from having to wait.
        options.set_exclusive_manual_compaction(false);
        let mut files = self.db.live_files()?;
        files.sort_by(|one, other| one.start_key.cmp(&other.start_key));
        for file in files {
            let family = self
                .families
                .iter()
                .find(|known| known.0 == file.column_family_name);
            let Some(family) = family else { continue };
            if !go_on() {
                return Ok(());
            }
            let (from, to) = (file.start_key, file.end_key);
            self.db
                .compact_range_cf_opt(self.family(*family), from, to, &options);
        }
        Ok(())
    }

    pub(crate) fn checkpoint(&self, directory: &Path) -> EngineResult<()> {
        Ok(Checkpoint::new(&self.db)?.create_checkpoint(directory)?)
    }

    pub(crate) fn disk_bytes(&self) -> Result<u64> {
        let failed = |source| Error::File {
            operation: "measure",
            path: self.path.clone(),
            source,
        };
        let mut bytes = 0;
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            // A file may vanish between listing and asking: compaction runs meanwhile.
            match entry.and_then(|entry| entry.metadata()) {
                Ok(metadata) => bytes += metadata.blocks() * 512,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(bytes)
    }
}

/// Reads of one database: as of a moment, or the newest.
pub(crate) struct RocksView<'a> {
    engine: &'a RocksEngine,
    snapshot: Option<Snapshot<'a>>,
}

impl RocksView<'_> {
    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if let Some(snapshot) = &self.snapshot {
            options.set_snapshot(snapshot);
        }
        options
    }

    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        let handle = self.engine.family(family);
        let value = self
            .engine
            .db
            .get_pinned_cf_opt(handle, key, &self.options())
            .map_err(|error| Error::Get(error.into()))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    pub(crate) fn exists(&self, family: Family, key: &[u8]) -> Result<bool> {
        let handle = self.engine.family(family);
        let value = self
            .engine
            .db
            .get_pinned_cf_opt(handle, key, &self.options())
            .map_err(|error| Error::Get(error.into()))?;
        Ok(value.is_some())
    }

    pub(crate) fn scan(
        &self,
        family: Family,
        start: &[u8],
        end: Option<&[u8]>,
        order: Order,
    ) -> Result<RocksCursor<'_>> {
        let mut options = self.options();
        // RocksDB clamps a seek to these bounds and stops at them.
        options.set_iterate_lower_bound(start);
        if let Some(end) = end {
            options.set_iterate_upper_bound(end);
        }
        let handle = self.engine.family(family);
        let mut cursor = RocksCursor {
            iterator: self.engine.db.raw_iterator_cf_opt(handle, options),
            order,
        };
        match order {
            Order::Forward => cursor.iterator.seek_to_first(),
            Order::Reverse => cursor.iterator.seek_to_last(),
        }
        cursor.checked()?;
        Ok(cursor)
    }
}

/// Position in a scan of one family.
pub(crate) struct RocksCursor<'a> {
    iterator: DBRawIterator<'a>,
    order: Order,
}

impl RocksCursor<'_> {
    pub(crate) fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.iterator.item()
    }

    pub(crate) fn advance(&mut self) -> Result<()> {
        if !self.iterator.valid() {
            return Ok(());
        }
        match self.order {
            Order::Forward => self.iterator.next(),
            Order::Reverse => self.iterator.prev(),
        }
        self.checked()
    }

    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        match self.order {
            Order::Forward => self.iterator.seek(key),
            Order::Reverse => self.iterator.seek_for_prev(key),
        }
        self.checked()
    }

    /// An iterator that met a bad block is merely invalid: without this check a scan of damaged
    /// data would look like a short one.
    fn checked(&self) -> Result<()> {
        if self.iterator.valid() {
            return Ok(());
        }
        self.iterator
            .status()
            .map_err(|error| Error::Get(error.into()))
    }
}
