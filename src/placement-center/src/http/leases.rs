//! `/v1/leases`: who holds what for how long, for people and scripts. An id is written as etcdctl prints it,
//! in hexadecimal. Granting and renewing are for programs, which have gRPC for it.

use super::decode::Query;
use super::error::ApiError;
use super::{Shared, kv_json};
use crate::kv::Refusal;
use crate::service::Failure;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json};

/// Where changes that people make are logged.
const AUDIT: &str = "audit";

/// Leases of a page when the client does not say, and at most.
const LIMIT_DEFAULT: u64 = 1000;
const LIMIT_MAX: u64 = 10_000;

const HINT_ID: &str =
    "write the id of the lease in hexadecimal, as GET /v1/leases and etcdctl print it";

/// The leases that this node knows of, in the order of their ids.
pub(super) async fn list(State(shared): State<Shared>, uri: Uri) -> Result<Json<Value>, ApiError> {
    let query = Query::parse(&uri, &["limit", "after"])?;
    let limit = query.number("limit", LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 {
        return Err(ApiError::bad_request(
            "parameter limit is \"0\"",
            format!("limit is 1 to {LIMIT_MAX}"),
        ));
    }
    let limit = usize::try_from(limit).expect("bounded by LIMIT_MAX above");
    let from = match query.bytes("after") {
        None => Some(i64::MIN),
        Some(after) => parsed(&String::from_utf8_lossy(after))?.checked_add(1),
    };
    let (mut page, count) = {
        let deadlines = shared.parts.context.leases().published().deadlines();
        let page = from.map(|from| deadlines.page(from, limit + 1));
        (page.unwrap_or_default(), deadlines.len())
    };
    let has_more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| has_more);
    let next = next.map(|(id, _)| format!("/v1/leases?after={id:x}&limit={limit}"));
    let leases: Vec<_> = page
        .iter()
        .map(|(id, facts)| json!({ "id": shown(*id), "ttl": facts.ttl, "keys": facts.keys }))
        .collect();
    Ok(Json(
        json!({ "leases": leases, "count": count, "next": next }),
    ))
}

/// The lease named in a path.
type Named = Result<Path<String>, PathRejection>;

pub(super) async fn one(
    State(shared): State<Shared>,
    name: Named,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let query = Query::parse(&uri, &["keys"])?;
    let id = named(name)?;
    let with_keys = query.flag("keys")?;
    let context = &shared.parts.context;
    let view = context.lease_view(id, with_keys, shared.deadline()).await?;
    let view = view.ok_or(Failure::Refused(Refusal::LeaseNotFound))?;
    let mut shape = json!({
        "id": shown(id),
        "ttl": view.ttl,
        "remaining_ms": view.remaining_ms,
    });
    if with_keys {
        shape["keys"] = view.keys.iter().map(|key| kv_json::key(key)).collect();
    }
    Ok(Json(shape))
}

/// Ends a lease and deletes its keys.
pub(super) async fn revoke(
    State(shared): State<Shared>,
    name: Named,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    Query::parse(&uri, &[])?;
    let id = named(name)?;
    let context = &shared.parts.context;
    let revoked = context.lease_revoke(id, shared.deadline()).await;
    match &revoked {
        Ok(_) => log::info!(target: AUDIT, "revoke lease {id:x}: done"),
        Err(failure) => log::warn!(target: AUDIT, "revoke lease {id:x}: {failure}"),
    }
    let revision = revoked?.header.map_or(0, |header| header.revision);
    Ok(Json(json!({ "revision": revision })))
}

fn named(name: Named) -> Result<i64, ApiError> {
    let Path(name) = name.map_err(|error| {
        ApiError::bad_request(
            format!("the lease in the path cannot be read: {error}"),
            HINT_ID,
        )
    })?;
    parsed(&name)
}

fn parsed(text: &str) -> Result<i64, ApiError> {
    // A sign would be taken by the parser.
    let digits = Some(text).filter(|text| !text.starts_with('+'));
    let id = digits.and_then(|text| u64::from_str_radix(text, 16).ok());
    id.map(u64::cast_signed)
        .ok_or_else(|| ApiError::bad_request(format!("the lease is {text:?}"), HINT_ID))
}

fn shown(id: i64) -> String {
    format!("{id:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for id in [1, -1, i64::MAX, i64::MIN, 0x694d_81a2_f9e4_6b05] {
            assert_eq!(parsed(&shown(id)).ok(), Some(id));
        }
        for wrong in ["", "g", "+1", "-1", "0x1", "11111111111111111"] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
