//! Puts a node together and takes it apart: storage, state machine, consensus group, gRPC and HTTP.
//!
//! Owns the order of start and of shutdown and every task of the process. Where the configuration and
//! the signals come from belongs to the program that embeds the node.

mod announce;
mod error;
mod founding;
pub mod identity;
mod listeners;
pub(crate) mod peers;
mod promotion;
mod start;
mod tasks;

pub use error::{NotReady, RunError, StartError};
pub use listeners::{Addresses, BindError, Listeners};

use crate::admin::{Admin, Cluster};
use crate::config::Config;
use crate::http::LogLevel;
use crate::machine::Reply;
use consensus::{FatalError, Group, Handle, Role};
use peers::Requester;
use std::sync::Arc;
use std::time::Duration;
use tasks::{TaskEnd, Tasks};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// Share of the shutdown deadline that requests in flight get before they are answered with an error;
/// the other half is for the flush.
const DRAIN_SHARE: u32 = 2;

/// What the flush gets even if the drain has used up the deadline: an unflushed stop loses nothing, but
/// the next start replays more.
const FLUSH_TIME_MIN: Duration = Duration::from_millis(500);

/// How long the listeners may still take to send the last answers once the group has stopped.
const CLOSE_TIME: Duration = Duration::from_millis(500);

/// A node that serves.
pub struct Node {
    addresses: Addresses,
    shutdown_timeout: Duration,
    handle: Handle<Reply>,
    group: Group,
    requester: Requester,
    cluster: Arc<Cluster>,
    hand_over_time: Duration,
    tasks: Tasks,
    stop: CancellationToken,
    cut: CancellationToken,
}

/// Why a node stops.
enum Cause {
    Asked,
    Group(FatalError),
    Task(TaskEnd),
}

impl Node {
    /// Starts a node on listeners that are already bound: validates, locks and opens the data
    /// directory, starts consensus, serves. Returns when requests are accepted; wait for
    /// [`Node::ready`] to know that they are answered.
    ///
    /// # Errors
    /// The step that failed. Nothing keeps running then, and the directory is unlocked.
    pub async fn start(
        config: Config,
        listeners: Listeners,
        log_level: Arc<dyn LogLevel>,
    ) -> Result<Node, StartError> {
        start::start(config, listeners, log_level).await
    }

    /// Where the node listens; the real ports where the configuration said 0.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Where this node stands in its group.
    pub fn status(&self) -> Arc<consensus::Status> {
        self.handle.status()
    }

    /// The administration of the cluster.
    pub fn admin(&self) -> Arc<dyn Admin> {
        self.cluster.clone()
    }

    /// Tells, also while the node runs, when it answers requests.
    pub fn readiness(&self) -> Readiness {
        Readiness {
            handle: self.handle.clone(),
        }
    }

    /// [`Readiness::wait`].
    ///
    /// # Errors
    /// When the node is not ready within `time`.
    pub async fn ready(&self, time: Duration) -> Result<(), NotReady> {
        self.readiness().wait(time).await
    }

    /// Runs until `shutdown` resolves, then stops in order within `limits.shutdown_timeout`. Stops
    /// too, with the reason, when the consensus group or a task dies.
    ///
    /// # Errors
    /// What killed the node, or why it could not stop cleanly.
    pub async fn run_until(mut self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let cause = tokio::select! {
            fatal = self.group.failed() => Cause::Group(fatal),
            ended = self.tasks.next() => Cause::Task(ended),
            () = shutdown => Cause::Asked,
        };
        let time = self.shutdown_timeout;
        match cause {
            Cause::Asked => self.shutdown(time).await,
            Cause::Group(fatal) => {
                // The first error is the one to report; the second follows from it.
                let _ = self.shutdown(time).await;
                Err(RunError::Group(fatal))
            }
            Cause::Task(ended) => {
                let _ = self.shutdown(time).await;
                Err(ended.into_error())
            }
        }
    }

    /// Lets another member lead while this one still serves: what arrives meanwhile is forwarded, so that nobody
    /// waits for an election.
    async fn hand_over(&self) {
        let status = self.handle.status();
        if status.role != Role::Leader || status.voters.len() < 2 {
            return;
        }
        match timeout(self.hand_over_time, self.handle.transfer_leader(None)).await {
            Ok(Ok(leader)) => log::info!("node {leader} leads from now on"),
            Ok(Err(error)) => log::warn!("leadership was not handed over: {error}"),
            Err(_) => log::warn!("leadership was not handed over in time"),
        }
    }

    /// Stops the node: no new connections or requests, requests in flight finish, what is left at half
    /// of `time` is answered with "stopping", the state is flushed, every task is joined.
    ///
    /// # Errors
    /// When the group could not stop cleanly. Nothing acknowledged is lost even then: the log is
    /// durable before the acknowledgement.
    pub async fn shutdown(mut self, time: Duration) -> Result<(), RunError> {
        let deadline = Instant::now() + time;
        log::info!("stopping: no new requests, those in flight get {time:?}");
        self.hand_over().await;
        self.stop.cancel();
        let drained = timeout(time / DRAIN_SHARE, self.tasks.join()).await;
        if drained.is_err() {
            log::warn!("requests still in flight are answered with an error now");
        }
        self.cut.cancel();
        let flush_time = deadline
            .saturating_duration_since(Instant::now())
            .max(FLUSH_TIME_MIN);
        let stopped = self.group.shutdown(flush_time).await;
        if let Some(transport) = self.requester.transport() {
            transport.shutdown().await;
        }
        if timeout(CLOSE_TIME, self.tasks.join()).await.is_err() {
            log::warn!("connections whose clients do not read are closed");
        }
        let failed = self.tasks.abort().await;
        stopped.map_err(RunError::Group)?;
        failed.map_or(Ok(()), |ended| Err(ended.into_error()))?;
        log::info!("stopped");
        Ok(())
    }
}

/// Tells when a node answers requests.
#[derive(Clone)]
pub struct Readiness {
    handle: Handle<Reply>,
}

impl Readiness {
    /// Waits until the node has a leader and has passed a first read barrier, so that it answers
    /// every kind of request.
    ///
    /// # Errors
    /// When that has not happened within `time`.
    pub async fn wait(&self, time: Duration) -> Result<(), NotReady> {
        let deadline = Instant::now() + time;
        let leader = timeout_at(deadline, self.handle.leader_known()).await;
        leader.map_err(|_| NotReady::NoLeader(time))?;
        match timeout_at(deadline, self.handle.read_barrier()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(NotReady::Read(source)),
            Err(_) => Err(NotReady::NoRead(time)),
        }
    }
}

#[cfg(test)]
mod tests;
