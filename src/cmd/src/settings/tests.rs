//! Precedence and every kind of wrong input, layer by layer.

use std::fs;
use std::net::Ipv4Addr;

mod cluster;
mod on_disk;

use super::keys::Kind;
use super::*;
use crate::args;

/// Loads as the binary would: arguments, environment, and the text of a configuration file.
fn load(
    arguments: &[&str],
    environment: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Effective, Error> {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("test.toml");
    let mut line: Vec<OsString> = vec!["placement-center".into()];
    if let Some(text) = file {
        fs::write(&path, text).expect("the temporary file can be written");
        line.push(format!("--conf={}", path.display()).into());
    }
    line.extend(arguments.iter().map(OsString::from));
    let environment = environment
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    let arguments = args::parse(line, environment).expect("the command line is well formed");
    Effective::load(&arguments.layers)
}

fn refusal(arguments: &[&str], environment: &[(&str, &str)], file: Option<&str>) -> String {
    load(arguments, environment, file)
        .expect_err("this must be refused")
        .to_string()
}

#[test]
fn nothing_given_means_defaults() {
    let effective = load(&[], &[], None).expect("the defaults are valid");
    assert_eq!(effective.settings, Settings::default());
    assert!(
        effective
            .origins
            .iter()
            .all(|origin| *origin == Origin::Default)
    );
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let file = Some("grpc_port = 1001\n[raft]\nelection_ms = 2001\n");
    let variables = [
        ("PLACEMENT_CENTER_GRPC_PORT", "1002"),
        ("PLACEMENT_CENTER_RAFT_ELECTION_MS", "2002"),
    ];
    let flags = ["--grpc-port=1003", "--raft-election-ms", "2003"];
    type Row<'a> = (
        &'a [&'a str],
        &'a [(&'a str, &'a str)],
        Option<&'a str>,
        u16,
        u128,
        &'a str,
    );
    let table: [Row<'_>; 4] = [
        (&[], &[], None, 8871, 1000, "default"),
        (&[], &[], file, 1001, 2001, "test.toml:1"),
        (
            &[],
            &variables,
            file,
            1002,
            2002,
            "environment PLACEMENT_CENTER_GRPC_PORT",
        ),
        (&flags, &variables, file, 1003, 2003, "flag --grpc-port"),
    ];
    for (flags, variables, file, port, election_ms, origin) in table {
        let effective = load(flags, variables, file).expect("every layer is valid");
        assert_eq!(effective.settings.node.grpc_port, port);
        assert_eq!(
            effective.settings.node.raft.election.as_millis(),
            election_ms
        );
        let told = effective.origin("grpc_port").to_string();
        assert!(told.ends_with(origin), "{told} should end with {origin}");
    }
}

const TOKEN: &str = "--cluster-token=0123456789abcdef";

#[test]
fn every_key_can_be_given_by_every_layer() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let token_file = directory.path().join("token");
    fs::write(&token_file, "0123456789abcdef\n").expect("the temporary file can be written");
    for key in KEYS {
        let (toml, word) = match key.name {
            "cluster_token_file" => {
                let path = token_file.display().to_string();
                (format!("{path:?}"), path)
            }
            _ => other_value(key),
        };
        let section = match key.section() {
            "" => String::new(),
            section => format!("[{section}]\n"),
        };
        // What the node's rules tie to this key moves along, so that the key alone is under test.
        let company: &[&str] = match key.name {
            "addr" => &["--insecure-listen"],
            "peer_addr" => &["--insecure-listen", "--advertise-peer=a:1", TOKEN],
            "nodes" | "join" => &[TOKEN],
            _ => &[],
        };
        let file = format!("{section}{} = {toml}\n", key.leaf());
        let flag = format!("--{}={word}", key.flag());
        let with_flag: Vec<&str> = company.iter().copied().chain([flag.as_str()]).collect();
        let variable = (key.variable(), word.clone());
        let layers = [
            load(company, &[], Some(&file)),
            load(company, &[(&variable.0, &variable.1)], None),
            load(&with_flag, &[], None),
        ];
        let shown = match key.name {
            "cluster_token" => "(not shown)",
            _ => &toml,
        };
        for effective in layers {
            let effective = effective.unwrap_or_else(|error| panic!("{}: {error}", key.name));
            assert_eq!(key.text(&effective.settings), shown, "{}", key.name);
            assert_ne!(key.text(&Settings::default()), shown, "{}", key.name);
        }
    }
}

/// A valid value that is not the default: as TOML, and as a word.
fn other_value(key: &Key) -> (String, String) {
    let (toml, word) = match key.kind {
        Kind::Whole { get, .. } => {
            let other = (get(&Settings::default()) + 10).to_string();
            return (other.clone(), other);
        }
        Kind::Text { .. } | Kind::Path { .. } => ("\"other\"", "other"),
        Kind::Address { .. } => ("\"0.0.0.0\"", "0.0.0.0"),
        Kind::Level { .. } => ("\"trace\"", "trace"),
        Kind::Switch { .. } => ("true", "true"),
        Kind::Members { .. } => ("{ 1 = \"a:1\", 7 = \"b:2\" }", "1=a:1,7=b:2"),
        Kind::Addresses { .. } => ("[\"a:1\", \"b:2\"]", "a:1, b:2"),
        Kind::Target { .. } => ("\"a:1\"", "a:1"),
        Kind::Token { .. } => ("\"fedcba9876543210\"", "fedcba9876543210"),
        Kind::File { .. } => panic!("{} needs a file that exists", key.name),
    };
    (toml.to_owned(), word.to_owned())
}

