//! Why a command failed, in words that say what to do next, and with what exit code.

use std::io;
use std::time::Duration;

use super::endpoint::Endpoint;
use thiserror::Error;
use tonic::{Code, Status};

/// Wrong usage; clap uses the same code.
pub const USAGE: u8 = 2;
const FAILED: u8 = 1;
const NOT_FOUND: u8 = 3;

/// Metadata of an error answer: whether the write may have been applied all the same.
const OUTCOME_METADATA: &str = "placement-outcome";

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Error {
    /// Nothing answered there.
    #[error(
        "cannot reach {endpoint}: {reason}; is placement-center running there? --endpoint HOST:PORT or \
         PLACEMENT_CTL_ENDPOINT names another member"
    )]
    Unreachable {
        /// What was tried.
        endpoint: String,
        /// The innermost cause.
        reason: String,
    },
    /// No HTTP listener answered.
    #[error(
        "{0}; members are administered over HTTP, where the port is by default 100 above that of --endpoint: \
         --http-endpoint HOST:PORT or PLACEMENT_CTL_HTTP_ENDPOINT names another one"
    )]
    HttpUnreachable(Box<Error>),
    /// The HTTP API refused or failed.
    #[error("{endpoint} answered: {message} ({code}){}{}", hinted(hint), unknown(*outcome_unknown))]
    Declined {
        /// Who answered.
        endpoint: String,
        /// In the server's words.
        message: String,
        /// The server's stable word for it.
        code: String,
        /// What to do, in the server's words.
        hint: String,
        /// Whether the change may have been made.
        outcome_unknown: bool,
    },
    /// What answered is no placement center, or one of another version.
    #[error("{endpoint} does not answer as a placement center: {reason}; is that its HTTP port?")]
    Strange {
        /// Who answered.
        endpoint: String,
        /// What was not understood.
        reason: String,
    },
    /// A member should not be restarted now.
    #[error("member {member} should not be restarted now: {reasons}")]
    RestartUnsafe {
        /// Which one.
        member: u64,
        /// Why.
        reasons: String,
    },
    /// No answer in time.
    #[error("no answer from {endpoint} within {time:?}{}; --timeout waits longer", unknown(*write))]
    Timeout {
        /// Who was asked.
        endpoint: String,
        /// How long was waited.
        time: Duration,
        /// Whether the request was a write, which may have been applied.
        write: bool,
    },
    /// The server refused or failed.
    #[error("{endpoint} answered: {message} ({code}){}", unknown(*outcome_unknown))]
    Refused {
        /// Who answered.
        endpoint: String,
        /// In the server's words.
        message: String,
        /// The gRPC code.
        code: Code,
        /// Whether a write may have been applied.
        outcome_unknown: bool,
    },
    /// The key does not exist.
    #[error("key {0} does not exist")]
    NotFound(String),
    /// The value cannot be read from the standard input.
    #[error("cannot read the value from the standard input: {0}")]
    Input(#[source] io::Error),
    /// The value on the standard input is too large for any server.
    #[error("the value on the standard input is larger than {0} bytes")]
    InputTooLarge(u64),
    /// The result cannot be printed.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
    /// The runtime cannot start.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

impl Error {
    /// None of the endpoints that were tried, each with its reason.
    pub fn unreachable(refusals: &[(&Endpoint, String)]) -> Error {
        if let [(endpoint, reason)] = refusals {
            return Error::Unreachable {
                endpoint: endpoint.to_string(),
                reason: reason.clone(),
            };
        }
        let each = |(endpoint, reason): &(&Endpoint, String)| format!("{endpoint}: {reason}");
        let reasons: Vec<String> = refusals.iter().map(each).collect();
        Error::Unreachable {
            endpoint: "any of the endpoints".to_owned(),
            reason: reasons.join(", "),
        }
    }

    /// An error answer, or what the client library made of a broken connection.
    pub fn of_status(endpoint: String, status: &Status, write: bool) -> Error {
        let transport = std::error::Error::source(status).is_some();
        if transport && status.code() == Code::Unavailable {
            return Error::Unreachable {
                endpoint,
                reason: innermost(status),
            };
        }
        let told = status
            .metadata()
            .get(OUTCOME_METADATA)
            .map(|outcome| outcome == "unknown");
        let broken_off =
            matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) || transport;
        Error::Refused {
            endpoint,
            message: if status.message().is_empty() {
                "no reason".to_owned()
            } else {
                status.message().to_owned()
            },
            code: status.code(),
            outcome_unknown: write && told.unwrap_or(broken_off),
        }
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::NotFound(_) => NOT_FOUND,
            Error::Declined { code, .. } if code == "member_not_found" => NOT_FOUND,
            Error::InputTooLarge(_) => USAGE,
            _ => FAILED,
        }
    }
}

/// The cause at the end of the chain: "connection refused", not "transport error".
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        _ => cause.to_string(),
    }
}

fn hinted(hint: &str) -> String {
    if hint.is_empty() {
        String::new()
    } else {
        format!("; {hint}")
    }
}

fn unknown(unknown: bool) -> &'static str {
    if unknown {
        "; the write may have been applied all the same: read before trying again"
    } else {
        ""
    }
}
