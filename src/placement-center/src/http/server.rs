//! The HTTP/1.1 listener: accepts, bounds every connection, and ends them in order.
//!
//! What it bounds: connections, the head of a request in bytes and time (which is also how long an idle
//! connection is kept), and how long an answer may find no reader. Bodies and handlers are bounded by
//! `layers`. hyper is driven directly, because `axum::serve` offers none of these.

use super::error::ApiError;
use super::write_deadline::WriteDeadline;
use axum::Router;
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longest request head, which also bounds a percent-encoded key in the path.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Memory for what was read of a connection but not yet passed on; bodies stream through it.
const BUFFER_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;

/// Header lines of one request; ordinary clients send about ten.
const HEADERS_MAX: usize = 64;

/// How long an unfinished request head, or an idle connection, is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may make no progress because the client does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// At shutdown, how long a connection that has not finished its first request head is waited for.
const UNUSED_CONNECTION_GRACE: Duration = Duration::from_millis(100);

/// Pause after a failed accept (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds that come with the configuration or differ in tests.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections served at once; one more is answered 503 and closed.
    pub connections_max: usize,
    /// See [`HEAD_TIMEOUT`].
    pub head_timeout: Duration,
    /// See [`WRITE_TIMEOUT`].
    pub write_timeout: Duration,
}

impl Bounds {
    /// The production bounds, with this many connections.
    pub fn with_connections(connections_max: usize) -> Bounds {
        Bounds {
            connections_max,
            head_timeout: HEAD_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
        }
    }
}

/// Serves `router` until `shutdown`, then returns once every connection has finished its request. The
/// caller sets the deadline for that by dropping the future, which closes what is left.
///
/// # Panics
/// Passes on a panic of a connection's task: handlers catch theirs, so such a panic is a bug here and
/// must stop the node rather than pass unseen.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(bounds.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(finished) = connections.join_next() => {
                pass_on_panic(finished);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => match Arc::clone(&slots).try_acquire_owned() {
                Ok(slot) => {
                    connections.spawn(connection(
                        stream,
                        slot,
                        router.clone(),
                        bounds,
                        shutdown.clone(),
                    ));
                }
                Err(_) => refuse(stream).await,
            },
            Err(error) => {
                log::warn!("accept an HTTP connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while let Some(finished) = connections.join_next().await {
        pass_on_panic(finished);
    }
}

fn pass_on_panic(finished: Result<(), tokio::task::JoinError>) {
    if let Err(error) = finished
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

async fn connection(
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
    router: Router,
    bounds: Bounds,
    shutdown: CancellationToken,
) {
    // Answers are one or two writes; waiting to fill a packet only adds delay. Failure costs nothing else.
    let _ = stream.set_nodelay(true);
    let used = Arc::new(AtomicBool::new(false));
    let router = TowerToHyperService::new(router);
    let service = {
        let used = Arc::clone(&used);
        hyper::service::service_fn(move |request| {
            used.store(true, Ordering::Relaxed);
            router.call(request)
        })
    };
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(
            TokioIo::new(WriteDeadline::new(stream, bounds.write_timeout)),
            service,
        );
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = shutdown.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            // hyper closes an idle connection at once and one in a request after the answer, but would
            // wait out the head timeout of one whose first request has begun to arrive.
            serving.as_mut().graceful_shutdown();
            if used.load(Ordering::Relaxed) {
                serving.as_mut().await
            } else {
                finish_unused(serving.as_mut(), &used).await
            }
        }
    };
    if let Err(error) = ended {
        // The client's doing (reset, bad syntax, too slow): of interest only when someone looks for it.
        log::debug!("HTTP connection: {error}");
    }
    drop(slot);
}

/// Gives a connection without a request a moment to turn out to have one in flight.
async fn finish_unused<F>(mut serving: F, used: &AtomicBool) -> hyper::Result<()>
where
    F: Future<Output = hyper::Result<()>> + Unpin,
{
    match tokio::time::timeout(UNUSED_CONNECTION_GRACE, &mut serving).await {
        Ok(ended) => ended,
        Err(_) if used.load(Ordering::Relaxed) => serving.await,
        Err(_) => Ok(()),
    }
}

/// Tells a client beyond the connection limit why it is not served. Best effort: one write into an
/// empty socket buffer, no task, no waiting.
async fn refuse(stream: TcpStream) {
    let error = ApiError::new(
        http::StatusCode::SERVICE_UNAVAILABLE,
        "too_many_connections",
        "all connections of this listener are in use",
        "close idle connections, or raise limits.connections_max",
    );
    let response = error.into_response();
    let Ok(body) = response.into_body().collect().await else {
        return;
    };
    let body = body.to_bytes();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    }
}
