//! What clients ask: few keys, so that they meet; unique values, so that every write can be told from
//! every other.

use crate::dice::Dice;
use crate::model::Change;
use bytes::Bytes;
use placement_center::machine;
use protocol::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use protocol::etcdserverpb::request_op::Request as Operation;
use protocol::etcdserverpb::*;
use std::collections::BTreeMap;

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Linearizable,
    Serializable,
    /// Not older than what this client has seen.
    Session,
}

/// One request of a client.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Write(Change),
    Read(RangeRequest, Freshness),
}

impl Change {
    /// The command for the log.
    pub(crate) fn command(&self) -> Bytes {
        match self {
            Change::Put(request) => machine::encode_put(request.clone()),
            Change::Delete(request) => machine::encode_delete_range(request.clone()),
            Change::Txn(request) => machine::encode_txn(request.clone()),
            Change::Compact(request) => machine::encode_compact(*request),
        }
    }
}

/// A client: one request at a time.
#[derive(Debug)]
pub(crate) struct Client {
    dice: Dice,
    keys: u64,
    /// Highest revision it has been told of.
    pub(crate) seen: i64,
    /// Modification revisions of keys as it last read them.
    known: BTreeMap<Bytes, i64>,
}

fn key(number: u64) -> Bytes {
    format!("key/{number:02}").into()
}

impl Client {
    pub(crate) fn new(keys: u64, dice: Dice) -> Self {
        Client {
            dice,
            keys,
            seen: 0,
            known: BTreeMap::new(),
        }
    }

    pub(crate) fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// The next request; `unique` is part of every value it writes.
    pub(crate) fn request(&mut self, unique: u64) -> Request {
        match self.dice.below(100) {
            0..=34 => Request::Write(self.put(unique)),
            35..=41 => Request::Write(self.delete()),
            42..=53 => Request::Write(self.txn(unique)),
            54 => Request::Write(Change::Compact(CompactionRequest {
                revision: self.seen - i64::try_from(self.dice.below(20)).unwrap_or(0),
                physical: false,
            })),
            55..=79 => Request::Read(self.range(), Freshness::Linearizable),
            80..=89 => Request::Read(self.range(), Freshness::Session),
            _ => Request::Read(self.range(), Freshness::Serializable),
        }
    }

    /// A write and a read that must succeed once everything is healed.
    pub(crate) fn probe(&mut self, unique: u64) -> Request {
        if unique.is_multiple_of(2) {
            Request::Write(self.put(unique))
        } else {
            Request::Read(self.whole(), Freshness::Linearizable)
        }
    }

    fn key(&mut self) -> Bytes {
        key(self.dice.below(self.keys))
    }

    /// One key, or a range of keys.
    fn span(&mut self) -> (Bytes, Bytes) {
        let start = self.key();
        let end = if self.dice.chance(300) {
            key(self.dice.below(self.keys + 1))
        } else {
            Bytes::new()
        };
        (start, end)
    }

    fn put(&mut self, unique: u64) -> Change {
        Change::Put(PutRequest {
            key: self.key(),
            value: format!("value {unique}").into(),
            prev_kv: self.dice.chance(300),
            ..PutRequest::default()
        })
    }

    fn delete(&mut self) -> Change {
        let (key, range_end) = self.span();
        Change::Delete(DeleteRangeRequest {
            key,
            range_end,
            prev_kv: self.dice.chance(300),
        })
    }

    /// Writes a key if it is what this client last saw, and reads it otherwise.
    fn txn(&mut self, unique: u64) -> Change {
        let key = self.key();
        let known = self.known.get(&key).copied().unwrap_or(0);
        let compare = Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Mod as i32,
            key: key.clone(),
            target_union: Some(TargetUnion::ModRevision(known)),
            range_end: Bytes::new(),
        };
        let operation = |operation| RequestOp {
            request: Some(operation),
        };
        let put = operation(Operation::RequestPut(PutRequest {
            key: key.clone(),
            value: format!("value {unique}").into(),
            ..PutRequest::default()
        }));
        let read = operation(Operation::RequestRange(RangeRequest {
            key: key.clone(),
            ..RangeRequest::default()
        }));
        let delete = operation(Operation::RequestDeleteRange(DeleteRangeRequest {
            key,
            ..DeleteRangeRequest::default()
        }));
        let success = if self.dice.chance(200) {
            vec![delete]
        } else {
            vec![put, read.clone()]
        };
        Change::Txn(TxnRequest {
            compare: vec![compare],
            success,
            failure: vec![read],
        })
    }

    fn range(&mut self) -> RangeRequest {
        let (key, range_end) = self.span();
        let behind = i64::try_from(self.dice.below(30)).unwrap_or(0);
        let revision = if self.dice.chance(150) {
            (self.seen - behind).max(0)
        } else {
            0
        };
        RangeRequest {
            key,
            range_end,
            revision,
            limit: if self.dice.chance(200) { 2 } else { 0 },
            ..RangeRequest::default()
        }
    }

    fn whole(&self) -> RangeRequest {
        RangeRequest {
            key: key(0),
            range_end: Bytes::from_static(b"\0"),
            ..RangeRequest::default()
        }
    }

    /// Learns from an answer.
    pub(crate) fn learn(&mut self, response: &RangeResponse) {
        for kv in &response.kvs {
            self.known.insert(kv.key.clone(), kv.mod_revision);
        }
    }
}
