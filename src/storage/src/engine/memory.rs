//! The in-memory twin of RocksDB: ordered maps, and a [`MemoryDisk`](super::MemoryDisk) below that
//! decides what a crash keeps and which operation fails. Written to be obviously right, not fast:
//! a write made while a view is alive copies the table.

use super::memory_disk::Device;
use super::{Change, Changes, Durability};
use crate::cursor::{MapCursor, Table};
use crate::error::EngineError;
use crate::{Family, Order};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

type EngineResult<T> = std::result::Result<T, EngineError>;

/// Contents of all families at one moment; cloning shares the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    tables: BTreeMap<String, Arc<Table<Bytes>>>,
}

impl Image {
    pub(crate) fn add_families(&mut self, families: &[Family]) {
        for family in families {
            self.tables.entry(family.0.to_owned()).or_default();
        }
    }

    fn table(&self, family: &str) -> &Table<Bytes> {
        match self.tables.get(family) {
            Some(table) => table,
            None => panic!("family {family} was not named when the store was opened"),
        }
    }

    pub(crate) fn get(&self, family: &str, key: &[u8]) -> Option<Bytes> {
        self.table(family).get(key).cloned()
    }

    pub(crate) fn apply(&mut self, changes: &Changes<'_>) {
        for change in changes {
            let family = match change {
                Change::Put { family, .. }
                | Change::Delete { family, .. }
                | Change::DeleteRange { family, .. } => family.0,
            };
            let Some(table) = self.tables.get_mut(family).map(Arc::make_mut) else {
                panic!("family {family} was not named when the store was opened");
            };
            match change {
                Change::Put { key, value, .. } => {
                    table.insert(key.as_ref().into(), Bytes::copy_from_slice(value));
                }
                Change::Delete { key, .. } => {
                    table.remove(key.as_ref());
                }
                Change::DeleteRange { from, to, .. } if from < to => {
                    let bounds = Box::from(from.as_ref())..Box::from(to.as_ref());
                    table.extract_if(bounds, |_, _| true).for_each(drop);
                }
                Change::DeleteRange { .. } => {}
            }
        }
    }

    /// Bytes of all keys and values.
    pub(crate) fn bytes(&self) -> u64 {
        let entries = self.tables.values().flat_map(|table| table.iter());
        entries
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum()
    }
}

/// One open key space in memory.
pub(crate) struct MemoryEngine {
    image: RwLock<Image>,
    device: Device,
}

impl MemoryEngine {
    pub(super) fn new(image: Image, device: Device) -> MemoryEngine {
        MemoryEngine {
            image: RwLock::new(image),
            device,
        }
    }

    pub(crate) fn view(&self) -> MemoryView {
        // A panic elsewhere cannot leave a half-applied image: `apply` runs to its end or the
        // test that runs it is lost anyway.
        let image = self.image.read().unwrap_or_else(PoisonError::into_inner);
        MemoryView {
            image: image.clone(),
        }
    }

    pub(crate) fn get_flushed(&self, family: Family, key: &[u8]) -> EngineResult<Option<Bytes>> {
        Ok(self.device.durable(|image| image.get(family.0, key)))
    }

    pub(crate) fn write(&self, changes: &Changes<'_>, durability: Durability) -> EngineResult<()> {
        let mut image = self.image.write().unwrap_or_else(PoisonError::into_inner);
        self.device
            .write(changes, durability == Durability::Synced)?;
        image.apply(changes);
        Ok(())
    }

    pub(crate) fn flush(&self) -> EngineResult<()> {
        self.device.sync()
    }

    pub(crate) fn checkpoint(&self, directory: &Path) -> EngineResult<()> {
        let image = self.view().image;
        self.device.checkpoint(directory, image)
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.view().image.bytes()
    }
}

/// Consistent image of a [`MemoryEngine`].
pub(crate) struct MemoryView {
    image: Image,
}

impl MemoryView {
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Option<Bytes> {
        self.image.get(family.0, key)
    }

    pub(crate) fn scan(
        &self,
        family: Family,
        start: &[u8],
        end: Option<&[u8]>,
        order: Order,
    ) -> MapCursor<'_, Bytes> {
        MapCursor::new(self.image.table(family.0), start, end, order)
    }
}
