//! The operations that are compared.

use anyhow::Result;
use bytes::Bytes;
use harness::client::{self, Kv};
use harness::{Kind, Server};
use protocol::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use protocol::etcdserverpb::request_op::Request;
use protocol::etcdserverpb::{Compare, RangeRequest, RequestOp, TxnRequest};
use tonic::Status;

use crate::drive::{self, Sample, VALUE_BYTES, Window, closed_loop};
use crate::pipeline;

/// Connections that many clients share.
const CONNECTIONS: usize = 8;

/// One in this many operations of the mixed load writes.
const MIXED_PUT_SHARE: u64 = 5;

/// An operation with its number of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    Put64,
    Put1000,
    Put1,
    Get,
    GetSerializable,
    Range100,
    Txn,
    Mixed,
    OneConnection,
}

impl Workload {
    /// In the order of the table and of the measurement: reads before the bursts of writes.
    pub fn all() -> [Self; 9] {
        use Workload::*;
        [
            Get,
            GetSerializable,
            Range100,
            Put1,
            Put64,
            Txn,
            Mixed,
            Put1000,
            OneConnection,
        ]
    }

    /// The name in the table and for `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put64 => "put, 64 clients",
            Self::Put1000 => "put, 1000 clients",
            Self::Put1 => "put, 1 client",
            Self::Get => "get linearizable, 64 clients",
            Self::GetSerializable => "get serializable, 64 clients",
            Self::Range100 => "range of 100 keys, 64 clients",
            Self::Txn => "txn of compare, put and get, 64 clients",
            Self::Mixed => "mixed, 20 % put, 64 clients",
            Self::OneConnection => {
                "put, one connection (etcd: 1000 calls in flight; ours: Pipeline)"
            }
        }
    }

    /// Measures it once.
    pub async fn run(self, server: &Server, seconds: f64) -> Result<Sample> {
        let url = server.url();
        let window = Window::after_warm_up(seconds, server.pid());
        let many = (64, CONNECTIONS);
        match self {
            Self::Put64 => closed_loop(&url, many, &window, put()).await,
            Self::Put1000 => closed_loop(&url, (1000, CONNECTIONS), &window, put()).await,
            Self::Put1 => closed_loop(&url, (1, 1), &window, put()).await,
            Self::Get => closed_loop(&url, many, &window, |kv, key, _| get(kv, key, false)).await,
            Self::GetSerializable => {
                closed_loop(&url, many, &window, |kv, key, _| get(kv, key, true)).await
            }
            Self::Range100 => closed_loop(&url, many, &window, |kv, key, _| range(kv, key)).await,
            Self::Txn => {
                let value = drive::value(VALUE_BYTES);
                let run = move |kv, key, _| txn(kv, key, value.clone());
                closed_loop(&url, many, &window, run).await
            }
            Self::Mixed => closed_loop(&url, many, &window, mixed()).await,
            Self::OneConnection if server.kind() == Kind::Etcd => {
                closed_loop(&url, (1000, 1), &window, put()).await
            }
            Self::OneConnection => pipeline::measure(&url, &window).await,
        }
    }
}

/// The future of one operation; boxed only where two kinds must be one type.
type Running = std::pin::Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

fn put() -> impl Fn(Kv, Bytes, u64) -> Running + Clone + Send + 'static {
    let value = drive::value(VALUE_BYTES);
    move |mut kv, key, _| {
        let request = client::put(key, value.clone());
        Box::pin(async move { kv.put(request).await.map(drop) })
    }
}

fn mixed() -> impl Fn(Kv, Bytes, u64) -> Running + Clone + Send + 'static {
    let put = put();
    move |kv, key, draw| match draw % MIXED_PUT_SHARE {
        0 => put(kv, key, draw),
        _ => Box::pin(get(kv, key, false)),
    }
}

async fn get(mut kv: Kv, key: Bytes, serializable: bool) -> Result<(), Status> {
    kv.range(RangeRequest {
        serializable,
        ..client::get(key)
    })
    .await
    .map(drop)
}

async fn range(mut kv: Kv, key: Bytes) -> Result<(), Status> {
    let request = RangeRequest {
        range_end: drive::key(u64::MAX >> 32),
        limit: 100,
        ..client::get(key)
    };
    kv.range(request).await.map(drop)
}

async fn txn(mut kv: Kv, key: Bytes, value: Bytes) -> Result<(), Status> {
    let compare = Compare {
        key: key.clone(),
        target: CompareTarget::Version.into(),
        result: CompareResult::Greater.into(),
        target_union: Some(TargetUnion::Version(-1)),
        ..Compare::default()
    };
    let operations = [
        Request::RequestPut(client::put(key.clone(), value)),
        Request::RequestRange(client::get(key)),
    ];
    let success = operations
        .map(|request| RequestOp {
            request: Some(request),
        })
        .into();
    kv.txn(TxnRequest {
        compare: vec![compare],
        success,
        failure: Vec::new(),
    })
    .await
    .map(drop)
}
