//! Each rule of `Config::validate` and `Config::validate_founding`, by a value that breaks it alone.

use std::net::SocketAddr;

use super::address::check_host_port;
use super::*;

fn token() -> ClusterToken {
    ClusterToken::new("0123456789abcdef").expect("long enough")
}

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
        ("node_alias", |c| c.node_alias = "17".to_owned()),
        ("node_id", |c| c.node_id = 0),
        ("nodes", |c| drop(c.nodes.insert(0, "b:1".to_owned()))),
        ("nodes", |c| {
            drop(c.nodes.insert(2, "127.0.0.1:8872".to_owned()))
        }),
        ("nodes", |c| drop(c.nodes.insert(2, "127.0.0.1".to_owned()))),
        ("nodes", |c| {
            drop(c.nodes.insert(2, "0.0.0.0:8872".to_owned()))
        }),
        ("join", |c| c.join = vec!["127.0.0.1".to_owned()]),
        ("join", |c| c.join = vec!["127.0.0.1:1".to_owned(); 2]),
        ("advertise_peer", |c| {
            c.advertise.peer = Some("a".to_owned())
        }),
        ("advertise_client", |c| {
            c.advertise.client = Some("http://a:1".to_owned())
        }),
        ("advertise_http", |c| {
            c.advertise.http = Some("[::]:1".to_owned())
        }),
        ("advertise_peer", |c| {
            c.cluster_token = token();
            c.nodes.clear();
            c.join = vec!["a:1".to_owned()];
            c.peer_addr = Ipv4Addr::UNSPECIFIED.into();
        }),
        ("cluster_token", |c| {
            c.peer_addr = Ipv4Addr::new(192, 0, 2, 1).into()
        }),
        ("cluster_token", |c| {
            drop(c.nodes.insert(2, "b:1".to_owned()))
        }),
        ("cluster_token", |c| c.join = vec!["192.0.2.1:1".to_owned()]),
        ("raft.snapshot_bytes_per_second", |c| {
            c.raft.snapshot_bytes_per_second = 0
        }),
        ("raft.peer_queue_bytes", |c| {
            c.raft.peer_queue_bytes = c.limits.request_bytes_max - 1
        }),
        ("http_port", |c| c.http_port = c.grpc_port),
        ("peer_port", |c| c.peer_port = c.http_port),
        ("raft.heartbeat_ms", |c| c.raft.heartbeat = Duration::ZERO),
        ("raft.election_ms", |c| {
            c.raft.election = c.raft.heartbeat * 3 - Duration::from_millis(1)
        }),
        ("limits.txn_ops_max", |c| c.limits.txn_ops_max = 0),
        ("limits.leases_max", |c| c.limits.leases_max = 0),
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
        ("limits.watchers_per_stream_max", |c| {
            c.limits.watchers_per_stream_max = 0
        }),
        ("limits.watchers_max", |c| c.limits.watchers_max = 0),
        ("limits.watch_key_bytes_max", |c| {
            c.limits.watch_key_bytes_max = 0
        }),
        ("limits.watch_progress_interval_ms", |c| {
            c.limits.watch_progress_interval = Duration::from_millis(99)
        }),
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

#[test]
fn a_new_directory_is_founded_or_joins() {
    type Change = fn(&mut Config);
    let table: &[(Option<&str>, Change)] = &[
        (None, |_| ()),
        (Some("nodes"), |c| c.node_id = 2),
        (Some("nodes"), |c| c.nodes.clear()),
        (None, |c| {
            c.node_id = 4;
            c.nodes.clear();
            c.join = vec!["127.0.0.1:1".to_owned()];
        }),
        (Some("join"), |c| c.join = vec!["127.0.0.1:1".to_owned()]),
        (Some("join"), |c| {
            c.nodes.clear();
            c.join = vec!["127.0.0.1:1".to_owned(), "127.0.0.1:8872".to_owned()];
        }),
        (None, |c| {
            c.advertise.peer = Some("127.0.0.1:8872".to_owned())
        }),
        (Some("advertise_peer"), |c| {
            c.advertise.peer = Some("127.0.0.1:1".to_owned())
        }),
        (Some("data_path"), |c| c.force_new_cluster = true),
    ];
    for (position, (key, change)) in table.iter().enumerate() {
        let mut config = Config::default();
        change(&mut config);
        assert_eq!(config.validate(), Ok(()), "row {position}");
        let refused = config.validate_founding().err().map(|invalid| invalid.key);
        assert_eq!(refused, *key, "row {position}");
    }
}

#[test]
fn members_on_one_machine_need_no_token_and_others_do() {
    let mut config = Config::default();
    for local in ["localhost:1", "127.1.2.3:1", "[::1]:1"] {
        config.nodes.insert(2, local.to_owned());
        assert_eq!(config.validate(), Ok(()), "{local}");
    }
    config.nodes.insert(3, "node-3:8872".to_owned());
    let told = config
        .validate()
        .expect_err("a name may be any machine")
        .to_string();
    assert!(told.contains("node-3:8872 is not loopback"), "{told}");
    config.cluster_token = token();
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn what_is_advertised_follows_from_what_is_bound() {
    let bound = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let told = |config: &Config, address: &str| {
        let advertised = config.advertised(
            bound(&format!("{address}:11")),
            bound(&format!("{address}:12")),
            bound(&format!("{address}:13")),
        );
        [advertised.peer, advertised.client, advertised.http]
    };
    let mut config = Config::default();
    assert_eq!(
        told(&config, "127.0.0.1"),
        ["127.0.0.1:8872", "127.0.0.1:12", "127.0.0.1:13"],
        "the founders know each other as listed"
    );
    config.nodes.clear();
    assert_eq!(told(&config, "[::1]"), ["[::1]:11", "[::1]:12", "[::1]:13"]);
    config.advertise.peer = Some("node-4:8872".to_owned());
    assert_eq!(
        told(&config, "0.0.0.0"),
        ["node-4:8872", "node-4:12", "node-4:13"]
    );
    config.advertise.client = Some("client:1".to_owned());
    config.advertise.http = Some("http:2".to_owned());
    assert_eq!(
        told(&config, "0.0.0.0"),
        ["node-4:8872", "client:1", "http:2"]
    );
}
