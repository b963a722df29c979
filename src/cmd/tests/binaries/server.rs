//! `placement-center` as a process: exit codes, messages, what it leaves on disk, signals.

use std::net::TcpListener;

use super::process::{Place, Running, run, serving, text, write};

#[test]
fn version_and_help_answer_and_end() {
    let place = Place::new();
    let output = run(&mut place.server(&["--version"]));
    assert_eq!(output.status.code(), Some(0));
    let version = text(&output.stdout);
    assert!(
        version.starts_with(&format!("placement-center {} (", env!("CARGO_PKG_VERSION"))),
        "{version}"
    );
    let output = run(&mut place.server(&["--help"]));
    assert_eq!(output.status.code(), Some(0));
    for expected in [
        "--conf <FILE>",
        "--raft-election-ms",
        "PLACEMENT_CENTER_LOG_PATH",
        "[default: 8871]",
    ] {
        assert!(text(&output.stdout).contains(expected), "{expected}");
    }
}

#[test]
fn check_config_prints_values_and_sources_and_creates_nothing() {
    let place = Place::new();
    write(
        &place.path("a.toml"),
        "grpc_port = 9001\n[log]\nlevel = \"warn\"\n",
    );
    let forms: [&[&str]; 2] = [
        &["--conf=a.toml", "--check-config"],
        &["--conf", "a.toml", "--check-config"],
    ];
    for form in forms {
        let output = run(place.server(form).env("PLACEMENT_CENTER_HTTP_PORT", "9002"));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let stdout = text(&output.stdout);
        for (value, source) in [
            ("grpc_port = 9001", "# a.toml:1"),
            (
                "http_port = 9002",
                "# environment PLACEMENT_CENTER_HTTP_PORT",
            ),
            ("peer_port = 8872", "# default"),
            ("addr = ", "# flag --addr"),
            ("level = \"warn\"", "# a.toml:3"),
        ] {
            let line = stdout
                .lines()
                .find(|line| line.starts_with(value))
                .expect(value);
            assert!(line.ends_with(source), "{line}");
        }
        assert_eq!(place.files(), ["a.toml"]);
    }
}

#[test]
fn wrong_configuration_is_one_message_exit_code_2_and_nothing_on_disk() {
    let place = Place::new();
    write(&place.path("a.toml"), "\ngrpc_prot = 1\n");
    write(&place.path("file"), "");
    write(&place.path("bad.yaml"), "root: [");
    let table: [(&[&str], &str); 9] = [
        (
            &["--conf=a.toml"],
            "placement-center: unknown key grpc_prot; did you mean grpc_port? (a.toml:2)",
        ),
        (
            &["--conf=absent.toml"],
            "placement-center: cannot read the configuration file absent.toml: No such file",
        ),
        (
            &["--grpc-port=0"],
            "placement-center: grpc_port = \"0\" is not allowed: expected a whole number from 1 to",
        ),
        (
            &["--raft-election-ms=100"],
            "placement-center: raft.election_ms = 100 is not allowed: it must be at least",
        ),
        (
            &["--data-path=file"],
            "placement-center: data_path = \"file\" is not allowed: expected a directory",
        ),
        (
            &["--log-path=file/logs"],
            "placement-center: log.log_path = \"file/logs\" is not allowed",
        ),
        (
            &["--log-config=bad.yaml"],
            "placement-center: the log configuration bad.yaml is not valid: ",
        ),
        (
            &["--log-config=absent.yaml"],
            "placement-center: cannot read the log configuration absent.yaml: No such",
        ),
        (
            &["--no-such-flag"],
            "error: unexpected argument '--no-such-flag'",
        ),
    ];
    for (arguments, expected) in table {
        for check in [&[][..], &["--check-config"]] {
            let output = run(place.server(arguments).args(check));
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
            assert!(
                stderr.starts_with(expected),
                "expected {expected}\ntold {stderr}"
            );
            assert!(
                stderr.starts_with("error:") || stderr.lines().count() == 1,
                "{stderr}"
            );
            assert_eq!(place.files(), ["a.toml", "bad.yaml", "file"]);
        }
    }
}

#[test]
fn a_port_in_use_is_named_and_leaves_nothing_behind() {
    let place = Place::new();
    let _taken =
        TcpListener::bind((place.address.as_str(), 8971)).expect("the address is this test's own");
    let output = run(&mut place.server(&[]));
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("port 8971 on 127.") && stderr.contains("--http-port"),
        "{stderr}"
    );
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn it_says_where_it_serves_and_stops_on_either_signal() {
    let place = Place::new();
    for signal in ["TERM", "INT"] {
        let mut server =
            Running::start(&mut place.server(&["--data-path=d/data", "--log-path=d/logs"]));
        let expected = format!(
            "placement-center {} serving: gRPC http://{a}:8871, HTTP http://{a}:8971, data d/data",
            env!("CARGO_PKG_VERSION"),
            a = place.address
        );
        assert_eq!(server.line(), expected);
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0));
        let (_, stderr) = server.outputs();
        assert_eq!(text(&stderr), "", "an orderly life warns of nothing");
    }
    assert_eq!(place.files(), ["d"]);
    let log = std::fs::read_to_string(place.path("d/logs/server.log"))
        .expect("the log moved with log_path");
    assert!(
        log.contains("SIGTERM received") && log.contains("SIGINT received"),
        "{log}"
    );
}

#[test]
fn a_second_process_on_the_same_data_says_so() {
    let place = Place::new();
    let _first = serving(&place, &[]);
    let ports = ["--grpc-port=9871", "--http-port=9971", "--peer-port=9872"];
    let output = run(&mut place.server(&ports));
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("in use by another process") && stderr.contains("./data"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// Both signals reach the process while it is paused, so that the second is there before the node can
/// have stopped. Which of the two is taken first is open, and decides the code.
#[test]
fn a_second_signal_ends_the_process_at_once() {
    let place = Place::new();
    for _ in 0..5 {
        let mut server = serving(&place, &[]);
        for signal in ["STOP", "TERM", "INT", "CONT"] {
            server.signal(signal);
        }
        let status = server.wait();
        assert!(matches!(status.code(), Some(130 | 143)), "{status}");
        let (_, stderr) = server.outputs();
        assert!(
            text(&stderr).contains("received while stopping: stopped at once"),
            "{}",
            text(&stderr)
        );
    }
}

#[test]
fn the_log_level_follows_http() {
    let place = Place::new();
    let _server = serving(&place, &[]);
    let url = format!("http://{}:8971/v1/log-level", place.address);
    let answer = ureq::put(&url)
        .content_type("application/json")
        .send("{\"level\":\"debug\"}");
    assert_eq!(answer.expect("the level is accepted").status(), 200);
    let told = ureq::get(&url)
        .call()
        .expect("it answers")
        .into_body()
        .read_to_string()
        .expect("text");
    assert!(told.contains("debug"), "{told}");
}
