//! Starts and stops on real directories and sockets.
#![allow(clippy::disallowed_methods, reason = "tests spawn what they wait for")]

use super::{Listeners, Node, RunError, StartError};
use crate::config::Config;
use crate::http::FacadeLevel;
use crate::http::tests::client::{PATIENCE, get, read_answer, send};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

fn config(directory: &Path) -> Config {
    Config {
        data_path: directory.join("data"),
        grpc_port: 0,
        http_port: 0,
        peer_port: 0,
        ..Config::default()
    }
}

async fn start(config: Config) -> Result<Node, StartError> {
    let listeners = Listeners::bind(&config).expect("free ports");
    Node::start(config, listeners, Arc::new(FacadeLevel)).await
}

async fn start_ready(config: Config) -> Node {
    let node = start(config).await.expect("start");
    node.ready(PATIENCE).await.expect("ready");
    node
}

#[tokio::test]
async fn a_node_keeps_what_it_was_told_over_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = start_ready(config(directory.path())).await;
    assert_eq!(
        send(node.addresses().http, "PUT", "/v1/kv/k", &[], b"kept")
            .await
            .status,
        200
    );
    node.shutdown(PATIENCE).await.expect("a clean stop");
    let node = start_ready(config(directory.path())).await;
    assert_eq!(
        get(node.addresses().http, "/v1/kv/k?raw").await.body,
        b"kept"
    );
    node.shutdown(PATIENCE).await.expect("a clean stop");
}

#[tokio::test]
async fn a_second_node_on_the_same_directory_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = start_ready(config(directory.path())).await;
    match start(config(directory.path())).await {
        Err(StartError::Open { source, .. }) => assert!(
            matches!(source, storage::Error::Locked { .. }),
            "{source:?}"
        ),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("two nodes share a directory"),
    }
    assert_eq!(
        get(node.addresses().http, "/health").await.status,
        200,
        "the first goes on"
    );
    node.shutdown(PATIENCE).await.expect("a clean stop");
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_the_disk_is_touched() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused = start(Config {
        node_id: 0,
        ..config(directory.path())
    })
    .await;
    assert!(matches!(refused.err(), Some(StartError::Config(_))));
    assert_eq!(
        std::fs::read_dir(directory.path())
            .expect("readable")
            .count(),
        0
    );
}

#[tokio::test]
async fn a_directory_of_another_node_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    start_ready(config(directory.path()))
        .await
        .shutdown(PATIENCE)
        .await
        .expect("a clean stop");
    let other = Config {
        node_id: 2,
        ..config(directory.path())
    };
    let error = start(other).await.err().expect("another node");
    assert!(
        matches!(
            error,
            StartError::Group(consensus::StartError::WrongNode { .. })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_stopped_node_lets_go_of_its_ports() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = start_ready(config(directory.path())).await;
    let addresses = node.addresses();
    let (stop_tx, stop_rx) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(node.run_until(async {
        // An error means that the sender is gone, which asks for the same.
        let _ = stop_rx.await;
    }));
    assert_eq!(get(addresses.http, "/livez").await.status, 200);
    stop_tx.send(()).expect("the node runs");
    timeout(PATIENCE, running)
        .await
        .expect("stops")
        .expect("no panic")
        .expect("a clean stop");
    for address in [addresses.http, addresses.grpc] {
        assert!(TcpStream::connect(address).await.is_err(), "{address}");
    }
}

#[tokio::test]
async fn a_panic_in_a_task_stops_the_node_with_its_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut node = start_ready(config(directory.path())).await;
    node.tasks
        .spawn::<_, std::io::Error>("planted", async { panic!("a planted bug") });
    let ended = timeout(PATIENCE, node.run_until(std::future::pending()))
        .await
        .expect("stops");
    assert!(
        matches!(
            ended,
            Err(RunError::TaskPanicked {
                task: "planted",
                ..
            })
        ),
        "{ended:?}"
    );
    let node = start_ready(config(directory.path())).await;
    node.shutdown(PATIENCE)
        .await
        .expect("the directory was unlocked");
}

