//! One client connection: HTTP/2 with bounds on everything that a client may make the server keep.

use super::dispatch::Dispatch;
use super::{Context, server};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

/// A client that has not sent its HTTP/2 preface and settings by then is let go.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// The preface (24 bytes) and the header of a settings frame (9): nobody speaks HTTP/2 with less.
const HANDSHAKE_BYTES: usize = 33;

/// After this much silence a client is asked whether it lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// A client that does not answer for this long is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of one request that a client may send before the server takes them: half of the longest message,
/// so that one of 1.5 MiB needs no more than one round of window updates.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// The same for all requests of a connection together.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Frames of this size carry a small request whole and do not make others wait long behind a large one.
const FRAME_BYTES_MAX: u32 = 64 * 1024;
/// All headers of one request.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// Answers of one stream that wait in memory for the client to read them.
const SEND_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Streams a client may reset before the server has looked at them; more is an attack (CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 20;
/// Streams the server may have to reset because of a client's errors before it lets the client go.
const ERROR_RESETS_MAX: usize = 256;

/// Runs the futures of requests where the server can wait for them.
#[derive(Clone)]
pub(super) struct RequestExecutor(pub(super) TaskTracker);

impl<F> Executor<F> for RequestExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// HTTP/2 alone today. The builder speaks both versions, so HTTP/1 can join it on the same port.
pub(super) fn builder(context: &Context, requests: &TaskTracker) -> Builder<RequestExecutor> {
    let mut builder = Builder::new(RequestExecutor(requests.clone())).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(context.limits.concurrent_streams_max)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Closed,
    HandshakeTimedOut,
}

/// Serves a connection until the client leaves, or until its requests are answered after the listener
/// began to drain.
pub(super) async fn serve(
    stream: TcpStream,
    builder: Builder<RequestExecutor>,
    dispatch: Dispatch,
    context: Arc<Context>,
) -> Ended {
    let received = Arc::new(AtomicUsize::new(0));
    let io = TokioIo::new(Counted {
        stream,
        received: Arc::clone(&received),
    });
    let mut connection = pin!(builder.serve_connection(io, dispatch));
    let mut handshake = pin!(tokio::time::sleep(HANDSHAKE_TIME));
    let mut draining = pin!(context.draining.cancelled());
    let (mut is_awaited, mut is_draining) = (true, false);
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    log::debug!(target: server::LOG_TARGET, "a connection ended: {error}");
                }
                return Ended::Closed;
            }
            () = handshake.as_mut(), if is_awaited => {
                if received.load(Relaxed) < HANDSHAKE_BYTES {
                    return Ended::HandshakeTimedOut;
                }
                is_awaited = false;
            }
            () = draining.as_mut(), if !is_draining => {
                connection.as_mut().graceful_shutdown();
                is_draining = true;
            }
        }
    }
}

/// A socket that counts what it receives.
struct Counted {
    stream: TcpStream,
    received: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(task, buffer);
        self.received
            .fetch_add(buffer.filled().len() - before, Relaxed);
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(task, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
