//! Replies on their way from the leader to the member that forwarded the command. Bytes on the wire between
//! members, never stored.

use super::Reply;
use crate::{kv, members};
use bytes::Bytes;
use consensus::ProposeError;
use prost::Message;
use protocol::placement::internal::v1::command_reply::{self, Failed, Refused, failed};
use protocol::placement::internal::v1::{CommandReply, command_reply::Reply as Wire};

/// A reply that another version of this program sent, or that was damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the leader's reply is not understood")]
pub struct NotUnderstood;

/// Kinds of commands whose refusal travels as a number; the numbers of `CommandReply`.
const PUT: u32 = 1;
const DELETE_RANGE: u32 = 2;
const TXN: u32 = 3;
const COMPACT: u32 = 4;
const LEASE_GRANT: u32 = 6;
const LEASE_REVOKE: u32 = 7;

/// Every refusal and its number on the wire. Numbers are never reused.
const REFUSALS: [(kv::Refusal, u32); 12] = [
    (kv::Refusal::EmptyKey, 1),
    (kv::Refusal::KeyNotFound, 2),
    (kv::Refusal::ValueProvided, 3),
    (kv::Refusal::LeaseProvided, 4),
    (kv::Refusal::TooManyOperations, 5),
    (kv::Refusal::DuplicateKey, 6),
    (kv::Refusal::InvalidSortOption, 7),
    (kv::Refusal::Compacted, 8),
    (kv::Refusal::FutureRevision, 9),
    (kv::Refusal::LeaseNotFound, 10),
    (kv::Refusal::LeaseExists, 11),
    (kv::Refusal::LeaseTtlTooLarge, 12),
];

/// Encodes what became of a forwarded command.
pub fn encode_reply(outcome: Result<Reply, ProposeError>) -> Bytes {
    let reply = match outcome {
        Ok(Reply::Put(reply)) => wire(PUT, reply, Wire::Put),
        Ok(Reply::DeleteRange(reply)) => wire(DELETE_RANGE, reply, Wire::DeleteRange),
        Ok(Reply::Txn(reply)) => wire(TXN, reply, Wire::Txn),
        Ok(Reply::Compact(reply)) => wire(COMPACT, reply, Wire::Compact),
        Ok(Reply::Announce(announced)) => Wire::Announced(announced.into()),
        Ok(Reply::UpdateMember(updated)) => Wire::UpdatedMember(updated.into()),
        Ok(Reply::LeaseGrant(reply)) => wire(LEASE_GRANT, reply, Wire::LeaseGrant),
        Ok(Reply::LeaseRevoke(reply)) => wire(LEASE_REVOKE, reply, Wire::LeaseRevoke),
        // Of what a leader proposes by itself; nobody who forwards it is told more.
        Ok(Reply::Decided(_)) => Wire::Failed(Failed {
            kind: failed::Kind::OutcomeUnknown.into(),
            leader: 0,
        }),
        Err(error) => Wire::Failed(failed_of(&error)),
    };
    let reply = CommandReply { reply: Some(reply) };
    reply.encode_to_vec().into()
}

/// Decodes what became of a forwarded command.
///
/// # Errors
/// [`NotUnderstood`]; what became of the command is unknown then.
pub fn decode_reply(bytes: Bytes) -> Result<Result<Reply, ProposeError>, NotUnderstood> {
    let reply = CommandReply::decode(bytes).map_err(|_| NotUnderstood)?;
    Ok(Ok(match reply.reply.ok_or(NotUnderstood)? {
        Wire::Put(response) => Reply::Put(Ok(response)),
        Wire::DeleteRange(response) => Reply::DeleteRange(Ok(response)),
        Wire::Txn(response) => Reply::Txn(Ok(response)),
        Wire::Compact(response) => Reply::Compact(Ok(response)),
        Wire::Announced(announced) => {
            Reply::Announce(members::Announced::try_from(announced).map_err(|_| NotUnderstood)?)
        }
        Wire::UpdatedMember(updated) => {
            Reply::UpdateMember(members::Updated::try_from(updated).map_err(|_| NotUnderstood)?)
        }
        Wire::LeaseGrant(response) => Reply::LeaseGrant(Ok(response)),
        Wire::LeaseRevoke(response) => Reply::LeaseRevoke(Ok(response)),
        Wire::Refused(refused) => refusal_of(refused)?,
        Wire::Failed(failed) => return error_of(failed).map(Err),
    }))
}

fn wire<T>(command: u32, reply: Result<T, kv::Refusal>, accepted: impl FnOnce(T) -> Wire) -> Wire {
    match reply {
        Ok(response) => accepted(response),
        Err(refusal) => {
            let known = REFUSALS.iter().find(|(known, _)| *known == refusal);
            let (_, number) = known.expect("a test walks all refusals");
            Wire::Refused(Refused {
                command,
                refusal: *number,
            })
        }
    }
}

fn refusal_of(refused: Refused) -> Result<Reply, NotUnderstood> {
    let known = REFUSALS
        .iter()
        .find(|(_, number)| *number == refused.refusal);
    let (refusal, _) = *known.ok_or(NotUnderstood)?;
    match refused.command {
        PUT => Ok(Reply::Put(Err(refusal))),
        DELETE_RANGE => Ok(Reply::DeleteRange(Err(refusal))),
        TXN => Ok(Reply::Txn(Err(refusal))),
        COMPACT => Ok(Reply::Compact(Err(refusal))),
        LEASE_GRANT => Ok(Reply::LeaseGrant(Err(refusal))),
        LEASE_REVOKE => Ok(Reply::LeaseRevoke(Err(refusal))),
        _ => Err(NotUnderstood),
    }
}

