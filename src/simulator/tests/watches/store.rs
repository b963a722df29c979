//! The product's store, driven as the apply thread drives it, and a plain account of what happened to it.

use bytes::Bytes;
use placement_center::watch::Recent;
use placement_center::{kv, lease, machine};
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::*;
use simulator::Dice;
use simulator::watches::{Change, Past, Version};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::{Applied, Stores};

/// The keys of a run: few, so that changes meet; of odd shapes, so that ranges do.
pub const KEYS: [&[u8]; 10] = [
    b"\0", b"a", b"a\0", b"a\0\xff", b"aa", b"b", b"b/1", b"b/2", b"c", b"\xff",
];
/// Writes of a batch at most.
const BATCH_MAX: u64 = 4;
/// Bytes of a value at most.
const VALUE_BYTES_MAX: u64 = 200;

pub struct Store {
    pub stores: Stores,
    pub published: Arc<kv::Published>,
    pub past: Past,
    store: kv::Store,
    leases: lease::Store,
    recent: Arc<Recent>,
    living: BTreeMap<Vec<u8>, Version>,
    index: u64,
}

impl Store {
    pub fn new(recent: Arc<Recent>) -> Store {
        let stores = storage::memory_stores(machine::FAMILIES);
        let store = kv::Store::open(&stores.state.view()).expect("an empty store");
        let leases = lease::Store::open(&stores.state.view()).expect("an empty store");
        Store {
            published: Arc::new(store.published()),
            stores,
            past: Past::default(),
            store,
            leases,
            recent,
            living: BTreeMap::new(),
            index: 0,
        }
    }

    pub fn revision(&self) -> i64 {
        self.published.revision()
    }

    /// Applies a batch of random requests.
    pub fn write(&mut self, dice: &mut Dice) {
        self.apply(dice);
        let changes = self.store.take_changes();
        self.recent.committed(self.revision(), changes);
    }

    /// The same, but nobody is told what changed.
    pub fn write_and_forget(&mut self, dice: &mut Dice) {
        self.apply(dice);
        self.store.take_changes();
        self.recent.replaced(self.revision());
    }

    fn apply(&mut self, dice: &mut Dice) {
        let requests: Vec<TxnRequest> = (0..dice.between(1, BATCH_MAX))
            .map(|_| transaction(dice))
            .collect();
        let mut revision = self.revision();
        let mut batch = self.stores.writer.begin();
        for request in &requests {
            self.store.keep_changes(self.recent.is_watched());
            let reply = self.store.txn(request, &mut self.leases, &mut batch);
            let reply = reply.expect("a good disk");
            let header = reply.expect("a good transaction").header;
            let reached = header.expect("a header").revision;
            account(request, reached, (&mut self.living, &mut self.past));
            assert!(reached <= revision + 1);
            revision = reached;
        }
        self.index += 1;
        let applied = Applied {
            index: self.index,
            term: 1,
            chain_hash: 0,
        };
        batch.commit(applied).expect("a good disk");
        self.store.publish(&self.published);
        assert_eq!(self.revision(), revision);
    }

    /// Compacts somewhere behind the last compaction.
    pub fn compact(&mut self, dice: &mut Dice) {
        // Mostly far back, as operators do, so that there is a past to watch.
        let readable = self.revision() - self.past.compacted;
        let furthest = if dice.chance(200) {
            readable
        } else {
            readable / 4
        };
        let revision = self.past.compacted + dice.between(1, furthest.max(1) as u64) as i64;
        let request = CompactionRequest {
            revision,
            physical: false,
        };
        let mut batch = self.stores.writer.begin();
        let reply = self.store.compact(&request, &mut batch);
        if reply.is_ok() {
            self.past.compacted = revision;
        }
        self.index += 1;
        let applied = Applied {
            index: self.index,
            term: 1,
            chain_hash: 0,
        };
        batch.commit(applied).expect("a good disk");
        self.store.publish(&self.published);
        self.recent.committed(self.revision(), Vec::new());
    }

    /// A step of housekeeping.
    pub fn sweep(&mut self) {
        if self.index == 0 {
            return;
        }
        let mut batch = self.stores.writer.begin();
        self.store.housekeep(&mut batch).expect("a good disk");
        batch.commit_housekeeping().expect("a good disk");
        self.store.publish(&self.published);
        self.recent.committed(self.revision(), Vec::new());
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

/// Some puts and deletes of different keys, or a delete of a range.
fn transaction(dice: &mut Dice) -> TxnRequest {
    let mut keys: Vec<&[u8]> = KEYS.to_vec();
    let mut operations = Vec::new();
    if dice.chance(80) {
        let request = DeleteRangeRequest {
            key: Bytes::copy_from_slice(dice.pick::<&[u8]>(&KEYS)),
            range_end: Bytes::from_static(b"\0"),
            prev_kv: false,
        };
        operations.push(op(Request::RequestDeleteRange(request)));
        keys.clear();
    }
    let count = if dice.chance(600) {
        1
    } else {
        dice.between(1, 4)
    };
    for _ in 0..count {
        if keys.is_empty() {
            break;
        }
        let key = keys.swap_remove(dice.below(keys.len() as u64) as usize);
        let key = Bytes::copy_from_slice(key);
        operations.push(op(match dice.chance(700) {
            true => Request::RequestPut(PutRequest {
                key,
                value: vec![b'v'; dice.below(VALUE_BYTES_MAX) as usize].into(),
                ..PutRequest::default()
            }),
            false => Request::RequestDeleteRange(DeleteRangeRequest {
                key,
                ..DeleteRangeRequest::default()
            }),
        }));
    }
    TxnRequest {
        success: operations,
        ..TxnRequest::default()
    }
}

/// Writes down what a transaction changed, in plain terms.
fn account(
    request: &TxnRequest,
    revision: i64,
    (living, past): (&mut BTreeMap<Vec<u8>, Version>, &mut Past),
) {
    for operation in &request.success {
        match operation.request.as_ref().expect("our own request") {
            Request::RequestPut(put) => {
                let key = put.key.to_vec();
                let before = living.get(&key).cloned();
                let now = Version {
                    revision,
                    create_revision: before.as_ref().map_or(revision, |old| old.create_revision),
                    version: before.as_ref().map_or(1, |old| old.version + 1),
                    value: put.value.to_vec(),
                };
                living.insert(key.clone(), now.clone());
                past.changes.push(Change {
                    revision,
                    key,
                    now: Some(now),
                    before,
                });
            }
            Request::RequestDeleteRange(delete) => {
                let start = delete.key.to_vec();
                let is_range = !delete.range_end.is_empty();
                let within = living.range(start.clone()..);
                let within = within.map(|(key, _)| key.clone());
                let doomed: Vec<Vec<u8>> =
                    within.take_while(|key| is_range || *key == start).collect();
                for key in doomed {
                    let before = living.remove(&key);
                    past.changes.push(Change {
                        revision,
                        key,
                        now: None,
                        before,
                    });
                }
            }
            other => unreachable!("not among our requests: {other:?}"),
        }
    }
}
