//! The one write handle of the state. A batch collects writes, reads them back, and commits them
//! together with the position they bring the state to.

use super::overlay::{Overlay, OverlayCursor};
use super::{APPLIED_FAMILY, Applied, CONF_STATE_KEY, POSITION_KEY, StagedSnapshot, StateStore};
use crate::cursor::{MergeCursor, excludes_everything};
use crate::engine::{Durability, Engine, EngineView};
use crate::{Cursor, Family, LogStore, Order, Read, Result};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The only write handle of the state; not `Clone`. Owned by the apply thread.
pub struct StateWriter {
    store: StateStore,
    engine: Arc<Engine>,
}

impl StateWriter {
    pub(super) fn new(store: StateStore, engine: Arc<Engine>) -> StateWriter {
        StateWriter { store, engine }
    }

    /// Replaces state and log by a snapshot: from here on the state is the snapshot's, and the log is empty and
    /// starts behind it. Both happen in one synced write of the log, so that a crash leaves the old pair or the
    /// new one. Nobody may write the log meanwhile. `values` go into the log with it; the boundary must be among
    /// them. Views taken before go on showing the old state. Returns the membership of the snapshot.
    ///
    /// # Panics
    /// When the snapshot does not lie ahead of the state: a state never goes back.
    pub fn install(
        &mut self,
        staged: StagedSnapshot,
        log: &LogStore,
        values: &[(&'static str, Bytes)],
    ) -> Result<Option<Bytes>> {
        let applied = staged.applied();
        assert!(
            applied.index > self.store.applied().index,
            "a snapshot of {} does not replace a state at {}",
            applied.index,
            self.store.applied().index
        );
        let conf_state = staged.conf_state().cloned();
        // Before the write: one that failed may have reached the disk all the same, and then the next opening
        // looks for what was staged.
        let (engine, generation) = staged.adopt();
        log.reset(applied.index + 1, values, generation)?;
        let shared = &self.store.shared;
        let old = shared.generation.swap(generation, Ordering::AcqRel);
        let replaced = shared.engine.swap(Arc::clone(&engine));
        *self.store.applied_slot() = applied;
        shared.home.set_current(generation);
        shared.home.bury(old, &replaced);
        self.engine = engine;
        Ok(conf_state)
    }

    /// The read side.
    pub fn store(&self) -> &StateStore {
        &self.store
    }

    /// Starts the next change. Dropping the batch forgets it.
    pub fn begin(&mut self) -> ApplyBatch<'_> {
        let store = &self.store;
        ApplyBatch {
            // No snapshot is needed: nobody else writes while this borrow of the writer lives.
            stored: self.engine.latest(),
            store,
            engine: &self.engine,
            pending: Overlay::default(),
        }
    }
}

/// One atomic change: reads see the batch's own writes.
pub struct ApplyBatch<'a> {
    store: &'a StateStore,
    engine: &'a Engine,
    stored: EngineView<'a>,
    pending: Overlay,
}

impl ApplyBatch<'_> {
    /// Sets `key` to `value`.
    ///
    /// # Panics
    /// When `family` is the one of the applied position: only [`commit`](Self::commit) writes it.
    pub fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        assert_ne!(family, APPLIED_FAMILY, "only commit writes the position");
        self.pending.set(family, key, Some(value));
    }

    /// Removes `key`; nothing happens when it has no value.
    ///
    /// # Panics
    /// When `family` is the one of the applied position.
    pub fn delete(&mut self, family: Family, key: &[u8]) {
        assert_ne!(family, APPLIED_FAMILY, "only commit writes the position");
        self.pending.set(family, key, None);
    }

    /// Opaque membership bytes stored with the applied position.
    pub fn set_conf_state(&mut self, conf_state: &[u8]) {
        self.pending
            .set(APPLIED_FAMILY, CONF_STATE_KEY, Some(conf_state));
    }

    /// Bytes of keys and values written so far.
    pub fn bytes(&self) -> usize {
        self.pending.bytes()
    }

    /// Commits as the change that brings the state to `applied`. No sync: after a crash the state
    /// is replayed from the log, from [`StateStore::flushed_index`] on. After an error the store
    /// takes no more writes.
    ///
    /// # Panics
    /// When the index does not rise or the term falls: applying a record twice, or records of a
    /// stale log, would make this node differ from the others for ever.
    pub fn commit(mut self, applied: Applied) -> Result<()> {
        let previous = self.store.applied();
        assert!(
            applied.index > previous.index,
            "applied index goes from {} to {}",
            previous.index,
            applied.index
        );
        assert!(
            applied.term >= previous.term,
            "applied term goes from {} to {}",
            previous.term,
            applied.term
        );
        self.pending
            .set(APPLIED_FAMILY, POSITION_KEY, Some(&applied.encode()));
        let store = self.store;
        self.write()?;
        *store.applied_slot() = applied;
        Ok(())
    }

    /// Commits housekeeping that changes no meaning (physical deletion of compacted versions): the
    /// applied position stays. May be lost by a crash and must be safe to repeat.
    ///
    /// # Panics
    /// When the batch sets the membership, which belongs to a position, or writes to a state that
    /// has none yet.
    pub fn commit_housekeeping(self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        assert!(
            self.pending.table(APPLIED_FAMILY).is_none(),
            "housekeeping changes no membership"
        );
        assert_ne!(
            self.store.applied().index,
            0,
            "housekeeping before the first change"
        );
        self.write()
    }

    fn write(self) -> Result<()> {
        // The in-memory engine shares its tables with this view: writing under it would copy them.
        drop(self.stored);
        let changes = self.pending.changes();
        self.engine.write(&changes, Durability::Flushed)
    }
}

impl Read for ApplyBatch<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        match self.pending.get(family, key) {
            Some(written) => Ok(written.clone()),
            None => self.stored.get(family, key),
        }
    }

    fn exists(&self, family: Family, key: &[u8]) -> Result<bool> {
        match self.pending.get(family, key) {
            Some(written) => Ok(written.is_some()),
            None => self.stored.exists(family, key),
        }
    }

    fn scan(
        &self,
        family: Family,
        start: &[u8],
        end: Option<&[u8]>,
        order: Order,
    ) -> Result<Cursor<'_>> {
        let stored = self.stored.scan(family, start, end, order)?;
        match self.pending.table(family) {
            Some(table) if !excludes_everything(start, end) => {
                let pending = OverlayCursor::new(table, start, end, order);
                Ok(Cursor::merge(MergeCursor::new(stored, pending, order)?))
            }
            _ => Ok(stored),
        }
    }
}
