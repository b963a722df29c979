//! How services talk to the group: admission, submission, read barriers. Owns the bounds on what may
//! be in flight; what happens to an admitted command is the driver's business.

use crate::clock;
use crate::config::Config;
use crate::control::{CONTROLS_MAX, ChangeError, Control, TransferError};
use crate::core::{MemberChange, Position};
use crate::error::{ProposeError, ReadError};
use crate::status::{Counters, Status};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Read barriers waiting for the driver. A service bounds its requests in flight far below; this
/// only keeps the queue from growing without end if it does not.
pub(crate) const READS_MAX: usize = 65_536;

/// Answers one command.
pub(crate) type ReplyTx<R> = oneshot::Sender<Result<R, ProposeError>>;

/// A command on its way to the driver.
pub(crate) struct Proposal<R> {
    pub(crate) command: Bytes,
    pub(crate) waiter: Waiter<R>,
}

/// Who waits for a command's reply. Dropped without an answer, it means "unknown whether applied".
pub(crate) struct Waiter<R> {
    reply_tx: ReplyTx<R>,
    permit: Permit,
}

impl<R> Waiter<R> {
    /// Answers. A client that gave up does not listen any more; that is its right.
    pub(crate) fn answer(self, reply: Result<R, ProposeError>) {
        let Waiter { reply_tx, permit } = self;
        if reply.is_err() {
            let failed = &permit.shared.counters.proposals_failed;
            failed.fetch_add(1, Ordering::Relaxed);
        }
        // Before the reply: a client that submits its next command then finds the room of this one.
        drop(permit);
        let _ = reply_tx.send(reply);
    }
}

/// A reader waiting for its barrier.
pub(crate) type ReadTx = oneshot::Sender<Result<(), ReadError>>;

/// What handles, driver and threads share.
pub(crate) struct Shared {
    pub(crate) status: ArcSwap<Status>,
    pub(crate) counters: Counters,
    /// See `Core::reads_locally`; the driver keeps it, a barrier passes at once while it is set.
    pub(crate) reads_locally: AtomicBool,
    pub(crate) stopping: AtomicBool,
    /// The members that founded the cluster.
    pub(crate) founders: Vec<u64>,
    pending_count: AtomicUsize,
    pending_bytes: AtomicUsize,
    count_max: usize,
    bytes_max: usize,
    command_bytes_max: usize,
}

impl Shared {
    pub(crate) fn new(config: &Config, status: Status, founders: Vec<u64>) -> Self {
        Shared {
            founders,
            status: ArcSwap::from_pointee(status),
            counters: Counters::default(),
            reads_locally: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            pending_count: AtomicUsize::new(0),
            pending_bytes: AtomicUsize::new(0),
            count_max: config.proposals_count_max,
            bytes_max: config.proposals_bytes_max,
            command_bytes_max: config.command_bytes_max,
        }
    }

    /// Commands admitted and not yet answered.
    pub(crate) fn pending(&self) -> usize {
        self.pending_count.load(Ordering::Relaxed)
    }

    fn admit(self: &Arc<Self>, bytes: usize) -> Result<Permit, ProposeError> {
        let count = self.pending_count.fetch_add(1, Ordering::Relaxed) + 1;
        let pending = self.pending_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // From here on the drop of the permit gives back what was taken.
        let permit = Permit {
            shared: Arc::clone(self),
            bytes,
        };
        // One command is always admitted, or one larger than the bound would never be.
        if count > self.count_max || (pending > self.bytes_max && count > 1) {
            return Err(ProposeError::Overloaded);
        }
        Ok(permit)
    }
}

