//! A store on an engine, driven as the apply thread would, and the checks of its invariants.

use crate::kv::counts::Counts;
use crate::kv::key::{Position, split_history_key};
use crate::kv::record::{Change, Record, version_bytes};
use crate::kv::*;
use crate::lease;
use protocol::etcdserverpb::*;
use std::collections::BTreeMap;
use storage::{Applied, Order, Stores};

/// Steps of housekeeping that any test may need; more means that it does not end.
const HOUSEKEEPING_STEPS_MAX: usize = 100_000;

#[derive(Clone, Debug)]
pub(in crate::kv) enum Command {
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(i64),
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::kv) enum Answer {
    Put(Result<PutResponse, Refusal>),
    Delete(Result<DeleteRangeResponse, Refusal>),
    Txn(Result<TxnResponse, Refusal>),
    Compact(Result<CompactionResponse, Refusal>),
}

pub(in crate::kv) struct Rig {
    pub(in crate::kv) stores: Stores,
    store: Store,
    pub(in crate::kv) leases: lease::Store,
    pub(in crate::kv) published: Published,
    index: u64,
}

impl Rig {
    pub(in crate::kv) fn new() -> Self {
        Self::on(storage::memory_stores(crate::machine::FAMILIES))
    }

    pub(in crate::kv) fn on(stores: Stores) -> Self {
        let store = Store::open(&stores.state.view()).expect("open the store");
        let leases = lease::Store::open(&stores.state.view()).expect("open the leases");
        let published = store.published();
        let index = stores.state.applied().index;
        Rig {
            stores,
            store,
            leases,
            published,
            index,
        }
    }

    /// Forgets what the store keeps in memory, as a restart does.
    pub(in crate::kv) fn reopen(self) -> Self {
        Self::on(self.stores)
    }

    /// Applies `commands` in one batch.
    pub(in crate::kv) fn apply(&mut self, commands: &[Command]) -> Vec<Answer> {
        let mut batch = self.stores.writer.begin();
        let leases = &mut self.leases;
        let mut answers = Vec::new();
        for command in commands {
            answers.push(match command {
                Command::Put(request) => {
                    Answer::Put(self.store.put(request, leases, &mut batch).expect("put"))
                }
                Command::Delete(request) => Answer::Delete(
                    self.store
                        .delete_range(request, leases, &mut batch)
                        .expect("delete"),
                ),
                Command::Txn(request) => {
                    Answer::Txn(self.store.txn(request, leases, &mut batch).expect("txn"))
                }
                Command::Compact(revision) => {
                    let request = CompactionRequest {
                        revision: *revision,
                        physical: false,
                    };
                    Answer::Compact(self.store.compact(&request, &mut batch))
                }
            });
        }
        self.index += 1;
        batch
            .commit(Applied {
                index: self.index,
                term: 1,
                chain_hash: 0,
            })
            .expect("commit");
        self.store.publish(&self.published);
        answers
    }

    pub(in crate::kv) fn put(&mut self, key: &[u8], value: &[u8]) -> i64 {
        match self.apply(&[Command::Put(testing::put(key, value))]).pop() {
            Some(Answer::Put(Ok(response))) => response.header.expect("a header").revision,
            other => panic!("put answered {other:?}"),
        }
    }

    pub(in crate::kv) fn delete(&mut self, key: &[u8], range_end: &[u8]) -> DeleteRangeResponse {
        match self
            .apply(&[Command::Delete(testing::delete(key, range_end))])
            .pop()
        {
            Some(Answer::Delete(Ok(response))) => response,
            other => panic!("delete answered {other:?}"),
        }
    }

    pub(in crate::kv) fn txn(&mut self, request: TxnRequest) -> Result<TxnResponse, Refusal> {
        match self.apply(&[Command::Txn(request)]).pop() {
            Some(Answer::Txn(answer)) => answer,
            other => panic!("txn answered {other:?}"),
        }
    }

    pub(in crate::kv) fn compact(&mut self, revision: i64) -> Result<CompactionResponse, Refusal> {
        match self.apply(&[Command::Compact(revision)]).pop() {
            Some(Answer::Compact(answer)) => answer,
            other => panic!("compact answered {other:?}"),
        }
    }

    /// One step of housekeeping; false when there was nothing to do.
    pub(in crate::kv) fn housekeep(&mut self) -> bool {
        self.try_housekeep().expect("housekeep")
    }

    pub(in crate::kv) fn try_housekeep(&mut self) -> storage::Result<bool> {
        let mut batch = self.stores.writer.begin();
        let worked = self.store.housekeep(&mut batch)?;
        batch.commit_housekeeping()?;
        self.store.publish(&self.published);
        Ok(worked)
    }

