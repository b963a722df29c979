//! From an HTTP/2 request to the service that answers it, and what must hold for every answer: a handler
//! that panics is an error of its one request, and a message that is too long is refused in etcd's words.

use super::etcd::cluster::ClusterService;
use super::etcd::kv::KvService;
use super::etcd::maintenance::MaintenanceService;
use super::health::HealthService;
use super::metrics::Metrics;
use super::server::LOG_TARGET;
use super::{Context, Deadline, Failure, native, session};
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::Incoming;
use protocol::etcdserverpb::cluster_server::ClusterServer;
use protocol::etcdserverpb::kv_server::KvServer;
use protocol::etcdserverpb::maintenance_server::MaintenanceServer;
use protocol::placement::v1::kv_service_server::KvServiceServer;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tower::Service;

/// Longest gRPC message taken, as in etcd: its request limit of 1.5 MiB and 512 KiB for what surrounds it.
pub const MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";

/// Start of the message with which the codec refuses a long message, as it stands in the header.
const CODEC_TOO_LARGE: &[u8] = b"Error, decoded message length too large";

/// Where the methods of the two services that carry the load are found.
const KV_PATH: &str = "/etcdserverpb.KV/";
const NATIVE_PATH: &str = "/placement.v1.KvService/";

/// All services of the listener; cheap to clone. Requests to the two busy services go there directly: the
/// router in front of the others costs as much as everything else between the frame and the handler.
#[derive(Clone)]
pub(super) struct Dispatch {
    context: Arc<Context>,
    kv: KvServer<KvService>,
    native: KvServiceServer<native::kv::KvService>,
    routes: Routes,
}

/// Why the services cannot be put together: the descriptors compiled into the program are damaged.
#[derive(Debug, thiserror::Error)]
#[error("build the reflection service")]
pub struct ReflectionError(#[source] tonic_reflection::server::Error);

impl Dispatch {
    pub(super) fn new(context: Arc<Context>) -> Result<Dispatch, ReflectionError> {
        let kv = KvServer::new(KvService::new(Arc::clone(&context)))
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let cluster = ClusterServer::new(ClusterService::new(Arc::clone(&context)));
        let maintenance = MaintenanceServer::new(MaintenanceService::new(Arc::clone(&context)));
        let native = KvServiceServer::new(native::kv::KvService::new(Arc::clone(&context)))
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let health = HealthServer::new(HealthService::new(Arc::clone(&context)));
        // The busy services too: the router knows what to say to a method that does not exist.
        let routes = Routes::new(kv.clone())
            .add_service(native.clone())
            .add_service(cluster)
            .add_service(maintenance)
            .add_service(health)
            .add_service(reflection().build_v1().map_err(ReflectionError)?)
            .add_service(reflection().build_v1alpha().map_err(ReflectionError)?)
            .prepare();
        Ok(Dispatch {
            context,
            kv,
            native,
            routes,
        })
    }
}

fn reflection<'a>() -> tonic_reflection::server::Builder<'a> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(protocol::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

impl hyper::service::Service<Request<Incoming>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let request = request.map(Body::new);
        let path = request.uri().path();
        let context = Arc::clone(&self.context);
        if path.starts_with(KV_PATH) {
            Box::pin(answer(context, self.kv.clone(), request))
        } else if path.starts_with(NATIVE_PATH) {
            Box::pin(answer(context, self.native.clone(), request))
        } else {
            Box::pin(answer(context, self.routes.clone(), request))
        }
    }
}

async fn answer<S>(
    context: Arc<Context>,
    mut service: S,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    if let Err(failure) = caught_up(&context, request.headers()).await {
        return Ok(failure.into_etcd_status().into_http());
    }
    Ok(guarded(&context.metrics, service.call(request)).await)
}

/// Waits until this node has the revision that the request demands.
async fn caught_up(context: &Context, headers: &HeaderMap) -> Result<(), Failure> {
    let Some(revision) = session::min_revision(headers)? else {
        return Ok(());
    };
    let deadline = Deadline::of_headers(headers, context.limits.request_timeout);
    context.reached(revision, deadline).await
}

/// What `answering` answers, or an error if it panics.
async fn guarded<F>(metrics: &Metrics, answering: F) -> Response<Body>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    match AssertUnwindSafe(answering).catch_unwind().await {
        Ok(Ok(response)) => in_etcds_words(response),
        Ok(Err(never)) => match never {},
        Err(panic) => {
            metrics.panics.fetch_add(1, Relaxed);
            log::error!(
                target: LOG_TARGET,
                "a gRPC handler panicked: {}",
                panic_text(panic.as_ref())
            );
            Failure::Broken.into_etcd_status().into_http()
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

/// The codec refuses a message over the limit with OUT_OF_RANGE and words of its own; clients of etcd know
/// RESOURCE_EXHAUSTED and "received message larger than max".
fn in_etcds_words(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    let Some(message) = headers.get(GRPC_MESSAGE) else {
        return response;
    };
    let decoded: Vec<u8> = percent_decoded(message.as_bytes());
    if decoded.starts_with(CODEC_TOO_LARGE) {
        let text = format!("grpc: received message larger than max ({MESSAGE_BYTES_MAX})");
        if let Ok(text) = HeaderValue::try_from(text) {
            headers.insert(GRPC_MESSAGE, text);
            headers.insert(
                GRPC_STATUS,
                HeaderValue::from(tonic::Code::ResourceExhausted as i32),
            );
        }
    }
    response
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_request() {
        let metrics = Metrics::default();
        let response = guarded(&metrics, async { panic!("a planted bug") }).await;
        assert_eq!(response.headers()[GRPC_STATUS], "13");
        assert_eq!(response.headers()["placement-outcome"], "unknown");
        assert_eq!(metrics.panics.load(Relaxed), 1);
    }
}
