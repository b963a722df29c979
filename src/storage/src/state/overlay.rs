//! The writes of one apply batch, by family and in key order: what the batch reads before the store,
//! and what becomes one atomic write. A key written twice is stored once.

use crate::Family;
use crate::cursor::{MapCursor, Table};
use crate::engine::{Change, Changes};
use bytes::Bytes;
use std::borrow::Cow;

/// Pending writes. `None` is a delete.
#[derive(Default)]
pub(super) struct Overlay {
    /// A handful of families: a scan of a small vector beats a map.
    families: Vec<(Family, Table<Option<Bytes>>)>,
    bytes: usize,
}

impl Overlay {
    pub(super) fn set(&mut self, family: Family, key: &[u8], value: Option<&[u8]>) {
        self.bytes += key.len() + value.map_or(0, <[u8]>::len);
        let value = value.map(Bytes::copy_from_slice);
        let table = self.table_mut(family);
        // The row counters of a state machine are rewritten by every command: keep their key.
        match table.get_mut(key) {
            Some(slot) => *slot = value,
            None => {
                table.insert(key.into(), value);
            }
        }
    }

    /// `None`: the batch did not write the key.
    pub(super) fn get(&self, family: Family, key: &[u8]) -> Option<&Option<Bytes>> {
        self.table(family)?.get(key)
    }

    pub(super) fn table(&self, family: Family) -> Option<&Table<Option<Bytes>>> {
        let found = self.families.iter().find(|(known, _)| *known == family);
        found.map(|(_, table)| table)
    }

    /// Bytes written, rewritten keys counted each time.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    pub(super) fn changes(&self) -> Changes<'_> {
        let writes = self.families.iter().map(|(_, table)| table.len()).sum();
        let mut changes = Vec::with_capacity(writes);
        for (family, table) in &self.families {
            let family = *family;
            for (key, value) in table {
                let key = Cow::Borrowed(key.as_ref());
                changes.push(match value {
                    Some(value) => Change::Put {
                        family,
                        key,
                        value: Cow::Borrowed(value.as_ref()),
                    },
                    None => Change::Delete { family, key },
                });
            }
        }
        changes
    }

    fn table_mut(&mut self, family: Family) -> &mut Table<Option<Bytes>> {
        let at = match self.families.iter().position(|(known, _)| *known == family) {
            Some(at) => at,
            None => {
                self.families.push((family, Table::new()));
                self.families.len() - 1
            }
        };
        &mut self.families[at].1
    }
}

/// Cursor over the pending writes of one family.
pub(super) type OverlayCursor<'a> = MapCursor<'a, Option<Bytes>>;
