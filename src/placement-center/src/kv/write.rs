//! Changes keys. One [`Writer`] is one revision: every change it makes gets the same main revision and
//! the next sub-revision, and the revision counter moves only if there was a change.

use super::counts::Counts;
use super::event::{Changed, Collector};
use super::key::{Position, Span, history_key};
use super::meta::Meta;
use super::record::{Change, Record, Replaced, TOMBSTONE, version_bytes};
use super::snapshot::{Found, Snapshot};
use super::{CURRENT, HISTORY, REVISION};
use crate::lease;
use bytes::Bytes;
use protocol::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, ResponseHeader,
};
use protocol::mvccpb::KeyValue;
use std::ops::ControlFlow;
use storage::ApplyBatch;
use storage::Result;

/// Writes one revision.
pub(super) struct Writer<'w, 'b> {
    meta: &'w mut Meta,
    counts: &'w mut Counts,
    events: &'w mut Collector,
    leases: &'w mut lease::Store,
    batch: &'w mut ApplyBatch<'b>,
    /// Where the next change goes.
    next: Position,
    scratch: Scratch,
}

/// Buffers for encoding, reused from change to change.
#[derive(Default)]
struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<'w, 'b> Writer<'w, 'b> {
    pub(super) fn new(
        meta: &'w mut Meta,
        counts: &'w mut Counts,
        events: &'w mut Collector,
        leases: &'w mut lease::Store,
        batch: &'w mut ApplyBatch<'b>,
    ) -> Self {
        let next = Position {
            main: meta.revision + 1,
            sub: 0,
        };
        Writer {
            meta,
            counts,
            events,
            leases,
            batch,
            next,
            scratch: Scratch::default(),
        }
    }

    /// What a read between the changes sees: the changes made so far.
    pub(super) fn snapshot(&self) -> Snapshot<'_, ApplyBatch<'b>> {
        let mut seen = *self.meta;
        seen.revision = self.revision();
        Snapshot::new(self.batch, &seen)
    }

    /// Whether a key can be attached to a lease.
    pub(super) fn has_lease(&self, id: i64) -> bool {
        self.leases.exists(id)
    }

    fn revision(&self) -> i64 {
        if self.next.sub == 0 {
            self.meta.revision
        } else {
            self.next.main
        }
    }

    pub(super) fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            revision: self.revision(),
            ..ResponseHeader::default()
        })
    }

    /// Ends the revision: counts it if anything changed.
    pub(super) fn finish(self) {
        if self.next.sub > 0 {
            self.meta.revision = self.next.main;
            self.meta.save(self.batch);
            self.events.close(self.next.main);
        }
    }

    /// Writes one key. `previous` is its present version, which the caller looked up.
    pub(super) fn put(
        &mut self,
        request: &PutRequest,
        previous: Option<&Found>,
    ) -> Result<PutResponse> {
        let old = previous.map(Found::record).transpose()?;
        let record = Record {
            create_revision: old.map_or(self.next.main, |old| old.create_revision),
            mod_revision: self.next.main,
            sub: self.next.sub,
            version: old.map_or(1, |old| old.version + 1),
            lease: old
                .filter(|_| request.ignore_lease)
                .map_or(request.lease, |old| old.lease),
            value: old
                .filter(|_| request.ignore_value)
                .map_or(&request.value, |old| old.value),
        };
        self.attach(&request.key, old.map_or(0, |old| old.lease), record.lease)?;
        let replaced = match (previous, old) {
            (Some(found), Some(old)) => Some(self.retire(&request.key, found.encoded(), &old)),
            _ => None,
        };
        record.encode(&mut self.scratch.value);
        self.batch.put(CURRENT, &request.key, &self.scratch.value);
        if self.events.is_on() {
            self.events.add(Changed {
                key: &request.key,
                revision: self.next.main,
                version: Some(&self.scratch.value),
                previous: previous.map(Found::shared),
            });
        }
        self.meta.logical_bytes += version_bytes(request.key.len(), record.value.len() as u64);
        self.log(Change {
            key: &request.key,
            is_tombstone: false,
            replaced,
        });
        if old.is_none() {
            self.meta.keys += 1;
            self.counts.created(self.batch, &request.key)?;
        }
        let prev_kv = previous
            .filter(|_| request.prev_kv)
            .map(|found| key_value(request.key.clone(), found))
            .transpose()?;
        Ok(PutResponse {
            header: self.header(),
            prev_kv,
        })
    }

    /// Deletes the living keys that `request` names.
    pub(super) fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse> {
        let doomed = self.doomed(Span::new(&request.key, &request.range_end))?;
        self.remove(&doomed)?;
        let deleted = i64::try_from(doomed.len()).unwrap_or(i64::MAX);
        let wanted = doomed.into_iter().filter(|_| request.prev_kv);
        let prev_kvs = wanted
            .map(|(key, found)| key_value(key, &found))
            .collect::<Result<_>>()?;
        Ok(DeleteRangeResponse {
            header: self.header(),
            deleted,
            prev_kvs,
        })
    }

    /// Deletes keys by name, in the order given; those that do not live are passed over.
    pub(super) fn delete_keys(&mut self, keys: &[Bytes]) -> Result<()> {
        let mut doomed = Vec::with_capacity(keys.len());
        for key in keys {
            doomed.extend(self.doomed(Span::Key(key))?);
        }
        self.remove(&doomed)
    }

    /// Deletes living keys.
    fn remove(&mut self, doomed: &[(Bytes, Found)]) -> Result<()> {
        for (key, found) in doomed {
            let old = found.record()?;
            self.attach(key, old.lease, 0)?;
            let replaced = self.retire(key, found.encoded(), &old);
            self.batch.delete(CURRENT, key);
            history_key(key, self.next.main, &mut self.scratch.key);
            self.batch.put(HISTORY, &self.scratch.key, &TOMBSTONE);
            self.meta.logical_bytes += version_bytes(key.len(), 0);
            self.meta.keys -= 1;
            if self.events.is_on() {
                self.events.add(Changed {
                    key,
                    revision: self.next.main,
                    version: None,
                    previous: Some(found.shared()),
                });
            }
            self.log(Change {
                key,
                is_tombstone: true,
                replaced: Some(replaced),
            });
        }
        self.counts
            .deleted(self.batch, doomed.iter().map(|(key, _)| &key[..]))
    }

    /// Takes a key from the lease `old` to the lease `new`; 0 is none.
    fn attach(&mut self, key: &[u8], old: i64, new: i64) -> Result<()> {
        if old == new {
            return Ok(());
        }
        if old != 0 {
            self.leases.detach(old, key, self.batch)?;
        }
        if new != 0 {
            self.leases.attach(new, key, self.batch);
        }
        Ok(())
    }

    /// The living keys of `span`, in order.
    fn doomed(&self, span: Span<'_>) -> Result<Vec<(Bytes, Found)>> {
        let snapshot = self.snapshot();
        if let Span::Key(key) = span {
            let found = snapshot.get(key, snapshot.revision)?;
            return Ok(found
                .map(|found| (Bytes::copy_from_slice(key), found))
                .into_iter()
                .collect());
        }
        let mut doomed = Vec::new();
        snapshot.walk(
            span,
            snapshot.revision,
            &mut |key: &[u8], record: &Record<'_>| {
                doomed.push((Bytes::copy_from_slice(key), Found::of(record)));
                ControlFlow::Continue(())
            },
        )?;
        Ok(doomed)
    }

    /// Moves the present version of a key, as it is stored, to the history.
    fn retire(&mut self, key: &[u8], encoded: &[u8], old: &Record<'_>) -> Replaced {
        history_key(key, old.mod_revision, &mut self.scratch.key);
        self.batch.put(HISTORY, &self.scratch.key, encoded);
        Replaced {
            position: old.position(),
            value_bytes: old.value.len() as u64,
        }
    }

    /// Writes the row of one change and moves on to the next position.
    fn log(&mut self, change: Change<'_>) {
        change.encode(&mut self.scratch.value);
        self.batch
            .put(REVISION, &self.next.encode(), &self.scratch.value);
        self.next.sub += 1;
    }
}

fn key_value(key: Bytes, found: &Found) -> Result<KeyValue> {
    Ok(found.record()?.to_key_value(key, found.value()?))
}