#[test]
fn both_ends_of_every_range_fit_their_field() {
    for key in KEYS {
        if let Kind::Whole { min, max, get, set } = key.kind {
            for end in [min, max] {
                let mut settings = Settings::default();
                set(&mut settings, end);
                assert_eq!(get(&settings), end, "{}", key.name);
            }
        }
    }
}

#[test]
fn flags_and_variables_are_unique() {
    for (position, key) in KEYS.iter().enumerate() {
        for other in &KEYS[..position] {
            assert_ne!(key.name, other.name);
            assert_ne!(key.flag(), other.flag());
            assert_ne!(key.variable(), other.variable());
        }
    }
}

#[test]
fn numbers_outside_their_range_are_refused_in_every_layer() {
    for key in KEYS {
        let Kind::Whole { min, max, .. } = key.kind else {
            continue;
        };
        for wrong in [
            i128::from(min) - 1,
            i128::from(max) + 1,
            -5,
            i128::from(u64::MAX) + 1,
        ] {
            let section = match key.section() {
                "" => String::new(),
                section => format!("[{section}]\n"),
            };
            let file = format!("{section}{} = {wrong}\n", key.leaf());
            let flag = format!("--{}={wrong}", key.flag());
            for told in [
                refusal(&[], &[], Some(&file)),
                refusal(&[], &[(&key.variable(), &wrong.to_string())], None),
                refusal(&[&flag], &[], None),
            ] {
                assert!(told.starts_with(key.name), "{told}");
                assert!(told.contains(&wrong.to_string()), "{told}");
                assert!(
                    told.contains(&format!("expected a whole number from {min} to {max}")),
                    "{told}"
                );
            }
        }
    }
}

#[test]
fn wrong_values_in_the_file_are_named_with_their_line() {
    let table = [
        (
            "grpc_port = 70000",
            "grpc_port = 70000 is not allowed: expected a whole number from 1 to 65535",
        ),
        (
            "grpc_port = \"8871\"",
            "grpc_port = \"8871\" is not allowed: expected a whole number from 1 to 65535, without quotes",
        ),
        ("grpc_port = 8871.5", "grpc_port = 8871.5 is not allowed"),
        (
            "grpc_port = 1_0000_0000_0000_0000_0000",
            "grpc_port = 1_0000_0000_0000_0000_0000 is not allowed",
        ),
        (
            "grpc_port = 8971",
            "http_port = 8971 is not allowed: it must differ from grpc_port",
        ),
        (
            "cluster_name = 5",
            "cluster_name = 5 is not allowed: expected text",
        ),
        ("cluster_name = \"\"", "cluster_name = \"\" is not allowed"),
        (
            "addr = \"localhost\"",
            "addr = \"localhost\" is not allowed: expected an IP address",
        ),
        (
            "addr = \"0.0.0.0\"",
            "addr = 0.0.0.0 is not allowed: this version has neither TLS",
        ),
        ("data_path = \"\"", "data_path = \"\" is not allowed"),
        (
            "insecure_listen = 1",
            "insecure_listen = 1 is not allowed: expected true or false",
        ),
        (
            "nodes = { 2 = \"a:1\" }",
            "nodes = { 2 = \"a:1\" } is not allowed: it must list this node's own id",
        ),
        (
            "nodes = { 0 = \"a:1\" }",
            "nodes = { 0 = \"a:1\" } is not allowed: expected node ids from 1",
        ),
        ("nodes = { one = \"a:1\" }", "not \"one\""),
        ("nodes = { 1 = 5 }", "nodes = { 1 = 5 } is not allowed"),
        (
            "nodes = { 1 = \"a\" }",
            "nodes = { 1 = \"a\" } is not allowed: expected \"host:port\"",
        ),
        (
            "nodes = { 1 = \"a:1\", 01 = \"b:1\" }",
            "node 1 is listed twice",
        ),
        ("nodes = [\"a:1\"]", "nodes = [\"a:1\"] is not allowed"),
        (
            "raft.election_ms = 299",
            "raft.election_ms = 299 is not allowed: it must be at least 3 x raft.heartbeat_ms (100)",
        ),
        (
            "raft.log_retention_entries = -1",
            "raft.log_retention_entries = -1 is not allowed",
        ),
        (
            "log.level = \"loud\"",
            "log.level = \"loud\" is not allowed: expected one of off, error",
        ),
        (
            "grpc_prot = 1",
            "unknown key grpc_prot; did you mean grpc_port?",
        ),
        (
            "election_ms = 1",
            "unknown key election_ms; did you mean raft.election_ms?",
        ),
        (
            "raft.heartbeat = 1",
            "unknown key raft.heartbeat; did you mean raft.heartbeat_ms?",
        ),
        ("raft = 5", "unknown key raft"),
        (
            "zzzzzzzz = 1",
            "unknown key zzzzzzzz; `placement-center --help` lists every key",
        ),
        ("[tls]\ncert = \"a\"", "unknown key tls"),
        ("grpc_port = ", "not valid TOML"),
        ("grpc_port = 1\ngrpc_port = 2", "not valid TOML"),
    ];
    for (text, expected) in table {
        let told = refusal(&[], &[], Some(&format!("# a comment\n{text}\n")));
        assert!(
            told.contains(expected),
            "{text}\n  told:     {told}\n  expected: {expected}"
        );
        // A rule between two values may blame one that was left at its default.
        assert!(
            told.contains("test.toml:") || told.contains("(default)"),
            "{told}"
        );
        assert!(!told.contains('\n'), "one line: {told}");
    }
    assert!(refusal(&[], &[], Some("\n\ngrpc_port = 0")).contains("test.toml:3"));
}

