//! Well-framed gRPC calls with a content that must be refused.

use anyhow::{Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes};
use harness::random::Random;
use http::uri::PathAndQuery;
use prost::Message;
use protocol::etcdserverpb::{
    PutRequest, RangeRequest, RequestOp, TxnRequest, compare, request_op::Request,
};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Deeper than any decoder's recursion limit.
const DEEP: usize = 3000;

/// One call and what it may be answered with.
pub struct Call {
    path: &'static str,
    body: Bytes,
    /// None: any answer that is no failure of the server.
    expected: Option<&'static [Code]>,
}

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";

/// Draws a call.
pub fn call(random: &mut Random) -> Call {
    let paths = [
        PUT,
        RANGE,
        TXN,
        "/etcdserverpb.KV/DeleteRange",
        "/placement.v1.KvService/Pipeline",
    ];
    let refused: &'static [Code] = &[Code::InvalidArgument];
    let known = *random.pick(&paths);
    let unknown = *random.pick(&["/etcdserverpb.KV/None", "/no.such.Service/Call", "/x"]);
    match random.below(11) {
        0 | 1 => {
            // Reading must stay harmless, so random bytes go where a lucky draw would only read.
            let length = random.below(500) as usize;
            Call {
                path: RANGE,
                body: random.bytes(length).into(),
                expected: None,
            }
        }
        // A field longer than the message, and a length that does not fit 64 bits.
        2 => bad_bytes(known, b"\x0a\xff\xff\xff\x7fabc"),
        3 => bad_bytes(
            known,
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ),
        4 => Call {
            path: TXN,
            body: deep_txn(),
            expected: None,
        },
        5 => Call {
            path: PUT,
            body: put(2 << 20),
            expected: Some(&[Code::ResourceExhausted, Code::OutOfRange]),
        },
        6 => Call {
            path: PUT,
            body: put(1_600_000),
            expected: Some(refused),
        },
        7 => Call {
            path: TXN,
            body: wide_txn(),
            expected: Some(refused),
        },
        8 => Call {
            path: PUT,
            body: Bytes::new(),
            expected: Some(refused),
        },
        9 => Call {
            path: RANGE,
            body: odd_range(random),
            expected: None,
        },
        _ => Call {
            path: unknown,
            body: Bytes::from_static(b"\x0a\x01a"),
            expected: Some(&[Code::Unimplemented]),
        },
    }
}

fn bad_bytes(path: &'static str, body: &'static [u8]) -> Call {
    // Decoders answer Internal by the gRPC convention for messages that cannot be parsed.
    let expected: &[Code] = &[Code::Internal, Code::InvalidArgument];
    Call {
        path,
        body: Bytes::from_static(body),
        expected: Some(expected),
    }
}

fn put(value_bytes: usize) -> Bytes {
    let value = Bytes::from(vec![b'x'; value_bytes]);
    let put = PutRequest {
        key: "hostile/large".into(),
        value,
        ..PutRequest::default()
    };
    put.encode_to_vec().into()
}

/// Transactions nested by hand, as an honest encoder would refuse to.
fn deep_txn() -> Bytes {
    let mut body: Vec<u8> = Vec::new();
    for _ in 0..DEEP {
        // RequestOp.request_txn = 4 inside TxnRequest.success = 2.
        body = wrap(0x12, wrap(0x22, body));
        if body.len() > 1_000_000 {
            break;
        }
    }
    body.into()
}

fn wrap(tag: u8, inner: Vec<u8>) -> Vec<u8> {
    let mut out = vec![tag];
    prost::encoding::encode_varint(inner.len() as u64, &mut out);
    out.extend_from_slice(&inner);
    out
}

fn wide_txn() -> Bytes {
    let range = RangeRequest {
        key: "a".into(),
        ..RangeRequest::default()
    };
    let operation = RequestOp {
        request: Some(Request::RequestRange(range)),
    };
    let txn = TxnRequest {
        success: vec![operation; 5000],
        ..TxnRequest::default()
    };
    txn.encode_to_vec().into()
}

fn odd_range(random: &mut Random) -> Bytes {
    let request = RangeRequest {
        key: Bytes::from_static(b"\xff\xfe\0\xc3\x28"),
        range_end: random.bytes(3).into(),
        limit: random.bits() as i64,
        revision: random.bits() as i64,
        sort_order: random.bits() as i32,
        sort_target: random.bits() as i32,
        min_mod_revision: i64::MIN,
        max_create_revision: i64::MAX,
        ..RangeRequest::default()
    };
    // An unknown compare result rides along as an unknown field: harmless by the rules of protobuf.
    let mut body = request.encode_to_vec();
    body.extend([0xf8, 0x7f, compare::CompareResult::Less as u8]);
    body.into()
}

/// Sends the call and judges the answer.
pub async fn judge(channel: &Channel, call: Call) -> Result<()> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    let ready = client.ready().await;
    ensure!(ready.is_ok(), "the connection is gone: {ready:?}");
    let path = PathAndQuery::from_static(call.path);
    let request = tonic::Request::new(call.body.clone());
    let answer = match call.path.ends_with("Pipeline") {
        true => {
            let requests = tonic::Request::new(tokio_stream::once(call.body.clone()));
            match client.streaming(requests, path, Raw).await {
                Ok(answer) => answer.into_inner().message().await.map(drop),
                Err(status) => Err(status),
            }
        }
        false => client.unary(request, path, Raw).await.map(drop),
    };
    accept(&call, answer)
}

fn accept(call: &Call, answer: Result<(), Status>) -> Result<()> {
    let about = || format!("{} with {} bytes", call.path, call.body.len());
    match (&answer, call.expected) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(expected)) => bail!("{} was accepted, not {expected:?}", about()),
        (Err(status), Some(expected)) => {
            ensure!(expected.contains(&status.code()), "{}: {status:?}", about());
            ensure!(!status.message().is_empty() || status.code() == Code::Unimplemented);
            Ok(())
        }
        (Err(status), None) => {
            let lost = [
                Code::Unavailable,
                Code::DeadlineExceeded,
                Code::DataLoss,
                Code::Aborted,
            ];
            ensure!(!lost.contains(&status.code()), "{}: {status:?}", about());
            Ok(())
        }
    }
}

/// Passes bytes through as they are.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
