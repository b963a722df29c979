//! Random operations of the etcd v3 KV service over a few keys, so that they meet each other often, and
//! their outcomes in a form that two servers can be compared by.

use bytes::Bytes;
use harness::client::Kv;
use harness::random::Random;
use protocol::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use protocol::etcdserverpb::range_request::{SortOrder, SortTarget};
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp,
    ResponseHeader, TxnRequest, TxnResponse, response_op::Response,
};

/// Most operations are small; nesting deeper than this adds nothing new.
const NESTING_MAX: u32 = 3;

/// One request.
#[derive(Clone, Debug)]
pub enum Operation {
    Range(RangeRequest),
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(CompactionRequest),
}

/// What a server answered, without what differs between any two servers.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Range(protocol::etcdserverpb::RangeResponse),
    Put(protocol::etcdserverpb::PutResponse),
    Delete(protocol::etcdserverpb::DeleteRangeResponse),
    Txn(TxnResponse),
    Compact(protocol::etcdserverpb::CompactionResponse),
    Failed { code: tonic::Code, message: String },
}

impl Outcome {
    /// The store's revision as the answer tells it.
    pub fn revision(&self) -> Option<i64> {
        let header = match self {
            Self::Range(answer) => answer.header.as_ref(),
            Self::Put(answer) => answer.header.as_ref(),
            Self::Delete(answer) => answer.header.as_ref(),
            Self::Txn(answer) => answer.header.as_ref(),
            Self::Compact(answer) => answer.header.as_ref(),
            Self::Failed { .. } => None,
        };
        header.map(|header| header.revision)
    }
}

/// Sends one operation and makes its answer comparable.
pub async fn perform(kv: &mut Kv, operation: &Operation) -> Outcome {
    let answer = match operation.clone() {
        Operation::Range(request) => kv.range(request).await.map(|answer| {
            let mut answer = answer.into_inner();
            anonymous(&mut answer.header);
            Outcome::Range(answer)
        }),
        Operation::Put(request) => kv.put(request).await.map(|answer| {
            let mut answer = answer.into_inner();
            anonymous(&mut answer.header);
            Outcome::Put(answer)
        }),
        Operation::Delete(request) => kv.delete_range(request).await.map(|answer| {
            let mut answer = answer.into_inner();
            anonymous(&mut answer.header);
            Outcome::Delete(answer)
        }),
        Operation::Txn(request) => kv.txn(request).await.map(|answer| {
            let mut answer = answer.into_inner();
            anonymous(&mut answer.header);
            nested_headers(&mut answer);
            Outcome::Txn(answer)
        }),
        Operation::Compact(request) => kv.compact(request).await.map(|answer| {
            let mut answer = answer.into_inner();
            anonymous(&mut answer.header);
            Outcome::Compact(answer)
        }),
    };
    answer.unwrap_or_else(|status| Outcome::Failed {
        code: status.code(),
        message: status.message().to_owned(),
    })
}

/// Keeps the revision; ids and term name the server, not the answer.
fn anonymous(header: &mut Option<ResponseHeader>) {
    if let Some(header) = header {
        *header = ResponseHeader {
            revision: header.revision,
            ..ResponseHeader::default()
        };
    }
}

/// The header of a nested transaction differs between versions of etcd: empty in 3.4, filled later.
fn nested_headers(answer: &mut TxnResponse) {
    for response in &mut answer.responses {
        if let Some(Response::ResponseTxn(nested)) = &mut response.response {
            nested.header = None;
            nested_headers(nested);
        }
    }
}

/// Draws operations.
pub struct Generator {
    random: Random,
}

impl Generator {
    pub fn new(random: Random) -> Self {
        Self { random }
    }

    /// The next operation; `newest` is the store's revision now.
    pub fn next(&mut self, newest: i64) -> Operation {
        match self.random.below(100) {
            0..35 => Operation::Put(self.put()),
            35..65 => Operation::Range(self.range(newest)),
            65..75 => Operation::Delete(self.delete()),
            75..98 => Operation::Txn(self.txn(newest, 1)),
            _ => Operation::Compact(CompactionRequest {
                revision: self.revision_near(newest),
                physical: self.random.one_in(2),
            }),
        }
    }

    fn key(&mut self) -> Bytes {
        match self.random.below(60) {
            0 => Bytes::new(),
            1 => Bytes::from_static(b"\0"),
            2 => Bytes::from_static(b"\xff\xff"),
            3 => Bytes::from_static(b"a\0b"),
            _ => {
                let group = *self.random.pick(&["a", "a/", "b/", "k"]);
                format!("{group}{}", self.random.below(5)).into()
            }
        }
    }

    fn value(&mut self) -> Bytes {
        match self.random.below(12) {
            0 => Bytes::new(),
            1 => self.random.bytes(40).into(),
            _ => format!("v{}", self.random.below(4)).into(),
        }
    }

    fn range_end(&mut self, key: &Bytes) -> Bytes {
        match self.random.below(10) {
            0..4 => Bytes::new(),
            4 => Bytes::from_static(b"\0"),
            5 | 6 => harness::client::prefix_end(&key[..key.len().min(1)]),
            // Often below the key: inverted ranges are legal and empty.
            _ => self.key(),
        }
    }

    fn revision_near(&mut self, newest: i64) -> i64 {
        let back = self.random.below(25) as i64;
        newest - back + if self.random.one_in(6) { 30 } else { 0 }
    }

