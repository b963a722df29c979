//! The listener and the layers, without a store behind them: every bound is reached and answered.

use super::client::{PATIENCE, get, parse, read_answer, send, send_raw};
use crate::http::layers::{Counters, read_body};
use crate::http::{ApiError, Bounds, Limits, guarded, serve};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::routing::{get as on_get, put};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const BODY_MAX: usize = 1000;

struct Server {
    address: SocketAddr,
    limits: Limits,
    stop: CancellationToken,
    /// Told each time `/wait` has begun.
    begun: Arc<Notify>,
    /// Lets one `/wait` finish.
    finish: Arc<Notify>,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Fixture {
    limits: Limits,
    begun: Arc<Notify>,
    finish: Arc<Notify>,
}

async fn wait(State(fixture): State<Fixture>) -> &'static str {
    fixture.begun.notify_one();
    fixture.finish.notified().await;
    "done"
}

async fn length(State(fixture): State<Fixture>, request: Request) -> Result<String, ApiError> {
    let body = read_body(request.into_body(), &fixture.limits).await?;
    Ok(body.len().to_string())
}

async fn panics() {
    panic!("a planted bug");
}

/// More than the socket buffers of a loopback connection hold.
async fn flood() -> Vec<u8> {
    vec![b'x'; 64 << 20]
}

/// Breaks after its handler has returned, where no layer can catch it.
async fn broken_body() -> Body {
    Body::from_stream(futures::stream::poll_fn(
        |_| -> Poll<Option<Result<Bytes, Infallible>>> { panic!("a planted bug") },
    ))
}

async fn start(bounds: Bounds, request_timeout: Duration) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let limits = Limits {
        body_bytes_max: BODY_MAX,
        timeout: request_timeout,
        cut: CancellationToken::new(),
        counters: Arc::new(Counters::default()),
    };
    let fixture = Fixture {
        limits: limits.clone(),
        begun: Arc::default(),
        finish: Arc::default(),
    };
    let routes = Router::new()
        .route("/wait", on_get(wait).put(wait))
        .route("/length", put(length))
        .route("/panic", on_get(panics))
        .route("/flood", on_get(flood))
        .route("/broken-body", on_get(broken_body))
        .with_state(fixture.clone());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(
        listener,
        guarded(routes, limits.clone()),
        bounds,
        stop.clone(),
    ));
    Server {
        address,
        limits,
        stop,
        begun: fixture.begun,
        finish: fixture.finish,
        serving,
    }
}

async fn patient() -> Server {
    start(Bounds::with_connections(100), PATIENCE).await
}

/// Bounds short enough to be waited for.
fn hasty() -> Bounds {
    Bounds {
        connections_max: 100,
        head_timeout: Duration::from_millis(200),
        write_timeout: Duration::from_millis(200),
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_json_errors() {
    let server = patient().await;
    for path in ["/", "/nothing", "/v1/%00", "//wait", "/wait/"] {
        let answer = get(server.address, path).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (404, "route_not_found"),
            "{path}"
        );
    }
    let answer = send(server.address, "DELETE", "/wait", &[], b"").await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (405, "method_not_allowed")
    );
    let allow = answer.header("allow").expect("an Allow header");
    assert!(allow.contains("GET") && allow.contains("PUT"), "{allow}");
}

#[tokio::test]
async fn a_panic_is_an_answer_and_is_counted() {
    let server = patient().await;
    for round in 1..=2 {
        let answer = get(server.address, "/panic").await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (500, "internal")
        );
        assert_eq!(server.limits.counters.panics(), round);
    }
    assert_eq!(
        server
            .limits
            .counters
            .handled()
            .get(&("/panic".to_owned(), 500)),
        Some(&2)
    );
}

#[tokio::test]
async fn a_panic_outside_a_handler_ends_the_listener() {
    let server = patient().await;
    send_raw(
        server.address,
        b"GET /broken-body HTTP/1.1\r\nhost: t\r\n\r\n",
    )
    .await;
    let ended = timeout(PATIENCE, server.serving)
        .await
        .expect("the listener ends");
    assert!(ended.expect_err("by the panic").is_panic());
}

