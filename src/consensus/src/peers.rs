//! The other members as the driver sees them: where messages go out, and the bounded inbox in which theirs
//! arrive. How they travel is the transport's business.

use crate::core::Message;
use tokio::sync::mpsc;

/// Batches of messages that wait for the driver. A transport waits when it is full, which slows the sender
/// down to what this node takes; a batch is what one frame of a peer held.
const INBOX_MAX: usize = 256;

/// Takes messages to other members. The driver owns it; nothing here may block or wait.
pub trait Peers: Send + 'static {
    /// Sends messages, to any members. What cannot be sent is lost, which is safe, and is reported with
    /// [`PeerHandle::unreachable`].
    fn send(&mut self, messages: Vec<Message>);
}

/// No other members: for a group of one.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Peers for Nobody {
    fn send(&mut self, _messages: Vec<Message>) {}
}

/// What arrives from other members, or is known of them.
#[derive(Debug)]
pub(crate) enum Inbound {
    Messages(Vec<Message>),
    Unreachable(u64),
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
}
