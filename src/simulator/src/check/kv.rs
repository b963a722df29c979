//! The rules of the key-value store as clients see it: every answer is the one the committed log gives,
//! nothing acknowledged is lost, reads are as fresh as they claim.

use super::Checker;
use crate::model::{revision, same};
use crate::ops::{Answer, Op, OpId};
use crate::workload::{Freshness, Request};
use consensus::core::Position;
use placement_center::kv::Refusal;
use placement_center::machine::Reply;
use protocol::etcdserverpb::{RangeRequest, RangeResponse};

/// A read that a node answered.
pub(crate) struct Served<'a> {
    pub(crate) op: OpId,
    pub(crate) node: u64,
    pub(crate) request: &'a RangeRequest,
    pub(crate) freshness: Freshness,
    /// Index its round was confirmed at.
    pub(crate) read_index: Option<u64>,
    /// Position of the state that was read.
    pub(crate) applied: u64,
    pub(crate) response: &'a Result<RangeResponse, Refusal>,
}

impl Checker {
    /// A node applied an entry.
    pub(crate) fn applied(&mut self, id: u64, position: Position, replies: &[Reply]) {
        let expected = self.committed.get(position.index);
        let equal = expected.is_some_and(|entry| {
            entry.replies.len() == replies.len()
                && entry.replies.iter().zip(replies).all(|(a, b)| same(a, b))
        });
        if !equal {
            let expected = expected.map(|entry| format!("{:?}", entry.replies));
            self.fail("every node answers as the model does", || {
                format!("node {id} at {position:?}: {replies:?}, the model: {expected:?}")
            });
        }
    }

    /// A node answered a read.
    pub(crate) fn served(&mut self, served: &Served<'_>, op: &Op) {
        let Served {
            op: id, applied, ..
        } = *served;
        let expected = self.committed.model.range_after(applied, served.request);
        let node = served.node;
        self.require(expected == *served.response, "a read sees the log", || {
            format!(
                "request {id} on node {node} at {applied}: {:?}, the model: {expected:?}",
                served.response
            )
        });
        if let Some(read_index) = served.read_index {
            self.require(applied >= read_index, "a read waits for its index", || {
                format!("request {id} read {applied}, its round says {read_index}")
            });
        }
        if served.freshness == Freshness::Linearizable {
            let oldest = served.read_index.unwrap_or(applied).min(applied);
            self.require(
                oldest >= op.floor,
                "a linearizable read sees what was known",
                || {
                    format!(
                        "request {id} on node {node} read {oldest}, known was {}",
                        op.floor
                    )
                },
            );
        }
        if let (Freshness::Session, Ok(response)) = (served.freshness, served.response) {
            let shown = response.header.as_ref().map_or(0, |header| header.revision);
            self.require(shown >= op.seen, "a session never goes back", || {
                format!(
                    "request {id} on node {node} shows {shown} after {}",
                    op.seen
                )
            });
        }
    }

    /// A client has its answer.
    pub(crate) fn answered(&mut self, id: OpId, op: &Op, answer: &Answer) {
        match answer {
            Answer::Written {
                position,
                slot,
                reply,
            } => {
                let entry = self.committed.get(position.index);
                let right = entry.is_some_and(|entry| {
                    entry.term == position.term
                        && entry.ops.get(*slot) == Some(&id)
                        && entry
                            .replies
                            .get(*slot)
                            .is_some_and(|expected| same(expected, reply))
                });
                self.require(right, "an acknowledged write is in the log", || {
                    format!("request {id} ({:?}) at {position:?}: {reply:?}", op.request)
                });
                self.floor = self.floor.max(position.index);
            }
            Answer::Read { applied, .. } => self.floor = self.floor.max(*applied),
            Answer::NotApplied => {
                let applied = matches!(op.request, Request::Write(_)) && self.is_committed(id);
                self.require(!applied, "what was refused is not applied", || {
                    format!("request {id}")
                });
            }
            Answer::Unknown => {}
        }
    }

    fn is_committed(&self, id: OpId) -> bool {
        // Refusals are rare and recent.
        (1..=self.committed.last())
            .rev()
            .take(2000)
            .filter_map(|index| self.committed.get(index))
            .any(|entry| entry.ops.contains(&id))
    }
}

/// Revision a client learns from an answer.
pub(crate) fn learnt(answer: &Answer) -> Option<i64> {
    match answer {
        Answer::Written { reply, .. } => revision(reply),
        Answer::Read {
            response: Ok(response),
            ..
        } => response.header.as_ref().map(|header| header.revision),
        _ => None,
    }
}
