//! The other members as the driver sees them: where messages go out, and the bounded inbox in which theirs
//! arrive. How they travel is the transport's business.

use crate::core::{Message, StepError};
use storage::{Snapshot, StagedSnapshot};
use tokio::sync::{mpsc, oneshot};

/// Batches of messages that wait for the driver. A transport waits when it is full, which slows the sender
/// down to what this node takes; a batch is what one frame of a peer held.
const INBOX_MAX: usize = 256;

/// Takes messages to other members. The driver owns it; nothing here may block or wait.
pub trait Peers: Send + 'static {
    /// Sends messages, to any members. What cannot be sent is lost, which is safe, and is reported with
    /// [`PeerHandle::unreachable`].
    fn send(&mut self, messages: Vec<Message>);

    /// Sends a message together with the bytes of its snapshot; how that ends is reported with
    /// [`PeerHandle::snapshot_sent`], whatever happens. False if it is not even tried, and not reported.
    fn send_snapshot(&mut self, message: Message, snapshot: Snapshot) -> bool;
}

/// No other members: for a group of one.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Peers for Nobody {
    fn send(&mut self, _messages: Vec<Message>) {}

    fn send_snapshot(&mut self, _message: Message, _snapshot: Snapshot) -> bool {
        false
    }
}

/// What arrives from other members, or is known of them.
#[derive(Debug)]
pub(crate) enum Inbound {
    Messages(Vec<Message>),
    Unreachable(u64),
    SnapshotSent { to: u64, delivered: bool },
    Snapshot(Box<Arrival>),
}

/// A snapshot that has arrived, and who waits until it is installed.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) message: Message,
    pub(crate) staged: StagedSnapshot,
    pub(crate) reply_tx: InstallTx,
}

/// Answers who delivered a snapshot.
pub(crate) type InstallTx = oneshot::Sender<Result<(), InstallError>>;

/// Why a snapshot was not installed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// The group did not take it; what is staged is given back.
    #[error("the snapshot was refused")]
    Refused(#[from] StepError),
    /// The group has ended.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// The transport's end of the inbox; cheap to clone.
#[derive(Clone, Debug)]
pub struct PeerHandle {
    inbox_tx: mpsc::Sender<Inbound>,
}

/// The driver's end of the inbox; goes into [`Links`].
#[derive(Debug)]
pub struct PeerInbox {
    pub(crate) inbox_rx: mpsc::Receiver<Inbound>,
}

impl PeerInbox {
    /// The next batch of messages, for those who are no group: tests of a transport. `None` once no handle is
    /// left.
    #[doc(hidden)]
    pub async fn next_batch(&mut self) -> Option<Vec<Message>> {
        loop {
            if let Inbound::Messages(messages) = self.inbox_rx.recv().await? {
                return Some(messages);
            }
        }
    }

    /// Whether no messages wait.
    #[doc(hidden)]
    pub fn is_empty(&mut self) -> bool {
        std::iter::from_fn(|| self.inbox_rx.try_recv().ok())
            .all(|inbound| !matches!(inbound, Inbound::Messages(_)))
    }
}

/// How a group is connected to its other members.
pub struct Links {
    /// Where messages go.
    pub peers: Box<dyn Peers>,
    /// Where messages arrive.
    pub inbox: PeerInbox,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}

impl Links {
    /// Of a group without other members.
    pub fn none() -> Links {
        let (_, inbox) = peer_channel();
        Links {
            peers: Box::new(Nobody),
            inbox,
        }
    }
}

/// The group has ended; it takes no more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the group has ended")]
pub struct Ended;

/// An inbox: one end for the transport, one for the group.
pub fn peer_channel() -> (PeerHandle, PeerInbox) {
    let (inbox_tx, inbox_rx) = mpsc::channel(INBOX_MAX);
    (PeerHandle { inbox_tx }, PeerInbox { inbox_rx })
}

impl PeerHandle {
    /// Delivers what one frame of a peer held; waits while the group is behind. What the messages say is
    /// checked by the group. Cancel-safe: what was not taken was not delivered.
    ///
    /// # Errors
    /// [`Ended`]: nobody is there to take it.
    pub async fn deliver(&self, messages: Vec<Message>) -> Result<(), Ended> {
        let sent = self.inbox_tx.send(Inbound::Messages(messages)).await;
        sent.map_err(|_| Ended)
    }

    /// Delivers without waiting; false if there is no room, or nobody takes it.
    pub fn try_deliver(&self, messages: Vec<Message>) -> bool {
        self.inbox_tx.try_send(Inbound::Messages(messages)).is_ok()
    }

    /// Messages to this member were lost. Only a hint, so it is dropped when the group is behind.
    pub fn unreachable(&self, node_id: u64) {
        let _ = self.inbox_tx.try_send(Inbound::Unreachable(node_id));
    }

    /// How sending a snapshot to a member ended: delivered means installed there, or needless. Waits while the
    /// group is behind: unlike a message this must not be lost, or the member gets nothing for a long time.
    pub async fn snapshot_sent(&self, to: u64, delivered: bool) {
        // A group that has ended does not need it.
        let report = Inbound::SnapshotSent { to, delivered };
        let _ = self.inbox_tx.send(report).await;
    }

    /// Delivers a message with a snapshot whose bytes are staged, and returns when it is installed, or turned
    /// out needless. Dropping the future abandons the answer, not the snapshot.
    ///
    /// # Errors
    /// [`InstallError`]; the state is what it was.
    pub async fn install(
        &self,
        message: Message,
        staged: StagedSnapshot,
    ) -> Result<(), InstallError> {
        let (reply_tx, reply_rx) = oneshot::channel();
        let arrival = Box::new(Arrival {
            message,
            staged,
            reply_tx,
        });
        let sent = self.inbox_tx.send(Inbound::Snapshot(arrival)).await;
        sent.map_err(|_| Ended)?;
        reply_rx.await.unwrap_or(Err(Ended.into()))
    }
}
