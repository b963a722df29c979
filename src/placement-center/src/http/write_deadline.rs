//! A stream that gives up on a peer that has stopped reading.
//!
//! hyper bounds how long a request head may take to arrive, the layers bound the body and the handler;
//! this bounds the last part, the answer: without it a client that never reads holds a connection slot
//! for ever.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Fails a write with `TimedOut` once no byte could be written for `timeout`.
pub struct WriteDeadline<S> {
    stream: S,
    timeout: Duration,
    timer: Pin<Box<Sleep>>,
    /// A write waits and the timer runs.
    waiting: bool,
}

impl<S> WriteDeadline<S> {
    /// Wraps `stream`.
    pub fn new(stream: S, timeout: Duration) -> WriteDeadline<S> {
        WriteDeadline {
            stream,
            timeout,
            timer: Box::pin(sleep(timeout)),
            waiting: false,
        }
    }

    /// Passes a finished write on; arms or checks the timer of one that cannot go on.
    fn bound(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        if !self.waiting {
            self.waiting = true;
            let deadline = Instant::now() + self.timeout;
            self.timer.as_mut().reset(deadline);
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer has stopped reading",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bound(context, written)
    }

    // Flush and shutdown pass through: on a socket they never wait, and counting a flush as progress
    // would restart the clock of a write that makes none.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bound(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Far below what a healthy test machine needs to notice, far above a scheduling hiccup.
    const TIMEOUT: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_peer_that_never_reads_is_given_up() {
        let (near, _far) = tokio::io::duplex(16);
        let mut stream = WriteDeadline::new(near, TIMEOUT);
        let written = tokio::time::timeout(TIMEOUT * 50, stream.write_all(&[7; 64])).await;
        let error = written
            .expect("the deadline ends the write")
            .expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_slow_peer_that_reads_is_served() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut stream = WriteDeadline::new(near, TIMEOUT);
        let reader = async {
            let mut received = vec![0; 64];
            far.read_exact(&mut received).await.map(|_| received)
        };
        let (written, received) = tokio::join!(stream.write_all(&[7; 64]), reader);
        written.expect("the peer reads");
        assert_eq!(received.expect("64 bytes"), [7; 64]);
    }
}
