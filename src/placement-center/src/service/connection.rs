//! One client connection: HTTP/2 or HTTP/1 with bounds on everything that a client may make the server keep.

use super::dispatch::Dispatch;
use super::{Context, server};
use crate::http::WriteDeadline;
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// A client that has not sent its HTTP/2 preface and settings, or a request of HTTP/1, by then is let go.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// The preface (24 bytes) and the header of a settings frame (9): nobody speaks HTTP/2 with less, and a request
/// of HTTP/1 that names its host has more.
const HANDSHAKE_BYTES: usize = 33;
/// How long the head of a request of HTTP/1 may take, and how long such a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// Longest head of a request of HTTP/1; its body streams through as much.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Header lines of a request of HTTP/1; ordinary clients send about ten.
const HEADERS_MAX: usize = 64;
/// How long an answer may make no progress because the client does not read.
const WRITE_TIME: Duration = Duration::from_secs(30);

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

/// How long a closed connection is still read after its last answer was sent.
const LINGER_TIME: Duration = Duration::from_millis(300);
/// Bytes a lingering connection reads at a time.
const LINGER_BYTES: usize = 16 * 1024;

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

/// Both versions of HTTP on one port: a client of HTTP/2 says so in its first bytes.
pub(super) fn builder(context: &Context, requests: &TaskTracker) -> Builder<RequestExecutor> {
    let mut builder = Builder::new(RequestExecutor(requests.clone()));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
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
    let (socket, mut returned) = Counted::new(stream);
    let received = Arc::clone(&socket.received);
    let ended = {
        let connection = builder.serve_connection(
            TokioIo::new(WriteDeadline::new(socket, WRITE_TIME)),
            dispatch,
        );
        serve_until_end(pin!(connection), &received, &context).await
    };
    if ended == Ended::Closed
        && context.draining.is_cancelled()
        && let Ok(stream) = returned.try_recv()
    {
        linger(stream).await;
    }
    ended
}

type Connection<'a> = hyper_util::server::conn::auto::Connection<
    'a,
    TokioIo<WriteDeadline<Counted>>,
    Dispatch,
    RequestExecutor,
>;

async fn serve_until_end(
    mut connection: Pin<&mut Connection<'_>>,
    received: &AtomicUsize,
    context: &Context,
) -> Ended {
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

/// Reads and drops what the client still sends, until it has seen that the connection is over.
///
/// Closing a socket that holds unread bytes makes the kernel reset the connection, and a reset throws away
/// answers that the client has received but not yet read: writes would be applied and never answered.
async fn linger(mut stream: TcpStream) {
    let reading = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut rest = vec![0; LINGER_BYTES];
        while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {}
    };
    // A client that goes on for longer has had the time to read its answers.
    let _ = tokio::time::timeout(LINGER_TIME, reading).await;
}

/// A socket that counts what it receives, and is handed back instead of closed.
struct Counted {
    stream: Option<TcpStream>,
    received: Arc<AtomicUsize>,
    returned_tx: Option<oneshot::Sender<TcpStream>>,
}

impl Counted {
    /// The socket, and where it arrives again once hyper has dropped it.
    fn new(stream: TcpStream) -> (Counted, oneshot::Receiver<TcpStream>) {
        let (returned_tx, returned_rx) = oneshot::channel();
        let counted = Counted {
            stream: Some(stream),
            received: Arc::new(AtomicUsize::new(0)),
            returned_tx: Some(returned_tx),
        };
        (counted, returned_rx)
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        let stream = self.stream.as_mut();
        Pin::new(stream.expect("the socket is taken out by the drop alone"))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let (Some(stream), Some(returned_tx)) = (self.stream.take(), self.returned_tx.take()) {
            // Nobody waits for the socket of a connection that was cut.
            let _ = returned_tx.send(stream);
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = self.stream().poll_read(task, buffer);
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
        self.stream().poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(task)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(task, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// More than a lingering connection reads at once, so that some is unread when the answer is sent.
    const SENT_BYTES: usize = 8 * LINGER_BYTES;

    #[tokio::test]
    async fn an_answer_reaches_a_client_that_still_sends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let mut client = TcpStream::connect(address).await.expect("connect");
        let (mut server, _) = listener.accept().await.expect("accept");
        client.write_all(&[0; SENT_BYTES]).await.expect("send");
        server.write_all(b"the answer").await.expect("answer");
        linger(server).await;
        let mut received = Vec::new();
        let end = client.read_to_end(&mut received).await;
        assert!(end.is_ok(), "the connection was reset: {end:?}");
        assert_eq!(received, b"the answer");
    }
}
