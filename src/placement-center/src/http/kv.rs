//! `/v1/kv`: keys and values for people and scripts. The same store and the same rules as over gRPC;
//! these handlers only translate.

use super::decode::{Query, key_of};
use super::error::ApiError;
use super::{Shared, kv_json, layers};
use crate::service::native::kv::KvService;
use crate::service::{Deadline, session};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri, header};
use protocol::placement::v1::{
    Consistency, DeleteRequest, GetRequest, ListPrefixRequest, SetRequest,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Where keys begin in a path.
const PREFIX: &str = "/v1/kv/";

/// Items of a page when the client does not say, and at most.
const LIMIT_DEFAULT: u64 = 1000;
const LIMIT_MAX: u64 = 10_000;

impl Shared {
    /// The native service: what it does over gRPC happens here too.
    fn store(&self) -> KvService {
        KvService::new(Arc::clone(&self.parts.context))
    }

    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.limits.timeout)
    }

    /// Waits until this node has the revision that the client says it has seen, if it says one.
    async fn reached(&self, headers: &HeaderMap, deadline: Deadline) -> Result<(), ApiError> {
        if let Some(revision) = session::min_revision(headers)? {
            self.parts.context.reached(revision, deadline).await?;
        }
        Ok(())
    }
}

pub(super) async fn get(
    State(shared): State<Shared>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = Query::parse(&uri, &["raw", "revision", "consistency"])?;
    let request = GetRequest {
        key: key_of(&uri, PREFIX)?.into(),
        consistency: consistency(&query)?.into(),
        revision: kv_json::revision(&query)?,
    };
    let raw = query.flag("raw")?;
    let deadline = shared.deadline();
    shared.reached(&headers, deadline).await?;
    let found = shared.store().got(request, deadline).await?;
    let item = found.item.ok_or_else(kv_json::key_not_found)?;
    let tag = [(header::ETAG, kv_json::etag(item.mod_revision))];
    Ok(match raw {
        true => (tag, kv_json::raw(item)).into_response(),
        false => (tag, Json(kv_json::item(&item, false))).into_response(),
    })
}

pub(super) async fn put(
    State(shared): State<Shared>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    Query::parse(request.uri(), &[])?;
    let key = key_of(request.uri(), PREFIX)?.into();
    let expected_mod_revision = kv_json::condition(&headers)?;
    let value = layers::read_body(request.into_body(), &shared.limits).await?;
    let request = SetRequest {
        key,
        value,
        expected_mod_revision,
    };
    let set = shared.store().written(request, shared.deadline()).await?;
    match expected_mod_revision {
        Some(expected) if !set.written => Err(kv_json::condition_failed(expected)),
        _ => Ok(Json(json!({ "revision": set.revision }))),
    }
}

/// Answers 404 for a key that does not exist: the caller learns whether this request deleted it. A
/// script that repeats a delete takes 404 for done.
pub(super) async fn delete(
    State(shared): State<Shared>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    Query::parse(&uri, &[])?;
    let key = key_of(&uri, PREFIX)?.into();
    let expected_mod_revision = kv_json::condition(&headers)?;
    if expected_mod_revision == Some(0) {
        return Err(ApiError::bad_request(
            "If-None-Match makes no sense on a delete",
            "use If-Match: <mod_revision>",
        ));
    }
    let request = DeleteRequest {
        key,
        expected_mod_revision,
    };
    let deleted = shared.store().deleted(request, shared.deadline()).await?;
    match expected_mod_revision {
        _ if deleted.deleted => Ok(Json(json!({ "revision": deleted.revision }))),
        Some(expected) => Err(kv_json::condition_failed(expected)),
        None => Err(kv_json::key_not_found()),
    }
}

pub(super) async fn list(
    State(shared): State<Shared>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let query = Query::parse(
        &uri,
        &[
            "prefix",
            "limit",
            "after",
            "keys_only",
            "revision",
            "consistency",
        ],
    )?;
    let limit = query.number("limit", LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 {
        return Err(ApiError::bad_request(
            "parameter limit is \"0\"",
            format!("limit is 1 to {LIMIT_MAX}"),
        ));
    }
    let limit = u32::try_from(limit).expect("bounded by LIMIT_MAX above");
    let bytes = |name| query.bytes(name).unwrap_or_default().to_vec();
    let (prefix, keys_only) = (bytes("prefix"), query.flag("keys_only")?);
    let request = ListPrefixRequest {
        prefix: prefix.clone().into(),
        limit,
        after_key: bytes("after").into(),
        consistency: consistency(&query)?.into(),
        revision: kv_json::revision(&query)?,
        keys_only,
    };
    let deadline = shared.deadline();
    shared.reached(&headers, deadline).await?;
    let page = shared.store().list(request, deadline).await?;
    Ok(Json(kv_json::page(&page, &prefix, limit, keys_only)))
}

/// `/v1/kv/` names no key, whatever the method.
pub(super) async fn no_key(uri: Uri) -> ApiError {
    key_of(&uri, PREFIX).map_or_else(|error| error, |_| kv_json::key_not_found())
}

fn consistency(query: &Query) -> Result<Consistency, ApiError> {
    Ok(if query.serializable()? {
        Consistency::Serializable
    } else {
        Consistency::Linearizable
    })
}
