//! The unary RPCs of `placement.v1.KvService`, and the door to its pipeline.

use super::pipeline::Pipeline;
use super::translate;
use crate::kv;
use crate::service::call::Call;
use crate::service::metrics::Rpc;
use crate::service::{Context, Deadline, Failure};
use protocol::placement::v1::kv_service_server::KvService as Service;
use protocol::placement::v1::{
    DeleteRequest, DeleteResponse, ExistsRequest, ExistsResponse, GetRequest, GetResponse,
    ListPrefixRequest, ListPrefixResponse, PipelineRequest, SetRequest, SetResponse,
};
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

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

    pub(crate) async fn list(
        &self,
        request: ListPrefixRequest,
        deadline: Deadline,
    ) -> Result<ListPrefixResponse, Failure> {
        let (page, serializable) = translate::list_page(request)?;
        if !serializable {
            self.context.read_barrier(deadline).await?;
        }
        let page = self
            .context
            .read(true, deadline, move |view| kv::page(view, &page))
            .await?;
        Ok(ListPrefixResponse {
            // What later pages are pinned to, so the revision read and not the newest one.
            revision: page.read_at,
            items: page.kvs.into_iter().map(translate::item).collect(),
            more: page.more,
        })
    }

    pub(crate) async fn written(
        &self,
        request: SetRequest,
        deadline: Deadline,
    ) -> Result<SetResponse, Failure> {
        self.context.check_quota()?;
        translate::set_response(
            self.context
                .write(translate::encode_set(request)?, deadline)
                .await?,
        )
    }

    pub(crate) async fn deleted(
        &self,
        request: DeleteRequest,
        deadline: Deadline,
    ) -> Result<DeleteResponse, Failure> {
        translate::delete_response(
            self.context
                .write(translate::encode_delete(request)?, deadline)
                .await?,
        )
    }

    pub(crate) async fn got(
        &self,
        request: GetRequest,
        deadline: Deadline,
    ) -> Result<GetResponse, Failure> {
        let range = translate::get_range(request)?;
        Ok(translate::get_response(
            self.context.range(range, deadline).await?,
        ))
    }

    async fn existed(
        &self,
        request: ExistsRequest,
        deadline: Deadline,
    ) -> Result<ExistsResponse, Failure> {
        let range = translate::exists_range(request)?;
        Ok(translate::exists_response(
            self.context.range(range, deadline).await?,
        ))
    }
}

#[tonic::async_trait]
impl Service for KvService {
    type PipelineStream = Pipeline;

    async fn set(&self, request: Request<SetRequest>) -> Result<Response<SetResponse>, Status> {
        let (call, request) = Call::native(&self.context, Rpc::Set, request);
        let written = self.written(request, call.deadline()).await;
        call.finish_native(written)
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let (call, request) = Call::native(&self.context, Rpc::Get, request);
        let got = self.got(request, call.deadline()).await;
        call.finish_native(got)
    }

    async fn delete(
        &self,
        request: Request<DeleteRequest>,
    ) -> Result<Response<DeleteResponse>, Status> {
        let (call, request) = Call::native(&self.context, Rpc::Delete, request);
        let deleted = self.deleted(request, call.deadline()).await;
        call.finish_native(deleted)
    }

    async fn exists(
        &self,
        request: Request<ExistsRequest>,
    ) -> Result<Response<ExistsResponse>, Status> {
        let (call, request) = Call::native(&self.context, Rpc::Exists, request);
        let existed = self.existed(request, call.deadline()).await;
        call.finish_native(existed)
    }

    async fn list_prefix(
        &self,
        request: Request<ListPrefixRequest>,
    ) -> Result<Response<ListPrefixResponse>, Status> {
        let (call, request) = Call::native(&self.context, Rpc::ListPrefix, request);
        let listed = self.list(request, call.deadline()).await;
        call.finish_native(listed)
    }

    async fn pipeline(
        &self,
        request: Request<Streaming<PipelineRequest>>,
    ) -> Result<Response<Pipeline>, Status> {
        let (call, requests) = Call::native(&self.context, Rpc::Pipeline, request);
        Ok(Response::new(Pipeline::new(
            Arc::clone(&self.context),
            call,
            requests,
        )))
    }
}
