//! From a request to the service that answers it, gRPC or JSON, and what must hold for every answer: a handler
//! that panics is an error of its one request, and a message that is too long is refused in etcd's words.

use super::etcd::cluster::ClusterService;
use super::etcd::kv::KvService;
use super::etcd::lease::LeaseService;
use super::etcd::maintenance::MaintenanceService;
use super::etcd::watch::WatchService;
use super::gateway::{Gateway, GatewayError};
use super::health::HealthService;
use super::metrics::Metrics;
use super::server::LOG_TARGET;
use super::{Context, Deadline, Failure, native, session};
use axum::Router;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use protocol::etcdserverpb::cluster_server::ClusterServer;
use protocol::etcdserverpb::kv_server::KvServer;
use protocol::etcdserverpb::lease_server::LeaseServer;
use protocol::etcdserverpb::maintenance_server::MaintenanceServer;
use protocol::etcdserverpb::watch_server::WatchServer;
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
    gateway: Gateway,
}

/// Why the services cannot be put together: the descriptors compiled into the program are damaged.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// Those that reflection tells clients.
    #[error("build the reflection service")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// Those that say what JSON becomes.
    #[error("build the JSON gateway")]
    Gateway(#[source] GatewayError),
}

type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

impl Dispatch {
    pub(super) fn new(context: Arc<Context>, pages: Router) -> Result<Dispatch, ServicesError> {
        let kv = KvServer::new(KvService::new(Arc::clone(&context)))
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let cluster = ClusterServer::new(ClusterService::new(Arc::clone(&context)));
        let lease = LeaseServer::new(LeaseService::new(Arc::clone(&context)));
        let maintenance = MaintenanceServer::new(MaintenanceService::new(Arc::clone(&context)));
        let native = KvServiceServer::new(native::kv::KvService::new(Arc::clone(&context)))
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let watch = WatchServer::new(WatchService::new(Arc::clone(&context)))
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let health = HealthServer::new(HealthService::new(Arc::clone(&context)));
        // The busy services too: the router knows what to say to a method that does not exist.
        let routes = Routes::new(kv.clone())
            .add_service(native.clone())
            .add_service(watch)
            .add_service(lease)
            .add_service(cluster)
            .add_service(maintenance)
            .add_service(health)
            .add_service(reflection().build_v1().map_err(ServicesError::Reflection)?)
            .add_service(
                reflection()
                    .build_v1alpha()
                    .map_err(ServicesError::Reflection)?,
            )
            .prepare();
        let gateway = Gateway::new(Arc::clone(&context), pages).map_err(ServicesError::Gateway)?;
        Ok(Dispatch {
            context,
            kv,
            native,
            routes,
            gateway,
        })
    }

    /// Answers a gRPC request, from the socket or from the gateway.
    pub(super) fn rpc(&self, request: Request<Body>) -> Answering {
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

    /// Answers anything else. The services catch their own panics; this net is below the gateway itself.
    fn plain(&self, request: Request<Body>) -> Answering {
        let (context, gateway) = (Arc::clone(&self.context), self.gateway.clone());
        let answering = gateway.answer(self.clone(), request);
        Box::pin(async move {
            let answered = caught(&context.metrics, answering).await;
            answered.unwrap_or_else(|| {
                let mut broken = Response::new(Body::empty());
                *broken.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                broken
            })
        })
    }
}

/// Whether a request is gRPC. HTTP/1 cannot carry it, whatever it says.
fn is_grpc<B>(request: &Request<B>) -> bool {
    let content = request.headers().get(header::CONTENT_TYPE);
    request.version() == Version::HTTP_2
        && content.is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"))
}

fn reflection<'a>() -> tonic_reflection::server::Builder<'a> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(protocol::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

impl hyper::service::Service<Request<Incoming>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        futures::future::Map<Answering, fn(Response<Body>) -> Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let request = request.map(Body::new);
        let answering = match is_grpc(&request) {
            true => self.rpc(request),
            false => self.plain(request),
        };
        answering.map(Ok as fn(Response<Body>) -> Result<Response<Body>, Infallible>)
    }
}

async fn answer<S>(context: Arc<Context>, mut service: S, request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    if let Err(failure) = caught_up(&context, request.headers()).await {
        return failure.into_etcd_status().into_http();
    }
    guarded(&context.metrics, service.call(request)).await
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
    match caught(metrics, answering).await {
        Some(Ok(response)) => in_etcds_words(response),
        Some(Err(never)) => match never {},
        None => Failure::Broken.into_etcd_status().into_http(),
    }
}

/// What `answering` gives, or nothing if it panics.
async fn caught<F: Future>(metrics: &Metrics, answering: F) -> Option<F::Output> {
    let answered = AssertUnwindSafe(answering).catch_unwind().await;
    answered
        .inspect_err(|panic| {
            metrics.panics.fetch_add(1, Relaxed);
            let text = panic_text(panic.as_ref());
            log::error!(target: LOG_TARGET, "a handler panicked: {text}");
        })
        .ok()
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
