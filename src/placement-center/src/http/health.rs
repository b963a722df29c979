//! `/health`, `/livez` and `/readyz`: the questions probes ask, in the shapes etcd gives them.
//!
//! Alive means this process can read its own state; ready means the cluster behind it agrees.

use super::Shared;
use super::decode::lenient_values;
use super::error::ApiError;
use crate::kv::{self, ReadFailure};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri, header};
use protocol::etcdserverpb::RangeRequest;
use serde_json::json;
use std::fmt::Write;

/// One thing that can be wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// No corruption is known of. A node that finds its state corrupt stops, so one that answers has none.
    DataCorruption,
    /// The local state can be read.
    SerializableRead,
    /// The cluster agrees on what is newest.
    LinearizableRead,
    /// This node has a vote.
    NonLearner,
}

const LIVE: &[Check] = &[Check::SerializableRead];
const READY: &[Check] = &[
    Check::DataCorruption,
    Check::SerializableRead,
    Check::LinearizableRead,
    Check::NonLearner,
];

impl Check {
    fn name(self) -> &'static str {
        match self {
            Check::DataCorruption => "data_corruption",
            Check::SerializableRead => "serializable_read",
            Check::LinearizableRead => "linearizable_read",
            Check::NonLearner => "non_learner",
        }
    }

    async fn run(self, shared: &Shared) -> Result<(), String> {
        match self {
            Check::DataCorruption => Ok(()),
            Check::SerializableRead => local_read(shared).await,
            Check::LinearizableRead => linearizable_read(shared).await,
            Check::NonLearner => {
                let status = shared.parts.context.handle().status();
                let voter = status.voters.contains(&status.node_id);
                if voter {
                    Ok(())
                } else {
                    Err("this node is a learner".to_owned())
                }
            }
        }
    }
}

async fn linearizable_read(shared: &Shared) -> Result<(), String> {
    let timeout = shared.limits.timeout;
    match tokio::time::timeout(timeout, shared.parts.context.handle().read_barrier()).await {
        Ok(passed) => passed.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {timeout:?}")),
    }
}

/// Reads one key, the cheapest question that goes all the way to the state.
async fn local_read(shared: &Shared) -> Result<(), String> {
    let read = shared.disk_read(|context| {
        let request = RangeRequest {
            key: b"health".as_slice().into(),
            limit: 1,
            serializable: true,
            ..Default::default()
        };
        kv::range(&context.state().view(), &request).map(drop)
    });
    match read.await {
        Ok(Ok(()) | Err(ReadFailure::Refused(_))) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.message().to_owned()),
    }
}

/// etcd's one-line health: `?serializable=true` asks this node alone, `?exclude=NOSPACE` overlooks a
/// store over its quota.
pub(super) async fn health(State(shared): State<Shared>, uri: Uri) -> Response {
    let serializable = lenient_values(&uri, "serializable").any(|value| value == "true");
    let overlook_space = lenient_values(&uri, "exclude").any(|value| value == "NOSPACE");
    let reason = unhealthy(&shared, serializable, overlook_space).await;
    let status = if reason.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let health = if reason.is_empty() { "true" } else { "false" };
    (status, Json(json!({ "health": health, "reason": reason }))).into_response()
}

/// Why the node is unhealthy; empty when it is not.
async fn unhealthy(shared: &Shared, serializable: bool, overlook_space: bool) -> String {
    let parts = &shared.parts;
    if !overlook_space && parts.context.is_over_quota() {
        return "ALARM NOSPACE".to_owned();
    }
    if let Err(reason) = local_read(shared).await {
        return format!("RANGE ERROR:{reason}");
    }
    if serializable {
        return String::new();
    }
    if parts.context.handle().status().leader.is_none() {
        return "RAFT NO LEADER".to_owned();
    }
    linearizable_read(shared)
        .await
        .map_or_else(|reason| format!("RANGE ERROR:{reason}"), |()| String::new())
}

pub(super) async fn livez(State(shared): State<Shared>, uri: Uri) -> Response {
    answer(&shared, "livez", LIVE, &uri).await
}

pub(super) async fn livez_one(
    shared: State<Shared>,
    name: Path<String>,
) -> Result<Response, ApiError> {
    one(shared, LIVE, name).await
}

pub(super) async fn readyz(State(shared): State<Shared>, uri: Uri) -> Response {
    answer(&shared, "readyz", READY, &uri).await
}

pub(super) async fn readyz_one(
    shared: State<Shared>,
    name: Path<String>,
) -> Result<Response, ApiError> {
    one(shared, READY, name).await
}

/// `ok`, or with `?verbose` and on failure one line a check.
async fn answer(shared: &Shared, route: &str, checks: &[Check], uri: &Uri) -> Response {
    let excluded: Vec<&str> = lenient_values(uri, "exclude")
        .flat_map(|names| names.split(','))
        .collect();
    let mut verbose = lenient_values(uri, "verbose").next().is_some();
    let mut text = String::new();
    let mut status = StatusCode::OK;
    for check in checks {
        let name = check.name();
        let line = if excluded.contains(&name) {
            writeln!(text, "[+]{name} excluded: ok")
        } else if let Err(reason) = check.run(shared).await {
            status = StatusCode::SERVICE_UNAVAILABLE;
            verbose = true;
            writeln!(text, "[-]{name} failed: {reason}")
        } else {
            writeln!(text, "[+]{name} ok")
        };
        line.expect("writing to a String cannot fail");
    }
    let verdict = if status == StatusCode::OK {
        "passed"
    } else {
        "failed"
    };
    text = if verbose {
        format!("{text}{route} check {verdict}\n")
    } else {
        "ok\n".to_owned()
    };
    plain(status, text)
}

/// One check by its name.
async fn one(
    State(shared): State<Shared>,
    checks: &[Check],
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let Some(check) = checks.iter().find(|check| check.name() == name) else {
        let known: Vec<&str> = checks.iter().map(|check| check.name()).collect();
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "check_not_found",
            format!("no check {name:?}"),
            format!("checks: {}", known.join(", ")),
        ));
    };
    Ok(match check.run(&shared).await {
        Ok(()) => plain(StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("[-]{name} failed: {reason}\n"),
        ),
    })
}

fn plain(status: StatusCode, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text).into_response()
}
