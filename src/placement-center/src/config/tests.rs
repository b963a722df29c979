//! Each rule of `Config::validate`, by a value that breaks it alone.

use super::*;

/// Breaks one rule and returns the complaint.
fn complaint(break_rule: impl FnOnce(&mut Config)) -> Invalid {
    let mut config = Config::default();
    break_rule(&mut config);
    config
        .validate()
        .expect_err("the broken rule must be reported")
}

#[test]
fn the_defaults_are_valid() {
    assert_eq!(Config::default().validate(), Ok(()));
}

#[test]
fn listeners_bound_by_the_caller_may_have_port_zero() {
    let config = Config {
        grpc_port: 0,
        http_port: 0,
        peer_port: 0,
        ..Config::default()
    };
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn each_broken_rule_names_its_key() {
    type Break = fn(&mut Config);
    let table: &[(&str, Break)] = &[
        ("cluster_name", |c| c.cluster_name.clear()),
        ("cluster_name", |c| c.cluster_name = "two words".to_owned()),
        ("cluster_name", |c| {
            c.cluster_name = "x".repeat(NAME_BYTES_MAX + 1)
        }),
        ("node_alias", |c| c.node_alias = "bell\u{7}".to_owned()),
        ("node_id", |c| c.node_id = 0),
        ("nodes", |c| {
            c.nodes = BTreeMap::from([(2, "a:1".to_owned())])
        }),
        ("nodes", |c| drop(c.nodes.insert(0, "b:1".to_owned()))),
        ("nodes", |c| {
            drop(c.nodes.insert(2, "127.0.0.1:8872".to_owned()))
        }),
        ("http_port", |c| c.http_port = c.grpc_port),
        ("peer_port", |c| c.peer_port = c.http_port),
        ("raft.heartbeat_ms", |c| c.raft.heartbeat = Duration::ZERO),
        ("raft.election_ms", |c| {
            c.raft.election = c.raft.heartbeat * 3 - Duration::from_millis(1)
        }),
        ("limits.txn_ops_max", |c| c.limits.txn_ops_max = 0),
        ("limits.request_bytes_max", |c| {
            c.limits.request_bytes_max = 0
        }),
        ("limits.proposals_count_max", |c| {
            c.limits.proposals_count_max = 0
        }),
        ("limits.connections_max", |c| c.limits.connections_max = 0),
        ("limits.concurrent_streams_max", |c| {
            c.limits.concurrent_streams_max = 0
        }),
        ("limits.pipeline_window", |c| c.limits.pipeline_window = 0),
        ("limits.request_timeout_ms", |c| {
            c.limits.request_timeout = Duration::ZERO
        }),
        ("limits.shutdown_timeout_ms", |c| {
            c.limits.shutdown_timeout = Duration::ZERO
        }),
        ("limits.proposals_bytes_max", |c| {
            c.limits.proposals_bytes_max = c.limits.request_bytes_max - 1
        }),
    ];
    for (position, (key, break_rule)) in table.iter().enumerate() {
        assert_eq!(complaint(break_rule).key, *key, "row {position}");
    }
}

#[test]
fn the_complaint_about_elections_says_what_would_do() {
    let text = complaint(|c| c.raft.election = Duration::from_millis(299)).to_string();
    assert_eq!(
        text,
        "raft.election_ms = 299 is not allowed: it must be at least 3 x raft.heartbeat_ms (100), so 300 or more"
    );
}

#[test]
fn member_addresses_are_host_and_port() {
    for good in [
        "127.0.0.1:8872",
        "[::1]:1",
        "node-1.example.org:65535",
        "a_b:80",
    ] {
        assert_eq!(check_host_port(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "host",
        ":80",
        "host:",
        "host:0",
        "host:70000",
        "http://host:1",
        "[::1:1",
        "::1:1",
        "a b:1",
    ] {
        assert!(check_host_port(bad).is_err(), "{bad}");
    }
}