/// Writes numbered keys until the server is gone; returns how many were acknowledged.
async fn write_until_refused(
    address: std::net::SocketAddr,
    writer: usize,
) -> Result<usize, String> {
    for number in 0.. {
        let Ok(connected) = TcpStream::connect(address).await else {
            return Ok(number);
        };
        drop(connected);
        let path = format!("/v1/kv/load/{writer}/{number}");
        let sending = tokio::spawn(async move { send(address, "PUT", &path, &[], b"v").await });
        // A connection refused or closed before a request was read has no answer: `send` panics.
        let Ok(answer) = sending.await else {
            return Ok(number);
        };
        match answer.status {
            200 => (),
            503 if answer.error_code() == "stopping" => return Ok(number),
            _ => return Err(format!("{answer:?}")),
        }
    }
    unreachable!("the loop ends with the server")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_under_load_answers_clearly_and_loses_nothing() {
    const WRITERS: usize = 8;
    let directory = tempfile::tempdir().expect("a directory");
    let node = start_ready(config(directory.path())).await;
    let address = node.addresses().http;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write_until_refused(address, writer)))
        .collect();
    let loaded = async { while get(address, "/v1/kv/load/0/20").await.status != 200 {} };
    timeout(PATIENCE, loaded).await.expect("writes arrive");
    let begun = Instant::now();
    node.shutdown(Duration::from_secs(4))
        .await
        .expect("a clean stop");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.push(writer.await.expect("no panic").expect("clear answers only"));
    }
    let node = start_ready(config(directory.path())).await;
    for (writer, count) in acknowledged.into_iter().enumerate() {
        assert!(count > 0 || writer > 0);
        for number in 0..count {
            let answer = get(
                node.addresses().http,
                &format!("/v1/kv/load/{writer}/{number}"),
            )
            .await;
            assert_eq!(
                answer.status, 200,
                "acknowledged write {writer}/{number} of {count} is lost"
            );
        }
    }
    node.shutdown(PATIENCE).await.expect("a clean stop");
}

#[tokio::test]
async fn a_request_in_flight_is_finished_before_the_node_stops() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = start_ready(config(directory.path())).await;
    let address = node.addresses().http;
    let mut client = TcpStream::connect(address).await.expect("connect");
    let head =
        b"PUT /v1/kv/slow HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    client.write_all(head).await.expect("sent");
    let mut invited = [0; 25];
    client
        .read_exact(&mut invited)
        .await
        .expect("the handler waits for the body");
    assert_eq!(&invited, b"HTTP/1.1 100 Continue\r\n\r\n");
    let stopping = tokio::spawn(node.shutdown(PATIENCE));
    // The gRPC listener has nothing to wait for and ends first; that must not end this request.
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(PATIENCE, refused)
        .await
        .expect("the listener closes");
    client.write_all(b"kept").await.expect("sent");
    assert_eq!(read_answer(&mut client).await.status, 200);
    timeout(PATIENCE, stopping)
        .await
        .expect("stops")
        .expect("no panic")
        .expect("a clean stop");
    let node = start_ready(config(directory.path())).await;
    assert_eq!(
        get(node.addresses().http, "/v1/kv/slow?raw").await.body,
        b"kept"
    );
    node.shutdown(PATIENCE).await.expect("a clean stop");
}

#[tokio::test]
async fn a_request_that_outlasts_the_drain_is_told_that_the_node_stops() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = start_ready(config(directory.path())).await;
    let mut client = TcpStream::connect(node.addresses().http)
        .await
        .expect("connect");
    let head = b"PUT /v1/kv/never HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    client.write_all(head).await.expect("sent");
    let mut invited = [0; 25];
    client
        .read_exact(&mut invited)
        .await
        .expect("the handler waits for the body");
    let begun = Instant::now();
    node.shutdown(Duration::from_secs(1))
        .await
        .expect("a clean stop");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let answer = read_answer(&mut client).await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (503, "stopping")
    );
}

mod cluster;
mod leases;
mod membership;
mod recovery;
