//! A whole node on a directory of its own, for the tests of routes.

use super::client::{Answer, PATIENCE, send};
use crate::config::Config;
use crate::http::{FacadeLevel, LogLevel};
use crate::node::{Listeners, Node};
use protocol::etcdserverpb::CompactionRequest;
use protocol::etcdserverpb::kv_client::KvClient;
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;

pub struct TestNode {
    node: Node,
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    /// Removed after the node.
    _directory: TempDir,
}

impl TestNode {
    pub async fn start() -> TestNode {
        TestNode::with(|_| (), Arc::new(FacadeLevel)).await
    }

    pub async fn with(
        configure: impl FnOnce(&mut Config),
        log_level: Arc<dyn LogLevel>,
    ) -> TestNode {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = Config {
            data_path: directory.path().join("data"),
            grpc_port: 0,
            http_port: 0,
            peer_port: 0,
            ..Config::default()
        };
        configure(&mut config);
        let listeners = Listeners::bind(&config).expect("free ports");
        let node = Node::start(config, listeners, log_level)
            .await
            .expect("start");
        node.ready(PATIENCE).await.expect("ready");
        tokio::time::timeout(PATIENCE, announced(&node))
            .await
            .expect("announced");
        let addresses = node.addresses();
        TestNode {
            node,
            http: addresses.http,
            grpc: addresses.grpc,
            _directory: directory,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.http, "GET", path, &[], b"").await
    }

    pub async fn put(&self, path: &str, value: &[u8]) -> Answer {
        send(self.http, "PUT", path, &[], value).await
    }

    pub async fn put_if(&self, path: &str, condition: &str, value: &[u8]) -> Answer {
        send(self.http, "PUT", path, &[condition], value).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        send(self.http, "DELETE", path, &[], b"").await
    }

    /// Forgets history below `revision`, over gRPC, which has the request for it.
    pub async fn compact(&self, revision: i64) {
        let mut client = KvClient::connect(format!("http://{}", self.grpc))
            .await
            .expect("connect");
        client
            .compact(CompactionRequest {
                revision,
                physical: true,
            })
            .await
            .expect("compacted");
    }

    pub async fn stop(self) {
        self.node.shutdown(PATIENCE).await.expect("a clean stop");
    }
}

/// Returns when the node has told its cluster where it is: from then on it writes nothing by itself.
async fn announced(node: &Node) {
    let admin = node.admin();
    loop {
        let members = admin.members().await.expect("it leads").members;
        if members.iter().all(|member| !member.instance.is_empty()) {
            return;
        }
        tokio::task::yield_now().await;
    }
}
