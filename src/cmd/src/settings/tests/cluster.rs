//! What the settings have to do with other members: the token, founding, joining, derived addresses.

use std::fs;

use super::{TOKEN, load, refusal};
use crate::settings::Effective;

fn node(arguments: &[&str]) -> placement_center::config::Config {
    load(arguments, &[], None).expect("valid").settings.node
}

#[test]
fn a_lone_node_is_the_founder_by_default() {
    let config = node(&["--node-id=7", "--peer-port=9000"]);
    assert_eq!(config.nodes_text(), "{ 7 = \"127.0.0.1:9000\" }");
    let config = node(&["--advertise-peer=localhost:1"]);
    assert_eq!(config.nodes_text(), "{ 1 = \"localhost:1\" }");
}

#[test]
fn who_joins_founds_nothing() {
    let config = node(&[
        "--node-id=4",
        "--peer-port=9000",
        "--join=127.0.0.1:8872,[::1]:8872",
    ]);
    assert!(config.nodes.is_empty());
    assert_eq!(config.join, ["127.0.0.1:8872", "[::1]:8872"]);
    let both = ["--nodes=1=localhost:1", "--join=localhost:2"];
    let told = refusal(&both, &[], None);
    assert!(
        told.starts_with("join = [\"localhost:2\"] is not allowed"),
        "{told}"
    );
    assert!(told.ends_with("(flag --join)"), "{told}");
}

#[test]
fn a_data_directory_that_exists_outlives_its_founding_settings() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let data = format!("--data-path={}", directory.path().display());
    let both = [
        data.as_str(),
        "--node-id=4",
        "--nodes=1=localhost:1",
        "--join=localhost:2",
    ];
    refusal(&both, &[], None);
    fs::write(directory.path().join("identity"), "of somebody").expect("writable");
    let effective = load(&both, &[], None).expect("both are ignored");
    assert_eq!(effective.ignored(), ["nodes", "join"]);
    let effective = load(&[&data, "--node-id=4"], &[], None).expect("neither was given");
    assert!(effective.ignored().is_empty());
}

#[test]
fn the_peer_listener_follows_addr_only_with_a_token() {
    let open = ["--addr=192.0.2.1", "--insecure-listen"];
    assert!(node(&open).peer_addr.is_loopback());
    assert_eq!(
        node(&[open[0], open[1], TOKEN]).peer_addr.to_string(),
        "192.0.2.1"
    );
    assert_eq!(
        node(&["--addr=127.8.8.8"]).peer_addr.to_string(),
        "127.8.8.8"
    );
    let told = refusal(&["--peer-addr=192.0.2.1", "--insecure-listen"], &[], None);
    assert!(
        told.starts_with("cluster_token = \"\" is not allowed"),
        "{told}"
    );
    let told = refusal(&["--addr=0.0.0.0", "--insecure-listen", TOKEN], &[], None);
    assert!(
        told.starts_with("nodes = ") && told.contains("nobody can connect"),
        "{told}"
    );
}

