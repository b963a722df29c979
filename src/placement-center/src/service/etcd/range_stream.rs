//! `KV.RangeStream`: a range of any size in bounded memory. One revision is chosen at the start and every
//! chunk is read at it; between two chunks nothing of the store is held, so a slow client costs nothing.
//! The price: a compaction above that revision ends the stream with "compacted".

use crate::kv::{self, PageRequest};
use crate::service::call::Call;
use crate::service::{Context, Deadline, Failure};
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{self, Stream};
use protocol::etcdserverpb::range_request::{SortOrder, SortTarget};
use protocol::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse, ResponseHeader};
use std::pin::Pin;
use std::sync::Arc;
use tonic::{Code, Response, Status};

/// Keys of a chunk at most.
const CHUNK_KEYS_MAX: usize = 1000;
/// A chunk ends with the key that brings it to this many bytes. Well below what clients accept in one
/// message, which is 4 MiB, even when the last value is as large as a value can be.
const CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// Chunks of an answer, in order.
pub type ChunkStream = Pin<Box<dyn Stream<Item = Result<RangeStreamResponse, Status>> + Send>>;

/// What is left to send.
struct Rest {
    context: Arc<Context>,
    call: Call,
    page: PageRequest,
    /// Keys that the client's limit leaves; `None` when it set none.
    keys_left: Option<usize>,
    header: ResponseHeader,
    count: i64,
}

/// Checks the request, chooses its revision and counts its keys; the stream reads the rest chunk by chunk.
pub(super) async fn open(
    context: Arc<Context>,
    mut call: Call,
    request: RangeRequest,
) -> Result<Response<ChunkStream>, Status> {
    let first = match count(&context, &request, call.deadline()).await {
        Ok(counted) => counted,
        Err(failure) => return call.finish_etcd(Err(failure)),
    };
    let header = context.header(first.header.map_or(0, |header| header.revision));
    if request.count_only {
        call.end(Code::Ok);
        let only = chunk(Vec::new(), Some((header, false, first.count)));
        return Ok(Response::new(Box::pin(stream::iter([Ok(only)]))));
    }
    let revision = if request.revision > 0 {
        request.revision
    } else {
        header.revision
    };
    let rest = Rest {
        context,
        call,
        page: PageRequest {
            key: request.key,
            range_end: request.range_end,
            revision,
            keys_max: CHUNK_KEYS_MAX,
            bytes_max: CHUNK_BYTES_MAX,
            keys_only: request.keys_only,
        },
        keys_left: usize::try_from(request.limit)
            .ok()
            .filter(|limit| *limit > 0),
        header,
        count: first.count,
    };
    Ok(Response::new(Box::pin(stream::unfold(Some(rest), next))))
}

/// The count, which also tells whether the revision can be read.
async fn count(
    context: &Arc<Context>,
    request: &RangeRequest,
    deadline: Deadline,
) -> Result<RangeResponse, Failure> {
    kv::check_range(request)?;
    let in_key_order = request.sort_target == i32::from(SortTarget::Key)
        && request.sort_order != i32::from(SortOrder::Descend);
    let filters = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    if !in_key_order || filters != [0; 4] {
        return Err(Failure::Unsupported(
            "a range stream has key order and no revision filters",
        ));
    }
    let counting = RangeRequest {
        count_only: true,
        limit: 0,
        ..request.clone()
    };
    context.range(counting, deadline).await
}

async fn next(rest: Option<Rest>) -> Option<(Result<RangeStreamResponse, Status>, Option<Rest>)> {
    let mut rest = rest?;
    match rest.read().await {
        Ok((chunk, true)) => {
            rest.call.end(Code::Ok);
            Some((Ok(chunk), None))
        }
        Ok((chunk, false)) => Some((Ok(chunk), Some(rest))),
        Err(failure) => {
            let status = failure.into_etcd_status();
            rest.call.end(status.code());
            Some((Err(status), None))
        }
    }
}

impl Rest {
    /// The next chunk, and whether it is the last.
    async fn read(&mut self) -> Result<(RangeStreamResponse, bool), Failure> {
        let page = PageRequest {
            keys_max: self
                .keys_left
                .map_or(CHUNK_KEYS_MAX, |left| left.min(CHUNK_KEYS_MAX)),
            ..self.page.clone()
        };
        let deadline = Deadline::after(self.context.limits().request_timeout);
        let page = self
            .context
            .read(true, deadline, move |view| kv::page(view, &page))
            .await?;
        if let Some(left) = &mut self.keys_left {
            *left -= page.kvs.len().min(*left);
        }
        let limit_reached = self.keys_left == Some(0);
        if let Some(last) = page.kvs.last().filter(|_| page.more && !limit_reached) {
            self.page.key = successor(&last.key);
            return Ok((chunk(page.kvs, None), false));
        }
        Ok((
            chunk(page.kvs, Some((self.header, page.more, self.count))),
            true,
        ))
    }
}

/// A chunk; the last one says what the others leave open.
fn chunk(
    kvs: Vec<protocol::mvccpb::KeyValue>,
    last: Option<(ResponseHeader, bool, i64)>,
) -> RangeStreamResponse {
    let mut response = RangeResponse {
        kvs,
        ..RangeResponse::default()
    };
    if let Some((header, more, count)) = last {
        response = RangeResponse {
            header: Some(header),
            more,
            count,
            ..response
        };
    }
    RangeStreamResponse {
        range_response: Some(response),
    }
}

/// The first key behind `key`.
pub(in crate::service) fn successor(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}
