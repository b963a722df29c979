//! What administrators see and ask: plain data, serialisable, so that members can ask each other and REST
//! can show the answers as they are.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How a person names a member: by number or by alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberRef {
    /// Its number.
    Id(u64),
    /// Its name.
    Alias(String),
}

impl FromStr for MemberRef {
    type Err = std::convert::Infallible;

    /// A number is an id; an alias that looks like one cannot be used to name a member.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.parse() {
            Ok(id) => MemberRef::Id(id),
            Err(_) => MemberRef::Alias(text.to_owned()),
        })
    }
}

impl fmt::Display for MemberRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemberRef::Id(id) => write!(f, "{id}"),
            MemberRef::Alias(alias) => f.write_str(alias),
        }
    }
}

/// What a member is in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Votes, and leads.
    Leader,
    /// Votes.
    Voter,
    /// Receives the log, does not vote.
    Learner,
}

/// How the leader replicates to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicationState {
    /// The leader looks for the point where the logs agree.
    Probe,
    /// Entries flow.
    Replicate,
    /// The member receives a snapshot.
    Snapshot,
}

/// How far a member is, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressView {
    /// Highest entry known to be durable there.
    pub matched: u64,
    /// Entries it lacks.
    pub lag_entries: u64,
    /// Milliseconds since its last message; `None` before the first.
    pub last_contact_ms: Option<u64>,
    /// How the leader replicates to it.
    pub state: ReplicationState,
    /// Snapshot under way: bytes sent and bytes in all.
    pub snapshot: Option<(u64, u64)>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its number.
    pub id: u64,
    /// Its name; empty if it has none.
    pub alias: String,
    /// What it is in the group.
    pub role: MemberRole,
    /// `host:port` at which other members reach it.
    pub peer_address: String,
    /// URLs of its gRPC API; empty before it started first.
    pub client_urls: Vec<String>,
    /// URL of its HTTP API; empty before it started first.
    pub http_url: String,
    /// Its data directory, 32 hexadecimal digits; empty before it started first.
    pub instance: String,
    /// How far it is; known on the leader's answer, for members other than the leader.
    pub progress: Option<ProgressView>,
    /// Why the member that answers has no connection to it; `None` while it has one.
    #[serde(default)]
    pub unreachable: Option<String>,
}

/// All members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersView {
    /// The leader, once known.
    pub leader: Option<u64>,
    /// The term.
    pub term: u64,
    /// The members in order of their numbers.
    pub members: Vec<MemberView>,
}

/// A member to add. It enters as a learner and becomes a voter by itself once it has caught up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddMember {
    /// Its number, never used before; 0 lets the leader choose one.
    pub id: u64,
    /// Its name for people, unique or empty.
    #[serde(default)]
    pub alias: String,
    /// `host:port` at which other members will reach it.
    pub peer_address: String,
    /// It is not promoted by itself.
    #[serde(default)]
    pub stays_learner: bool,
}

/// Whether a member can be restarted without the cluster losing its quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartCheck {
    /// The member asked about.
    pub member: u64,
    /// Yes: the others alone keep a quorum, and lag little.
    pub may_restart: bool,
    /// Why not, or what to know before.
    pub reasons: Vec<String>,
}

/// Where one node stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its number.
    pub node_id: u64,
    /// Its name.
    pub alias: String,
    /// Version of the software.
    pub version: String,
    /// What it is, in raft's words: `leader`, `follower`, `candidate`, `pre_candidate`.
    pub role: String,
    /// The leader it knows.
    pub leader: Option<u64>,
    /// Its term.
    pub term: u64,
    /// First entry of its log.
    pub first_index: u64,
    /// Last entry of its log.
    pub last_index: u64,
    /// Last entry it knows to be committed.
    pub committed_index: u64,
    /// Last entry it has applied.
    pub applied_index: u64,
    /// Age of the oldest entry of its log in milliseconds, if known.
    pub oldest_entry_age_ms: Option<u64>,
    /// Hash over everything applied; equal on all nodes at the same applied index.
    pub chain_hash: String,
    /// Revision of the key-value store.
    pub revision: i64,
}
