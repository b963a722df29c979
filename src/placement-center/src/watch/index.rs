//! Who watches a key: single keys by hash, ranges in a balanced tree.

mod tree;

use super::core::WatcherId;
use super::spec::Keys;
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use tree::Tree;

/// Watchers by what they watch.
#[derive(Debug, Default)]
pub(super) struct Index {
    keys: HashMap<Bytes, BTreeSet<WatcherId>>,
    ranges: Tree,
}

impl Index {
    pub(super) fn insert(&mut self, keys: &Keys, id: WatcherId) {
        match keys {
            Keys::One(key) => {
                self.keys.entry(key.clone()).or_default().insert(id);
            }
            Keys::Range { start, end } => self.ranges.insert(start, end.as_ref(), id),
        }
    }

    pub(super) fn remove(&mut self, keys: &Keys, id: WatcherId) {
        match keys {
            Keys::One(key) => {
                if let Some(ids) = self.keys.get_mut(key) {
                    ids.remove(&id);
                    if ids.is_empty() {
                        self.keys.remove(key);
                    }
                }
            }
            Keys::Range { start, end } => self.ranges.remove(start, end.as_ref(), id),
        }
    }

    /// Calls `found` with everybody who watches `key`, once each.
    pub(super) fn find(&self, key: &[u8], mut found: impl FnMut(WatcherId)) {
        if let Some(ids) = self.keys.get(key) {
            ids.iter().copied().for_each(&mut found);
        }
        self.ranges.find(key, &mut found);
    }
}

#[cfg(test)]
mod tests;
