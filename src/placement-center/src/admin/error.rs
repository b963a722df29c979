//! Why an administrator's request was not carried out.

use super::MemberRef;
use serde::{Deserialize, Serialize};

/// Every variant says whether something may have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AdminError {
    /// Nothing happened: no member is called so.
    #[error("there is no member {0}")]
    NotFound(MemberRef),
    /// Nothing happened, for the reason given; repeating it as it is will not help.
    #[error("{0}")]
    Refused(String),
    /// Nothing happened: no member can be reached there.
    #[error("{0}")]
    BadAddress(String),
    /// Nothing happened: a member has the address already.
    #[error("{address} is the address of node {id}")]
    AddressTaken {
        /// The address asked for.
        address: String,
        /// Whose it is.
        id: u64,
    },
    /// Nothing happened: the member has a vote already.
    #[error("node {0} votes already")]
    NotLearner(u64),
    /// Nothing happened: the learner would hold the cluster up if it voted.
    #[error("node {0} has not caught up yet")]
    Behind(u64),
    /// Nothing happened: too few voters would be left, or be there.
    #[error("{0}")]
    QuorumAtRisk(String),
    /// Nothing happened: the member cannot lead.
    #[error("node {0} cannot take leadership over")]
    CannotLead(u64),
    /// Nothing happened: another change is under way; retry later.
    #[error("another membership change is under way")]
    Busy,
    /// Nothing happened: no leader is known; retry later.
    #[error("no leader is known")]
    NoLeader,
    /// It may have happened or may still happen: look at the members before retrying.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}
