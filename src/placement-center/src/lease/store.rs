//! The leases as their single writer holds them: grants, attached keys, ends. Deterministic: what a command
//! does depends on the log alone.

use super::record::{self, ID_BYTES, after_id, attached_key, decode, encode, id_key, split_id};
use super::{Checkpoint, Facts, LEASE, LEASE_KEY, LeaseRef, Published, TTL_MAX};
use crate::kv::Refusal;
use bytes::Bytes;
use std::collections::BTreeMap;
use storage::{ApplyBatch, Order, Read, Result};

/// The writer's side. What it keeps in memory is what the newest batch says; it must not outlive a batch
/// that was dropped instead of committed.
#[derive(Debug)]
pub struct Store {
    leases: BTreeMap<i64, Facts>,
    changes: Vec<Change>,
}

/// What happened to a lease since readers were last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is new, or another number of keys is attached to it, or it is gone: see what is there.
    Touched(i64),
    /// It was granted, revoked by a client, or expired.
    Granted,
    Revoked,
    Expired,
    /// Its checkpoint was cleared, for the sake of a renewal.
    Cleared(i64),
}

impl Store {
    /// Reads all leases; cost grows with their number and that of the keys attached.
    ///
    /// # Errors
    /// When the state cannot be read or holds what this program did not write.
    pub fn open<R: Read>(reader: &R) -> Result<Store> {
        let mut leases = BTreeMap::new();
        let mut cursor = reader.scan(LEASE, &[], None, Order::Forward)?;
        while let Some((key, value)) = cursor.entry() {
            let (id, rest) = split_id(LEASE, key)?;
            if !rest.is_empty() {
                return Err(record::damaged(LEASE, "a key is longer than a lease id"));
            }
            leases.insert(id, decode(value)?);
            cursor.advance()?;
        }
        drop(cursor);
        let mut cursor = reader.scan(LEASE_KEY, &[], None, Order::Forward)?;
        while let Some((key, _)) = cursor.entry() {
            let (id, _) = split_id(LEASE_KEY, key)?;
            let facts: &mut Facts = leases.get_mut(&id).ok_or_else(record::without_lease)?;
            facts.keys += 1;
            cursor.advance()?;
        }
        drop(cursor);
        Ok(Store {
            leases,
            changes: Vec::new(),
        })
    }

    /// What the rest of the node may know, to be kept up to date with [`Store::publish`].
    pub fn published(&self) -> Published {
        Published::new(&self.leases)
    }

    /// Tells of the committed state.
    pub fn publish(&mut self, published: &Published) {
        if !self.changes.is_empty() {
            published.publish(&self.leases, &self.changes);
            self.changes.clear();
        }
    }

    /// Publishes whatever is held, after the state was replaced.
    pub fn publish_all(&mut self, published: &Published) {
        self.changes.clear();
        published.replace(&self.leases);
    }

    /// Whether keys can be attached to the lease.
    pub fn exists(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    /// Makes a lease, with the entry at `index`.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was changed.
    pub fn grant(
        &mut self,
        id: i64,
        ttl: i64,
        index: u64,
        batch: &mut ApplyBatch<'_>,
    ) -> std::result::Result<(), Refusal> {
        // Zero stands for "no lease" wherever a lease is named.
        if id == 0 {
            return Err(Refusal::LeaseNotFound);
        }
        if ttl > TTL_MAX {
            return Err(Refusal::LeaseTtlTooLarge);
        }
        if self.exists(id) {
            return Err(Refusal::LeaseExists);
        }
        let facts = Facts {
            // The proposer raises it; what it let through must not end up as a length without end.
            ttl: ttl.max(1),
            granted: index,
            remaining_ms: 0,
            keys: 0,
        };
        batch.put(LEASE, &id_key(id), &encode(&facts));
        self.leases.insert(id, facts);
        self.changes.extend([Change::Granted, Change::Touched(id)]);
        Ok(())
    }

    /// The keys attached to the lease, in order.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn attached(&self, id: i64, batch: &ApplyBatch<'_>) -> Result<Vec<Bytes>> {
        keys(batch, id)
    }

    /// Ends a lease from which every key was detached before.
    ///
    /// # Errors
    /// When keys are attached to it that did not live: keys and leases contradict each other.
    pub fn end(&mut self, id: i64, has_expired: bool, batch: &mut ApplyBatch<'_>) -> Result<()> {
        let Some(facts) = self.leases.remove(&id) else {
            return Ok(());
        };
        if facts.keys > 0 {
            return Err(record::damaged(
                LEASE_KEY,
                "a key that does not live is attached",
            ));
        }
        batch.delete(LEASE, &id_key(id));
        let how = if has_expired {
            Change::Expired
        } else {
            Change::Revoked
        };
        self.changes.extend([how, Change::Touched(id)]);
        Ok(())
    }

    /// The lease of that grant, if it still lives.
    pub fn find(&self, lease: LeaseRef) -> Option<i64> {
        let facts = self.leases.get(&lease.id)?;
        (facts.granted == lease.granted).then_some(lease.id)
    }

    /// Attaches a key to a lease that exists.
    ///
    /// # Panics
    /// When the lease does not exist: a put is refused then.
    pub fn attach(&mut self, id: i64, key: &[u8], batch: &mut ApplyBatch<'_>) {
        let facts = self.leases.get_mut(&id);
        facts
            .expect("a put onto a lease that is missing is refused")
            .keys += 1;
        batch.put(LEASE_KEY, &attached_key(id, key), &[]);
        self.changes.push(Change::Touched(id));
    }

    /// Detaches a key from the lease it is attached to.
    ///
    /// # Errors
    /// When it is not attached: the key and the leases contradict each other.
    pub fn detach(&mut self, id: i64, key: &[u8], batch: &mut ApplyBatch<'_>) -> Result<()> {
        let facts = self.leases.get_mut(&id);
        let facts = facts.filter(|facts| facts.keys > 0);
        facts.ok_or_else(record::without_lease)?.keys -= 1;
        batch.delete(LEASE_KEY, &attached_key(id, key));
        self.changes.push(Change::Touched(id));
        Ok(())
    }

    /// Writes down how much is left of leases.
    pub fn checkpoint(&mut self, checkpoints: &[Checkpoint], batch: &mut ApplyBatch<'_>) {
        for checkpoint in checkpoints {
            let id = checkpoint.lease.id;
            let Some(facts) = self.leases.get_mut(&id) else {
                continue;
            };
            if facts.granted != checkpoint.lease.granted {
                continue;
            }
            if facts.remaining_ms != checkpoint.remaining_ms {
                facts.remaining_ms = checkpoint.remaining_ms;
                batch.put(LEASE, &id_key(id), &encode(facts));
            }
            self.changes.push(match checkpoint.remaining_ms {
                0 => Change::Cleared(id),
                _ => Change::Touched(id),
            });
        }
    }
}

pub(super) fn keys<R: Read>(reader: &R, id: i64) -> Result<Vec<Bytes>> {
    let (start, end) = (id_key(id), after_id(id));
    let end = end.as_ref().map(|end| &end[..]);
    let mut keys = Vec::new();
    let mut cursor = reader.scan(LEASE_KEY, &start, end, Order::Forward)?;
    while let Some((key, _)) = cursor.entry() {
        keys.push(Bytes::copy_from_slice(&key[ID_BYTES..]));
        cursor.advance()?;
    }
    Ok(keys)
}
