//! `/v1/leader`: who leads, and who should.

use super::decode::Query;
use super::error::ApiError;
use super::json_body;
use super::members::Administration;
use crate::admin::{AdminError, MemberRef, audited};
use axum::Json;
use axum::extract::{Request, State};
use http::Uri;
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) async fn leader(
    State(shared): State<Administration>,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    Query::parse(&uri, &[])?;
    let view = shared.admin.members().await?;
    let leader = view.leader.ok_or(AdminError::NoLeader)?;
    let member = view.members.into_iter().find(|member| member.id == leader);
    Ok(Json(
        json!({ "leader": leader, "term": view.term, "member": member }),
    ))
}

/// The body of a transfer; without one, the most caught-up voter takes over.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    #[serde(default)]
    to: Option<Target>,
}

/// A member as JSON may name it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Target {
    Id(u64),
    Name(String),
}

pub(super) async fn transfer(
    State(shared): State<Administration>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    Query::parse(request.uri(), &[])?;
    let body = json_body::read_optional(request, &shared.limits).await?;
    let to = body.map(|body| target(&body)).transpose()?.flatten();
    let what = match &to {
        Some(member) => format!("transfer leadership to member {member}"),
        None => "transfer leadership".to_owned(),
    };
    let leader = audited(&what, shared.admin.transfer(to).await)?;
    Ok(Json(json!({ "leader": leader })))
}

fn target(body: &[u8]) -> Result<Option<MemberRef>, ApiError> {
    const HINT: &str = "send {\"to\": \"node-2\"}, {\"to\": 2}, or no body";
    let body: Transfer = json_body::parse(body, HINT)?;
    Ok(body.to.map(|target| match target {
        Target::Id(id) => MemberRef::Id(id),
        Target::Name(name) => {
            let Ok(member) = name.parse();
            member
        }
    }))
}