#[test]
fn the_token_is_never_shown() {
    const SECRET: &str = "hunter2hunter2hunter2";
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let token_file = directory.path().join("token");
    fs::write(&token_file, format!("{SECRET}\n")).expect("writable");
    let by_file = format!("--cluster-token-file={}", token_file.display());
    let line = format!("cluster_token = \"{SECRET}\"\n");
    let flag = format!("--cluster-token={SECRET}");
    let shown = |effective: Result<Effective, _>| {
        let effective: Effective = effective.expect("valid");
        assert_eq!(effective.settings.node.cluster_token.expose(), SECRET);
        format!("{}{effective:?}", effective.to_toml())
    };
    for text in [
        shown(load(&[&flag], &[], None)),
        shown(load(
            &[],
            &[("PLACEMENT_CENTER_CLUSTER_TOKEN", SECRET)],
            None,
        )),
        shown(load(&[], &[], Some(&line))),
        shown(load(&[&by_file], &[], None)),
        refusal(&[&flag, &by_file], &[], None),
        refusal(
            &[],
            &[],
            Some(&format!("cluster_token = \"{SECRET} {SECRET}\"")),
        ),
        refusal(&[], &[], Some(&format!("cluster_token = [\"{SECRET}\"]"))),
        refusal(&[], &[("PLACEMENT_CENTER_CLUSTER_TOKEN", "hunter2")], None),
        refusal(&[], &[], Some(&format!("cluster_token = \"{SECRET}"))),
        refusal(&[], &[], Some(&format!("{line}{line}"))),
        refusal(&[], &[], Some(&format!("cluster_tokem = \"{SECRET}\""))),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn what_check_config_prints_loads_without_the_token() {
    let first = load(&[TOKEN], &[], None).expect("valid");
    let second = load(&[], &[], Some(&first.to_toml())).expect("the token is a comment");
    assert!(!second.settings.node.cluster_token.is_set());
}

#[cfg(unix)]
#[test]
fn a_token_that_is_not_text_is_not_shown_either() {
    use crate::settings::Layers;
    use std::os::unix::ffi::OsStringExt;
    let bytes = [b"hunter2hunter2hunter2".as_slice(), &[0xff]].concat();
    let layers = Layers {
        environment: vec![(
            "PLACEMENT_CENTER_CLUSTER_TOKEN".into(),
            std::ffi::OsString::from_vec(bytes),
        )],
        ..Layers::default()
    };
    let told = Effective::load(&layers).expect_err("not UTF-8").to_string();
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_token_file_holds_a_token() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("token");
    let flag = format!("--cluster-token-file={}", path.display());
    for (content, expected) in [
        ("", "it is empty"),
        ("\n", "it is empty"),
        ("short", "its content is no token: expected 16 to"),
        (
            "0123456789abcdef\n0123456789abcdef",
            "its content is no token",
        ),
    ] {
        fs::write(&path, content).expect("writable");
        let told = refusal(&[&flag], &[], None);
        assert!(
            told.starts_with("cluster_token_file = ") && told.contains(expected),
            "{told}"
        );
        assert!(content.is_empty() || !told.contains("0123"), "{told}");
    }
    fs::write(&path, b"\xff0123456789abcdef").expect("writable");
    assert!(refusal(&[&flag], &[], None).contains("cannot read it"));
    assert!(refusal(&["--cluster-token-file=/dev/zero"], &[], None).contains("no token"));
}

#[test]
fn wrong_values_of_a_cluster_are_named_with_their_line() {
    let table = [
        ("join = 5", "join = 5 is not allowed: expected addresses"),
        (
            "join = [5]",
            "join = [5] is not allowed: expected addresses",
        ),
        (
            "join = [\"a\"]",
            "join = \"a\" is not allowed: expected \"host:port\"",
        ),
        (
            "advertise_client = \"http://a:1\"",
            "advertise_client = \"http://a:1\" is not allowed: expected \"host:port\"",
        ),
        (
            "cluster_token = 5",
            "cluster_token = (not shown) is not allowed: expected text",
        ),
        (
            "cluster_token = \"hunter2\"",
            "cluster_token = (not shown) is not allowed: expected 16 to",
        ),
        (
            "cluster_token_file = \"/absent\"",
            "cluster_token_file = \"/absent\" is not allowed: cannot read it: No such",
        ),
        (
            "nodes = { 1 = \"a:1\", 2 = \"b:1\" }",
            "cluster_token = \"\" is not allowed: a:1 is not loopback",
        ),
    ];
    for (text, expected) in table {
        let told = refusal(&[], &[], Some(&format!("# a comment\n{text}\n")));
        assert!(
            told.contains(expected),
            "{text}\n  told:     {told}\n  expected: {expected}"
        );
        assert!(
            told.contains("test.toml:2") || told.contains("(default)"),
            "{told}"
        );
    }
}
