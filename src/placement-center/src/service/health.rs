//! `grpc.health.v1`: a service is SERVING while this node knows a leader, because without one it can answer
//! nothing but serializable reads.

use super::Context;
use futures::stream::{self, Stream};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// How often a watch looks whether the answer has changed. A fraction of an election, so that a watcher
/// learns of a lost leader about as soon as the node does.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// Services that can be asked about; the empty name is the whole server.
const SERVICES: [&str; 5] = [
    "",
    "etcdserverpb.KV",
    "etcdserverpb.Cluster",
    "etcdserverpb.Maintenance",
    "placement.v1.KvService",
];

/// The service.
#[derive(Clone)]
pub(super) struct HealthService {
    context: Arc<Context>,
}

impl HealthService {
    pub(super) fn new(context: Arc<Context>) -> HealthService {
        HealthService { context }
    }
}

impl Context {
    fn serving_status(&self) -> ServingStatus {
        if self.handle.status().leader.is_some() && !self.draining.is_cancelled() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = WatchStream;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("service is not known"));
        }
        Ok(Response::new(response(self.context.serving_status())))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<WatchStream>, Status> {
        let is_known = SERVICES.contains(&request.get_ref().service.as_str());
        let first = (Arc::clone(&self.context), is_known, None);
        Ok(Response::new(Box::pin(stream::unfold(first, next))))
    }
}

type Watch = (Arc<Context>, bool, Option<ServingStatus>);

/// The next status that differs from the one sent last; the end when the listener drains.
async fn next(
    (context, is_known, sent): Watch,
) -> Option<(Result<HealthCheckResponse, Status>, Watch)> {
    let current = || {
        if is_known {
            context.serving_status()
        } else {
            ServingStatus::ServiceUnknown
        }
    };
    while Some(current()) == sent {
        tokio::select! {
            () = context.draining.cancelled() => return None,
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
        }
    }
    let status = current();
    Some((Ok(response(status)), (context, is_known, Some(status))))
}
