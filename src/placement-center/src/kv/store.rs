//! The store as its single writer holds it: applies requests to a batch, keeps the counters, sweeps.
//! Deterministic, apart from housekeeping, which changes no answer.

use super::counts::Counts;
use super::event::{Collector, Revision};
use super::fault::{Damaged, ReadFailure};
use super::meta::Meta;
use super::snapshot::Snapshot;
use super::write::Writer;
use super::{META, Published, Refusal, check_delete_range, check_put, check_txn, sweep, txn};
use crate::lease;
use bytes::Bytes;
use protocol::etcdserverpb::*;
use std::sync::Arc;
use storage::{ApplyBatch, Read, Result};

/// The writer's side of the key-value store. What it keeps in memory is what the newest batch says; it
/// must not outlive a batch that was dropped instead of committed.
#[derive(Debug)]
pub struct Store {
    meta: Meta,
    pub(super) counts: Counts,
    /// Changes for those who watch; whether they are gathered changes no answer.
    events: Collector,
}

/// Outcome of a request: the response, or why it changed nothing.
type Reply<T> = std::result::Result<T, Refusal>;

impl Store {
    /// Reads the counters and the key counts; cost grows with the number of keys divided by some hundred.
    pub fn open<R: Read>(reader: &R) -> Result<Self> {
        let store = Store {
            meta: Meta::load(reader)?,
            counts: Counts::load(reader)?,
            events: Collector::default(),
        };
        if store.counts.total() != store.meta.keys {
            return Err(Damaged {
                family: META,
                reason: "the key counts do not add up to the number of keys",
            }
            .into());
        }
        Ok(store)
    }

    /// What readers may know, to be kept up to date with [`Store::publish`].
    pub fn published(&self) -> Published {
        Published::new(&self.meta)
    }

    /// Tells readers of the committed state.
    pub fn publish(&self, published: &Published) {
        published.publish(&self.meta);
    }

    /// Whether the changes of the next request are kept for [`Store::take_changes`].
    pub fn keep_changes(&mut self, wanted: bool) {
        self.events.switch(wanted);
    }

    /// The changes kept since the last call, a revision each.
    pub fn take_changes(&mut self) -> Vec<Arc<Revision>> {
        self.events.take()
    }

    /// Applies a put.
    pub fn put(
        &mut self,
        request: &PutRequest,
        leases: &mut lease::Store,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<Reply<PutResponse>> {
        let has_lease = |id| leases.exists(id);
        let checked = check_put(request).and_then(|()| txn::check_lease(request, &has_lease));
        if let Err(refusal) = checked {
            return Ok(Err(refusal));
        }
        let previous = Snapshot::new(&*batch, &self.meta).get(&request.key, self.meta.revision)?;
        if let Err(refusal) = txn::check_key_kept(request, previous.is_some()) {
            return Ok(Err(refusal));
        }
        let mut writer = self.writer(leases, batch);
        let response = writer.put(request, previous.as_ref())?;
        writer.finish();
        Ok(Ok(response))
    }

    /// Applies a delete.
    pub fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
        leases: &mut lease::Store,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<Reply<DeleteRangeResponse>> {
        if let Err(refusal) = check_delete_range(request) {
            return Ok(Err(refusal));
        }
        let mut writer = self.writer(leases, batch);
        let response = writer.delete_range(request)?;
        writer.finish();
        Ok(Ok(response))
    }

    /// Deletes the living ones of `keys` in one revision, in the order given. Returns the revision afterwards.
    pub fn delete_keys(
        &mut self,
        keys: &[Bytes],
        leases: &mut lease::Store,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<i64> {
        let mut writer = self.writer(leases, batch);
        writer.delete_keys(keys)?;
        writer.finish();
        Ok(self.meta.revision)
    }

    /// Revision of the newest change.
    pub fn revision(&self) -> i64 {
        self.meta.revision
    }

    /// Applies a transaction.
    pub fn txn(
        &mut self,
        request: &TxnRequest,
        leases: &mut lease::Store,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<Reply<TxnResponse>> {
        // The size limit is configuration and may differ between nodes, so it binds only at the edge.
        if let Err(refusal) = check_txn(request, usize::MAX) {
            return Ok(Err(refusal));
        }
        let mut writer = self.writer(leases, batch);
        match txn::txn(&mut writer, request) {
            Ok(response) => {
                writer.finish();
                Ok(Ok(response))
            }
            Err(ReadFailure::Refused(refusal)) => Ok(Err(refusal)),
            Err(ReadFailure::Storage(error)) => Err(error),
        }
    }

    /// Applies a compaction: from now on older revisions cannot be read. Space follows in housekeeping.
    pub fn compact(
        &mut self,
        request: &CompactionRequest,
        batch: &mut ApplyBatch<'_>,
    ) -> Reply<CompactionResponse> {
        if request.revision <= self.meta.compacted {
            return Err(Refusal::Compacted);
        }
        if request.revision > self.meta.revision {
            return Err(Refusal::FutureRevision);
        }
        self.meta.compacted = request.revision;
        self.meta.save(batch);
        Ok(CompactionResponse {
            header: Some(ResponseHeader {
                revision: self.meta.revision,
                ..ResponseHeader::default()
            }),
        })
    }

    /// One bounded step of housekeeping; false when there was nothing to do.
    pub fn housekeep(&mut self, batch: &mut ApplyBatch<'_>) -> Result<bool> {
        Ok(self.counts.split_one(batch)? || sweep::step(&mut self.meta, batch)?)
    }

    fn writer<'w, 'b>(
        &'w mut self,
        leases: &'w mut lease::Store,
        batch: &'w mut ApplyBatch<'b>,
    ) -> Writer<'w, 'b> {
        Writer::new(
            &mut self.meta,
            &mut self.counts,
            &mut self.events,
            leases,
            batch,
        )
    }
}
