//! `/v1/members`: lists, adds, removes, promotes and demotes members, and says whether one may be restarted.
//!
//! Owns the shape of requests and answers, and the audit line of each change. What a change means belongs to
//! `admin`, behind whose trait these handlers see no cluster.

use super::decode::Query;
use super::error::ApiError;
use super::json_body;
use super::layers::Limits;
use crate::admin::{AddMember, Admin, AdminError, MemberRef, MemberView, RestartCheck, audited};
use crate::config::{check_alias, check_reachable};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What the handlers of administration share.
#[derive(Clone)]
pub struct Administration {
    pub(super) admin: Arc<dyn Admin>,
    pub(super) limits: Limits,
}

/// The routes of administration.
pub fn routes(admin: Arc<dyn Admin>, limits: Limits) -> Router {
    Router::new()
        .route("/v1/members", get(list).post(add))
        .route("/v1/members/{member}", get(one).delete(remove))
        .route("/v1/members/{member}/promote", post(promote))
        .route("/v1/members/{member}/demote", post(demote))
        .route("/v1/members/{member}/check", get(check))
        .route("/v1/leader", get(super::leader::leader))
        .route("/v1/leader/transfer", post(super::leader::transfer))
        .with_state(Administration { admin, limits })
}

/// The member named in a path.
type Named = Result<Path<String>, PathRejection>;

async fn list(State(shared): State<Administration>, uri: Uri) -> Result<Json<Value>, ApiError> {
    Query::parse(&uri, &[])?;
    let view = shared.admin.members().await?;
    Ok(Json(json!(view)))
}

async fn one(
    State(shared): State<Administration>,
    name: Named,
    uri: Uri,
) -> Result<Json<MemberView>, ApiError> {
    Query::parse(&uri, &[])?;
    let wanted = named(name)?;
    let members = shared.admin.members().await?.members;
    let found = members.into_iter().find(|member| match &wanted {
        MemberRef::Id(id) => member.id == *id,
        MemberRef::Alias(alias) => member.alias == *alias,
    });
    Ok(Json(found.ok_or(AdminError::NotFound(wanted))?))
}

/// The body of an addition.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    id: u64,
    #[serde(default)]
    alias: String,
    peer_address: String,
}

async fn add(
    State(shared): State<Administration>,
    request: Request,
) -> Result<(StatusCode, Json<MemberView>), ApiError> {
    Query::parse(request.uri(), &[])?;
    let body = json_body::read(request, &shared.limits).await?;
    let member = addition(&body)?;
    let what = format!("add member {} at {}", member.id, member.peer_address);
    let added = audited(&what, shared.admin.add(member).await)?;
    Ok((StatusCode::CREATED, Json(added)))
}

fn addition(body: &[u8]) -> Result<AddMember, ApiError> {
    const HINT: &str = "send {\"id\": 4, \"alias\": \"node-4\", \"peer_address\": \"host:8872\"}; alias may be left out";
    let Addition {
        id,
        alias,
        peer_address,
    } = json_body::parse(body, HINT)?;
    if id == 0 || id > i64::MAX as u64 {
        return Err(ApiError::bad_request(
            format!("id is {id}"),
            format!("a member id is a whole number from 1 to {}", i64::MAX),
        ));
    }
    if !alias.is_empty()
        && let Err(reason) = check_alias(&alias)
    {
        return Err(ApiError::bad_request(format!("alias is {alias:?}"), reason));
    }
    if let Err(reason) = check_reachable(&peer_address) {
        return Err(ApiError::bad_request(
            format!("peer_address is {peer_address:?}"),
            reason,
        ));
    }
    Ok(AddMember {
        id,
        alias,
        peer_address,
        stays_learner: false,
    })
}

async fn remove(
    State(shared): State<Administration>,
    name: Named,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    Query::parse(&uri, &[])?;
    let member = named(name)?;
    let what = format!("remove member {member}");
    audited(&what, shared.admin.remove(member.clone()).await)?;
    Ok(Json(json!({ "removed": member.to_string() })))
}

async fn promote(
    State(shared): State<Administration>,
    name: Named,
    uri: Uri,
) -> Result<Json<MemberView>, ApiError> {
    Query::parse(&uri, &[])?;
    let member = named(name)?;
    let what = format!("promote member {member}");
    Ok(Json(audited(&what, shared.admin.promote(member).await)?))
}

async fn demote(
    State(shared): State<Administration>,
    name: Named,
    uri: Uri,
) -> Result<Json<MemberView>, ApiError> {
    Query::parse(&uri, &[])?;
    let member = named(name)?;
    let what = format!("demote member {member}");
    Ok(Json(audited(&what, shared.admin.demote(member).await)?))
}

async fn check(
    State(shared): State<Administration>,
    name: Named,
    uri: Uri,
) -> Result<Json<RestartCheck>, ApiError> {
    Query::parse(&uri, &[])?;
    Ok(Json(shared.admin.check(named(name)?).await?))
}

fn named(name: Named) -> Result<MemberRef, ApiError> {
    let Path(name) = name.map_err(|error| {
        ApiError::bad_request(
            format!("the member in the path cannot be read: {error}"),
            "name a member by its id or its alias, percent-encoded",
        )
    })?;
    let Ok(member) = name.parse();
    Ok(member)
}
