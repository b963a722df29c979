//! The key-value store as the checker understands it, written from its description and sharing no code
//! with it: every version of every key, and what the store looked like after each log entry. Covers the
//! requests the simulated clients make.

use bytes::Bytes;
use placement_center::kv::Refusal;
use placement_center::machine::Reply;
use protocol::etcdserverpb::compare::TargetUnion;
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::response_op::Response;
use protocol::etcdserverpb::*;
use protocol::mvccpb::KeyValue;
use std::collections::BTreeMap;

/// Revision and compaction of the store after one log entry.
#[derive(Clone, Copy, Debug)]
struct Moment {
    revision: i64,
    compacted: i64,
}

/// Every version of every key; a deletion is a version without value.
#[derive(Debug)]
pub(crate) struct Model {
    versions: BTreeMap<Bytes, Vec<(i64, Option<KeyValue>)>>,
    /// After entry 0 (none), 1, 2, ...
    moments: Vec<Moment>,
    now: Moment,
}

/// A command of the log that changes the store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(CompactionRequest),
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

impl Model {
    pub(crate) fn new() -> Self {
        let now = Moment {
            revision: 1,
            compacted: -1,
        };
        Model {
            versions: BTreeMap::new(),
            moments: vec![now],
            now,
        }
    }

    /// The next log entry is over.
    pub(crate) fn end_entry(&mut self) {
        self.moments.push(self.now);
    }

    /// What a change answers.
    pub(crate) fn apply(&mut self, change: &Change) -> Reply {
        match change {
            Change::Put(request) => {
                self.now.revision += 1;
                Reply::Put(Ok(self.put(request)))
            }
            Change::Delete(request) => {
                let next = self.now.revision + 1;
                Reply::DeleteRange(Ok(self.delete(request, next)))
            }
            Change::Txn(request) => Reply::Txn(self.txn(request)),
            Change::Compact(request) => Reply::Compact(self.compact(request.revision)),
        }
    }

    /// What a range answers in the store as it was after entry `index`.
    pub(crate) fn range_after(
        &self,
        index: u64,
        request: &RangeRequest,
    ) -> Result<RangeResponse, Refusal> {
        let at = usize::try_from(index).map_or(self.moments.len(), |at| at);
        let moment = *self
            .moments
            .get(at)
            .expect("a read sees entries that were committed");
        self.range(moment, request)
    }

    fn living(&self, key: &Bytes, range_end: &Bytes, at: i64) -> Vec<KeyValue> {
        let named = |candidate: &Bytes| match range_end.as_ref() {
            b"" => candidate == key,
            b"\0" => candidate >= key,
            end => candidate >= key && candidate.as_ref() < end,
        };
        let versions = self.versions.iter().filter(|(key, _)| named(key));
        let newest = versions.filter_map(|(_, versions)| {
            let (_, kv) = versions.iter().rfind(|(revision, _)| *revision <= at)?;
            kv.clone()
        });
        newest.collect()
    }

    fn range(&self, moment: Moment, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        let at = match request.revision {
            ..=0 => moment.revision,
            wanted if wanted > moment.revision => return Err(Refusal::FutureRevision),
            wanted if wanted < moment.compacted => return Err(Refusal::Compacted),
            wanted => wanted,
        };
        let mut kvs = self.living(&request.key, &request.range_end, at);
        let count = kvs.len();
        let limit = usize::try_from(request.limit)
            .ok()
            .filter(|limit| *limit > 0);
        let more = limit.is_some_and(|limit| count > limit);
        kvs.truncate(limit.unwrap_or(count));
        Ok(RangeResponse {
            header: header(moment.revision),
            kvs,
            more,
            count: count as i64,
        })
    }

    /// Writes at the present revision.
    fn put(&mut self, request: &PutRequest) -> PutResponse {
        let revision = self.now.revision;
        let old = self.living(&request.key, &Bytes::new(), revision).pop();
        let kv = KeyValue {
            key: request.key.clone(),
            create_revision: old.as_ref().map_or(revision, |old| old.create_revision),
            mod_revision: revision,
            version: old.as_ref().map_or(1, |old| old.version + 1),
            value: request.value.clone(),
            lease: 0,
        };
        let versions = self.versions.entry(request.key.clone()).or_default();
        versions.push((revision, Some(kv)));
        PutResponse {
            header: header(revision),
            prev_kv: old.filter(|_| request.prev_kv),
        }
    }