#[tokio::test]
async fn long_bodies_are_refused_declared_or_not() {
    let server = patient().await;
    let fits = send(server.address, "PUT", "/length", &[], &[0; BODY_MAX]).await;
    assert_eq!((fits.status, fits.text().as_str()), (200, "1000"));
    let declared = send(server.address, "PUT", "/length", &[], &[0; BODY_MAX + 1]).await;
    assert_eq!(
        (declared.status, declared.error_code().as_str()),
        (413, "body_too_large")
    );
    let unread = send(server.address, "GET", "/none", &[], &[0; BODY_MAX + 1]).await;
    assert_eq!(
        (unread.status, unread.error_code().as_str()),
        (413, "body_too_large"),
        "also where nobody reads it"
    );
    let chunk = [b"3e9\r\n".as_slice(), &[0; BODY_MAX + 1], b"\r\n0\r\n\r\n"].concat();
    let head = b"PUT /length HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let (_, received) = send_raw(server.address, &[head.as_slice(), &chunk].concat()).await;
    let chunked = parse(&received);
    assert_eq!(
        (chunked.status, chunked.error_code().as_str()),
        (413, "body_too_large")
    );
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_a_request_timeout() {
    let server = start(Bounds::with_connections(100), Duration::from_millis(200)).await;
    let head =
        b"PUT /length HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 9\r\n\r\nhalf";
    let (_, received) = send_raw(server.address, head).await;
    let answer = parse(&received);
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (408, "request_timeout")
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_bad_request() {
    let server = patient().await;
    let mut stream = TcpStream::connect(server.address).await.expect("connect");
    let head =
        b"PUT /length HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 9\r\n\r\nhalf";
    stream.write_all(head).await.expect("sent");
    stream.shutdown().await.expect("half closed");
    let answer = read_answer(&mut stream).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (400, "bad_request")
    );
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_given_up() {
    let server = start(Bounds::with_connections(100), Duration::from_millis(50)).await;
    let answer = get(server.address, "/wait").await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (504, "timeout")
    );
    assert_eq!(answer.header("placement-outcome"), None);
    let write = send(server.address, "PUT", "/wait", &[], b"").await;
    assert_eq!(write.status, 504);
    assert_eq!(
        write.header("placement-outcome").as_deref(),
        Some("unknown")
    );
}

#[tokio::test]
async fn oversized_and_malformed_heads_are_refused() {
    let server = patient().await;
    let long_header = format!(
        "GET /none HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n",
        "a".repeat(40_000)
    );
    let many_headers = format!("GET /none HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(100));
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", "a".repeat(40_000));
    let cases = [
        (long_path.as_bytes(), 431),
        (long_header.as_bytes(), 431),
        (many_headers.as_bytes(), 431),
        (b"GET / HTTP/9.9\r\n\r\n".as_slice(), 400),
        (b"\0\xff\xfe garbage\r\n\r\n", 400),
        (b"PUT /length HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (
            b"PUT /length HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
            400,
        ),
    ];
    for (bytes, status) in cases {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        let (_, received) = send_raw(server.address, bytes).await;
        assert_eq!(parse(&received).status, status, "{shown:?}");
    }
    assert_eq!(
        get(server.address, "/x").await.status,
        404,
        "the server still serves"
    );
}

#[tokio::test]
async fn slow_and_silent_clients_are_closed() {
    let server = start(hasty(), PATIENCE).await;
    let silent = send_raw(server.address, b"");
    let slow = send_raw(server.address, b"GET /wait HTTP/1.1\r\nhost:");
    let idle = send_raw(server.address, b"GET /none HTTP/1.1\r\nhost: t\r\n\r\n");
    let (silent, slow, idle) = tokio::join!(silent, slow, idle);
    assert!(silent.1.is_empty() && slow.1.is_empty());
    assert_eq!(
        parse(&idle.1).status,
        404,
        "answered first, closed when idle"
    );
}

#[tokio::test]
async fn a_client_that_never_reads_loses_its_connection() {
    let server = start(
        Bounds {
            connections_max: 1,
            ..hasty()
        },
        PATIENCE,
    )
    .await;
    let mut deaf = TcpStream::connect(server.address).await.expect("connect");
    deaf.write_all(b"GET /flood HTTP/1.1\r\nhost: t\r\n\r\n")
        .await
        .expect("sent");
    // The only slot is free again once the server has given up on the first client.
    let freed = async {
        while get(server.address, "/none").await.status != 404 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, freed).await.expect("the slot is freed");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = start(Bounds::with_connections(1), PATIENCE).await;
    let address = server.address;
    let first = tokio::spawn(async move { get(address, "/wait").await });
    server.begun.notified().await;
    let refused = get(address, "/none").await;
    assert_eq!(
        (refused.status, refused.error_code().as_str()),
        (503, "too_many_connections")
    );
    server.finish.notify_one();
    assert_eq!(first.await.expect("answered").status, 200);
    let freed = async { while get(address, "/none").await.status != 404 {} };
    timeout(PATIENCE, freed).await.expect("the slot is freed");
}

#[tokio::test]
async fn shutdown_lets_requests_finish_and_accepts_no_more() {
    let mut server = patient().await;
    let address = server.address;
    let in_flight = tokio::spawn(async move { get(address, "/wait").await });
    server.begun.notified().await;
    server.stop.cancel();
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(PATIENCE, refused)
        .await
        .expect("the listener closes");
    assert!(!server.serving.is_finished(), "a request is in flight");
    server.finish.notify_one();
    let answer = in_flight.await.expect("answered");
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
    timeout(PATIENCE, &mut server.serving)
        .await
        .expect("ends")
        .expect("without a panic");
}

#[tokio::test]
async fn the_cut_answers_what_is_still_in_flight() {
    let server = patient().await;
    let address = server.address;
    let in_flight = tokio::spawn(async move { send(address, "PUT", "/wait", &[], b"").await });
    server.begun.notified().await;
    server.stop.cancel();
    server.limits.cut.cancel();
    let answer = in_flight.await.expect("answered");
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (503, "stopping")
    );
    assert_eq!(
        answer.header("placement-outcome").as_deref(),
        Some("unknown")
    );
    timeout(PATIENCE, server.serving)
        .await
        .expect("ends")
        .expect("without a panic");
}

#[tokio::test]
async fn shutdown_does_not_wait_for_unfinished_heads() {
    // Waiting out this head timeout would show.
    let bounds = Bounds {
        head_timeout: PATIENCE,
        ..Bounds::with_connections(100)
    };
    let server = start(bounds, PATIENCE).await;
    let mut unused = TcpStream::connect(server.address).await.expect("connect");
    let mut begun = TcpStream::connect(server.address).await.expect("connect");
    begun.write_all(b"GET /no").await.expect("sent");
    let mut kept = TcpStream::connect(server.address).await.expect("connect");
    kept.write_all(b"GET /none HTTP/1.1\r\nhost: t\r\n\r\n")
        .await
        .expect("sent");
    let mut first = [0; 12];
    kept.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 404");
    server.stop.cancel();
    timeout(PATIENCE / 4, server.serving)
        .await
        .expect("ends at once")
        .expect("without a panic");
    assert_eq!(unused.read(&mut first).await.unwrap_or(0), 0);
    assert_eq!(begun.read(&mut first).await.unwrap_or(0), 0);
}
