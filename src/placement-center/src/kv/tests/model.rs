//! The store as one would write it with memory to burn: every version of every key in a list, every
//! question answered by looking at all of them. Shares no code with the store beyond the messages.

use crate::kv::Refusal;
use protocol::etcdserverpb::compare::TargetUnion;
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::response_op::Response;
use protocol::etcdserverpb::*;
use protocol::mvccpb::KeyValue;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A key from `revision` on; `None` once deleted.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) revision: i64,
    pub(super) kv: Option<KeyValue>,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) revision: i64,
    pub(super) compacted: i64,
    pub(super) keys: BTreeMap<Vec<u8>, Vec<Version>>,
    /// Key and "is a tombstone" of each change of each revision, in order.
    pub(super) changes: BTreeMap<i64, Vec<(Vec<u8>, bool)>>,
}

type Answer<T> = Result<T, Refusal>;

pub(super) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

fn names(key: &[u8], range_end: &[u8], candidate: &[u8]) -> bool {
    match range_end {
        b"" => candidate == key,
        b"\0" => candidate >= key,
        end => candidate >= key && candidate < end,
    }
}

impl Model {
    pub(super) fn new() -> Self {
        Model {
            revision: 1,
            compacted: -1,
            keys: BTreeMap::new(),
            changes: BTreeMap::new(),
        }
    }

    pub(super) fn visible(&self, key: &[u8], at: i64) -> Option<&KeyValue> {
        let versions = self.keys.get(key)?;
        versions
            .iter()
            .rfind(|version| version.revision <= at)?
            .kv
            .as_ref()
    }

    fn living(&self, key: &[u8], range_end: &[u8], at: i64) -> Vec<KeyValue> {
        let named = self
            .keys
            .keys()
            .filter(|candidate| names(key, range_end, candidate));
        named
            .filter_map(|key| self.visible(key, at).cloned())
            .collect()
    }

    fn readable(&self, requested: i64) -> Answer<i64> {
        if requested > self.revision {
            Err(Refusal::FutureRevision)
        } else if requested > 0 && requested < self.compacted {
            Err(Refusal::Compacted)
        } else {
            Ok(if requested > 0 {
                requested
            } else {
                self.revision
            })
        }
    }

    pub(super) fn range(&self, r: &RangeRequest) -> Answer<RangeResponse> {
        let at = self.readable(r.revision)?;
        let mut kvs = self.living(&r.key, &r.range_end, at);
        let count = kvs.len() as i64;
        if r.count_only {
            return Ok(RangeResponse {
                header: header(self.revision),
                kvs: vec![],
                more: false,
                count,
            });
        }
        kvs.retain(|kv| r.min_mod_revision == 0 || kv.mod_revision >= r.min_mod_revision);
        kvs.retain(|kv| r.max_mod_revision == 0 || kv.mod_revision <= r.max_mod_revision);
        kvs.retain(|kv| r.min_create_revision == 0 || kv.create_revision >= r.min_create_revision);
        kvs.retain(|kv| r.max_create_revision == 0 || kv.create_revision <= r.max_create_revision);
        let order = |a: &KeyValue, b: &KeyValue| match r.sort_target {
            0 => a.key.cmp(&b.key),
            1 => a.version.cmp(&b.version),
            2 => a.create_revision.cmp(&b.create_revision),
            3 => a.mod_revision.cmp(&b.mod_revision),
            _ => a.value.cmp(&b.value),
        };
        kvs.sort_by(|a, b| {
            if r.sort_order == 2 {
                order(b, a)
            } else {
                order(a, b)
            }
        });
        let more = r.limit > 0 && kvs.len() as i64 > r.limit;
        if more {
            kvs.truncate(r.limit as usize);
        }
        if r.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        Ok(RangeResponse {
            header: header(self.revision),
            kvs,
            more,
            count,
        })
    }

