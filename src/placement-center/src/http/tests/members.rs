//! The routes of administration, in front of an administration that answers what the test wants.

use super::client::{Answer, PATIENCE, send};
use crate::admin::*;
use crate::http::layers::Counters;
use crate::http::members::routes;
use crate::http::{Bounds, Limits, guarded, serve};
use crate::peer::LinkStatus;
use parking_lot::Mutex;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const JSON: &str = "content-type: application/json";

/// Remembers what was asked, and fails with `failure` when there is one.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<String>>,
    failure: Mutex<Option<AdminError>>,
    no_leader: bool,
}

impl Fake {
    fn answer<T: Send + 'static>(&self, asked: String, answer: T) -> Told<T> {
        self.asked.lock().push(asked);
        let result = self.failure.lock().clone().map_or(Ok(answer), Err);
        Box::pin(std::future::ready(result))
    }
}

/// Method, path, headers, body; the status of the answer, and what the test compares besides.
type Request<'a> = (&'a str, &'a str, &'a [&'a str], &'a str, u16, &'a str);

type Told<T> = crate::admin::Answer<'static, T>;

fn member(id: u64) -> MemberView {
    MemberView {
        id,
        alias: format!("node-{id}"),
        role: if id == 1 {
            MemberRole::Leader
        } else {
            MemberRole::Learner
        },
        peer_address: format!("127.0.0.{id}:8872"),
        client_urls: vec![format!("http://127.0.0.{id}:8871")],
        http_url: format!("http://127.0.0.{id}:8971"),
        instance: "00".repeat(16),
        progress: (id != 1).then_some(ProgressView {
            matched: 7,
            lag_entries: 3,
            last_contact_ms: Some(12),
            state: ReplicationState::Snapshot,
            snapshot: Some((5, 10)),
        }),
        unreachable: (id != 1).then(|| "refused: the cluster token is another one".to_owned()),
    }
}

impl Admin for Fake {
    fn members(&self) -> Told<MembersView> {
        let view = MembersView {
            leader: (!self.no_leader).then_some(1),
            term: 4,
            members: vec![member(1), member(2)],
        };
        self.answer("members".to_owned(), view)
    }

    fn add(&self, added: AddMember) -> Told<MemberView> {
        let view = member(added.id);
        self.answer(format!("{added:?}"), view)
    }

    fn remove(&self, member: MemberRef) -> Told<()> {
        self.answer(format!("remove {member:?}"), ())
    }

    fn promote(&self, promoted: MemberRef) -> Told<MemberView> {
        self.answer(format!("promote {promoted:?}"), member(2))
    }

    fn demote(&self, demoted: MemberRef) -> Told<MemberView> {
        self.answer(format!("demote {demoted:?}"), member(2))
    }

    fn transfer(&self, to: Option<MemberRef>) -> Told<u64> {
        self.answer(format!("transfer {to:?}"), 2)
    }

    fn check(&self, member: MemberRef) -> Told<RestartCheck> {
        let check = RestartCheck {
            member: 2,
            may_restart: false,
            reasons: vec!["node-3 is down".to_owned()],
        };
        self.answer(format!("check {member:?}"), check)
    }

    fn links(&self) -> Vec<LinkStatus> {
        unreachable!("these routes do not ask for it")
    }

    fn status(&self) -> Told<NodeStatus> {
        unreachable!("these routes do not ask for it")
    }

    fn status_all(&self) -> Told<Vec<(MemberView, Result<NodeStatus, String>)>> {
        unreachable!("these routes do not ask for it")
    }
}

struct Server {
    fake: Arc<Fake>,
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Server {
    async fn start(fake: Fake) -> Server {
        let fake = Arc::new(fake);
        let limits = Limits {
            body_bytes_max: 1000,
            timeout: PATIENCE,
            cut: CancellationToken::new(),
            counters: Arc::new(Counters::default()),
        };
        let admin: Arc<dyn Admin> = Arc::<Fake>::clone(&fake);
        let router = guarded(routes(admin, limits.clone()), limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut serving = JoinSet::new();
        serving.spawn(serve(
            listener,
            router,
            Bounds::with_connections(16),
            CancellationToken::new(),
        ));
        Server {
            fake,
            address,
            _serving: serving,
        }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        send(self.address, method, path, headers, body.as_bytes()).await
    }

    /// What the administration was asked since the last look.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.fake.asked.lock())
    }
}

#[tokio::test]
async fn members_are_listed_and_shown_by_id_and_alias() {
    let server = Server::start(Fake::default()).await;
    let list = server.ask("GET", "/v1/members", &[], "").await;
    assert_eq!(list.status, 200);
    let list = list.json();
    assert_eq!((&list["leader"], &list["term"]), (&json!(1), &json!(4)));
    assert_eq!(list["members"][0]["role"], "leader");
    assert_eq!(list["members"][0]["progress"], json!(null));
    assert_eq!(
        list["members"][1]["progress"],
        json!({ "matched": 7, "lag_entries": 3, "last_contact_ms": 12, "state": "snapshot", "snapshot": [5, 10] })
    );
    for path in [
        "/v1/members/2",
        "/v1/members/node-2",
        "/v1/members/node%2D2",
    ] {
        let answer = server.ask("GET", path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.json(), list["members"][1], "{path}");
    }
    for path in ["/v1/members/3", "/v1/members/node-3"] {
        let answer = server.ask("GET", path, &[], "").await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (404, "member_not_found")
        );
    }
    let leader = server.ask("GET", "/v1/leader", &[], "").await.json();
    assert_eq!(
        leader,
        json!({ "leader": 1, "term": 4, "member": list["members"][0] })
    );
}

#[tokio::test]
async fn without_a_leader_none_is_shown() {
    let server = Server::start(Fake {
        no_leader: true,
        ..Fake::default()
    })
    .await;
    let answer = server.ask("GET", "/v1/leader", &[], "").await;
    assert_eq!(
        (answer.status, answer.error_code().as_str()),
        (503, "no_leader")
    );
}

#[rustfmt::skip]
#[tokio::test]
async fn every_change_reaches_the_administration_as_it_was_meant() {
    let server = Server::start(Fake::default()).await;
    let table: &[Request<'_>] = &[
        ("POST", "/v1/members", &[JSON], r#"{"id":4,"alias":"four","peer_address":"h:1"}"#, 201, r#"AddMember { id: 4, alias: "four", peer_address: "h:1", stays_learner: false }"#),
        ("POST", "/v1/members", &["content-type: application/json; charset=utf-8"], r#"{"id":4,"peer_address":"[::1]:1"}"#, 201, r#"AddMember { id: 4, alias: "", peer_address: "[::1]:1", stays_learner: false }"#),
        ("DELETE", "/v1/members/2", &[], "", 200, "remove Id(2)"),
        ("DELETE", "/v1/members/a%2Fb", &[], "", 200, r#"remove Alias("a/b")"#),
        ("POST", "/v1/members/two/promote", &[], "", 200, r#"promote Alias("two")"#),
        ("POST", "/v1/members/2/demote", &[], "", 200, "demote Id(2)"),
        ("GET", "/v1/members/2/check", &[], "", 200, "check Id(2)"),
        ("POST", "/v1/leader/transfer", &[], "", 200, "transfer None"),
        ("POST", "/v1/leader/transfer", &[JSON], "{}", 200, "transfer None"),
        ("POST", "/v1/leader/transfer", &[JSON], r#"{"to":2}"#, 200, "transfer Some(Id(2))"),
        ("POST", "/v1/leader/transfer", &[JSON], r#"{"to":"2"}"#, 200, "transfer Some(Id(2))"),
        ("POST", "/v1/leader/transfer", &[JSON], r#"{"to":"two"}"#, 200, r#"transfer Some(Alias("two"))"#),
    ];
    for (method, path, headers, body, status, asked) in table {
        let answer = server.ask(method, path, headers, body).await;
        assert_eq!(answer.status, *status, "{method} {path} {answer:?}");
        assert_eq!(server.asked(), [*asked], "{method} {path}");
    }
    let check = server.ask("GET", "/v1/members/2/check", &[], "").await;
    assert_eq!(
        check.json(),
        json!({ "member": 2, "may_restart": false, "reasons": ["node-3 is down"] })
    );
}

#[rustfmt::skip]
#[tokio::test]
async fn wrong_input_is_refused_before_anything_is_asked() {
    let server = Server::start(Fake::default()).await;
    let table: &[Request<'_>] = &[
        ("POST", "/v1/members", &[], "{}", 415, "unsupported_media_type"),
        ("POST", "/v1/members", &["content-type: text/plain"], "{}", 415, "unsupported_media_type"),
        ("POST", "/v1/members", &[JSON], "", 400, "bad_request"),
        ("POST", "/v1/members", &[JSON], "[]", 400, "bad_request"),
        ("POST", "/v1/members", &[JSON], "{}", 400, "bad_request"),
        ("POST", "/v1/members", &[JSON], r#"{"id":0,"peer_address":"h:1"}"#, 400, "bad_request"),
        ("POST", "/v1/members", &[JSON], r#"{"id":-1,"peer_address":"h:1"}"#, 400, "bad_request"),
        ("POST", "/v1/members", &[JSON], r#"{"id":9223372036854775808,"peer_address":"h:1"}"#, 400, "bad_request"),
        ("POST", "/v1/members", &[JSON], r#"{"id":4,"peer_address":"h"}"#, 400, "bad_request"),
        ("POST", "/v1/members", &[JSON], r#"{"id":4,"peer_address":"0.0.0.0:1"}"#, 400, "bad_request"),
        ("POST", "/v1/members", &[JSON], r#"{"id":4,"peer_address":"h:1","alias":"two words"}"#, 400, "bad_request"),
        ("POST", "/v1/members", &[JSON], r#"{"id":4,"peer_address":"h:1","alias":"5"}"#, 400, "bad_request"),
        ("POST", "/v1/members", &[JSON], r#"{"id":4,"peer_address":"h:1","voter":true}"#, 400, "bad_request"),
        ("GET", "/v1/members?role=voter", &[], "", 400, "bad_request"),
        ("GET", "/v1/members/%ff", &[], "", 400, "bad_request"),
        ("DELETE", "/v1/members/2?force", &[], "", 400, "bad_request"),
        ("PUT", "/v1/members/2", &[], "", 405, "method_not_allowed"),
        ("DELETE", "/v1/members", &[], "", 405, "method_not_allowed"),
        ("GET", "/v1/members/2/promote", &[], "", 405, "method_not_allowed"),
        ("GET", "/v1/leader/transfer", &[], "", 405, "method_not_allowed"),
        ("POST", "/v1/members/2/eject", &[], "", 404, "route_not_found"),
        ("POST", "/v1/leader/transfer", &[], r#"{"to":2}"#, 415, "unsupported_media_type"),
        ("POST", "/v1/leader/transfer", &[JSON], r#"{"to":-2}"#, 400, "bad_request"),
        ("POST", "/v1/leader/transfer", &[JSON], r#"{"too":2}"#, 400, "bad_request"),
    ];
    for (method, path, headers, body, status, code) in table {
        let answer = server.ask(method, path, headers, body).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (*status, *code),
            "{method} {path} {body}"
        );
        assert!(server.asked().is_empty(), "{method} {path} {body}");
    }
    let long = format!("{{\"alias\":\"{}\"}}", "x".repeat(2000));
    let answer = server.ask("POST", "/v1/members", &[JSON], &long).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_refusal_says_what_became_of_the_change() {
    let server = Server::start(Fake::default()).await;
    let table = [
        (
            AdminError::NotFound(MemberRef::Id(9)),
            404,
            "member_not_found",
            "not-applied",
        ),
        (
            AdminError::Refused("it leads".to_owned()),
            409,
            "refused",
            "not-applied",
        ),
        (AdminError::Busy, 409, "change_pending", "not-applied"),
        (AdminError::NoLeader, 503, "no_leader", "not-applied"),
        (
            AdminError::Unknown("the leader is gone".to_owned()),
            504,
            "outcome_unknown",
            "unknown",
        ),
    ];
    for (error, status, code, outcome) in table {
        *server.fake.failure.lock() = Some(error.clone());
        for (method, path) in [
            ("GET", "/v1/members"),
            ("GET", "/v1/leader"),
            ("DELETE", "/v1/members/9"),
            ("POST", "/v1/leader/transfer"),
        ] {
            let answer = server.ask(method, path, &[], "").await;
            assert_eq!(
                (answer.status, answer.error_code().as_str()),
                (status, code),
                "{path}"
            );
            assert_eq!(
                answer.header("placement-outcome").as_deref(),
                Some(outcome),
                "{path}"
            );
            assert_eq!(answer.json()["message"], error.to_string());
        }
    }
}
