//! The JSON gateway on the gRPC port: answers, errors, bounds, both versions of HTTP.

use crate::config::LimitsConfig;
use crate::http::tests::client::{Answer, get, send, send_raw};
use crate::service::metrics::Rpc;
use crate::service::testing::*;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;
use tokio::net::TcpStream;
use tonic::Code;

async fn post(node: &Fixture, path: &str, body: &str) -> Answer {
    send(node.address, "POST", path, &[], body.as_bytes()).await
}

/// An answer without what differs from term to term.
async fn ask(node: &Fixture, path: &str, body: Value) -> Value {
    let answer = post(node, path, &body.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.header("content-type").as_deref(),
        Some("application/json")
    );
    let mut json = answer.json();
    json["header"].as_object_mut().unwrap().remove("raft_term");
    json
}

/// Status, code and text of an error, whose body must have the names of all versions.
fn error(answer: &Answer) -> (u16, i64, String) {
    let json = answer.json();
    assert_eq!(json["error"], json["message"], "{answer:?}");
    let code = json["code"].as_i64().unwrap();
    (
        answer.status,
        code,
        json["message"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_written_read_compared_and_deleted() {
    let node = Fixture::start().await;
    let header =
        |revision: &str| json!({"cluster_id": "193", "member_id": "7", "revision": revision});
    assert_eq!(
        ask(&node, "/v3/kv/put", json!({"key": "YQ==", "value": "Yg=="})).await,
        json!({"header": header("2")})
    );
    let kv = json!({"key": "YQ==", "value": "Yg==", "create_revision": "2", "mod_revision": "2", "version": "1"});
    assert_eq!(
        ask(&node, "/v3beta/kv/range", json!({"key": "YQ=="})).await,
        json!({"header": header("2"), "kvs": [kv], "count": "1"})
    );
    let txn = json!({
        "compare": [{"key": "YQ==", "target": "CREATE", "createRevision": "2"}],
        "success": [{"requestTxn": {"success": [{"requestPut": {"key": "Yg==", "value": "Yw=="}}]}}],
        "failure": [{"request_range": {"key": "YQ=="}}],
    });
    let answer = ask(&node, "/v3/kv/txn", txn).await;
    assert_eq!(answer["succeeded"], true);
    assert_eq!(
        answer["responses"][0]["response_txn"]["responses"][0]["response_put"]["header"]["revision"],
        "3"
    );
    assert_eq!(
        ask(
            &node,
            "/v3/kv/deleterange",
            json!({"key": "AA==", "range_end": "AA=="})
        )
        .await,
        json!({"header": header("4"), "deleted": "2"})
    );
    assert_eq!(
        ask(&node, "/v3/kv/compaction", json!({"revision": 3})).await,
        json!({"header": header("4")})
    );
    let members = ask(&node, "/v3/cluster/member/list", json!({})).await;
    assert_eq!(members["members"][0]["clientURLs"], json!(["http://c:1"]));
    assert_eq!(node.context.metrics().rpc(Rpc::Put).handled(Code::Ok), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_etcds_status_code_and_text() {
    let node = Fixture::start().await;
    let told = async |path: &str, body: &str| error(&post(&node, path, body).await);
    let invalid = |text: &str| (400, 3, text.to_owned());
    assert_eq!(
        told("/v3/kv/range", "").await,
        invalid("etcdserver: key is not provided")
    );
    assert_eq!(
        told("/v3/kv/range", r#"{"key":"YQ==","revision":"99"}"#).await,
        (
            400,
            11,
            "etcdserver: mvcc: required revision is a future revision".to_owned()
        )
    );
    assert_eq!(
        told("/v3/kv/put", r#"{"key":"YQ==","lease":"5"}"#).await,
        (404, 5, "etcdserver: requested lease not found".to_owned())
    );
    for body in ["{", "garbage", "[]", "{\"key\":5}", "{} x", "\u{0}"] {
        let (status, code, text) = told("/v3/kv/range", body).await;
        assert_eq!((status, code), (400, 3), "{body}");
        assert!(text.starts_with("the body "), "{body}: {text}");
    }
    assert_eq!(told("/v3/nothing", "{}").await.0, 404);
    let wrong_method = get(node.address, "/v3/kv/range").await;
    assert_eq!((error(&wrong_method).0, error(&wrong_method).1), (405, 12));
    assert_eq!(wrong_method.header("allow").as_deref(), Some("POST"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_is_unimplemented() {
    let node = Fixture::start().await;
    let answer = post(&node, "/v3/auth/user/list", "{}").await;
    // Once it is there it answers otherwise, but it never is a path that nobody knows.
    assert_ne!(answer.status, 404, "{answer:?}");
    let routed = send(node.address, "POST", "/etcdserverpb.KV/Range", &[], b"").await;
    assert_eq!(routed.status, 404, "gRPC needs HTTP/2");
    let grpc = ["content-type: application/grpc"];
    let spoken = send(node.address, "POST", "/etcdserverpb.KV/Range", &grpc, b"").await;
    assert_eq!(spoken.status, 404, "whatever a client says");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_are_refused_as_over_grpc() {
    let node = Fixture::start().await;
    let value = |bytes: usize| {
        format!(
            r#"{{"key":"YQ==","value":"{}"}}"#,
            "A".repeat(bytes / 3 * 4)
        )
    };
    let refused = error(&post(&node, "/v3/kv/put", &value(1_600_000)).await);
    let text = "etcdserver: request is too large".to_owned();
    assert_eq!(refused, (400, 3, text));
    let refused = error(&post(&node, "/v3/kv/put", &value(2_200_000)).await);
    assert_eq!((refused.0, refused.1), (429, 8));
    assert!(refused.2.contains("received message larger than max"));
    let refused = error(&post(&node, "/v3/kv/put", &value(4_000_000)).await);
    assert_eq!((refused.0, refused.1), (413, 8));
    let answer = post(&node, "/v3/kv/put", &value(1_200_000)).await;
    assert_eq!(
        answer.status, 200,
        "the connection limits are not the bound"
    );
    let read = ask(&node, "/v3/kv/range", json!({"key": "YQ=="})).await;
    assert_eq!(read["kvs"][0]["value"].as_str().unwrap().len(), 1_600_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_reach_the_services() {
    let node = Fixture::start().await;
    let body = br#"{"key":"YQ=="}"#;
    let with =
        async |header: &str| send(node.address, "POST", "/v3/kv/range", &[header], body).await;
    assert_eq!(with("min-revision: 1").await.status, 200);
    assert_eq!(with("min-revision: x").await.status, 400);
    let behind = send(
        node.address,
        "POST",
        "/v3/kv/range",
        &["grpc-timeout: 1m", "min-revision: 99"],
        body,
    )
    .await;
    assert_eq!(error(&behind).0, 503);
    assert_eq!(
        behind.header("placement-outcome").as_deref(),
        Some("not-applied")
    );
    assert_eq!(with("origin: http://evil.example").await.status, 403);
    assert_eq!(with("origin: http://test").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_served_beside_it() {
    let node = Fixture::start().await;
    assert_eq!(
        get(node.address, "/health").await.json(),
        json!({"health": "true"})
    );
    assert_eq!(get(node.address, "/healthy").await.status, 404);
    assert_eq!(get(node.address, "/v1/kv/a").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_without_grpc_is_the_gateway_too() {
    let node = Fixture::start().await;
    let stream = TcpStream::connect(node.address).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = handshake.await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(connection);
    let request = http::Request::post(format!("http://{}/v3/kv/range", node.address))
        .body(http_body_util::Full::new(bytes::Bytes::from_static(
            b"{\"key\":\"YQ==\"}",
        )))
        .unwrap();
    let response = bounded(client.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_serves_on_after_garbage() {
    let node = Fixture::start().await;
    let chunked =
        b"POST /v3/kv/put HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    let heads: [&[u8]; 6] = [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"POST /v3/kv/put HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /v3/kv/put HTTP/9.9\r\nhost: a\r\n\r\n",
        b"BREW /v3/kv/put HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\nthese are no frames at all, really not",
        chunked,
    ];
    for head in heads {
        send_raw(node.address, head).await;
    }
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500));
    let (_, answer) = send_raw(node.address, many.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 431"));
    assert_eq!(
        ask(&node, "/v3/kv/range", json!({"key": "YQ=="})).await["count"],
        Value::Null
    );
    assert_eq!(node.context.metrics().panics.load(Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_client_does_not_keep_the_listener_from_stopping() {
    let limits = LimitsConfig {
        request_timeout: PATIENCE,
        shutdown_timeout: PATIENCE,
        ..LimitsConfig::default()
    };
    let mut node = Fixture::start_with(Options {
        limits,
        ..Options::default()
    })
    .await;
    let stream = TcpStream::connect(node.address).await.unwrap();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut client, connection) = handshake.await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(connection);
    let request = http::Request::get("/health")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    assert_eq!(
        bounded(client.send_request(request))
            .await
            .unwrap()
            .status(),
        200
    );
    let silent = TcpStream::connect(node.address).await.unwrap();
    until(|| node.context.metrics().connections.load(Relaxed) == 2).await;
    let started = tokio::time::Instant::now();
    node.stop.cancel();
    node.stopped().await;
    assert!(
        started.elapsed() < PATIENCE / 2,
        "it waited for the deadline"
    );
    drop(silent);
}
