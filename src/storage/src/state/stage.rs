//! Receiving side: a snapshot of another node, written to a state of its own until it is whole. The state in use
//! is not touched, whatever arrives, and whatever the disk says to it.

use super::chunk::{self, Chunk};
use super::{APPLIED_FAMILY, Applied, StateStore};
use crate::engine::{Change, Changes, Durability, Engine};
use crate::{Error, Family, Result};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use xxhash_rust::xxh3::Xxh3;

/// The generation a snapshot is staged as, given up when this is dropped.
struct Claim {
    store: StateStore,
    generation: u64,
    adopted: bool,
}

impl Claim {
    fn new(store: &StateStore) -> Result<Claim> {
        if store.shared.staging.swap(true, Ordering::AcqRel) {
            return Err(Error::StagingBusy);
        }
        Ok(Claim {
            store: store.clone(),
            generation: store.shared.generation.load(Ordering::Acquire) + 1,
            adopted: false,
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.adopted {
            self.store.shared.home.remove(self.generation);
        }
        self.store.shared.staging.store(false, Ordering::Release);
    }
}

/// A snapshot that is being received. Dropping it gives its space back.
pub struct SnapshotStage {
    // Closed before the claim removes its files.
    engine: Engine,
    claim: Claim,
    head: Option<Head>,
    number: u32,
    bytes: u64,
    records: u64,
    hash: Xxh3,
    ended: bool,
}

struct Head {
    applied: Applied,
    families: Vec<Family>,
}

impl SnapshotStage {
    pub(super) fn open(store: &StateStore) -> Result<SnapshotStage> {
        let claim = Claim::new(store)?;
        let shared = &store.shared;
        let engine = shared.home.open(claim.generation, &shared.families)?;
        Ok(SnapshotStage {
            engine,
            claim,
            head: None,
            number: 0,
            bytes: 0,
            records: 0,
            hash: Xxh3::new(),
            ended: false,
        })
    }

    /// Bytes received so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next chunk. Blocks on the disk. After an error the stage is of no more use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let bad = |what: &str| Err(Error::BadSnapshot(what.to_owned()));
        if self.ended {
            return bad("it goes on behind its end");
        }
        let parsed = chunk::parse(bytes, self.number)?;
        self.number = self
            .number
            .checked_add(1)
            .ok_or_else(|| Error::BadSnapshot("it has more chunks than any snapshot".to_owned()))?;
        self.bytes += bytes.len() as u64;
        match (parsed, &self.head) {
            (Chunk::Head { applied, families }, None) => {
                self.head = Some(Head {
                    applied,
                    families: self.known(&families)?,
                });
                Ok(())
            }
            (Chunk::Records(body), Some(_)) => self.write(body),
            (Chunk::End { records, hash }, Some(_)) => {
                if (records, hash) != (self.records, self.hash.digest()) {
                    return bad("it does not add up to what its end says");
                }
                self.ended = true;
                Ok(())
            }
            _ => bad("a chunk out of turn"),
        }
    }

    /// The families of this program by the names of the sender.
    fn known(&self, names: &[String]) -> Result<Vec<Family>> {
        let families = &self.claim.store.shared.families;
        let known = names.iter().map(|name| {
            let family = families.iter().find(|family| family.0 == name);
            family.copied().ok_or_else(|| {
                Error::BadSnapshot(format!(
                    "this program has no family {name:?}; run a newer one"
                ))
            })
        });
        known.collect()
    }

    fn write(&mut self, mut body: Bytes) -> Result<()> {
        self.hash.update(&body);
        let families = match &self.head {
            Some(head) => &head.families,
            None => return Err(Error::BadSnapshot("records before the head".to_owned())),
        };
        let mut changes: Changes<'_> = Vec::new();
        while let Some((place, key, value)) = chunk::take_record(&mut body)? {
            let Some(family) = families.get(usize::from(place)) else {
                return Err(Error::BadSnapshot("a record of no family".to_owned()));
            };
            self.records += 1;
            changes.push(Change::Put {
                family: *family,
                key: Cow::Owned(key.into()),
                value: Cow::Owned(value.into()),
            });
        }
        self.engine.write(&changes, Durability::Flushed)
    }

    /// Checks that the snapshot is whole, and makes it durable. Blocks on the disk.
    pub fn finish(self) -> Result<StagedSnapshot> {
        let head = match self.head {
            Some(head) if self.ended => head,
            _ => return Err(Error::BadSnapshot("it ends early".to_owned())),
        };
        let (applied, conf_state) = super::position(&self.engine.latest())?;
        if applied != Some(head.applied) || !head.families.contains(&APPLIED_FAMILY) {
            return Err(Error::BadSnapshot(
                "it holds another applied position than its head says".to_owned(),
            ));
        }
        self.engine.flush()?;
        Ok(StagedSnapshot {
            engine: Arc::new(self.engine),
            claim: self.claim,
            applied: head.applied,
            conf_state,
            bytes: self.bytes,
        })
    }
}

/// A snapshot that is whole, verified and durable, and not in use yet. Dropping it gives its space back.
pub struct StagedSnapshot {
    engine: Arc<Engine>,
    claim: Claim,
    applied: Applied,
    conf_state: Option<Bytes>,
    bytes: u64,
}

impl StagedSnapshot {
    /// The position it stands for.
    pub fn applied(&self) -> Applied {
        self.applied
    }

    /// The membership as of that position.
    pub fn conf_state(&self) -> Option<&Bytes> {
        self.conf_state.as_ref()
    }

    /// Bytes that arrived for it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next opening decides by the log whether it counts, or this process uses it from here on.
    pub(super) fn adopt(mut self) -> (Arc<Engine>, u64) {
        self.claim.adopted = true;
        (Arc::clone(&self.engine), self.claim.generation)
    }
}

impl std::fmt::Debug for StagedSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StagedSnapshot")
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}