    fn may_put(&self, r: &PutRequest) -> (bool, bool) {
        let missing =
            (r.ignore_value || r.ignore_lease) && self.visible(&r.key, self.revision).is_none();
        (missing, r.lease != 0)
    }

    pub(super) fn put(&mut self, r: &PutRequest) -> Answer<PutResponse> {
        match self.may_put(r) {
            (_, true) => return Err(Refusal::LeaseNotFound),
            (true, _) => return Err(Refusal::KeyNotFound),
            _ => {}
        }
        self.revision += 1;
        Ok(self.write(r))
    }

    fn write(&mut self, r: &PutRequest) -> PutResponse {
        let old = self.visible(&r.key, self.revision).cloned();
        let revision = self.revision;
        let kv = KeyValue {
            key: r.key.clone(),
            create_revision: old.as_ref().map_or(revision, |old| old.create_revision),
            mod_revision: revision,
            version: old.as_ref().map_or(0, |old| old.version) + 1,
            value: if r.ignore_value {
                old.clone().unwrap().value
            } else {
                r.value.clone()
            },
            lease: 0,
        };
        self.change(&r.key, Some(kv));
        PutResponse {
            header: header(revision),
            prev_kv: old.filter(|_| r.prev_kv),
        }
    }

    fn change(&mut self, key: &[u8], kv: Option<KeyValue>) {
        let revision = self.revision;
        self.changes
            .entry(revision)
            .or_default()
            .push((key.to_vec(), kv.is_none()));
        self.keys
            .entry(key.to_vec())
            .or_default()
            .push(Version { revision, kv });
    }

    pub(super) fn delete_range(&mut self, r: &DeleteRangeRequest) -> DeleteRangeResponse {
        if self.living(&r.key, &r.range_end, self.revision).is_empty() {
            return DeleteRangeResponse {
                header: header(self.revision),
                ..Default::default()
            };
        }
        self.revision += 1;
        self.erase(r)
    }

    fn erase(&mut self, r: &DeleteRangeRequest) -> DeleteRangeResponse {
        let doomed = self.living(&r.key, &r.range_end, self.revision);
        doomed.iter().for_each(|kv| self.change(&kv.key, None));
        let deleted = doomed.len() as i64;
        let prev_kvs = if r.prev_kv { doomed } else { vec![] };
        DeleteRangeResponse {
            header: header(self.revision),
            deleted,
            prev_kvs,
        }
    }

    pub(super) fn compact(&mut self, revision: i64) -> Answer<CompactionResponse> {
        if revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = revision;
        Ok(CompactionResponse {
            header: header(self.revision),
        })
    }

    pub(super) fn txn(&mut self, r: &TxnRequest) -> Answer<TxnResponse> {
        if conflicts(&r.success) || conflicts(&r.failure) {
            return Err(Refusal::DuplicateKey);
        }
        let before = self.clone();
        let mut chosen = Vec::new();
        before.chosen(r, &mut chosen);
        for request in &chosen {
            if let Request::RequestPut(put) = request {
                match before.may_put(put) {
                    (true, _) => return Err(Refusal::KeyNotFound),
                    (_, true) => return Err(Refusal::LeaseNotFound),
                    _ => {}
                }
            }
        }
        for request in &chosen {
            if let Request::RequestRange(range) = request {
                if range.revision < 0 && range.revision < before.compacted {
                    return Err(Refusal::Compacted);
                }
                before.readable(range.revision)?;
            }
        }
        let mut response = self.run(&before, r);
        response.header = header(self.revision);
        Ok(response)
    }

