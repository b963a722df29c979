//! What is asked of the group beyond commands and reads: changes of membership, and handing leadership over.

use crate::core::{ChangeRefused, MemberChange, Position};
use bytes::Bytes;
use tokio::sync::oneshot;

/// Requests of this kind that wait for the driver. They are rare; more means that somebody loops.
pub(crate) const CONTROLS_MAX: usize = 64;

/// Why a membership change has no ordinary end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Nothing happened.
    #[error(transparent)]
    Refused(#[from] ChangeRefused),
    /// Nothing happened, and nothing will: another entry took the place of the change.
    #[error("leadership lost before the change was committed")]
    Superseded {
        /// The leader as far as this node knows.
        leader: Option<u64>,
    },
    /// The change may have been made, or may still be.
    #[error("leadership lost while the change was under way")]
    OutcomeUnknown,
    /// Nothing happened; retry later here.
    #[error("too many requests in flight")]
    Overloaded,
    /// The node stops; the change may have been made.
    #[error("the node is stopping")]
    Stopping,
}

/// Why leadership was not handed over. It may still move afterwards; nothing is lost either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Ask the leader.
    #[error("this node does not lead")]
    NotLeader {
        /// The leader as far as this node knows.
        leader: Option<u64>,
    },
    /// The member is no voter, or is this node.
    #[error("node {0} cannot take leadership over")]
    CannotLead(u64),
    /// No other voter was heard of lately.
    #[error("no other voter is reachable")]
    NoSuccessor,
    /// The member did not take over within an election timeout; this node leads on.
    #[error("node {0} did not take over in time")]
    TimedOut(u64),
    /// Another member leads now.
    #[error("node {0} leads instead")]
    Another(u64),
    /// Too many requests in flight, or the node stops.
    #[error("the node takes no such requests now")]
    Unavailable,
}

/// One request.
#[derive(Debug)]
pub(crate) enum Control {
    Change {
        changes: Vec<MemberChange>,
        context: Bytes,
        reply_tx: ChangeTx,
    },
    Transfer {
        to: Option<u64>,
        reply_tx: TransferTx,
    },
}

pub(crate) type ChangeTx = oneshot::Sender<Result<Position, ChangeError>>;
pub(crate) type TransferTx = oneshot::Sender<Result<u64, TransferError>>;
