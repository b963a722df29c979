//! Whether a message may be stepped. raft-rs panics on messages no honest member sends (a commit
//! index beyond the log, a request without its entry, an overflowing index); a forged or damaged one
//! must be an error instead.

use raft::eraftpb::{ConfChange, ConfChangeV2, ConfState, Entry, EntryType, Message, MessageType};
use raft_prost::Message as _;
use std::collections::BTreeSet;
use storage::Applied;

/// Terms a message may be ahead of ours: far more elections than a cluster holds, far fewer than
/// would bring a term near its end.
const TERM_AHEAD_MAX: u64 = 1 << 32;
/// No honest log gets here; leaves room to add to an index without overflow.
const INDEX_MAX: u64 = 1 << 62;

/// Why a message is not stepped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Its type is none a peer sends, or none this version handles.
    #[error("messages of type {0} are not accepted from peers")]
    Kind(i32),
    /// It is for another member.
    #[error("the message is for node {0}")]
    Receiver(u64),
    /// It claims to be from nobody, from this node, or from a node that is no member.
    #[error("the message claims to be from node {0}")]
    Sender(u64),
    /// Its term is missing or too far ahead.
    #[error("the message claims term {0}")]
    Term(u64),
    /// An index is out of any honest range.
    #[error("the message speaks of index {0}")]
    Index(u64),
    /// Its entries do not follow one another, or one is malformed.
    #[error("the entries of the message are malformed")]
    Entries,
    /// Its snapshot is not what a leader would send, or not what is staged.
    #[error("the snapshot {0}")]
    Snapshot(&'static str),
    /// More committed entries wait to be applied here than memory allows, or a snapshot is being installed;
    /// the leader sends again.
    #[error("this node is busy applying what is committed")]
    Busy,
}

/// What the receiver of a message knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiver {
    pub(crate) node_id: u64,
    pub(crate) term: u64,
    pub(crate) last_index: u64,
    /// Whether it leads its term; answers to a leader mean nothing to others, such as a leader that
    /// restarted without the entries it had sent.
    pub(crate) leads: bool,
    /// The leader of its term, 0 while it knows none.
    pub(crate) leader: u64,
}

/// Checks a message with a snapshot against the state that is staged for it; returns the membership.
pub(crate) fn check_snapshot(
    message: &Message,
    receiver: Receiver,
    staged: Applied,
) -> Result<ConfState, StepError> {
    if message.msg_type != MessageType::MsgSnapshot as i32 || message.request_snapshot != 0 {
        return Err(StepError::Kind(message.msg_type));
    }
    check_addresses(message, receiver)?;
    check_term(message, MessageType::MsgSnapshot, receiver)?;
    check_leader(message, receiver)?;
    if !message.entries.is_empty() {
        return Err(StepError::Entries);
    }
    let snapshot = message.snapshot.as_ref();
    let Some(metadata) = snapshot.and_then(|snapshot| snapshot.metadata.as_ref()) else {
        return Err(StepError::Snapshot("does not say where it stands"));
    };
    if metadata.index == 0 || metadata.index > INDEX_MAX {
        return Err(StepError::Index(metadata.index));
    }
    if metadata.term == 0 || metadata.term > message.term {
        return Err(StepError::Term(metadata.term));
    }
    if (metadata.index, metadata.term) != (staged.index, staged.term) {
        return Err(StepError::Snapshot("stands elsewhere than its state"));
    }
    match &metadata.conf_state {
        Some(members) if is_membership(members) => Ok(members.clone()),
        _ => Err(StepError::Snapshot("names no possible membership")),
    }
}

/// Whether raft-rs can hold this membership; it panics on one that contradicts itself.
fn is_membership(state: &ConfState) -> bool {
    let set = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<u64>>();
    let lists = [
        &state.voters,
        &state.learners,
        &state.voters_outgoing,
        &state.learners_next,
    ];
    let [voters, learners, outgoing, next] = lists.map(|ids| set(ids));
    let has_doubles = lists.iter().any(|ids| set(ids).len() != ids.len());
    let is_joint = !outgoing.is_empty();
    !has_doubles
        && !lists.iter().any(|ids| ids.contains(&0))
        && !voters.is_empty()
        && learners.is_disjoint(&voters)
        && learners.is_disjoint(&outgoing)
        && next.is_subset(&outgoing)
        && next.is_disjoint(&voters)
        && next.is_disjoint(&learners)
        && (is_joint || !state.auto_leave)
}

fn check_addresses(message: &Message, receiver: Receiver) -> Result<(), StepError> {
    if message.to != receiver.node_id {
        return Err(StepError::Receiver(message.to));
    }
    if message.from == 0 || message.from == receiver.node_id {
        return Err(StepError::Sender(message.from));
    }
    Ok(())
}

