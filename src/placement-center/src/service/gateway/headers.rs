//! Which headers of an HTTP request count, and as which metadata the services get them.

use super::refusal::Refusal;
use crate::service::session::MIN_REVISION_METADATA;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tonic::Code;

/// Headers that pass under their own names.
const PASSED: [&str; 4] = ["grpc-timeout", MIN_REVISION_METADATA, "token", "hasleader"];

/// Headers that pass under what follows this, as in every gateway of this kind.
const METADATA_PREFIX: &str = "grpc-metadata-";

/// Names that mean something to gRPC or HTTP themselves and cannot be set from outside.
const RESERVED: [&str; 4] = ["content-type", "te", "host", "connection"];

/// The headers of the gRPC request. The token of a user is expected in `authorization` by those who follow
/// the gateway, in `token` by those who follow gRPC; it is in both.
pub(super) fn metadata(headers: &HeaderMap) -> HeaderMap {
    let mut metadata = HeaderMap::new();
    for (name, value) in headers {
        let renamed = name.as_str().strip_prefix(METADATA_PREFIX);
        let name = match renamed {
            Some(name) if is_free(name) => HeaderName::try_from(name).ok(),
            Some(_) => None,
            None => PASSED.contains(&name.as_str()).then(|| name.clone()),
        };
        if let Some(name) = name {
            metadata.append(name, value.clone());
        }
    }
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        metadata.insert(header::AUTHORIZATION, value.clone());
        if !metadata.contains_key("token") {
            metadata.insert("token", bare(value));
        }
    }
    metadata.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    metadata.insert(header::TE, HeaderValue::from_static("trailers"));
    metadata
}

fn is_free(name: &str) -> bool {
    !name.is_empty() && !name.starts_with("grpc-") && !RESERVED.contains(&name)
}

/// A token without the word that HTTP wants in front of it.
fn bare(value: &HeaderValue) -> HeaderValue {
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("Bearer "));
    let token = token.and_then(|token| HeaderValue::try_from(token).ok());
    let mut token = token.unwrap_or_else(|| value.clone());
    token.set_sensitive(true);
    token
}

/// Refuses what a page of another site makes a browser send. A browser sends such a `POST` without asking
/// anybody, and the user at it may well reach a port that the site does not.
pub(super) fn check_origin(head: &Parts) -> Result<(), Refusal> {
    let Some(origin) = head.headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let host = head.headers.get(header::HOST).map(HeaderValue::as_bytes);
    let host = host.or_else(|| head.uri.authority().map(|host| host.as_str().as_bytes()));
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some((_, origin)), Some(host)) if origin.as_bytes() == host => Ok(()),
        _ => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            Code::PermissionDenied,
            "a page of another origin may not use this server",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(headers: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::new(());
        for (name, value) in headers {
            let value = HeaderValue::try_from(*value).expect("a header");
            request.headers_mut().append(*name, value);
        }
        request.into_parts().0
    }

    #[test]
    fn metadata_is_what_is_meant_for_the_services() {
        let metadata = metadata(
            &head(&[
                ("authorization", "Bearer abc"),
                ("grpc-timeout", "1S"),
                ("min-revision", "7"),
                ("grpc-metadata-hasleader", "true"),
                ("grpc-metadata-te", "x"),
                ("grpc-metadata-grpc-encoding", "gzip"),
                ("grpc-metadata-", "x"),
                ("content-type", "text/plain"),
                ("grpc-encoding", "gzip"),
                ("x-other", "x"),
            ])
            .headers,
        );
        let mut names: Vec<(&str, &str)> = metadata
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                ("authorization", "Bearer abc"),
                ("content-type", "application/grpc"),
                ("grpc-timeout", "1S"),
                ("hasleader", "true"),
                ("min-revision", "7"),
                ("te", "trailers"),
                ("token", "abc"),
            ]
        );
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let own = [("host", "a:1"), ("origin", "http://a:1")];
        assert!(check_origin(&head(&own)).is_ok());
        assert!(check_origin(&head(&own[..1])).is_ok(), "no browser");
        for origin in ["http://b:1", "http://a", "https://a:1.evil", "null", "a:1"] {
            let foreign = [("host", "a:1"), ("origin", origin)];
            let refusal = check_origin(&head(&foreign)).expect_err(origin);
            assert_eq!(refusal.into_response().status(), StatusCode::FORBIDDEN);
        }
        assert!(check_origin(&head(&own[1..])).is_err(), "no host");
    }
}
