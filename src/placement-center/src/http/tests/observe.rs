//! Health, version, status, configuration, metrics and the log level of a real node.

use super::client::{PATIENCE, send};
use super::server::TestNode;
use crate::http::{FacadeLevel, LogLevel, VERSION};
use log::LevelFilter;
use parking_lot::Mutex;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::timeout;

#[tokio::test]
async fn a_healthy_node_says_so_in_every_dialect() {
    let node = TestNode::start().await;
    for path in [
        "/health",
        "/health?serializable=true",
        "/health?exclude=NOSPACE&probe=x",
    ] {
        let answer = node.get(path).await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({ "health": "true", "reason": "" })),
            "{path}"
        );
    }
    for path in [
        "/livez",
        "/readyz",
        "/livez/serializable_read",
        "/readyz/linearizable_read",
        "/readyz/non_learner",
        "/readyz/data_corruption",
    ] {
        let answer = node.get(path).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok\n"),
            "{path}"
        );
    }
    assert_eq!(
        node.get("/livez?verbose").await.text(),
        "[+]serializable_read ok\nlivez check passed\n"
    );
    let excluded = node
        .get("/readyz?verbose&exclude=linearizable_read")
        .await
        .text();
    let expected = "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read excluded: ok\n[+]non_learner ok\nreadyz check passed\n";
    assert_eq!(excluded, expected);
    let unknown = node.get("/readyz/nothing").await;
    assert_eq!(
        (unknown.status, unknown.error_code().as_str()),
        (404, "check_not_found")
    );
    assert_eq!(
        send(node.http, "HEAD", "/health", &[], b"").await.status,
        200
    );
    node.stop().await;
}

#[tokio::test]
async fn what_is_read_only_takes_no_writes() {
    let node = TestNode::start().await;
    for path in [
        "/health",
        "/livez",
        "/readyz/non_learner",
        "/metrics",
        "/version",
        "/v1/status",
        "/v1/config",
    ] {
        let answer = send(node.http, "POST", path, &[], b"{}").await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (405, "method_not_allowed"),
            "{path}"
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn version_status_and_configuration_describe_the_node() {
    let configure = |config: &mut crate::config::Config| config.node_alias = "otto".to_owned();
    let node = TestNode::with(configure, Arc::new(FacadeLevel)).await;
    let version = node.get("/version").await.json();
    assert_eq!(version["placement_center"], VERSION);
    assert!(
        version["etcdserver"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.")),
        "{version}"
    );
    assert_eq!(version["etcdserver"], version["etcdcluster"]);
    node.put("/v1/kv/a", b"1").await;
    let status = node.get("/v1/status").await.json();
    assert_eq!(
        (&status["node_alias"], &status["role"], &status["leader"]),
        (&json!("otto"), &json!("leader"), &json!(1))
    );
    assert_eq!(
        (&status["voters"], &status["kv"]["keys"]),
        (&json!([1]), &json!(1))
    );
    assert_eq!(
        (
            &status["peers"],
            &status["outgoing_voters"],
            &status["links"]
        ),
        (&json!([]), &json!([]), &json!([]))
    );
    assert!(
        status["index"]["applied"].as_u64() > Some(0) && status["term"].as_u64() > Some(0),
        "{status}"
    );
    // Known after the first look at the log, at the latest.
    assert!(
        status
            .get("oldest_entry_age_ms")
            .is_some_and(|age| age.is_null() || age.is_u64()),
        "{status}"
    );
    assert_eq!(status["cluster_id"].as_str().map(str::len), Some(16));
    assert_eq!(status["addresses"]["http"], node.http.to_string());
    assert!(
        status["disk_bytes"].is_u64() && status["uptime_seconds"].is_u64(),
        "{status}"
    );
    let config = node.get("/v1/config").await.json();
    assert_eq!(
        (&config["node_alias"], &config["nodes"]["1"]),
        (&json!("otto"), &json!("127.0.0.1:8872"))
    );
    assert_eq!(
        (
            &config["raft"]["election_ms"],
            &config["storage"]["quota_mib"]
        ),
        (&json!(1000), &json!(8192))
    );
    for path in ["/v1/status?x=1", "/v1/config?x=1"] {
        assert_eq!(node.get(path).await.error_code(), "bad_request");
    }
    node.stop().await;
}

/// Samples of a page by name and labels; every line must be one.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.map(|line| {
        let (name, value) = line
            .rsplit_once(' ')
            .unwrap_or_else(|| panic!("no sample: {line}"));
        (
            name.to_owned(),
            value
                .parse()
                .unwrap_or_else(|_| panic!("no number: {line}")),
        )
    });
    parsed.collect()
}

/// Names that the page must have, whatever their figures.
const PRESENT: [&str; 14] = [
    "placement_snapshots_installed_total{direction=\"sent\"}",
    "placement_snapshots_in_progress{direction=\"received\"}",
    "placement_membership_change_pending",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_slow_apply_total",
    "etcd_server_read_indexes_failed_total",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
    "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"8.192\"}",
    "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"}",
    "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}",
];

