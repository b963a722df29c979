//! The way of a command to the leader: here, or over the link to the member that leads. A command that
//! certainly was not applied, because leadership was in change, waits for the next leader and tries again.

use super::deadline::Cut;
use super::{Context, Deadline, Failure, Outcome};
use crate::machine::{self, Reply};
use crate::peer::RequestError;
use bytes::Bytes;
use consensus::{PendingReply, ProposeError};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// Pause before a command that found no leader tries again, if nothing is heard of a new one.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What comes back of a forwarded command.
pub type Forwarded = oneshot::Receiver<Result<Bytes, RequestError>>;

/// Takes commands to other members.
pub trait Forward: Send + Sync + 'static {
    /// Sends a command to member `to`. It is under way when this returns; commands arrive in the order of
    /// the calls. Never waits.
    fn forward(&self, to: u64, command: Bytes) -> Forwarded;

    /// Asks member `to` about leases. Never waits.
    fn ask_leases(&self, to: u64, question: Bytes) -> Forwarded;
}

/// A node that has no one to forward to.
#[derive(Debug)]
pub struct Alone;

impl Forward for Alone {
    fn forward(&self, _to: u64, _command: Bytes) -> Forwarded {
        let (reply_tx, reply_rx) = oneshot::channel();
        // The receiver is right here.
        let _ = reply_tx.send(Err(RequestError::NotSent));
        reply_rx
    }

    fn ask_leases(&self, to: u64, question: Bytes) -> Forwarded {
        self.forward(to, question)
    }
}

/// A command under way. Dropping it abandons the reply, not the command.
pub(super) struct PendingWrite(Way);

enum Way {
    Here(PendingReply<Reply>),
    Forwarded { leader: u64, reply_rx: Forwarded },
}

impl Future for PendingWrite {
    type Output = Result<Reply, ProposeError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Way::Here(pending) => Pin::new(pending).poll(task),
            Way::Forwarded { leader, reply_rx } => {
                let leader = Some(*leader);
                Pin::new(reply_rx).poll(task).map(|reply| match reply {
                    Ok(Ok(bytes)) => machine::decode_reply(bytes)
                        .unwrap_or(Err(ProposeError::OutcomeUnknown { leader })),
                    Ok(Err(RequestError::NotSent)) => Err(ProposeError::NotLeader { leader: None }),
                    Ok(Err(RequestError::Overloaded)) => Err(ProposeError::Overloaded),
                    Ok(Err(RequestError::Unknown)) | Err(_) => {
                        Err(ProposeError::OutcomeUnknown { leader })
                    }
                })
            }
        }
    }
}

impl Context {
    /// Starts a command on its way. Calls of one task arrive in the log in their order while the leader
    /// stays the same.
    ///
    /// # Errors
    /// As of [`consensus::Handle::submit`]: not applied.
    pub(super) fn submit(&self, command: Bytes) -> Result<PendingWrite, ProposeError> {
        match self.handle.status().leader {
            Some(leader) if leader != self.identity.node_id => {
                let reply_rx = self.forward.forward(leader, command);
                Ok(PendingWrite(Way::Forwarded { leader, reply_rx }))
            }
            _ => Ok(PendingWrite(Way::Here(self.handle.submit(command)?))),
        }
    }

    /// Proposes a command and waits for its reply.
    pub(crate) async fn write(&self, command: Bytes, deadline: Deadline) -> Result<Reply, Failure> {
        self.check_size(&command)?;
        let leader_deadline = deadline.no_later_than(self.leader_wait);
        loop {
            let refused = match self.attempt(command.clone(), deadline).await {
                Err(Failure::Propose(error)) if is_between_leaders(&error) => error,
                ended => return ended,
            };
            // The leader may also be the same, and the link to it on its way back.
            let next_leader = tokio::time::timeout(RETRY_PAUSE, self.handle.leader_changed());
            let waited = leader_deadline.within(&self.cut, next_leader).await;
            if waited.is_err() {
                return Err(refused.into());
            }
        }
    }

    async fn attempt(&self, command: Bytes, deadline: Deadline) -> Result<Reply, Failure> {
        let pending = self.submit(command)?;
        match deadline.within(&self.cut, pending).await {
            Ok(reply) => Ok(reply?),
            Err(Cut::TimedOut) => Err(Failure::TimedOut(Outcome::Unknown)),
            Err(Cut::Stopping) => Err(Failure::Stopping(Outcome::Unknown)),
        }
    }
}

/// Not applied, and another leader may take it.
fn is_between_leaders(error: &ProposeError) -> bool {
    matches!(
        error,
        ProposeError::NotLeader { .. } | ProposeError::Superseded { .. }
    )
}
