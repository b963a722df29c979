//! The one shape of every HTTP failure: `{code, message, hint}` with a status.
//!
//! Owns how a failure looks on the wire. Which failure a refused key-value request becomes is decided
//! by the table in `service::errors`; this file only prints it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use std::borrow::Cow;

/// Header that tells what became of a refused write: `not-applied` or `unknown`. The gRPC services use
/// the same name as metadata.
pub const OUTCOME_HEADER: HeaderName = HeaderName::from_static("placement-outcome");

/// What became of a write that was answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It had no effect and never will.
    NotApplied,
    /// It may have been applied; read before retrying.
    Unknown,
}

impl Outcome {
    /// The value of [`OUTCOME_HEADER`].
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::NotApplied => "not-applied",
            Outcome::Unknown => "unknown",
        }
    }
}

/// A failure as the client sees it.
#[derive(Clone, Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    hint: Cow<'static, str>,
    outcome: Option<Outcome>,
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
        if let Some(outcome) = self.outcome {
            let value = HeaderValue::from_static(outcome.as_str());
            response.headers_mut().insert(OUTCOME_HEADER, value);
        }
        response
    }
}
