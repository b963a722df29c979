//! `etcdserverpb.KV`: translates nothing, the store speaks these messages. Completes their headers.

use super::range_stream::{self, ChunkStream};
use crate::service::Context;
use crate::service::call::Call;
use crate::service::metrics::Rpc;
use protocol::etcdserverpb::kv_server::Kv;
use protocol::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse,
};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct KvService {
    context: Arc<Context>,
}

impl KvService {
    /// Serves `context`'s store.
    pub fn new(context: Arc<Context>) -> KvService {
        KvService { context }
    }

    /// The store fills the revision alone.
    fn completed(&self, header: Option<ResponseHeader>) -> Option<ResponseHeader> {
        Some(
            self.context
                .header(header.map_or(0, |header| header.revision)),
        )
    }
}

#[tonic::async_trait]
impl Kv for KvService {
    type RangeStreamStream = ChunkStream;

    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::Range, request)?;
        let reply = self.context.range(request, call.deadline()).await;
        call.finish_etcd(reply.map(|reply| RangeResponse {
            header: self.completed(reply.header),
            ..reply
        }))
    }

    async fn range_stream(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<ChunkStream>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::RangeStream, request)?;
        range_stream::open(Arc::clone(&self.context), call, request).await
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::Put, request)?;
        let reply = self.context.put(request, call.deadline()).await;
        call.finish_etcd(reply.map(|reply| PutResponse {
            header: self.completed(reply.header),
            ..reply
        }))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::DeleteRange, request)?;
        let reply = self.context.delete_range(request, call.deadline()).await;
        call.finish_etcd(reply.map(|reply| DeleteRangeResponse {
            header: self.completed(reply.header),
            ..reply
        }))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::Txn, request)?;
        let reply = self.context.txn(request, call.deadline()).await;
        call.finish_etcd(reply.map(|reply| TxnResponse {
            header: self.completed(reply.header),
            ..reply
        }))
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::Compact, request)?;
        let reply = self.context.compact(request, call.deadline()).await;
        call.finish_etcd(reply.map(|reply| CompactionResponse {
            header: self.completed(reply.header),
        }))
    }
}
