//! The listener: its bounds, health, reflection, and how it stops.

use crate::config::LimitsConfig;
use crate::service::LONG_READS_MAX;
use crate::service::metrics::Rpc;
use crate::service::testing::*;
use protocol::etcdserverpb::RangeRequest;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

fn health(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_leader_is_healthy() {
    let node = Fixture::start().await;
    let mut client = HealthClient::new(node.channel().await);
    for service in ["", "etcdserverpb.KV", "placement.v1.KvService"] {
        let answer = client.check(health(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    assert_eq!(
        client.check(health("nobody")).await.unwrap_err().code(),
        Code::NotFound
    );
    let mut watch = client.watch(health("nobody")).await.unwrap().into_inner();
    assert_eq!(
        bounded(watch.message()).await.unwrap().unwrap().status(),
        ServingStatus::ServiceUnknown
    );
    let mut watch = client.watch(health("")).await.unwrap().into_inner();
    assert_eq!(
        bounded(watch.message()).await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    node.stop.cancel();
    assert!(
        bounded(watch.message()).await.unwrap().is_none(),
        "a watch does not keep the listener from stopping"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn services_describe_themselves() {
    let node = Fixture::start().await;
    let mut client = ServerReflectionClient::new(node.channel().await);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client
        .server_reflection_info(tokio_stream::once(list))
        .await
        .unwrap()
        .into_inner();
    let answer = bounded(answers.message()).await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<&str> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in [
        "etcdserverpb.KV",
        "etcdserverpb.Cluster",
        "etcdserverpb.Maintenance",
        "placement.v1.KvService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_service_is_unimplemented() {
    let node = Fixture::start().await;
    let mut client = tonic::client::Grpc::new(node.channel().await);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/etcdserverpb.Nothing/Nothing");
    let codec = tonic_prost::ProstCodec::<RangeRequest, RangeRequest>::default();
    let status = client
        .unary(Request::new(range("a", "")), path, codec)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let limits = LimitsConfig {
        connections_max: 1,
        request_timeout: PATIENCE,
        ..LimitsConfig::default()
    };
    let node = Fixture::start_with(Options {
        limits,
        ..Options::default()
    })
    .await;
    let mut first = node.kv().await;
    first.range(range("a", "")).await.unwrap();
    let mut second = node.kv().await;
    let waiting = second.range(range("a", ""));
    let mut waiting = std::pin::pin!(waiting);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), waiting.as_mut())
            .await
            .is_err(),
        "there is no place"
    );
    assert_eq!(node.context.metrics().connections.load(Relaxed), 1);
    drop(first);
    bounded(waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_is_let_go() {
    let node = Fixture::start().await;
    let mut silent = TcpStream::connect(node.address).await.unwrap();
    let mut half = TcpStream::connect(node.address).await.unwrap();
    half.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    let mut idle = node.kv().await;
    let mut buffer = Vec::new();
    // The server sends its settings first, so there may be bytes before the end.
    bounded(silent.read_to_end(&mut buffer)).await.unwrap();
    bounded(half.read_to_end(&mut buffer)).await.unwrap();
    until(|| node.context.metrics().handshakes_timed_out.load(Relaxed) == 2).await;
    // A client that did its handshake and then waited as long is still welcome.
    idle.range(range("a", "")).await.unwrap();
    assert_eq!(node.context.metrics().connections_accepted.load(Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_headers_are_refused() {
    let node = Fixture::start().await;
    let mut kv = node.kv().await;
    let mut request = Request::new(range("a", ""));
    request
        .metadata_mut()
        .insert("x-large", "x".repeat(20_000).parse().unwrap());
    bounded(kv.range(request)).await.unwrap_err();
    kv.range(range("a", "")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_http2_end_the_connection_alone() {
    let node = Fixture::start().await;
    for garbage in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        &[0xff; 4096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00",
    ] {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // Whether it is closed or reset does not matter, only that it ends.
        let _ = bounded(stream.read_to_end(&mut answer)).await;
    }
    node.kv().await.range(range("a", "")).await.unwrap();
    until(|| node.context.metrics().connections.load(Relaxed) <= 1).await;
    assert_eq!(node.context.metrics().panics.load(Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_refuses_new_connections_and_closes_the_others() {
    // Longer than the test is willing to wait: nothing here may end by being cut.
    let limits = LimitsConfig {
        shutdown_timeout: 2 * PATIENCE,
        ..LimitsConfig::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let mut node = Fixture::start_with(options).await;
    let mut kv = node.kv().await;
    kv.put(put("a", "1")).await.unwrap();
    node.stop.cancel();
    node.stopped().await;
    assert!(TcpStream::connect(node.address).await.is_err());
    let code = bounded(kv.range(range("a", ""))).await.unwrap_err().code();
    // The client's own word for it: `Cancelled` if it had not yet seen that the connection closed.
    assert!(
        matches!(code, Code::Unavailable | Code::Cancelled),
        "{code:?}"
    );
    assert_eq!(node.context.metrics().connections.load(Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_ends_does_not_keep_the_listener() {
    let limits = LimitsConfig {
        shutdown_timeout: Duration::from_millis(200),
        ..LimitsConfig::default()
    };
    let mut node = Fixture::start_with(Options {
        limits,
        ..Options::default()
    })
    .await;
    node.fill("k", 64, 300 * 1024).await;
    let mut stream = node
        .kv()
        .await
        .range_stream(range("k", "l"))
        .await
        .unwrap()
        .into_inner();
    bounded(stream.message()).await.unwrap().unwrap();
    node.stop.cancel();
    node.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_answered_while_the_listener_stops() {
    let mut node = Fixture::start().await;
    node.fill("k", 3, 8).await;
    let permits = u32::try_from(LONG_READS_MAX).unwrap();
    let line = Arc::clone(&node.context.long_reads);
    let occupied = bounded(line.acquire_many_owned(permits)).await.unwrap();
    let mut kv = node.kv().await;
    let context = Arc::clone(&node.context);
    let stop = node.stop.clone();
    let stopping = async {
        until(|| context.metrics().rpc(Rpc::Range).in_flight() == 1).await;
        stop.cancel();
        bounded(context.draining.cancelled()).await;
        drop(occupied);
    };
    let waiting = kv.range(range("k", "l"));
    let (answer, ()) = bounded(futures::future::join(waiting, stopping)).await;
    assert_eq!(answer.unwrap().into_inner().kvs.len(), 3);
    node.stopped().await;
}