#[test]
fn a_lower_layer_is_checked_even_when_overridden() {
    let told = refusal(&["--grpc-port=9000"], &[], Some("grpc_port = 0"));
    assert!(told.contains("grpc_port = 0"), "{told}");
}

#[test]
fn variables_that_look_mistyped_are_refused_and_foreign_ones_are_not() {
    let told = refusal(&[], &[("PLACEMENT_CENTER_GRPC_PROT", "1")], None);
    assert_eq!(
        told,
        "unknown environment variable PLACEMENT_CENTER_GRPC_PROT; did you mean PLACEMENT_CENTER_GRPC_PORT? \
         (environment PLACEMENT_CENTER_GRPC_PROT)"
    );
    let orchestrator = [
        ("PLACEMENT_CENTER_SERVICE_HOST", "10.0.0.1"),
        ("PLACEMENT_CENTER_PORT", "tcp://10.0.0.1:8871"),
        ("PLACEMENT_CENTER_PORT_8871_TCP_ADDR", "10.0.0.1"),
        ("PLACEMENT_CENTER_VERSION", "0.1.0"),
        ("PATH", "/bin"),
    ];
    load(&[], &orchestrator, None).expect("foreign variables are skipped");
}

#[test]
fn variables_are_quoted_in_messages() {
    let told = refusal(&[], &[("PLACEMENT_CENTER_GRPC_PORT", "eighty")], None);
    assert_eq!(
        told,
        "grpc_port = \"eighty\" is not allowed: expected a whole number from 1 to 65535 \
         (environment PLACEMENT_CENTER_GRPC_PORT)"
    );
    assert!(refusal(&[], &[("PLACEMENT_CENTER_GRPC_PORT", "")], None).contains("grpc_port = \"\""));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let variable = (
        "PLACEMENT_CENTER_DATA_PATH".into(),
        OsString::from_vec(vec![0xff]),
    );
    let layers = Layers {
        environment: vec![variable],
        ..Layers::default()
    };
    let told = Effective::load(&layers).expect_err("not UTF-8").to_string();
    assert!(
        told.starts_with("data_path = ") && told.contains("expected UTF-8 text"),
        "{told}"
    );
}

#[test]
fn listening_beyond_loopback_needs_consent() {
    let open =
        load(&["--addr=0.0.0.0", "--insecure-listen"], &[], None).expect("consent was given");
    assert_eq!(open.settings.node.addr, Ipv4Addr::UNSPECIFIED);
    assert!(refusal(&["--peer-addr=192.0.2.1", TOKEN], &[], None).starts_with("peer_addr = "));
    load(&["--addr=127.8.8.8"], &[], None).expect("all of 127/8 is loopback");
    load(&["--addr=::1"], &[], None).expect("so is ::1");
    assert!(refusal(&["--addr=::"], &[], None).contains("--insecure-listen"));
    assert!(
        refusal(&["--addr=192.0.2.1", "--insecure-listen=false"], &[], None)
            .contains("flag --addr")
    );
}

#[test]
fn the_alias_follows_the_node_id() {
    let effective = load(&["--node-id=2", "--nodes=2=a:1"], &[], None).expect("valid");
    assert_eq!(effective.settings.node.node_alias, "node-2");
}

#[test]
fn what_check_config_prints_is_a_configuration_with_the_same_result() {
    let variables = [
        ("PLACEMENT_CENTER_CLUSTER_NAME", "blue\"'#\\"),
        ("PLACEMENT_CENTER_LOG_LEVEL", "WARN"),
    ];
    let first = load(
        &["--nodes=1=localhost:1,2=[::1]:9", "--storage-quota-mib=7"],
        &variables,
        None,
    )
    .expect("valid");
    let second = load(&[], &[], Some(&first.to_toml())).expect("it loads again");
    assert_eq!(first.settings, second.settings);
    assert!(
        first
            .to_toml()
            .contains("# environment PLACEMENT_CENTER_CLUSTER_NAME")
    );
}