    pub(in crate::kv) fn housekeep_fully(&mut self) {
        let steps = (0..HOUSEKEEPING_STEPS_MAX)
            .take_while(|_| self.housekeep())
            .count();
        assert!(steps < HOUSEKEEPING_STEPS_MAX, "housekeeping does not end");
    }

    pub(in crate::kv) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        refused(range(&self.stores.state.view(), request))
    }

    pub(in crate::kv) fn txn_read(&self, request: &TxnRequest) -> Result<TxnResponse, Refusal> {
        refused(txn_read(&self.stores.state.view(), request))
    }

    /// All records of a family.
    pub(in crate::kv) fn dump(&self, family: Family) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let view = self.stores.state.view();
        let mut cursor = view.scan(family, &[], None, Order::Forward).expect("scan");
        let mut records = BTreeMap::new();
        while let Some((key, value)) = cursor.entry() {
            records.insert(key.to_vec(), value.to_vec());
            cursor.advance().expect("advance");
        }
        records
    }

    /// Every retained version by its key and revision; `None` is a tombstone. Checks what the families
    /// promise each other on the way.
    pub(in crate::kv) fn check(&self) -> BTreeMap<(Vec<u8>, i64), Option<Vec<u8>>> {
        let current = self.dump(CURRENT);
        let history = self.dump(HISTORY);
        let changes = self.dump(REVISION);
        let mut versions = BTreeMap::new();
        let mut logged = BTreeMap::new();
        for (key, bytes) in &current {
            let record = Record::decode(CURRENT, bytes).expect("a current record");
            versions.insert(
                (key.clone(), record.mod_revision),
                Some(record.value.to_vec()),
            );
            logged.insert(record.position().encode().to_vec(), (key.clone(), false));
        }
        for (history_key, bytes) in &history {
            let mut key = Vec::new();
            let revision = split_history_key(history_key, &mut key).expect("a history key");
            let record = Record::decode_version(HISTORY, bytes).expect("a history record");
            if let Some(record) = record {
                assert_eq!(
                    record.mod_revision, revision,
                    "history key and record name one revision"
                );
                logged.insert(record.position().encode().to_vec(), (key.clone(), false));
            }
            assert!(
                versions
                    .insert((key, revision), record.map(|record| record.value.to_vec()))
                    .is_none(),
                "a version is stored once"
            );
        }
        let mut tombstones = 0;
        for (row, bytes) in &changes {
            let change = Change::decode(bytes).expect("a change");
            let position = Position::decode(row).expect("a position");
            if change.is_tombstone {
                tombstones += 1;
                assert_eq!(
                    versions.get(&(change.key.to_vec(), position.main)),
                    Some(&None),
                    "a tombstone has its version"
                );
            } else {
                assert_eq!(
                    logged.get(row),
                    Some(&(change.key.to_vec(), false)),
                    "a change has its version"
                );
            }
        }
        assert_eq!(
            changes.len(),
            logged.len() + tombstones,
            "a version has its change"
        );
        let bytes: u64 = versions
            .iter()
            .map(|((key, _), value)| {
                version_bytes(key.len(), value.as_ref().map_or(0, Vec::len) as u64)
            })
            .sum();
        assert_eq!(
            self.published.logical_bytes(),
            bytes,
            "logical bytes are those of the versions"
        );
        assert_eq!(
            self.published.keys(),
            current.len() as u64,
            "keys are the living ones"
        );
        self.check_counts(&current);
        versions
    }

    fn check_counts(&self, current: &BTreeMap<Vec<u8>, Vec<u8>>) {
        let stored = Counts::load(&self.stores.state.view()).expect("load the counts");
        assert_eq!(self.store.counts, stored, "the writer knows what is stored");
        let starts: Vec<_> = stored.buckets().keys().cloned().collect();
        for (at, (start, keys)) in stored.buckets().iter().enumerate() {
            let end = starts.get(at + 1);
            let within = |key: &&Vec<u8>| *key >= start && end.is_none_or(|end| *key < end);
            let held = current.keys().filter(within).count() as u64;
            assert_eq!(*keys, held, "the bucket of {start:?} counts its keys");
        }
        assert_eq!(
            stored.total(),
            current.len() as u64,
            "every key is in a bucket"
        );
        for (start, page) in self.dump(COUNT) {
            assert!(
                page.len() <= 32 + start.len(),
                "a page stays small: {page:?}"
            );
        }
    }

    /// Keys of the fullest bucket.
    pub(in crate::kv) fn fullest_bucket(&self) -> u64 {
        self.store
            .counts
            .buckets()
            .values()
            .copied()
            .max()
            .unwrap_or(0)
    }
}

fn refused<T>(result: Result<T, ReadFailure>) -> Result<T, Refusal> {
    result.map_err(|failure| match failure {
        ReadFailure::Refused(refusal) => refusal,
        ReadFailure::Storage(error) => panic!("read the store: {error}"),
    })
}
