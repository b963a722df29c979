//! `/v1/kv`: good and bad requests against a real store.

use super::client::{Answer, send};
use super::server::TestNode;
use crate::config::Config;
use crate::http::FacadeLevel;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn assert_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (status, code),
        "{answer:?}"
    );
}

fn revision(answer: &Answer) -> i64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["revision"].as_i64().expect("a revision")
}

#[tokio::test]
async fn a_value_is_written_read_and_deleted() {
    let node = TestNode::start().await;
    let first = revision(&node.put("/v1/kv/a", b"one").await);
    let second = revision(&node.put("/v1/kv/a", b"two").await);
    assert_eq!(second, first + 1);
    let expected = json!({
        "key": "a", "key_base64": "YQ==", "value": "two", "value_base64": "dHdv",
        "create_revision": first, "mod_revision": second, "version": 2,
    });
    let answer = node.get("/v1/kv/a").await;
    assert_eq!((answer.status, answer.json()), (200, expected.clone()));
    assert_eq!(answer.header("etag"), Some(format!("\"{second}\"")));
    assert_eq!(
        node.get("/v1/kv/a?consistency=serializable").await.json(),
        expected
    );
    let old = node.get(&format!("/v1/kv/a?revision={first}")).await;
    assert_eq!(
        (&old.json()["value"], &old.json()["version"]),
        (&json!("one"), &json!(1))
    );
    assert_eq!(revision(&node.delete("/v1/kv/a").await), second + 1);
    assert_error(&node.get("/v1/kv/a").await, 404, "key_not_found");
    assert_error(&node.delete("/v1/kv/a").await, 404, "key_not_found");
    node.stop().await;
}

#[tokio::test]
async fn a_session_gets_no_answer_from_before_what_it_has_seen() {
    let configure =
        |config: &mut Config| config.limits.request_timeout = Duration::from_millis(300);
    let node = TestNode::with(configure, Arc::new(FacadeLevel)).await;
    let newest = revision(&node.put("/v1/kv/a", b"1").await);
    for path in ["/v1/kv/a?consistency=serializable", "/v1/kv?prefix=a"] {
        let ask = |seen: String| async move { send(node.http, "GET", path, &[&seen], b"").await };
        let answer = ask(format!("min-revision: {newest}")).await;
        assert_eq!(answer.status, 200, "{path}");
        let ahead = ask(format!("min-revision: {}", newest + 1)).await;
        assert_error(&ahead, 503, "behind");
        assert_eq!(ahead.header("placement-leader").as_deref(), Some("1"));
        let wrong = ask("min-revision: newest".to_owned()).await;
        assert_error(&wrong, 400, "invalid_argument");
    }
    node.stop().await;
}

#[tokio::test]
async fn keys_and_values_may_be_any_bytes() {
    let node = TestNode::start().await;
    let value: Vec<u8> = (0..=255).collect();
    assert_eq!(node.put("/v1/kv/%00/%ff%2F%25", &value).await.status, 200);
    let raw = node.get("/v1/kv/%00/%ff%2F%25?raw=1").await;
    assert_eq!(raw.body, value);
    assert_eq!(
        raw.header("content-type").as_deref(),
        Some("application/octet-stream")
    );
    assert_eq!(
        raw.header("x-content-type-options").as_deref(),
        Some("nosniff")
    );
    assert_eq!(raw.header("placement-version").as_deref(), Some("1"));
    let json = node.get("/v1/kv/%00/%ff%2F%25").await.json();
    assert!(
        json.get("key").is_none() && json.get("value").is_none(),
        "{json}"
    );
    assert_eq!(json["key_base64"], "AC//LyU=");
    assert_eq!(node.put("/v1/kv/empty", b"").await.status, 200);
    assert_eq!(node.get("/v1/kv/empty").await.json()["value"], "");
    node.stop().await;
}

