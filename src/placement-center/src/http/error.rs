//! The one shape of every HTTP failure: `{code, message, hint}` with a status.
//!
//! Owns how a failure looks on the wire, and which failure an administrator's refused request becomes. For
//! key-value requests the table in `service::errors` decides that; this file only prints it.

use crate::admin::AdminError;
use crate::service::errors::{LEADER_METADATA, OUTCOME_METADATA};
use crate::service::{Failure, Outcome};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::borrow::Cow;

/// A failure as the client sees it.
#[derive(Clone, Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    hint: Cow<'static, str>,
    outcome: Option<Outcome>,
    leader: Option<u64>,
}

#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
    hint: &'a str,
}

impl ApiError {
    /// `code` is a stable word for programs, `message` says what happened, `hint` what to do about it.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
        hint: impl Into<Cow<'static, str>>,
    ) -> ApiError {
        ApiError {
            status,
            code,
            message: message.into(),
            hint: hint.into(),
            outcome: None,
            leader: None,
        }
    }

    /// 400 with code `bad_request`: the request itself is wrong and will stay wrong.
    pub fn bad_request(
        message: impl Into<Cow<'static, str>>,
        hint: impl Into<Cow<'static, str>>,
    ) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message, hint)
    }

    /// 413: the body is longer than this server reads.
    pub fn body_too_large(bytes_max: usize) -> ApiError {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the request body exceeds {bytes_max} bytes"),
            "split the value, or raise limits.request_bytes_max",
        )
    }

    /// 503: the node is going down; another attempt should go elsewhere or wait.
    pub fn stopping() -> ApiError {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the node is stopping",
            "retry once the node is back; see the placement-outcome header for what became of a write",
        )
    }

    /// Adds what became of the write.
    pub fn with_outcome(mut self, outcome: Outcome) -> ApiError {
        self.outcome = Some(outcome);
        self
    }

    /// The status this failure answers with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The stable word of this failure.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(Body {
            code: self.code,
            message: &self.message,
            hint: &self.hint,
        });
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        if let Some(outcome) = self.outcome {
            headers.insert(OUTCOME_METADATA, HeaderValue::from_static(outcome.as_str()));
        }
        if let Some(leader) = self.leader {
            headers.insert(LEADER_METADATA, HeaderValue::from(leader));
        }
        response
    }
}

impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> ApiError {
        let message = error.to_string();
        let (status, code, hint, outcome) = match error {
            AdminError::NotFound(_) => (
                StatusCode::NOT_FOUND,
                "member_not_found",
                "list the members: GET /v1/members",
                Outcome::NotApplied,
            ),
            AdminError::Refused(_)
            | AdminError::BadAddress(_)
            | AdminError::AddressTaken { .. }
            | AdminError::NotLearner(_)
            | AdminError::Behind(_)
            | AdminError::QuorumAtRisk(_)
            | AdminError::CannotLead(_) => (
                StatusCode::CONFLICT,
                "refused",
                "see the message; repeating the request as it is will not help",
                Outcome::NotApplied,
            ),
            AdminError::Busy => (
                StatusCode::CONFLICT,
                "change_pending",
                "retry when the change under way is complete: GET /v1/members shows it",
                Outcome::NotApplied,
            ),
            AdminError::NoLeader => (
                StatusCode::SERVICE_UNAVAILABLE,
                "no_leader",
                "retry later; a majority of the members must run and reach each other",
                Outcome::NotApplied,
            ),
            AdminError::Unknown(_) => (
                StatusCode::GATEWAY_TIMEOUT,
                "outcome_unknown",
                "look at GET /v1/members before retrying: the change may have been made",
                Outcome::Unknown,
            ),
        };
        ApiError::new(status, code, message, hint).with_outcome(outcome)
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> ApiError {
        let row = failure.row();
        ApiError {
            status: row.status,
            code: row.word,
            message: row.message,
            hint: row.hint.into(),
            outcome: Some(row.outcome),
            leader: row.leader,
        }
    }
}
