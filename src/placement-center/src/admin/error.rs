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