pub(crate) fn check(message: &Message, receiver: Receiver) -> Result<(), StepError> {
    let kind = MessageType::from_i32(message.msg_type).ok_or(StepError::Kind(message.msg_type))?;
    check_addresses(message, receiver)?;
    check_term(message, kind, receiver)?;
    for index in [
        message.index,
        message.commit,
        message.reject_hint,
        message.request_snapshot,
    ] {
        if index > INDEX_MAX {
            return Err(StepError::Index(index));
        }
    }
    if message.snapshot.is_some() || message.request_snapshot != 0 {
        return Err(StepError::Kind(message.msg_type));
    }
    check_kind(message, kind, receiver)
}

fn check_term(message: &Message, kind: MessageType, receiver: Receiver) -> Result<(), StepError> {
    // A forwarded read carries no term; any other message without one would pass for a local one.
    let may_lack_term = kind == MessageType::MsgReadIndex;
    let too_far = message.term.saturating_sub(receiver.term) > TERM_AHEAD_MAX;
    if too_far || (message.term == 0) != may_lack_term || message.log_term > INDEX_MAX {
        return Err(StepError::Term(message.term));
    }
    Ok(())
}

/// A term has one leader; raft-rs would follow whoever else says that it leads.
fn check_leader(message: &Message, receiver: Receiver) -> Result<(), StepError> {
    let is_led = receiver.leader != 0 && message.term == receiver.term;
    match is_led && message.from != receiver.leader {
        true => Err(StepError::Sender(message.from)),
        false => Ok(()),
    }
}

fn check_kind(message: &Message, kind: MessageType, receiver: Receiver) -> Result<(), StepError> {
    use MessageType as Kind;
    if matches!(kind, Kind::MsgAppend | Kind::MsgHeartbeat) {
        check_leader(message, receiver)?;
    }
    match kind {
        Kind::MsgAppend => return check_entries(message),
        Kind::MsgReadIndex | Kind::MsgReadIndexResp => {
            let one_context = message.entries.len() == 1 && !message.entries[0].data.is_empty();
            return if one_context {
                Ok(())
            } else {
                Err(StepError::Entries)
            };
        }
        Kind::MsgHeartbeat
            if message.term >= receiver.term && message.commit > receiver.last_index =>
        {
            return Err(StepError::Index(message.commit));
        }
        Kind::MsgAppendResponse if receiver.leads && message.term == receiver.term => {
            let hint = if message.reject {
                message.reject_hint
            } else {
                0
            };
            let furthest = message.index.max(hint);
            if furthest > receiver.last_index {
                return Err(StepError::Index(furthest));
            }
        }
        Kind::MsgHeartbeat
        | Kind::MsgAppendResponse
        | Kind::MsgHeartbeatResponse
        | Kind::MsgRequestVote
        | Kind::MsgRequestVoteResponse
        | Kind::MsgRequestPreVote
        | Kind::MsgRequestPreVoteResponse => {}
        // It starts an election at once, without asking whether one is needed: only the leader of the term,
        // which hands over, may say so. A late one would depose its successor.
        Kind::MsgTimeoutNow => {
            if message.term != receiver.term || message.from != receiver.leader {
                return Err(StepError::Sender(message.from));
            }
        }
        // Neither proposals nor transfers are ever forwarded, a snapshot comes with its bytes
        // (`check_snapshot`), and the rest is local to a node.
        Kind::MsgTransferLeader
        | Kind::MsgHup
        | Kind::MsgBeat
        | Kind::MsgPropose
        | Kind::MsgSnapshot
        | Kind::MsgUnreachable
        | Kind::MsgSnapStatus
        | Kind::MsgCheckQuorum => return Err(StepError::Kind(message.msg_type)),
    }
    if message.entries.is_empty() {
        Ok(())
    } else {
        Err(StepError::Entries)
    }
}

fn check_entries(message: &Message) -> Result<(), StepError> {
    // raft-rs takes the term of an index beyond its log for 0: an append there would match.
    if (message.index == 0) != (message.log_term == 0) {
        return Err(StepError::Term(message.log_term));
    }
    let mut previous_term = message.log_term;
    for (index, entry) in (message.index + 1..).zip(&message.entries) {
        let in_order =
            entry.index == index && entry.term >= previous_term && entry.term <= message.term;
        if !in_order || entry.term == 0 || !is_well_formed(entry) {
            return Err(StepError::Entries);
        }
        previous_term = entry.term;
    }
    Ok(())
}

fn is_well_formed(entry: &Entry) -> bool {
    match EntryType::from_i32(entry.entry_type) {
        Some(EntryType::EntryNormal) => true,
        Some(EntryType::EntryConfChange) => ConfChange::decode(entry.data.as_slice()).is_ok(),
        Some(EntryType::EntryConfChangeV2) => ConfChangeV2::decode(entry.data.as_slice()).is_ok(),
        None => false,
    }
}
