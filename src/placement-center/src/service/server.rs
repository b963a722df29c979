//! The gRPC listener: accepts no more connections than allowed, owns each one's task, and drains them.

use super::connection::{self, Ended};
use super::dispatch::{Dispatch, ServicesError};
use super::{Context, Deadline};
use axum::Router;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

pub use super::dispatch::MESSAGE_BYTES_MAX;

/// Where this listener logs.
pub(super) const LOG_TARGET: &str = "grpc";

/// Pause after a failed accept. It fails for want of file descriptors or memory, and trying at once would
/// only burn the processor that is needed to give some back.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// What requests get to send their answers once they have been cut.
const CLOSE_TIME: Duration = Duration::from_millis(500);

/// Serves the services, and `pages` beside the JSON gateway, until `shutdown`, then takes no more connections or requests, and returns when those in flight
/// are answered. Requests that are not by `limits.shutdown_timeout` are answered with "server stopped", and
/// so are all when the node cuts them earlier (see [`super::Parts::cut`]).
///
/// # Errors
/// Before anything is served, when the services cannot be put together.
pub async fn serve(
    listener: TcpListener,
    context: Arc<Context>,
    pages: Router,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServicesError> {
    let requests = TaskTracker::new();
    let mut connections = Connections {
        dispatch: Dispatch::new(Arc::clone(&context), pages)?,
        requests: requests.clone(),
        running: JoinSet::new(),
        places: Arc::new(Semaphore::new(context.limits.connections_max)),
        context: Arc::clone(&context),
    };
    {
        let mut shutdown = pin!(shutdown);
        let mut listener = Some(listener);
        while let Some(open) = &listener {
            tokio::select! {
                () = shutdown.as_mut() => listener = None,
                (stream, place) = accept(open, Arc::clone(&connections.places)) => connections.serve(stream, place),
                Some(ended) = connections.running.join_next() => connections.ended(ended),
            }
        }
    }
    context.draining.cancel();
    requests.close();
    let deadline = Deadline::after(context.limits.shutdown_timeout);
    if deadline
        .within(&context.cut, connections.join())
        .await
        .is_err()
    {
        context.cut.cancel();
        if tokio::time::timeout(CLOSE_TIME, connections.join())
            .await
            .is_err()
        {
            log::warn!(target: LOG_TARGET, "{} connections did not close in time", connections.running.len());
        }
    }
    connections.running.shutdown().await;
    // A request whose client has gone may still wait for its reply. `cut` ends that, but it also ends
    // what the HTTP API has in flight, so it comes only when waiting did not help.
    if tokio::time::timeout(CLOSE_TIME, requests.wait())
        .await
        .is_err()
    {
        context.cut.cancel();
        if tokio::time::timeout(CLOSE_TIME, requests.wait())
            .await
            .is_err()
        {
            log::warn!(target: LOG_TARGET, "{} requests did not end in time", requests.len());
        }
    }
    Ok(())
}

/// The next connection and its place among those allowed. Without a place nothing is accepted: clients wait
/// in the kernel's queue, which has a bound of its own. Cancel-safe.
async fn accept(
    listener: &TcpListener,
    places: Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there is always a place in the end.
    let place = places.acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                log::warn!(target: LOG_TARGET, "accept a connection: {error}");
                tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
            }
        }
    }
}

struct Connections {
    context: Arc<Context>,
    dispatch: Dispatch,
    requests: TaskTracker,
    running: JoinSet<Ended>,
    places: Arc<Semaphore>,
}

impl Connections {
    fn serve(&mut self, stream: TcpStream, place: Option<OwnedSemaphorePermit>) {
        if let Err(error) = stream.set_nodelay(true) {
            log::debug!(target: LOG_TARGET, "a connection ended at once: {error}");
            return;
        }
        let context = Arc::clone(&self.context);
        context.metrics.connections_accepted.fetch_add(1, Relaxed);
        context.metrics.connections.fetch_add(1, Relaxed);
        let builder = connection::builder(&context, &self.requests);
        let dispatch = self.dispatch.clone();
        self.running.spawn(async move {
            let _place = place;
            let _open = Open(Arc::clone(&context));
            connection::serve(stream, builder, dispatch, context).await
        });
    }

    fn ended(&self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(Ended::Closed) => {}
            Ok(Ended::HandshakeTimedOut) => {
                self.context
                    .metrics
                    .handshakes_timed_out
                    .fetch_add(1, Relaxed);
            }
            Err(error) => {
                self.context.metrics.panics.fetch_add(1, Relaxed);
                log::error!(target: LOG_TARGET, "a connection's task failed: {error}");
            }
        }
    }

    /// Waits until all have ended. Cancel-safe.
    async fn join(&mut self) {
        while let Some(ended) = self.running.join_next().await {
            self.ended(ended);
        }
    }
}

/// Counts a connection down, however it ends.
struct Open(Arc<Context>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.connections.fetch_sub(1, Relaxed);
    }
}
