//! Reads a request body that must be JSON.

use super::error::ApiError;
use super::layers::{self, Limits};
use axum::body::Bytes;
use axum::extract::Request;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;

/// The body of a request that says it is JSON.
pub async fn read(request: Request, limits: &Limits) -> Result<Bytes, ApiError> {
    let declared = media_type(&request).unwrap_or_default();
    if !declared.eq_ignore_ascii_case("application/json") {
        // curl's default is a form, whose body could be anything.
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!("content-type is {declared:?}"),
            "send content-type: application/json",
        ));
    }
    layers::read_body(request.into_body(), limits).await
}

/// The body of a request that need not have one; then it says nothing about its type either.
pub async fn read_optional(request: Request, limits: &Limits) -> Result<Option<Bytes>, ApiError> {
    if media_type(&request).is_some() {
        return read(request, limits).await.map(Some);
    }
    let body = layers::read_body(request.into_body(), limits).await?;
    if body.is_empty() {
        return Ok(None);
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "the body has no content-type",
        "send content-type: application/json, or no body",
    ))
}

/// Parses a body; `hint` shows a right one.
pub fn parse<T: DeserializeOwned>(body: &[u8], hint: &'static str) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!("the body is not the expected JSON: {error}"), hint)
    })
}

/// The declared type without its parameters.
fn media_type(request: &Request) -> Option<String> {
    let declared = request.headers().get(header::CONTENT_TYPE)?;
    let declared = declared.to_str().unwrap_or_default();
    Some(
        declared
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned(),
    )
}
