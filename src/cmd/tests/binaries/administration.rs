//! `placement-ctl member`, `leader` and `status --all` as a process, against a listener that answers what
//! the HTTP API would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::process::{PATIENCE, Place, run, text};

/// Requests that a test may leave unread.
const REQUESTS_MAX: usize = 100;

/// What is answered: status, headers, body.
type Canned = (u16, &'static str, String);

/// An HTTP listener with one answer for each line of a request.
struct Server {
    address: SocketAddr,
    requests: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(answer: impl Fn(&str) -> Canned + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (request_tx, requests) = sync_channel(REQUESTS_MAX);
        let answer = Arc::new(answer);
        let serve = move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                if !converse(stream, answer.as_ref(), &request_tx) {
                    break;
                }
            }
        };
        let thread = Builder::new().spawn(serve).expect("a thread");
        Server {
            address,
            requests,
            thread: Some(thread),
        }
    }

    fn ctl(&self, arguments: &[&str]) -> Output {
        let endpoint = self.address.to_string();
        run(ctl(arguments).env("PLACEMENT_CTL_HTTP_ENDPOINT", endpoint))
    }

    fn asked(&self) -> String {
        self.requests.recv_timeout(PATIENCE).expect("a request")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Says no request but this one ends the thread.
        if let Ok(mut stream) = TcpStream::connect(self.address) {
            let _ = stream.write_all(b"END");
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request and its answer; a connection without a request is the client looking whether somebody
/// listens. Answers whether to go on.
fn converse(
    stream: TcpStream,
    answer: &dyn Fn(&str) -> Canned,
    asked: &SyncSender<String>,
) -> bool {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("readable");
    if line.is_empty() || line == "END" {
        return line != "END";
    }
    let mut length = 0;
    let mut header = String::new();
    while reader.read_line(&mut header).expect("readable") > 2 {
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        header.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    let request = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let (status, headers, answer) = answer(&request);
    let request = format!("{request} {}", String::from_utf8_lossy(&body));
    asked.send(request.trim_end().to_owned()).expect("room");
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{answer}",
        answer.len()
    );
    // A client that has gone has its reasons.
    let _ = reader.get_mut().write_all(answer.as_bytes());
    true
}

fn ctl(arguments: &[&str]) -> Command {
    let place = Place::new();
    place.ctl(arguments)
}

const MEMBER: &str = r#"{"id":2,"alias":"two","role":"voter","peer_address":"h:1","client_urls":["http://h:2"],
    "http_url":"http://h:3","instance":"","progress":{"matched":7,"lag_entries":3,"last_contact_ms":12,
    "state":"replicate","snapshot":null}}"#;

fn api(request: &str) -> Canned {
    let body = match request {
        "GET /v1/members" => format!(r#"{{"leader":1,"term":4,"members":[{MEMBER}]}}"#),
        "GET /v1/leader" => format!(r#"{{"leader":2,"term":4,"member":{MEMBER}}}"#),
        "POST /v1/leader/transfer" => r#"{"leader":2}"#.to_owned(),
        "GET /v1/members/two/check" => {
            r#"{"member":2,"may_restart":true,"reasons":["it lags by 3"]}"#.to_owned()
        }
        "GET /v1/members/3/check" => {
            r#"{"member":3,"may_restart":false,"reasons":["no quorum without it"]}"#.to_owned()
        }
        "DELETE /v1/members/two" => r#"{"removed":"two"}"#.to_owned(),
        "GET /v1/status?all=true" => {
            format!(
                r#"{{"members":[{{"member":{MEMBER},"status":null,"error":"connection refused"}}]}}"#
            )
        }
        _ => MEMBER.to_owned(),
    };
    (200, "", body)
}

#[test]
fn commands_ask_what_they_mean_and_show_the_answer() {
    let server = Server::start(api);
    let row = "2   two    voter  h:1    http://h:2  http://h:3  3    12 ms ago\n";
    let table = format!("ID  ALIAS  ROLE   PEERS  CLIENTS     HTTP        LAG  CONTACT\n{row}");
    let added = r#"POST /v1/members {"alias":"four","id":4,"peer_address":"h:1"}"#;
    let cases: &[(&[&str], &str, &str)] = &[
        (&["member", "list"], "GET /v1/members", &table),
        (
            &["member", "add", "4", "h:1", "--alias=four"],
            added,
            &table,
        ),
        (
            &["member", "promote", "2"],
            "POST /v1/members/2/promote",
            &table,
        ),
        (
            &["member", "demote", "two"],
            "POST /v1/members/two/demote",
            &table,
        ),
        (
            &["member", "remove", "two"],
            "DELETE /v1/members/two",
            "member two removed\n",
        ),
        (
            &["member", "check", "two"],
            "GET /v1/members/two/check",
            "may restart: yes\nit lags by 3\n",
        ),
        (
            &["leader", "show"],
            "GET /v1/leader",
            "LEADER  ALIAS  TERM  CLIENTS\n2       two    4     http://h:2\n",
        ),
        (
            &["leader", "transfer"],
            "POST /v1/leader/transfer",
            "LEADER\n2\n",
        ),
        (
            &["leader", "transfer", "--to=2"],
            r#"POST /v1/leader/transfer {"to":2}"#,
            "LEADER\n2\n",
        ),
        (
            &["leader", "transfer", "--to", "two"],
            r#"POST /v1/leader/transfer {"to":"two"}"#,
            "LEADER\n2\n",
        ),
    ];
    for (arguments, asked, shown) in cases {
        let output = server.ctl(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(server.asked(), *asked);
        assert_eq!(text(&output.stdout), *shown, "{arguments:?}");
    }
    let json = server.ctl(&["member", "list", "--output", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["members"][0]["alias"], "two");
    let all = server.ctl(&["status", "--all"]);
    assert!(text(&all.stdout).contains("connection refused"), "{all:?}");
}

#[test]
fn a_member_that_must_stay_up_is_a_failure_for_scripts() {
    let server = Server::start(api);
    let output = server.ctl(&["member", "check", "3"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("may restart: no\n"));
    assert_eq!(
        text(&output.stderr),
        "placement-ctl: member 3 should not be restarted now: no quorum without it\n"
    );
}

#[test]
fn refusals_are_told_with_what_became_of_the_change() {
    let refusal =
        |code: &str| format!(r#"{{"code":"{code}","message":"it is so","hint":"do that"}}"#);
    let server = Server::start(move |request| match request {
        "DELETE /v1/members/9" => (404, "", refusal("member_not_found")),
        "DELETE /v1/members/8" => (
            504,
            "placement-outcome: unknown\r\n",
            refusal("outcome_unknown"),
        ),
        "DELETE /v1/members/7" => (200, "", "<html>".to_owned()),
        "DELETE /v1/members/6" => (302, "location: http://elsewhere/\r\n", String::new()),
        _ => (
            409,
            "placement-outcome: not-applied\r\n",
            refusal("refused"),
        ),
    });
    let address = server.address;
    for (member, exit_code, told) in [
        (
            "9",
            3,
            format!("{address} answered: it is so (member_not_found); do that\n"),
        ),
        (
            "8",
            1,
            format!(
                "{address} answered: it is so (outcome_unknown); do that; the write may have been applied all \
                 the same: read before trying again\n"
            ),
        ),
        (
            "5",
            1,
            format!("{address} answered: it is so (refused); do that\n"),
        ),
        (
            "7",
            1,
            format!("{address} does not answer as a placement center: expected value at"),
        ),
        (
            "6",
            1,
            format!("{address} does not answer as a placement center: status 302"),
        ),
    ] {
        let output = server.ctl(&["member", "remove", member]);
        assert_eq!(output.status.code(), Some(exit_code));
        let stderr = text(&output.stderr);
        assert!(
            stderr.starts_with(&format!("placement-ctl: {told}")),
            "{stderr}"
        );
    }
}

#[test]
fn the_next_endpoint_is_asked_when_one_is_down() {
    let server = Server::start(api);
    let down = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let free = down.local_addr().expect("bound");
    drop(down);
    let both = format!("{free},{}", server.address);
    let output = run(&mut ctl(&["member", "list", "--http-endpoint", &both]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let neither = format!("{free},{free}");
    let output = run(&mut ctl(&["leader", "show", "--http-endpoint", &neither]));
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    let expected = format!(
        "placement-ctl: cannot reach any of the endpoints: {free}: connection refused, {free}: connection refused"
    );
    assert!(stderr.starts_with(&expected), "{stderr}");
    assert!(stderr.contains("--http-endpoint HOST:PORT"), "{stderr}");
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for_for_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("bound").to_string();
    for (arguments, may_be_applied) in [
        (["member", "list"].as_slice(), false),
        (&["member", "remove", "2"], true),
    ] {
        let output = run(ctl(arguments).args(["--timeout=0.2", "--http-endpoint", &address]));
        assert_eq!(output.status.code(), Some(1));
        let stderr = text(&output.stderr);
        assert!(stderr.contains("no answer from"), "{stderr}");
        assert_eq!(
            stderr.contains("may have been applied"),
            may_be_applied,
            "{stderr}"
        );
    }
}

#[test]
fn wrong_usage_is_found_before_anybody_is_asked() {
    for arguments in [
        ["member", "add", "0", "h:1"].as_slice(),
        &["member", "add", "four", "h:1"],
        &["member", "add", "4"],
        &["member", "remove"],
        &["leader"],
        &["status", "--watch"],
        &["member", "list", "--http-endpoint", "nowhere"],
    ] {
        let output = run(&mut ctl(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