/// The room one command takes while in flight.
struct Permit {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.pending_count.fetch_sub(1, Ordering::Relaxed);
        self.shared
            .pending_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How services talk to the group; cheap to clone.
pub struct Handle<R> {
    proposals_tx: mpsc::Sender<Proposal<R>>,
    reads_tx: mpsc::Sender<ReadTx>,
    controls_tx: mpsc::Sender<Control>,
    leader_rx: watch::Receiver<u64>,
    shared: Arc<Shared>,
}

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Handle {
            proposals_tx: self.proposals_tx.clone(),
            reads_tx: self.reads_tx.clone(),
            controls_tx: self.controls_tx.clone(),
            leader_rx: self.leader_rx.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<R> std::fmt::Debug for Handle<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("status", &self.shared.status.load())
            .finish_non_exhaustive()
    }
}

/// The driver's ends of a handle's channels.
pub(crate) struct Inbox<R> {
    pub(crate) proposals_rx: mpsc::Receiver<Proposal<R>>,
    pub(crate) reads_rx: mpsc::Receiver<ReadTx>,
    pub(crate) controls_rx: mpsc::Receiver<Control>,
    pub(crate) leader_tx: watch::Sender<u64>,
}

impl<R: Send + 'static> Handle<R> {
    pub(crate) fn new(shared: Arc<Shared>) -> (Self, Inbox<R>) {
        // Admission bounds what may be queued, so a queue of that size is never full.
        let (proposals_tx, proposals_rx) = mpsc::channel(shared.count_max);
        let (reads_tx, reads_rx) = mpsc::channel(READS_MAX);
        let (controls_tx, controls_rx) = mpsc::channel(CONTROLS_MAX);
        let (leader_tx, leader_rx) = watch::channel(0);
        let handle = Handle {
            proposals_tx,
            reads_tx,
            controls_tx,
            leader_rx,
            shared,
        };
        (
            handle,
            Inbox {
                proposals_rx,
                reads_rx,
                controls_rx,
                leader_tx,
            },
        )
    }

    /// Admits the command (order of successful calls on one task = order in the log) and returns the
    /// pending reply. Never blocks, never waits.
    ///
    /// # Errors
    /// `TooLarge`, `Overloaded` (a bound of count or bytes is reached) or `Stopping`; in each case
    /// the command is not and never will be applied.
    pub fn submit(&self, command: Bytes) -> Result<PendingReply<R>, ProposeError> {
        let (bytes, bytes_max) = (command.len(), self.shared.command_bytes_max);
        if bytes > bytes_max {
            return Err(ProposeError::TooLarge { bytes, bytes_max });
        }
        if self.shared.stopping.load(Ordering::Acquire) {
            return Err(ProposeError::Stopping {
                outcome_unknown: false,
            });
        }
        let permit = self.shared.admit(bytes)?;
        let (reply_tx, reply_rx) = oneshot::channel();
        let proposal = Proposal {
            command,
            waiter: Waiter { reply_tx, permit },
        };
        self.proposals_tx
            .try_send(proposal)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => ProposeError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => ProposeError::Stopping {
                    outcome_unknown: false,
                },
            })?;
        Ok(PendingReply { reply_rx })
    }

    /// Submits and waits. Dropping the future abandons the reply, not the command.
    ///
    /// # Errors
    /// See [`ProposeError`]; each variant says whether the command was applied.
    pub async fn propose(&self, command: Bytes) -> Result<R, ProposeError> {
        self.submit(command)?.await
    }

    /// Returns once a local read sees everything acknowledged before the call: a ReadIndex round
    /// shared by all who wait, then the wait for applied. Cancel-safe. The wait is bounded: the
    /// driver fails a round that lasts some election timeouts.
    ///
    /// # Errors
    /// See [`ReadError`]; always safe to retry.
    pub async fn read_barrier(&self) -> Result<(), ReadError> {
        // Pairs with the driver's release: what it had applied when it set the flag is visible here.
        if self.shared.reads_locally.load(Ordering::Acquire) {
            return Ok(());
        }
        let result = self.read_round().await;
        if result.is_err() {
            self.shared
                .counters
                .reads_failed
                .fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    async fn read_round(&self) -> Result<(), ReadError> {
        if self.shared.stopping.load(Ordering::Acquire) {
            return Err(ReadError::Stopping);
        }
        let (ready_tx, ready_rx) = oneshot::channel();
        self.reads_tx
            .try_send(ready_tx)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => ReadError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => ReadError::Stopping,
            })?;
        ready_rx.await.unwrap_or(Err(ReadError::Stopping))
    }

    /// Changes the membership, on the leader. `context` reaches every state machine with the change.
    /// Resolves when the change is applied here and, if several members change, complete. Dropping the
    /// future abandons the answer, not the change. Bound the wait: without a quorum it may take for ever.
    ///
    /// # Errors
    /// [`ChangeError`]; each variant says whether anything happened.
    pub async fn change_members(
        &self,
        changes: Vec<MemberChange>,
        context: Bytes,
    ) -> Result<Position, ChangeError> {
        let (reply_tx, reply_rx) = oneshot::channel();
        let control = Control::Change {
            changes,
            context,
            reply_tx,
        };
        self.controls_tx
            .try_send(control)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => ChangeError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => ChangeError::Stopping,
            })?;
        reply_rx.await.unwrap_or(Err(ChangeError::Stopping))
    }

    /// Hands leadership over, to `to` or else to the voter with the longest log; resolves to the new leader,
    /// within about an election timeout. Proposals are refused meanwhile.
    ///
    /// # Errors
    /// [`TransferError`].
    pub async fn transfer_leader(&self, to: Option<u64>) -> Result<u64, TransferError> {
        let (reply_tx, reply_rx) = oneshot::channel();
        self.controls_tx
            .try_send(Control::Transfer { to, reply_tx })
            .map_err(|_| TransferError::Unavailable)?;
        reply_rx.await.unwrap_or(Err(TransferError::Unavailable))
    }

    /// What the node knows of itself.
    pub fn status(&self) -> Arc<Status> {
        self.shared.status.load_full()
    }

    /// How long ago the oldest entry still in the log was proposed, by this machine's wall clock: a member that
    /// was away for longer needs a snapshot. `None` as for [`Status::oldest_entry_ms`].
    pub fn oldest_entry_age(&self) -> Option<Duration> {
        let proposed = self.status().oldest_entry_ms?;
        // The stamp is of the leader's clock, which may be ahead of this one.
        let age_ms = clock::wall_ms().saturating_sub(proposed);
        Some(Duration::from_millis(age_ms))
    }

    /// The members that founded the cluster: what every member's log begins with.
    pub fn founders(&self) -> &[u64] {
        &self.shared.founders
    }

    /// Counters and histograms.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Resolves to the leader when one is known (used at start-up and by health checks). Never
    /// resolves on a group that died before it had one: bound the wait. Cancel-safe.
    pub async fn leader_known(&self) -> u64 {
        let mut leader_rx = self.leader_rx.clone();
        let known = leader_rx
            .wait_for(|leader| *leader != 0)
            .await
            .map(|leader| *leader);
        match known {
            Ok(leader) => leader,
            Err(_) => std::future::pending().await,
        }
    }

    /// Resolves when the leader this node knows of is another than at the call, or none. Never resolves
    /// on a group that died: bound the wait. Cancel-safe.
    pub async fn leader_changed(&self) {
        let mut leader_rx = self.leader_rx.clone();
        leader_rx.mark_unchanged();
        if leader_rx.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Resolves to the reply. Dropping it abandons the reply, not the command.
#[derive(Debug)]
pub struct PendingReply<R> {
    reply_rx: oneshot::Receiver<Result<R, ProposeError>>,
}

impl<R> Future for PendingReply<R> {
    type Output = Result<R, ProposeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A waiter dropped without an answer: the group died with the command in flight.
        Pin::new(&mut self.reply_rx).poll(cx).map(|reply| {
            reply.unwrap_or(Err(ProposeError::Stopping {
                outcome_unknown: true,
            }))
        })
    }
}

#[cfg(test)]
mod tests;
