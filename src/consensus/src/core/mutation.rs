//! Planted bugs of the core, each the absence of one guard. Compiled for the simulator's tests alone; the
//! product does not contain this module. What is planted holds for the thread that planted it.

use super::{Effects, Message};
use std::cell::Cell;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Every read request has the same bytes.
    ReadContextReused,
    /// Any answer to a read request ends the oldest round.
    ReadAnswerUnchecked,
    /// A leader answers read requests from what raft-rs calls a lease.
    ReadByLease,
    /// Election timeouts stay as raft-rs drew them.
    ElectionTimeoutKept,
    /// A start believes that everything committed is applied.
    AppliedIsCommit,
    /// A start leaves the commit index behind the applied one.
    CommitNotRaised,
    /// Votes and acknowledgements leave before what they promise is durable.
    PromiseBeforePersist,
    /// Reading several entries of the log begins one too late.
    EntriesOffByOne,
    /// A truncated log forgets the term of the entry before its first.
    BoundaryForgotten,
    /// A node that does not lead hands proposals to raft-rs, which forwards them.
    ProposalForwarded,
    /// A committed change of membership takes effect twice.
    MembershipTwice,
    /// A change of membership is proposed while another may be pending.
    PendingChangeAllowed,
    /// A leader whose vote a change has taken away leads on.
    LeadsWithoutVote,
    /// A leader that needs no vote but its own sends before that is durable.
    LeadsBeforeVote,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Mutation; 14] = [
        Mutation::ReadContextReused,
        Mutation::ReadAnswerUnchecked,
        Mutation::ReadByLease,
        Mutation::ElectionTimeoutKept,
        Mutation::AppliedIsCommit,
        Mutation::CommitNotRaised,
        Mutation::PromiseBeforePersist,
        Mutation::EntriesOffByOne,
        Mutation::ProposalForwarded,
        Mutation::MembershipTwice,
        Mutation::PendingChangeAllowed,
        Mutation::LeadsWithoutVote,
        Mutation::LeadsBeforeVote,
        Mutation::BoundaryForgotten,
    ];
}

thread_local! {
    static PLANTED: Cell<Option<Mutation>> = const { Cell::new(None) };
}

/// Plants a bug in every core of this thread, in place of the one planted before.
pub fn plant(mutation: Option<Mutation>) {
    PLANTED.set(mutation);
}

pub(crate) fn is_planted(mutation: Mutation) -> bool {
    PLANTED.get() == Some(mutation)
}

/// Lets messages go that should wait, if that is planted; returns those that wait.
pub(super) fn released_early(effects: &mut Effects, messages: Vec<Message>) -> Vec<Message> {
    if is_planted(Mutation::PromiseBeforePersist) {
        effects.send.extend(messages);
        return Vec::new();
    }
    messages
}

/// Whether another change of membership counts as pending.
pub(super) fn still_pending(pending: bool) -> bool {
    pending && !is_planted(Mutation::PendingChangeAllowed)
}

/// Where a read of `low..high` begins.
pub(crate) fn read_from(low: u64, high: u64) -> u64 {
    if is_planted(Mutation::EntriesOffByOne) && low + 1 < high {
        low + 1
    } else {
        low
    }
}
