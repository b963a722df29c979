//! What every request passes on its way in and out: the panic net, counting, the body limit, the time
//! limit, and the cut at shutdown. Also reads bodies, because only here are both limits known.

use super::error::ApiError;
use crate::service::Outcome;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::FutureExt;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A request may take this many times `limits.request_timeout` in all: once for its body to arrive and
/// once for the work, which the services bound themselves; the rest is the net below both.
const WHOLE_REQUEST_FACTOR: u32 = 3;

/// The limits every request meets.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest body.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive.
    pub timeout: Duration,
    /// Cancelled when the drain of a shutdown is over: what is still in flight is answered at once.
    pub cut: CancellationToken,
    /// Answers by route and status, and panics.
    pub counters: Arc<Counters>,
}

/// Requests answered so far.
#[derive(Debug, Default)]
pub struct Counters {
    /// By route pattern (so bounded by the number of routes), then status. Taken once a request, for
    /// the time of an increment.
    handled: Mutex<BTreeMap<(String, u16), u64>>,
    panics: AtomicU64,
}

impl Counters {
    fn count(&self, route: &str, status: StatusCode) {
        *self
            .handled
            .lock()
            .entry((route.to_owned(), status.as_u16()))
            .or_insert(0) += 1;
    }

    /// A copy of the answers by (route, status).
    pub fn handled(&self) -> BTreeMap<(String, u16), u64> {
        self.handled.lock().clone()
    }

    /// Handlers that panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

/// The middleware around every route and fallback.
pub async fn guard(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let writes = [Method::PUT, Method::POST, Method::DELETE].contains(request.method());
    let response = match declared_too_large(&request, limits.body_bytes_max) {
        true => ApiError::body_too_large(limits.body_bytes_max).into_response(),
        false => bounded(&limits, writes, &route, next.run(request)).await,
    };
    limits.counters.count(&route, response.status());
    response
}

async fn bounded(
    limits: &Limits,
    writes: bool,
    route: &str,
    answer: impl Future<Output = Response>,
) -> Response {
    // A write that is given up here may already be in the log.
    let unknown = |error: ApiError| {
        if writes {
            error.with_outcome(Outcome::Unknown)
        } else {
            error
        }
    };
    let answer = AssertUnwindSafe(answer).catch_unwind();
    tokio::select! {
        biased;
        answered = answer => answered.unwrap_or_else(|panic| {
            limits.counters.panics.fetch_add(1, Ordering::Relaxed);
            log::error!("the handler of {route} panicked: {}", panic_text(panic.as_ref()));
            unknown(ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the server failed to handle this request",
                "this is a bug: see the server log, and report it",
            ))
            .into_response()
        }),
        () = limits.cut.cancelled() => unknown(ApiError::stopping()).into_response(),
        () = tokio::time::sleep(limits.timeout * WHOLE_REQUEST_FACTOR) => unknown(ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            "the request took too long",
            "retry; if it persists, look at /readyz?verbose and at the disk",
        ))
        .into_response(),
    }
}

/// The text of a panic, when it has one.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

fn declared_too_large(request: &Request, bytes_max: usize) -> bool {
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    declared
        .and_then(|length| length.parse::<u64>().ok())
        .is_some_and(|length| length > bytes_max as u64)
}

/// Reads a whole body within the limits.
pub async fn read_body(body: Body, limits: &Limits) -> Result<Bytes, ApiError> {
    let reading = Limited::new(body, limits.body_bytes_max).collect();
    match tokio::time::timeout(limits.timeout, reading).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(ApiError::body_too_large(limits.body_bytes_max))
        }
        Ok(Err(error)) => Err(ApiError::bad_request(
            format!("the request body broke off: {error}"),
            "send as many bytes as content-length says",
        )),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the request body did not arrive in time",
            "send the body at once, or raise limits.request_timeout_ms",
        )),
    }
}

/// No route has this path.
pub async fn not_found(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "route_not_found",
        format!("no route {}", request.uri().path()),
        "routes: /health /livez /readyz /version /metrics /v1/status /v1/config /v1/log-level /v1/kv /v1/kv/{key}",
    )
}

/// The path exists, the method does not. The router adds the `Allow` header.
pub async fn method_not_allowed(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!(
            "{} is not allowed on {}",
            request.method(),
            request.uri().path()
        ),
        "the Allow header lists the methods of this path",
    )
}
