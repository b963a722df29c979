//! What members ask each other about administration. JSON, because it is rare and people read it in traces; a member
//! that does not understand a request says nothing, and the one that asked reports that.

use super::{AddMember, AdminError, MemberRef, MemberView, MembersView, NodeStatus, RestartCheck};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    Status,
    Members,
    Add(AddMember),
    Remove(MemberRef),
    Promote(MemberRef),
    Demote(MemberRef),
    Transfer(Option<MemberRef>),
    Check(MemberRef),
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    Status(NodeStatus),
    Members(MembersView),
    Member(MemberView),
    Leader(u64),
    Check(RestartCheck),
    Done,
    /// Nothing happened: the member that was asked does not lead.
    NotLeader,
    Error(AdminError),
}

impl Ask {
    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("plain data has a JSON form")
            .into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Ask> {
        serde_json::from_slice(bytes).ok()
    }
}

impl Told {
    pub(super) fn encode(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("plain data has a JSON form")
            .into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Told> {
        serde_json::from_slice(bytes).ok()
    }
}
