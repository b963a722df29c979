//! `placement-ctl status`

pub mod all;

use protocol::etcdserverpb::{Member, MemberListRequest, StatusRequest, StatusResponse};
use serde::Serialize;

use super::Error;
use super::output::{Output, table};
use super::session::{Effect, Session};

#[derive(Serialize)]
struct StatusView {
    endpoint: String,
    cluster_id: String,
    member_id: String,
    leader: String,
    term: u64,
    index: u64,
    applied_index: u64,
    revision: i64,
    size_bytes: i64,
    in_use_bytes: i64,
    quota_bytes: i64,
    api_version: String,
    errors: Vec<String>,
    members: Vec<MemberView>,
}

#[derive(Serialize)]
struct MemberView {
    id: String,
    name: String,
    role: &'static str,
    client_urls: Vec<String>,
    peer_urls: Vec<String>,
}

/// Shows the member that answers and all members it knows.
pub async fn run(session: Session, output: &Output) -> Result<(), Error> {
    let (mut maintenance, mut cluster) = (session.maintenance(), session.cluster());
    let status = maintenance.status(session.request(StatusRequest {}));
    let status = session.answer(Effect::Read, status).await?;
    // Any member's own list: a cluster that lost its majority must still show who should be there.
    let members = cluster.member_list(session.request(MemberListRequest {
        linearizable: false,
    }));
    let members = session.answer(Effect::Read, members).await?.members;
    let view = view(session.endpoint().to_string(), status, &members);
    output.print(&view, tables)?;
    Ok(())
}

fn view(endpoint: String, status: StatusResponse, members: &[Member]) -> StatusView {
    let header = status.header.unwrap_or_default();
    StatusView {
        endpoint,
        cluster_id: hexadecimal(header.cluster_id),
        member_id: hexadecimal(header.member_id),
        leader: if status.leader == 0 {
            "none".to_owned()
        } else {
            hexadecimal(status.leader)
        },
        term: status.raft_term,
        index: status.raft_index,
        applied_index: status.raft_applied_index,
        revision: header.revision,
        size_bytes: status.db_size,
        in_use_bytes: status.db_size_in_use,
        quota_bytes: status.db_size_quota,
        api_version: status.version,
        errors: status.errors,
        members: members
            .iter()
            .map(|member| member_view(member, status.leader))
            .collect(),
    }
}

fn member_view(member: &Member, leader: u64) -> MemberView {
    MemberView {
        id: hexadecimal(member.id),
        name: member.name.clone(),
        role: match (member.id == leader, member.is_learner) {
            (true, _) => "leader",
            (false, true) => "learner",
            (false, false) => "follower",
        },
        client_urls: member.client_ur_ls.clone(),
        peer_urls: member.peer_ur_ls.clone(),
    }
}

/// Ids as etcd's tools show them.
fn hexadecimal(id: u64) -> String {
    format!("{id:x}")
}

fn tables(view: &StatusView) -> String {
    let errors = if view.errors.is_empty() {
        "none".to_owned()
    } else {
        view.errors.join("; ")
    };
    let facts = [
        ("endpoint", view.endpoint.clone()),
        ("cluster", view.cluster_id.clone()),
        ("member", view.member_id.clone()),
        ("leader", view.leader.clone()),
        ("term", view.term.to_string()),
        ("index", view.index.to_string()),
        ("applied", view.applied_index.to_string()),
        ("revision", view.revision.to_string()),
        ("size", mebibytes(view.size_bytes)),
        ("in use", mebibytes(view.in_use_bytes)),
        ("quota", mebibytes(view.quota_bytes)),
        ("etcd API", view.api_version.clone()),
        ("errors", errors),
    ];
    let rows = view.members.iter().map(|member| {
        vec![
            member.id.clone(),
            member.name.clone(),
            member.role.to_owned(),
            member.client_urls.join(","),
            member.peer_urls.join(","),
        ]
    });
    let facts = table(
        &["STATUS", ""],
        facts.map(|(name, value)| vec![name.to_owned(), value]),
    );
    let members = table(&["MEMBER", "NAME", "ROLE", "CLIENTS", "PEERS"], rows);
    format!("{facts}\n\n{members}")
}

fn mebibytes(bytes: i64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}
