//! One RPC from begin to end: its deadline, what its metadata demands, and its place in the metrics.

use super::errors::{LEADER_ADDRESS_METADATA, LEADER_METADATA};
use super::metrics::Rpc;
use super::{Context, Deadline, Failure};
use std::sync::Arc;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

/// Set to `true` by etcd clients that prefer an error to an answer from a member without a leader.
const REQUIRE_LEADER_METADATA: &str = "hasleader";

/// A call in flight. Dropped unfinished, it counts as cancelled: its client went away.
pub(super) struct Call {
    context: Arc<Context>,
    rpc: Rpc,
    deadline: Deadline,
    finished: bool,
}

impl Call {
    /// Begins a call of the etcd services.
    pub(super) fn etcd<T>(
        context: &Arc<Context>,
        rpc: Rpc,
        request: Request<T>,
    ) -> Result<(Call, T), Status> {
        let call = Call::begin(context, rpc, &request);
        let is_refused =
            demands_leader(request.metadata()) && context.handle.status().leader.is_none();
        match is_refused {
            true => Err(call.refuse(Failure::NoLeader.into_etcd_status())),
            false => Ok((call, request.into_inner())),
        }
    }

    /// Whether the client prefers an error to an answer from a member without a leader.
    pub(super) fn demands_leader<T>(request: &Request<T>) -> bool {
        demands_leader(request.metadata())
    }

    /// Begins a call of the native services.
    pub(super) fn native<T>(context: &Arc<Context>, rpc: Rpc, request: Request<T>) -> (Call, T) {
        (Call::begin(context, rpc, &request), request.into_inner())
    }

    fn begin<T>(context: &Arc<Context>, rpc: Rpc, request: &Request<T>) -> Call {
        context.metrics.rpc(rpc).begin();
        let deadline = Deadline::of_request(request.metadata(), context.limits.request_timeout);
        Call {
            context: Arc::clone(context),
            rpc,
            deadline,
            finished: false,
        }
    }

    pub(super) fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Ends a call of the etcd services.
    pub(super) fn finish_etcd<T>(self, result: Result<T, Failure>) -> Result<Response<T>, Status> {
        self.finish(result.map_err(Failure::into_etcd_status))
    }

    /// Ends a call of the native services.
    pub(super) fn finish_native<T>(
        self,
        result: Result<T, Failure>,
    ) -> Result<Response<T>, Status> {
        self.finish(result.map_err(Failure::into_native_status))
    }

    fn finish<T>(mut self, result: Result<T, Status>) -> Result<Response<T>, Status> {
        self.end(result.as_ref().err().map_or(Code::Ok, Status::code));
        result
            .map(Response::new)
            .map_err(|status| self.context.with_leader_address(status))
    }

    fn refuse(mut self, status: Status) -> Status {
        self.end(status.code());
        status
    }

    /// Ends a call whose answer is sent otherwise. Counts the first time alone.
    pub(super) fn end(&mut self, code: Code) {
        if !std::mem::replace(&mut self.finished, true) {
            self.context
                .metrics
                .rpc(self.rpc)
                .end(code, self.deadline.elapsed());
        }
    }
}

impl Context {
    /// Adds where the leader is reached to a status that names it.
    fn with_leader_address(&self, mut status: Status) -> Status {
        let metadata = status.metadata();
        let leader = metadata
            .get(LEADER_METADATA)
            .and_then(|id| id.to_str().ok()?.parse().ok());
        let members = self.members();
        let record = leader.and_then(|leader| members.get(leader));
        let url = record.and_then(|record| record.client_urls.first()?.parse().ok());
        if let Some(url) = url {
            status.metadata_mut().insert(LEADER_ADDRESS_METADATA, url);
        }
        status
    }
}

fn demands_leader(metadata: &MetadataMap) -> bool {
    let demand = metadata.get(REQUIRE_LEADER_METADATA);
    demand.is_some_and(|value| value.as_bytes() == b"true")
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}