fn failed_of(error: &ProposeError) -> Failed {
    use failed::Kind;
    let (kind, leader) = match *error {
        ProposeError::NotLeader { leader } => (Kind::NotLeader, leader),
        ProposeError::Superseded { leader } => (Kind::Superseded, leader),
        ProposeError::OutcomeUnknown { leader } => (Kind::OutcomeUnknown, leader),
        ProposeError::Overloaded => (Kind::Overloaded, None),
        ProposeError::TooLarge { .. } => (Kind::TooLarge, None),
        ProposeError::Stopping {
            outcome_unknown: true,
        } => (Kind::OutcomeUnknown, None),
        ProposeError::Stopping {
            outcome_unknown: false,
        } => (Kind::Stopping, None),
    };
    Failed {
        kind: kind.into(),
        leader: leader.unwrap_or(0),
    }
}

/// The leader's word in the terms of this member: that the leader stops is no reason for this one to.
fn error_of(failed: command_reply::Failed) -> Result<ProposeError, NotUnderstood> {
    use failed::Kind;
    let leader = Some(failed.leader).filter(|leader| *leader != 0);
    match failed.kind() {
        Kind::NotLeader | Kind::Stopping => Ok(ProposeError::NotLeader { leader }),
        Kind::Superseded => Ok(ProposeError::Superseded { leader }),
        Kind::OutcomeUnknown => Ok(ProposeError::OutcomeUnknown { leader }),
        Kind::Overloaded => Ok(ProposeError::Overloaded),
        Kind::TooLarge => Ok(ProposeError::TooLarge {
            bytes: 0,
            bytes_max: 0,
        }),
        Kind::Unspecified | Kind::NotUnderstood => Err(NotUnderstood),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::etcdserverpb::{
        DeleteRangeResponse, LeaseGrantResponse, PutResponse, TxnResponse,
    };

    fn travelled(outcome: Result<Reply, ProposeError>) -> Result<Reply, ProposeError> {
        decode_reply(encode_reply(outcome)).expect("our own reply")
    }

    #[test]
    fn replies_survive_the_way_back() {
        let put = PutResponse {
            header: Some(protocol::etcdserverpb::ResponseHeader {
                revision: 7,
                ..Default::default()
            }),
            prev_kv: None,
        };
        let delete = DeleteRangeResponse {
            deleted: 3,
            ..Default::default()
        };
        let txn = TxnResponse {
            succeeded: true,
            ..Default::default()
        };
        let replies = [
            Reply::Put(Ok(put)),
            Reply::DeleteRange(Ok(delete)),
            Reply::Txn(Ok(txn)),
            Reply::Compact(Ok(Default::default())),
            Reply::Announce(members::Announced::OtherInstance),
            Reply::UpdateMember(members::Updated::AddressTaken),
            Reply::LeaseGrant(Ok(LeaseGrantResponse {
                id: i64::MIN,
                ttl: 60,
                ..Default::default()
            })),
            Reply::LeaseRevoke(Ok(Default::default())),
        ];
        for reply in replies {
            let told = travelled(Ok(reply.clone())).expect("a reply");
            assert_eq!(format!("{told:?}"), format!("{reply:?}"));
        }
    }

    #[test]
    fn every_refusal_survives_for_every_command() {
        for (refusal, _) in REFUSALS {
            for reply in [
                Reply::Put(Err(refusal)),
                Reply::DeleteRange(Err(refusal)),
                Reply::Txn(Err(refusal)),
                Reply::Compact(Err(refusal)),
                Reply::LeaseGrant(Err(refusal)),
                Reply::LeaseRevoke(Err(refusal)),
            ] {
                let told = travelled(Ok(reply.clone())).expect("a reply");
                assert_eq!(format!("{told:?}"), format!("{reply:?}"));
            }
        }
        let mut numbers: Vec<u32> = REFUSALS.iter().map(|(_, number)| *number).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), REFUSALS.len(), "no number stands for two");
    }

    #[test]
    fn an_error_keeps_what_it_says_of_the_outcome() {
        let leader = Some(3);
        for error in [
            ProposeError::NotLeader { leader },
            ProposeError::NotLeader { leader: None },
            ProposeError::Superseded { leader },
            ProposeError::OutcomeUnknown { leader },
            ProposeError::Overloaded,
        ] {
            assert_eq!(travelled(Err(error.clone())).err(), Some(error));
        }
        let stopping =
            |outcome_unknown| travelled(Err(ProposeError::Stopping { outcome_unknown })).err();
        assert_eq!(
            stopping(true),
            Some(ProposeError::OutcomeUnknown { leader: None })
        );
        assert_eq!(
            stopping(false),
            Some(ProposeError::NotLeader { leader: None })
        );
    }

    #[test]
    fn foreign_replies_are_not_guessed_at() {
        let unknown_refusal = Wire::Refused(Refused {
            command: PUT,
            refusal: 99,
        });
        let unknown_command = Wire::Refused(Refused {
            command: 99,
            refusal: 1,
        });
        let unknown_kind = Wire::Failed(Failed {
            kind: 99,
            leader: 0,
        });
        for reply in [
            None,
            Some(unknown_refusal),
            Some(unknown_command),
            Some(unknown_kind),
            Some(Wire::Announced(99)),
        ] {
            let bytes = CommandReply { reply }.encode_to_vec();
            assert_eq!(decode_reply(bytes.into()).err(), Some(NotUnderstood));
        }
        assert_eq!(
            decode_reply(Bytes::from_static(b"\xff")).err(),
            Some(NotUnderstood)
        );
    }
}
