//! Rendering, endpoints and the words for errors.

use std::time::Duration;

use tonic::{Code, Status};

use super::endpoint::{Endpoint, Endpoints, HttpEndpoints};
use super::error::Error;
use super::kv::put::read_value;
use super::output::{escaped, shortened};

#[test]
fn bytes_are_escaped_onto_one_line() {
    let table: [(&[u8], &str); 6] = [
        (b"plain text", "plain text"),
        ("h\u{e9}llo \u{1f600}".as_bytes(), "h\u{e9}llo \u{1f600}"),
        (b"a\nb\tc\\d", "a\\nb\\tc\\\\d"),
        (b"\x00\x7f", "\\u{0}\\u{7f}"),
        (b"ok\xffok\xc3", "ok\\xffok\\xc3"),
        (b"", ""),
    ];
    for (bytes, expected) in table {
        assert_eq!(escaped(bytes), expected);
    }
}

#[test]
fn long_values_are_shortened_by_characters() {
    assert_eq!(shortened(&[b'a'; 64]), "a".repeat(64));
    assert_eq!(
        shortened(&[b'a'; 65]),
        format!("{}... (65 bytes)", "a".repeat(64))
    );
    let wide = "\u{1f600}".repeat(64);
    assert_eq!(shortened(wide.as_bytes()), wide);
    assert!(shortened(&vec![0xff; 1 << 20]).ends_with("... (1048576 bytes)"));
}

#[test]
fn endpoints_are_host_and_port() {
    for (text, expected) in [
        ("127.0.0.1:8871", "http://127.0.0.1:8871"),
        ("http://node-1:80/", "http://node-1:80"),
        ("[::1]:8871", "http://[::1]:8871"),
    ] {
        assert_eq!(text.parse::<Endpoint>().expect(text).uri(), expected);
    }
    for bad in [
        "",
        "host",
        ":1",
        "host:",
        "host:0",
        "host:99999",
        "::1:80",
        "https://a:1",
        "a b:1",
        "a:1/path",
        "u@a:1",
    ] {
        assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
    }
}

#[test]
fn several_endpoints_stand_in_one_list() {
    let listed = |text: &str| -> Vec<String> {
        let endpoints: Endpoints = text.parse().expect(text);
        endpoints.iter().map(Endpoint::to_string).collect()
    };
    assert_eq!(listed("a:1"), ["a:1"]);
    assert_eq!(
        listed("a:1, http://b:2/,[::1]:3"),
        ["a:1", "b:2", "[::1]:3"]
    );
    let many = vec!["a:1"; 101].join(",");
    for bad in ["", "a:1,", ",a:1", "a:1,b", &many] {
        assert!(bad.parse::<Endpoints>().is_err(), "{bad}");
    }
}

#[test]
fn http_endpoints_are_those_named_or_a_hundred_ports_above() {
    let grpc: Endpoints = "127.0.0.1:8871,[::1]:8881,a:65500".parse().expect("three");
    let beside = |text: &str| -> Vec<String> {
        let http: HttpEndpoints = text.parse().expect(text);
        http.or_beside(&grpc)
            .iter()
            .map(Endpoint::to_string)
            .collect()
    };
    assert_eq!(beside(""), ["127.0.0.1:8971", "[::1]:8981", "a:65500"]);
    assert_eq!(beside("b:1,c:2"), ["b:1", "c:2"]);
    assert!("b".parse::<HttpEndpoints>().is_err());
}

#[test]
fn every_endpoint_that_was_tried_is_named() {
    let (a, b) = ("a:1".parse().expect("one"), "b:2".parse().expect("one"));
    let told = Error::unreachable(&[(&a, "connection refused".to_owned())]).to_string();
    assert!(
        told.starts_with("cannot reach a:1: connection refused; "),
        "{told}"
    );
    let both = [
        (&a, "connection refused".to_owned()),
        (&b, "no connection within 2s".to_owned()),
    ];
    let told = Error::unreachable(&both).to_string();
    assert!(
        told.starts_with(
            "cannot reach any of the endpoints: a:1: connection refused, b:2: no connection within 2s; "
        ),
        "{told}"
    );
}

#[test]
fn a_failed_write_tells_whether_it_may_have_been_applied() {
    let with_outcome = |outcome: &str| {
        let mut status = Status::unavailable("stopping");
        status
            .metadata_mut()
            .insert("placement-outcome", outcome.parse().expect("ASCII"));
        status
    };
    let table = [
        (with_outcome("unknown"), true, true),
        (with_outcome("not-applied"), true, false),
        (with_outcome("unknown"), false, false),
        (Status::new(Code::DeadlineExceeded, "late"), true, true),
        (Status::new(Code::DeadlineExceeded, "late"), false, false),
        (Status::invalid_argument("no"), true, false),
    ];
    for (status, write, expected) in table {
        let told = Error::of_status("a:1".to_owned(), &status, write).to_string();
        assert_eq!(told.contains("may have been applied"), expected, "{told}");
    }
    let told = Error::Timeout {
        endpoint: "a:1".to_owned(),
        time: Duration::from_secs(5),
        write: true,
    };
    assert!(
        told.to_string()
            .contains("no answer from a:1 within 5s; the write may"),
        "{told}"
    );
}

#[test]
fn an_endless_input_is_refused() {
    let error = read_value(std::io::repeat(0)).expect_err("it never ends");
    assert_eq!(error.exit_code(), 2);
    assert_eq!(
        read_value(&b"a\nb"[..]).expect("it ends"),
        "a\nb".as_bytes()
    );
}
