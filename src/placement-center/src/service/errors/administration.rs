//! The rows of the table for what administrators ask: etcd's codes and texts where etcd has them.

use super::{Failure, HINT_FIX, HINT_LEADER, HINT_RETRY, Outcome, Row, row, unavailable};
use crate::admin::AdminError;
use http::StatusCode;
use tonic::Code;

/// What to do about a change that the cluster is not ready for.
const HINT_MEMBERS: &str = "look at the members: GET /v1/members";

pub(super) fn administration(error: &AdminError) -> Row {
    match error {
        AdminError::NotFound(_) => row(
            Code::NotFound,
            "member not found",
            StatusCode::NOT_FOUND,
            "member_not_found",
            HINT_MEMBERS,
        ),
        AdminError::BadAddress(_) => row(
            Code::InvalidArgument,
            "given member URLs are invalid",
            StatusCode::BAD_REQUEST,
            "bad_address",
            HINT_FIX,
        ),
        AdminError::AddressTaken { .. } => conflict("Peer URLs already exists"),
        AdminError::NotLearner(_) => conflict("can only promote a learner member"),
        AdminError::Behind(_) => {
            conflict("can only promote a learner member which is in sync with leader")
        }
        AdminError::QuorumAtRisk(_) => {
            conflict("re-configuration failed due to not enough started members")
        }
        AdminError::CannotLead(_) => conflict("bad leader transferee"),
        AdminError::Refused(text) => conflict(text.clone()),
        AdminError::Busy => unavailable(
            "another membership change is under way",
            "change_pending",
            Outcome::NotApplied,
        )
        .with_hint(HINT_RETRY),
        AdminError::NoLeader => Failure::NoLeader.row(),
        AdminError::Unknown(_) => Failure::TimedOut(Outcome::Unknown).row(),
    }
}

pub(super) fn not_leading() -> Row {
    row(
        Code::FailedPrecondition,
        "not leader",
        StatusCode::CONFLICT,
        "not_leader",
        HINT_LEADER,
    )
}

pub(super) fn no_downgrade() -> Row {
    row(
        Code::FailedPrecondition,
        "no inflight downgrade job",
        StatusCode::CONFLICT,
        "refused",
        "nothing to do",
    )
}

fn conflict(message: impl Into<std::borrow::Cow<'static, str>>) -> Row {
    row(
        Code::FailedPrecondition,
        message,
        StatusCode::CONFLICT,
        "refused",
        HINT_MEMBERS,
    )
}