#[tokio::test]
async fn the_metrics_page_moves_with_what_happens() {
    let node = TestNode::start().await;
    let before = samples(&node.get("/metrics").await.text());
    for _ in 0..3 {
        assert_eq!(node.put("/v1/kv/m", b"1").await.status, 200);
    }
    assert_eq!(node.get("/v1/kv/none").await.status, 404);
    let answer = node.get("/metrics").await;
    assert_eq!(
        answer.header("content-type").as_deref(),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let after = samples(&answer.text());
    let grown = |name: &str| {
        after.get(name).unwrap_or_else(|| panic!("no {name}")) - before.get(name).unwrap_or(&0.0)
    };
    assert_eq!(grown("etcd_server_proposals_applied_total"), 3.0);
    assert_eq!(grown("etcd_debugging_mvcc_current_revision"), 3.0);
    assert_eq!(grown("placement_commands_applied_total"), 3.0);
    assert_eq!(grown("etcd_disk_wal_fsync_duration_seconds_count"), 3.0);
    assert_eq!(
        grown("placement_http_requests_total{route=\"/v1/kv/{*key}\",code=\"200\"}"),
        3.0
    );
    assert_eq!(
        grown("placement_http_requests_total{route=\"/v1/kv/{*key}\",code=\"404\"}"),
        1.0
    );
    let levels = [
        ("etcd_server_has_leader", 1.0),
        ("etcd_server_is_leader", 1.0),
        ("etcd_server_is_learner", 0.0),
        ("etcd_server_proposals_failed_total", 0.0),
        ("placement_http_panics_total", 0.0),
        ("etcd_debugging_mvcc_keys_total", 1.0),
        ("placement_members{role=\"voter\"}", 1.0),
        ("etcd_server_quota_backend_bytes", 8192.0 * 1024.0 * 1024.0),
    ];
    for (name, value) in levels {
        assert_eq!(after.get(name), Some(&value), "{name}");
    }
    // Counted down a moment after the answer.
    let settled = async {
        let pending = "etcd_server_proposals_pending";
        while samples(&node.get("/metrics").await.text()).get(pending) != Some(&0.0) {}
    };
    timeout(PATIENCE, settled)
        .await
        .expect("nothing is pending");
    for name in PRESENT {
        assert!(after.contains_key(name), "{name}");
    }
    node.stop().await;
}

/// A logging system that notes what it is told, or refuses.
#[derive(Default)]
struct Noted {
    level: Mutex<Option<LevelFilter>>,
    refuses: bool,
}

impl LogLevel for Noted {
    fn level(&self) -> LevelFilter {
        self.level.lock().unwrap_or(LevelFilter::Info)
    }

    fn set_level(&self, level: LevelFilter) -> Result<(), String> {
        if self.refuses {
            return Err("the disk is full".to_owned());
        }
        *self.level.lock() = Some(level);
        Ok(())
    }
}

const JSON: &str = "content-type: application/json; charset=utf-8";

#[tokio::test]
async fn the_log_level_is_read_and_changed() {
    let noted = Arc::new(Noted::default());
    let node = TestNode::with(|_| (), noted.clone()).await;
    let put = |headers: Vec<&'static str>, body: &'static [u8]| {
        let address = node.http;
        async move { send(address, "PUT", "/v1/log-level", &headers, body).await }
    };
    assert_eq!(
        node.get("/v1/log-level").await.json(),
        json!({ "level": "info" })
    );
    assert_eq!(
        put(vec![JSON], br#"{"level":"debug"}"#).await.json(),
        json!({ "level": "debug" })
    );
    assert_eq!(
        node.get("/v1/log-level").await.json(),
        json!({ "level": "debug" })
    );
    let untyped = put(vec![], br#"{"level":"trace"}"#).await;
    assert_eq!(
        (untyped.status, untyped.error_code().as_str()),
        (415, "unsupported_media_type")
    );
    let form = put(
        vec!["content-type: application/x-www-form-urlencoded"],
        b"level=trace",
    )
    .await;
    assert_eq!(
        (form.status, form.error_code().as_str()),
        (415, "unsupported_media_type")
    );
    for body in [
        b"".as_slice(),
        b"{",
        b"[]",
        br#"{"level":"loud"}"#,
        br#"{"level":"info","target":"x"}"#,
    ] {
        let answer = put(vec![JSON], body).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (400, "bad_request"),
            "{body:?}"
        );
    }
    assert_eq!(
        noted.level(),
        LevelFilter::Debug,
        "refused requests change nothing"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_logging_system_that_refuses_is_reported() {
    let node = TestNode::with(
        |_| (),
        Arc::new(Noted {
            refuses: true,
            ..Noted::default()
        }),
    )
    .await;
    let answer = send(
        node.http,
        "PUT",
        "/v1/log-level",
        &[JSON],
        br#"{"level":"debug"}"#,
    )
    .await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (500, "internal")
    );
    assert!(answer.text().contains("the disk is full"));
    node.stop().await;
}
