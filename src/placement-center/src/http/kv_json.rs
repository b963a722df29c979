//! Keys and values in HTTP: conditions in headers, items as JSON or raw bytes, links between pages.

use super::decode::Query;
use super::error::ApiError;
use crate::service::Outcome;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use protocol::placement::v1::{Item, ListPrefixResponse};
use serde_json::{Map, Value, json};

/// What needs no escape in a query; everything else does.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

const HINT_CONDITION: &str = "If-Match: <mod_revision> changes the key only at that revision, If-None-Match: * writes it only if it does not exist";

/// The `expected_mod_revision` that the conditional headers ask for; zero means "does not exist".
pub(super) fn condition(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let wrong = |what: &str| Err(ApiError::bad_request(what.to_owned(), HINT_CONDITION));
    if headers.get_all(header::IF_MATCH).iter().count()
        + headers.get_all(header::IF_NONE_MATCH).iter().count()
        > 1
    {
        return wrong("more than one condition is given");
    }
    if let Some(value) = headers.get(header::IF_NONE_MATCH) {
        return if value.as_bytes().trim_ascii() == b"*" {
            Ok(Some(0))
        } else {
            wrong("If-None-Match takes only *")
        };
    }
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    // Plain or quoted, so that an ETag can be sent back as it came.
    let digits = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    match digits.parse::<i64>() {
        Ok(revision) if revision > 0 => Ok(Some(revision)),
        _ => wrong("If-Match is not a mod_revision"),
    }
}

/// 412: the condition did not hold.
pub(super) fn condition_failed(expected: i64) -> ApiError {
    let message = match expected {
        0 => "the key exists".to_owned(),
        revision => format!("the key is not at mod_revision {revision}"),
    };
    let hint = "read the key for its mod_revision, then decide again";
    ApiError::new(
        StatusCode::PRECONDITION_FAILED,
        "precondition_failed",
        message,
        hint,
    )
    .with_outcome(Outcome::NotApplied)
}

/// 404: there is no such key.
pub(super) fn key_not_found() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "key_not_found",
        "the key does not exist",
        "keys are listed by /v1/kv?prefix=; a key is one path segment or several, percent-encoded",
    )
}

/// Parameter `revision`: 0 and absence read the newest.
pub(super) fn revision(query: &Query) -> Result<i64, ApiError> {
    let revision = query.number("revision", i64::MAX as u64)?.unwrap_or(0);
    Ok(i64::try_from(revision).expect("bounded by i64::MAX above"))
}

/// The item as JSON. Text is given as text where it is text, and always in base64.
pub(super) fn item(item: &Item, keys_only: bool) -> Value {
    let mut fields = Map::new();
    text_and_base64(&mut fields, ("key", "key_base64"), &item.key);
    if !keys_only {
        text_and_base64(&mut fields, ("value", "value_base64"), &item.value);
    }
    fields.insert("create_revision".into(), json!(item.create_revision));
    fields.insert("mod_revision".into(), json!(item.mod_revision));
    fields.insert("version".into(), json!(item.version));
    Value::Object(fields)
}

/// A key alone, as in [`item`].
pub(super) fn key(key: &[u8]) -> Value {
    let mut fields = Map::new();
    text_and_base64(&mut fields, ("key", "key_base64"), key);
    Value::Object(fields)
}

fn text_and_base64(fields: &mut Map<String, Value>, (text, base64): (&str, &str), bytes: &[u8]) {
    if let Ok(utf8) = std::str::from_utf8(bytes) {
        fields.insert(text.into(), json!(utf8));
    }
    fields.insert(base64.into(), json!(STANDARD.encode(bytes)));
}

/// The value alone; what else is known of the key travels in headers.
pub(super) fn raw(item: Item) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
        // Values are other people's bytes: no browser may take them for a page of this server.
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            HeaderName::from_static("placement-create-revision"),
            HeaderValue::from(item.create_revision),
        ),
        (
            HeaderName::from_static("placement-mod-revision"),
            HeaderValue::from(item.mod_revision),
        ),
        (
            HeaderName::from_static("placement-version"),
            HeaderValue::from(item.version),
        ),
    ];
    (headers, item.value).into_response()
}

