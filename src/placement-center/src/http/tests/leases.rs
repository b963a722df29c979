//! `/v1/leases` against a real store.

use super::server::TestNode;
use protocol::etcdserverpb::lease_client::LeaseClient;
use protocol::etcdserverpb::{LeaseGrantRequest, PutRequest, kv_client::KvClient};
use serde_json::json;

async fn grant(node: &TestNode, id: i64) {
    let address = format!("http://{}", node.grpc);
    let mut leases = LeaseClient::connect(address).await.expect("connect");
    let request = LeaseGrantRequest { ttl: 600, id };
    leases.lease_grant(request).await.expect("a lease");
}

async fn attach(node: &TestNode, key: &'static str, lease: i64) {
    let address = format!("http://{}", node.grpc);
    let mut kv = KvClient::connect(address).await.expect("connect");
    let request = PutRequest {
        key: key.into(),
        lease,
        ..PutRequest::default()
    };
    kv.put(request).await.expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_listed_shown_and_revoked() {
    let node = TestNode::start().await;
    for id in [0x1f, 0x2f, 0x3f] {
        grant(&node, id).await;
    }
    attach(&node, "b", 0x2f).await;
    attach(&node, "a", 0x2f).await;
    let page = node.get("/v1/leases?limit=2").await.json();
    let first = json!({ "id": "1f", "ttl": 600, "keys": 0 });
    let second = json!({ "id": "2f", "ttl": 600, "keys": 2 });
    assert_eq!(
        page,
        json!({ "leases": [first, second], "count": 3, "next": "/v1/leases?after=2f&limit=2" })
    );
    let rest = node.get("/v1/leases?after=2f&limit=2").await.json();
    let third = json!({ "id": "3f", "ttl": 600, "keys": 0 });
    assert_eq!(rest, json!({ "leases": [third], "count": 3, "next": null }));
    let shown = node.get("/v1/leases/2f?keys").await.json();
    assert_eq!((&shown["id"], &shown["ttl"]), (&json!("2f"), &json!(600)));
    assert_eq!(
        (&shown["keys"][0]["key"], &shown["keys"][1]["key"]),
        (&json!("a"), &json!("b"))
    );
    let left = shown["remaining_ms"].as_u64().expect("a number");
    assert!((500_000..=602_000).contains(&left), "{left}");
    let revoked = node.delete("/v1/leases/2f").await;
    assert_eq!(revoked.status, 200);
    for path in ["/v1/leases/2f", "/v1/kv/a"] {
        assert_eq!(node.get(path).await.status, 404, "{path}");
    }
    let again = node.delete("/v1/leases/2f").await;
    assert_eq!(
        (again.status, again.error_code().as_str()),
        (404, "lease_not_found")
    );
    for path in [
        "/v1/leases/zz",
        "/v1/leases?limit=0",
        "/v1/leases?after=-1",
        "/v1/leases/1?x",
    ] {
        assert_eq!(node.get(path).await.status, 400, "{path}");
    }
    let figures = node.get("/metrics").await;
    let text = String::from_utf8_lossy(&figures.body).into_owned();
    for line in [
        "placement_leases 2",
        "etcd_debugging_lease_granted_total 3",
        "etcd_debugging_lease_revoked_total 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    node.stop().await;
}