    /// Deletes at revision `next`, which comes about only if there is something to delete.
    fn delete(&mut self, request: &DeleteRangeRequest, next: i64) -> DeleteRangeResponse {
        let doomed = self.living(&request.key, &request.range_end, self.now.revision);
        if !doomed.is_empty() {
            self.now.revision = next;
        }
        for kv in &doomed {
            let versions = self.versions.entry(kv.key.clone()).or_default();
            versions.push((next, None));
        }
        DeleteRangeResponse {
            header: header(self.now.revision),
            deleted: doomed.len() as i64,
            prev_kvs: if request.prev_kv { doomed } else { Vec::new() },
        }
    }

    fn compact(&mut self, revision: i64) -> Result<CompactionResponse, Refusal> {
        if revision <= self.now.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.now.revision {
            return Err(Refusal::FutureRevision);
        }
        self.now.compacted = revision;
        Ok(CompactionResponse {
            header: header(self.now.revision),
        })
    }

    /// The clients write each key at most once in a transaction and read no old revision in it.
    fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, Refusal> {
        let succeeded = request.compare.iter().all(|compare| self.holds(compare));
        let operations = if succeeded {
            &request.success
        } else {
            &request.failure
        };
        let next = self.now.revision + 1;
        let mut responses = Vec::new();
        for operation in operations {
            let response = match operation.request.as_ref() {
                Some(Request::RequestPut(put)) => {
                    self.now.revision = next;
                    Response::ResponsePut(self.put(put))
                }
                Some(Request::RequestDeleteRange(delete)) => {
                    Response::ResponseDeleteRange(self.delete(delete, next))
                }
                Some(Request::RequestRange(range)) => {
                    Response::ResponseRange(self.range(self.now, range)?)
                }
                Some(Request::RequestTxn(_)) | None => {
                    unreachable!("the clients make flat transactions")
                }
            };
            responses.push(ResponseOp {
                response: Some(response),
            });
        }
        Ok(TxnResponse {
            header: header(self.now.revision),
            succeeded,
            responses,
        })
    }

    /// The clients compare single keys for equality.
    fn holds(&self, compare: &Compare) -> bool {
        let found = self
            .living(&compare.key, &compare.range_end, self.now.revision)
            .pop();
        match &compare.target_union {
            Some(TargetUnion::ModRevision(revision)) => {
                found.map_or(0, |kv| kv.mod_revision) == *revision
            }
            Some(TargetUnion::Value(value)) => found.is_some_and(|kv| kv.value == *value),
            Some(TargetUnion::Version(version)) => found.map_or(0, |kv| kv.version) == *version,
            _ => unreachable!("the clients compare value, version or modification"),
        }
    }
}

/// Whether two replies say the same.
pub(crate) fn same(a: &Reply, b: &Reply) -> bool {
    match (a, b) {
        (Reply::Put(a), Reply::Put(b)) => a == b,
        (Reply::DeleteRange(a), Reply::DeleteRange(b)) => a == b,
        (Reply::Txn(a), Reply::Txn(b)) => a == b,
        (Reply::Compact(a), Reply::Compact(b)) => a == b,
        _ => false,
    }
}

/// Revision in the header of a reply; `None` for a refusal.
pub(crate) fn revision(reply: &Reply) -> Option<i64> {
    let header = match reply {
        Reply::Put(reply) => reply.as_ref().ok()?.header.as_ref(),
        Reply::DeleteRange(reply) => reply.as_ref().ok()?.header.as_ref(),
        Reply::Txn(reply) => reply.as_ref().ok()?.header.as_ref(),
        Reply::Compact(reply) => reply.as_ref().ok()?.header.as_ref(),
        _ => None,
    };
    header.map(|header| header.revision)
}