#[tokio::test]
async fn conditions_guard_writes_and_deletes() {
    let node = TestNode::start().await;
    let created = revision(&node.put_if("/v1/kv/c", "If-None-Match: *", b"1").await);
    let again = node.put_if("/v1/kv/c", "If-None-Match: *", b"2").await;
    assert_error(&again, 412, "precondition_failed");
    assert_eq!(
        again.header("placement-outcome").as_deref(),
        Some("not-applied")
    );
    let matching = format!("If-Match: \"{created}\"");
    let changed = revision(&node.put_if("/v1/kv/c", &matching, b"3").await);
    assert_error(
        &node.put_if("/v1/kv/c", &matching, b"4").await,
        412,
        "precondition_failed",
    );
    assert_error(
        &node.put_if("/v1/kv/absent", &matching, b"4").await,
        412,
        "precondition_failed",
    );
    assert_eq!(node.get("/v1/kv/c").await.json()["value"], "3");
    let stale = send(node.http, "DELETE", "/v1/kv/c", &[&matching], b"").await;
    assert_error(&stale, 412, "precondition_failed");
    let fresh = send(
        node.http,
        "DELETE",
        "/v1/kv/c",
        &[&format!("If-Match: {changed}")],
        b"",
    )
    .await;
    assert_eq!(fresh.status, 200);
    for condition in [
        "If-Match: *",
        "If-Match: x",
        "If-None-Match: 1",
        "If-Match: 1\r\nIf-None-Match: *",
    ] {
        assert_error(
            &node.put_if("/v1/kv/c", condition, b"").await,
            400,
            "bad_request",
        );
    }
    let senseless = send(node.http, "DELETE", "/v1/kv/c", &["If-None-Match: *"], b"").await;
    assert_error(&senseless, 400, "bad_request");
    node.stop().await;
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let node = TestNode::start().await;
    let bad = [
        "/v1/kv/",
        "/v1/kv/%",
        "/v1/kv/a%zz",
        "/v1/kv/a?reversion=1",
        "/v1/kv/a?raw=7",
        "/v1/kv/a?revision=-1",
        "/v1/kv/a?revision=x",
        "/v1/kv/a?consistency=maybe",
        "/v1/kv/a?raw&raw",
        "/v1/kv?limit=0",
        "/v1/kv?limit=10001",
        "/v1/kv?prefix=%f",
        "/v1/kv?what",
        "/v1/kv?keys_only=2",
    ];
    for path in bad {
        assert_error(&node.get(path).await, 400, "bad_request");
    }
    assert_error(&node.put("/v1/kv/", b"x").await, 400, "bad_request");
    assert_error(&node.put("/v1/kv/a?ttl=5", b"x").await, 400, "bad_request");
    assert_error(&node.delete("/v1/kv/").await, 400, "bad_request");
    assert_error(&node.delete("/v1/kv/a?all").await, 400, "bad_request");
    assert_error(
        &node.get("/v1/kv/a?revision=99999").await,
        400,
        "future_revision",
    );
    assert_error(
        &send(node.http, "POST", "/v1/kv/a", &[], b"x").await,
        405,
        "method_not_allowed",
    );
    assert_error(
        &send(node.http, "PUT", "/v1/kv", &[], b"x").await,
        405,
        "method_not_allowed",
    );
    assert_error(
        &node.put("/v1/kv/a", &vec![0; 3 << 20]).await,
        413,
        "body_too_large",
    );
    // Fits the body limit, but not together with its key.
    assert_error(
        &node.put("/v1/kv/a", &vec![0; 3 << 19]).await,
        413,
        "request_too_large",
    );
    assert_error(&node.get("/v1/kv/a").await, 404, "key_not_found");
    node.stop().await;
}

#[tokio::test]
async fn compacted_history_is_gone() {
    let node = TestNode::start().await;
    let first = revision(&node.put("/v1/kv/h", b"1").await);
    let second = revision(&node.put("/v1/kv/h", b"2").await);
    node.compact(second).await;
    assert_error(
        &node.get(&format!("/v1/kv/h?revision={first}")).await,
        410,
        "compacted",
    );
    assert_error(
        &node.get(&format!("/v1/kv?revision={first}")).await,
        410,
        "compacted",
    );
    node.stop().await;
}

#[tokio::test]
async fn lists_come_in_pages_of_one_revision() {
    let node = TestNode::start().await;
    for key in ["l/1", "l/2", "l/3", "l/4%ff&x=+", "m"] {
        assert_eq!(node.put(&format!("/v1/kv/{key}"), b"v").await.status, 200);
    }
    let mut path = "/v1/kv?prefix=l/&limit=2&keys_only".to_owned();
    let mut keys = Vec::new();
    for _ in 0..3 {
        let page = node.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        for item in page["items"].as_array().expect("items") {
            assert!(item.get("value_base64").is_none());
            keys.push(item["key_base64"].as_str().expect("a key").to_owned());
        }
        // Written between the pages, so not part of their revision.
        node.put("/v1/kv/l/zz", b"late").await;
        match page["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(keys, ["bC8x", "bC8y", "bC8z", "bC80/yZ4PSs="]);
    let everything = node.get("/v1/kv").await.json();
    assert_eq!(everything["items"].as_array().map(Vec::len), Some(6));
    assert_eq!(everything["items"][0]["value"], "v");
    assert_eq!(
        (&everything["more"], &everything["next"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(
        node.get("/v1/kv?prefix=none").await.json()["items"],
        json!([])
    );
    let after = node
        .get("/v1/kv?after=l/zz&consistency=serializable")
        .await
        .json();
    assert_eq!(after["items"][0]["key"], "m");
    node.stop().await;
}

#[tokio::test]
async fn a_full_store_refuses_to_grow_and_says_so_everywhere() {
    let small = |config: &mut crate::config::Config| config.storage.quota_bytes = 1000;
    let node = TestNode::with(small, Arc::new(FacadeLevel)).await;
    assert_eq!(node.put("/v1/kv/q", &[b'x'; 2000]).await.status, 200);
    let full = node.put("/v1/kv/more", b"x").await;
    assert_error(&full, 507, "no_space");
    assert_eq!(
        full.header("placement-outcome").as_deref(),
        Some("not-applied")
    );
    assert_eq!(node.get("/v1/kv/q").await.status, 200);
    assert_eq!(
        node.get("/health").await.json(),
        json!({ "health": "false", "reason": "ALARM NOSPACE" })
    );
    assert_eq!(node.get("/health?exclude=NOSPACE").await.status, 200);
    assert_eq!(
        node.get("/v1/status").await.json()["kv"]["over_quota"],
        true
    );
    let deleted = revision(&node.delete("/v1/kv/q").await);
    node.compact(deleted).await;
    assert_eq!(
        node.put("/v1/kv/more", b"x").await.status,
        200,
        "the alarm clears by itself"
    );
    assert_eq!(node.get("/health").await.status, 200);
    node.stop().await;
}