/// The entity tag of a key: what `If-Match` takes.
pub(super) fn etag(mod_revision: i64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{mod_revision}\""))
        .expect("digits and quotes are a header value")
}

/// One page, with the link to the next one.
pub(super) fn page(
    response: &ListPrefixResponse,
    prefix: &[u8],
    limit: u32,
    keys_only: bool,
) -> Value {
    let items: Vec<Value> = response
        .items
        .iter()
        .map(|entry| item(entry, keys_only))
        .collect();
    let mut page = json!({ "revision": response.revision, "items": items, "more": response.more });
    if let (true, Some(last)) = (response.more, response.items.last()) {
        let escape = |bytes| percent_encode(bytes, ESCAPED);
        let (prefix, after) = (escape(prefix), escape(&last.key));
        let revision = response.revision;
        page["next"] = json!(format!(
            "/v1/kv?prefix={prefix}&limit={limit}&after={after}&keys_only={keys_only}&revision={revision}"
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn conditions_are_read_from_headers() {
        let cases = [
            (vec![], None),
            (vec![("if-none-match", "*")], Some(0)),
            (vec![("if-match", "17")], Some(17)),
            (vec![("if-match", " \"17\" ")], Some(17)),
        ];
        for (given, expected) in cases {
            assert_eq!(
                condition(&headers(&given)).expect("a good condition"),
                expected,
                "{given:?}"
            );
        }
    }

    #[test]
    fn wrong_conditions_are_refused() {
        let cases: [&[(&str, &str)]; 9] = [
            &[("if-match", "*")],
            &[("if-match", "")],
            &[("if-match", "0")],
            &[("if-match", "-1")],
            &[("if-match", "\"1")],
            &[("if-match", "9223372036854775808")],
            &[("if-none-match", "17")],
            &[("if-match", "1"), ("if-none-match", "*")],
            &[("if-match", "1"), ("if-match", "2")],
        ];
        for given in cases {
            assert_eq!(
                condition(&headers(given)).expect_err("wrong").code(),
                "bad_request",
                "{given:?}"
            );
        }
    }

    fn sample(key: &[u8], value: &[u8]) -> Item {
        Item {
            key: key.to_vec().into(),
            value: value.to_vec().into(),
            create_revision: 2,
            mod_revision: 5,
            version: 3,
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_given_in_base64_alone() {
        let json = item(&sample(b"k", b"\xff\0"), false);
        assert_eq!(json["key"], "k");
        assert!(json.get("value").is_none());
        assert_eq!(json["value_base64"], "/wA=");
        assert_eq!(
            (
                &json["create_revision"],
                &json["mod_revision"],
                &json["version"]
            ),
            (&json!(2), &json!(5), &json!(3))
        );
        assert!(
            item(&sample(b"k", b"v"), true)
                .get("value_base64")
                .is_none()
        );
    }

    #[test]
    fn the_next_link_carries_any_key() {
        let items = vec![sample(b"a", b""), sample(b"a&b=\xff+", b"")];
        let response = ListPrefixResponse {
            revision: 9,
            items,
            more: true,
        };
        let next = page(&response, b"a", 2, true)["next"]
            .as_str()
            .expect("a link")
            .to_owned();
        let query = Query::parse(
            &next.parse().expect("a URI"),
            &["prefix", "limit", "after", "keys_only", "revision"],
        );
        let query = query.expect("our own link");
        assert_eq!(query.bytes("after"), Some(&b"a&b=\xff+"[..]));
        assert_eq!(query.bytes("prefix"), Some(&b"a"[..]));
        assert_eq!(revision(&query).expect("a number"), 9);
        assert!(query.flag("keys_only").expect("a flag"));
        let last = ListPrefixResponse {
            more: false,
            ..response
        };
        assert!(page(&last, b"a", 2, true).get("next").is_none());
    }
}
