//! Requests of control under way: at most one membership change (Raft allows no more) and one hand-over of
//! leadership.

use crate::control::{ChangeError, ChangeTx, Control, TransferError, TransferTx};
use crate::core::{ChangeRefused, Core, MemberChange, Position, ProposalRefused};
use crate::status::Role;
use bytes::Bytes;

/// A proposed change: done when its entry is applied and, if it is a joint one, its second half too.
struct Change {
    position: Position,
    committed: bool,
    reply_tx: ChangeTx,
    /// Ticks since this node does not lead.
    unresolved_ticks: u32,
}

struct Transfer {
    to: u64,
    ticks_left: u32,
    reply_txs: Vec<TransferTx>,
}

/// What is under way.
pub(super) struct Controls {
    change: Option<Change>,
    transfer: Option<Transfer>,
    /// Ticks a change may stay unresolved after leadership was lost, and a hand-over may take.
    unresolved_ticks_max: u32,
    transfer_ticks_max: u32,
}

impl Controls {
    pub(super) fn new(election_ticks: usize) -> Controls {
        let ticks = u32::try_from(election_ticks).unwrap_or(u32::MAX / 4);
        Controls {
            change: None,
            transfer: None,
            unresolved_ticks_max: ticks.saturating_mul(4),
            // raft-rs gives a hand-over up after an election timeout.
            transfer_ticks_max: ticks.saturating_add(1),
        }
    }

    pub(super) fn take(&mut self, core: &mut Core, control: Control) {
        match control {
            Control::Change {
                changes,
                context,
                reply_tx,
            } => self.change(core, &changes, &context, reply_tx),
            Control::Transfer { to, reply_tx } => self.transfer(core, to, Some(reply_tx)),
        }
    }

    fn change(
        &mut self,
        core: &mut Core,
        changes: &[MemberChange],
        context: &Bytes,
        reply_tx: ChangeTx,
    ) {
        let refused = match core.check_change(changes) {
            _ if self.change.is_some() => ChangeRefused::Pending,
            Ok(()) => match core.propose_members(changes, context) {
                Ok(position) => {
                    self.change = Some(Change {
                        position,
                        committed: false,
                        reply_tx,
                        unresolved_ticks: 0,
                    });
                    return;
                }
                Err(ProposalRefused::NotLeader { leader }) => ChangeRefused::NotLeader { leader },
                Err(ProposalRefused::Full) => ChangeRefused::Full,
                Err(ProposalRefused::ChangePending) => ChangeRefused::Pending,
                Err(ProposalRefused::ChangeImpossible) => ChangeRefused::Malformed,
            },
            Err(ChangeRefused::Leads) => {
                // Whoever asked finds the next leader and asks there.
                self.transfer(core, None, None);
                ChangeRefused::Leads
            }
            Err(refused) => refused,
        };
        let _ = reply_tx.send(Err(refused.into()));
    }

    /// Starts a hand-over, or joins one to the same member.
    pub(super) fn transfer(
        &mut self,
        core: &mut Core,
        to: Option<u64>,
        reply_tx: Option<TransferTx>,
    ) {
        let error = match to.or_else(|| core.successor()) {
            _ if core.role() != Role::Leader => TransferError::NotLeader {
                leader: core.leader(),
            },
            None => TransferError::NoSuccessor,
            Some(to) => {
                if let Some(transfer) = self.transfer.as_mut().filter(|same| same.to == to) {
                    transfer.reply_txs.extend(reply_tx);
                    return;
                }
                if core.transfer(to) {
                    self.end_transfer(|reply_tx, old| {
                        let _ = reply_tx.send(Err(TransferError::TimedOut(old)));
                    });
                    self.transfer = Some(Transfer {
                        to,
                        ticks_left: self.transfer_ticks_max,
                        reply_txs: reply_tx.into_iter().collect(),
                    });
                    return;
                }
                TransferError::CannotLead(to)
            }
        };
        if let Some(reply_tx) = reply_tx {
            let _ = reply_tx.send(Err(error));
        }
    }

    /// Whether a hand-over is under way.
    pub(super) fn is_transferring(&self) -> bool {
        self.transfer.is_some()
    }

    /// An entry committed.
    pub(super) fn committed(&mut self, position: Position, leader: Option<u64>) {
        let Some(change) = self.change.as_mut() else {
            return;
        };
        if position == change.position {
            change.committed = true;
        } else if !change.committed && position.index >= change.position.index {
            self.end_change(Err(ChangeError::Superseded { leader }));
        }
    }

    /// A snapshot that holds everything up to `index` was installed.
    pub(super) fn swallowed(&mut self, index: u64) {
        let is_swallowed = |change: &Change| change.position.index <= index;
        if self.change.as_ref().is_some_and(is_swallowed) {
            self.end_change(Err(ChangeError::OutcomeUnknown));
        }
    }

    /// Entries up to `index` are applied, and the membership is joint or is not.
    pub(super) fn applied(&mut self, index: u64, is_joint: bool) {
        if let Some(change) = &self.change
            && change.committed
            && change.position.index <= index
            && !is_joint
        {
            let position = change.position;
            self.end_change(Ok(position));
        }
    }

    /// Who leads may have changed.
    pub(super) fn led_by(&mut self, leader: Option<u64>, node_id: u64) {
        if let Some(leader) = leader
            && leader != node_id
        {
            self.end_transfer(|reply_tx, to| {
                let another = Err(TransferError::Another(leader));
                let _ = reply_tx.send(if leader == to { Ok(to) } else { another });
            });
        }
    }

    pub(super) fn tick(&mut self, leads: bool) {
        if let Some(transfer) = &mut self.transfer {
            transfer.ticks_left = transfer.ticks_left.saturating_sub(1);
            if transfer.ticks_left == 0 {
                self.end_transfer(|reply_tx, to| {
                    let _ = reply_tx.send(Err(TransferError::TimedOut(to)));
                });
            }
        }
        if let Some(change) = &mut self.change
            && !leads
        {
            change.unresolved_ticks += 1;
            if change.unresolved_ticks > self.unresolved_ticks_max {
                self.end_change(Err(ChangeError::OutcomeUnknown));
            }
        }
    }

    /// Answers everyone: the group ends.
    pub(super) fn fail_all(&mut self) {
        self.end_change(Err(ChangeError::Stopping));
        self.end_transfer(|reply_tx, _| {
            let _ = reply_tx.send(Err(TransferError::Unavailable));
        });
    }

    fn end_change(&mut self, result: Result<Position, ChangeError>) {
        if let Some(change) = self.change.take() {
            // Whoever asked may have given up.
            let _ = change.reply_tx.send(result);
        }
    }

    fn end_transfer(&mut self, answer: impl Fn(TransferTx, u64)) {
        if let Some(transfer) = self.transfer.take() {
            for reply_tx in transfer.reply_txs {
                answer(reply_tx, transfer.to);
            }
        }
    }
}