    fn put(&mut self) -> PutRequest {
        let ignore_value = self.random.one_in(10);
        let bare = ignore_value && !self.random.one_in(5);
        PutRequest {
            key: self.key(),
            value: if bare { Bytes::new() } else { self.value() },
            lease: if self.random.one_in(25) { 77 } else { 0 },
            prev_kv: self.random.one_in(3),
            ignore_value,
            ignore_lease: self.random.one_in(12),
        }
    }

    fn range(&mut self, newest: i64) -> RangeRequest {
        let key = self.key();
        let range_end = self.range_end(&key);
        let bound = |random: &mut Random, rarely: u64| match random.one_in(rarely) {
            true => newest - random.below(40) as i64,
            false => 0,
        };
        let (min_mod, max_mod) = (bound(&mut self.random, 8), bound(&mut self.random, 8));
        let (min_create, max_create) = (bound(&mut self.random, 8), bound(&mut self.random, 8));
        let (order, target) = self.sort();
        RangeRequest {
            key,
            range_end,
            limit: if self.random.one_in(3) {
                self.random.below(5) as i64
            } else {
                0
            },
            revision: if self.random.one_in(4) {
                self.revision_near(newest)
            } else {
                0
            },
            sort_order: order.into(),
            sort_target: target.into(),
            serializable: self.random.one_in(3),
            keys_only: self.random.one_in(5),
            count_only: self.random.one_in(8),
            min_mod_revision: min_mod,
            max_mod_revision: max_mod,
            min_create_revision: min_create,
            max_create_revision: max_create,
        }
    }

    /// Only orders that leave no choice to the server: sorts of etcd are unstable, so targets whose
    /// values repeat (version, value, and create or modification revisions within one transaction)
    /// would differ by luck.
    fn sort(&mut self) -> (SortOrder, SortTarget) {
        let orders = [
            SortOrder::None,
            SortOrder::None,
            SortOrder::Ascend,
            SortOrder::Descend,
        ];
        (*self.random.pick(&orders), SortTarget::Key)
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        let key = self.key();
        // Wide deletes are rare, or the store would mostly be empty.
        let range_end = if self.random.one_in(4) {
            self.range_end(&key)
        } else {
            Bytes::new()
        };
        DeleteRangeRequest {
            key,
            range_end,
            prev_kv: self.random.one_in(2),
        }
    }

    /// The one known difference: etcd misses that a put falls into an open-ended delete of the same
    /// transaction and changes the key twice in one revision; we refuse that like every other overlap.
    fn closed_delete(&mut self) -> DeleteRangeRequest {
        let delete = self.delete();
        match delete.range_end == "\0" {
            true => DeleteRangeRequest {
                range_end: Bytes::new(),
                ..delete
            },
            false => delete,
        }
    }

    fn compare(&mut self, newest: i64) -> Compare {
        let results = [
            CompareResult::Equal,
            CompareResult::Greater,
            CompareResult::Less,
            CompareResult::NotEqual,
        ];
        let near = self.revision_near(newest);
        let (target, union) = match self.random.below(5) {
            0 => (
                CompareTarget::Version,
                TargetUnion::Version(self.random.below(4) as i64),
            ),
            1 => (CompareTarget::Create, TargetUnion::CreateRevision(near)),
            2 => (CompareTarget::Mod, TargetUnion::ModRevision(near)),
            3 => (CompareTarget::Value, TargetUnion::Value(self.value())),
            _ => (CompareTarget::Lease, TargetUnion::Lease(0)),
        };
        let key = self.key();
        let range_end = if self.random.one_in(4) {
            self.range_end(&key)
        } else {
            Bytes::new()
        };
        Compare {
            result: (*self.random.pick(&results)).into(),
            target: target.into(),
            key,
            target_union: if self.random.one_in(10) {
                None
            } else {
                Some(union)
            },
            range_end,
        }
    }

    fn txn(&mut self, newest: i64, depth: u32) -> TxnRequest {
        let compares = self.random.below(3);
        TxnRequest {
            compare: (0..compares).map(|_| self.compare(newest)).collect(),
            success: self.branch(newest, depth),
            failure: self.branch(newest, depth),
        }
    }

    /// At most one nested transaction a branch: what `closed_delete` says of open ranges holds for a
    /// put in one nested transaction and a delete of its key in a later one, too.
    fn branch(&mut self, newest: i64, depth: u32) -> Vec<RequestOp> {
        let count = if self.random.one_in(60) {
            130
        } else {
            self.random.below(4)
        };
        let mut operations: Vec<RequestOp> = Vec::new();
        for _ in 0..count {
            let operation = self.request_op(newest, depth);
            let nested =
                |operation: &RequestOp| matches!(operation.request, Some(Request::RequestTxn(_)));
            if !nested(&operation) || !operations.iter().any(nested) {
                operations.push(operation);
            }
        }
        operations
    }

    fn request_op(&mut self, newest: i64, depth: u32) -> RequestOp {
        let request = match self.random.below(20) {
            0..8 => Some(Request::RequestPut(self.put())),
            8..14 => Some(Request::RequestRange(self.range(newest))),
            14..17 => Some(Request::RequestDeleteRange(self.closed_delete())),
            17 | 18 if depth < NESTING_MAX => {
                Some(Request::RequestTxn(self.txn(newest, depth + 1)))
            }
            17 | 18 => Some(Request::RequestPut(self.put())),
            _ if self.random.one_in(4) => None,
            _ => Some(Request::RequestRange(self.range(newest))),
        };
        RequestOp { request }
    }
}