    fn branch<'t>(&self, r: &'t TxnRequest) -> (bool, &'t [RequestOp]) {
        let succeeded = r.compare.iter().all(|compare| self.holds(compare));
        (succeeded, if succeeded { &r.success } else { &r.failure })
    }

    fn chosen<'t>(&self, r: &'t TxnRequest, out: &mut Vec<&'t Request>) {
        for op in self.branch(r).1 {
            match op.request.as_ref().unwrap() {
                Request::RequestTxn(inner) => self.chosen(inner, out),
                request => out.push(request),
            }
        }
    }

    fn run(&mut self, before: &Model, r: &TxnRequest) -> TxnResponse {
        let (succeeded, ops) = before.branch(r);
        let mut responses = Vec::new();
        for op in ops {
            let first_change = self.revision == before.revision;
            let response = match op.request.as_ref().unwrap() {
                Request::RequestRange(range) => Response::ResponseRange(self.range(range).unwrap()),
                Request::RequestPut(put) => {
                    self.revision += i64::from(first_change);
                    Response::ResponsePut(self.write(put))
                }
                Request::RequestDeleteRange(delete) if first_change => {
                    Response::ResponseDeleteRange(self.delete_range(delete))
                }
                Request::RequestDeleteRange(delete) => {
                    Response::ResponseDeleteRange(self.erase(delete))
                }
                Request::RequestTxn(inner) => Response::ResponseTxn(self.run(before, inner)),
            };
            responses.push(ResponseOp {
                response: Some(response),
            });
        }
        TxnResponse {
            header: Some(ResponseHeader::default()),
            succeeded,
            responses,
        }
    }

    fn holds(&self, c: &Compare) -> bool {
        let kvs = self.living(&c.key, &c.range_end, self.revision);
        if kvs.is_empty() {
            return c.target != 3 && compares(c, &KeyValue::default());
        }
        kvs.iter().all(|kv| compares(c, kv))
    }
}

fn compares(c: &Compare, kv: &KeyValue) -> bool {
    let ordering = match (c.target, &c.target_union) {
        (0, Some(TargetUnion::Version(n))) => kv.version.cmp(n),
        (0, _) => kv.version.cmp(&0),
        (1, Some(TargetUnion::CreateRevision(n))) => kv.create_revision.cmp(n),
        (1, _) => kv.create_revision.cmp(&0),
        (2, Some(TargetUnion::ModRevision(n))) => kv.mod_revision.cmp(n),
        (2, _) => kv.mod_revision.cmp(&0),
        (3, Some(TargetUnion::Value(value))) => kv.value.cmp(value),
        (3, _) => kv.value[..].cmp(b""),
        (4, Some(TargetUnion::Lease(n))) => kv.lease.cmp(n),
        _ => kv.lease.cmp(&0),
    };
    match c.result {
        0 => ordering == Ordering::Equal,
        1 => ordering == Ordering::Greater,
        2 => ordering == Ordering::Less,
        _ => ordering != Ordering::Equal,
    }
}

/// Whether two operations of the list, or of a list within, could change one key twice.
fn conflicts(ops: &[RequestOp]) -> bool {
    let pairs = ops
        .iter()
        .enumerate()
        .flat_map(|(at, a)| ops[at + 1..].iter().map(move |b| (a, b)));
    let clash = pairs.into_iter().any(|(a, b)| {
        let (a, b) = (changes(a), changes(b));
        a.iter().any(|a| b.iter().any(|b| clashes(a, b)))
    });
    let within = ops.iter().any(|op| match op.request.as_ref().unwrap() {
        Request::RequestTxn(inner) => conflicts(&inner.success) || conflicts(&inner.failure),
        _ => false,
    });
    clash || within
}

fn changes(op: &RequestOp) -> Vec<&Request> {
    match op.request.as_ref().unwrap() {
        Request::RequestTxn(inner) => inner
            .success
            .iter()
            .chain(&inner.failure)
            .flat_map(changes)
            .collect(),
        request => vec![request],
    }
}

fn clashes(a: &Request, b: &Request) -> bool {
    match (a, b) {
        (Request::RequestPut(a), Request::RequestPut(b)) => a.key == b.key,
        (Request::RequestPut(put), Request::RequestDeleteRange(delete))
        | (Request::RequestDeleteRange(delete), Request::RequestPut(put)) => {
            names(&delete.key, &delete.range_end, &put.key)
        }
        _ => false,
    }
}
