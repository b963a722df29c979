//! `placement-ctl member`: the members of the cluster, and changes of them.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use placement_center::admin::{
    MemberRef, MemberRole, MemberView, MembersView, ProgressView, ReplicationState, RestartCheck,
};
use serde_json::{Value, json};

use super::Error;
use super::arguments::{AddMember, MemberCommand};
use super::http::Client;
use super::output::{Output, table};

/// Performs one of the commands.
pub fn run(client: &Client, output: &Output, command: &MemberCommand) -> Result<(), Error> {
    match command {
        MemberCommand::List => list(client, output),
        MemberCommand::Add(member) => add(client, output, member),
        MemberCommand::Remove { member } => {
            let removed: Value = client.delete(&path(member, ""))?;
            output.print(&removed, |_| format!("member {member} removed"))?;
            Ok(())
        }
        MemberCommand::Promote { member } => changed(client, output, &path(member, "/promote")),
        MemberCommand::Demote { member } => changed(client, output, &path(member, "/demote")),
        MemberCommand::Check { member } => check(client, output, member),
    }
}

fn list(client: &Client, output: &Output) -> Result<(), Error> {
    let view: MembersView = client.get("/v1/members")?;
    output.print(&view, |view| {
        let mut lines = vec![members_table(&view.members)];
        lines.extend(view.members.iter().filter_map(unreachable));
        lines.join("\n")
    })?;
    Ok(())
}

/// What stands below the table of a member to whom the leader has no connection.
fn unreachable(member: &MemberView) -> Option<String> {
    let reason = member.unreachable.as_ref()?;
    Some(format!("member {}: no connection: {reason}", member.id))
}

fn add(client: &Client, output: &Output, member: &AddMember) -> Result<(), Error> {
    let body = json!({
        "id": member.id,
        "alias": member.alias,
        "peer_address": member.peer_address,
    });
    let added: MemberView = client.post("/v1/members", Some(&body))?;
    output.print(&added, |added| members_table(std::slice::from_ref(added)))?;
    Ok(())
}

fn changed(client: &Client, output: &Output, path: &str) -> Result<(), Error> {
    let member: MemberView = client.post(path, None)?;
    output.print(&member, |member| {
        members_table(std::slice::from_ref(member))
    })?;
    Ok(())
}

/// Prints the verdict, and fails when it is no, so that a script can go by the exit code.
fn check(client: &Client, output: &Output, member: &MemberRef) -> Result<(), Error> {
    let check: RestartCheck = client.get(&path(member, "/check"))?;
    output.print(&check, |check| {
        let verdict = if check.may_restart { "yes" } else { "no" };
        let mut lines = vec![format!("may restart: {verdict}")];
        lines.extend(check.reasons.iter().cloned());
        lines.join("\n")
    })?;
    if check.may_restart {
        return Ok(());
    }
    Err(Error::RestartUnsafe {
        member: check.member,
        reasons: check.reasons.join("; "),
    })
}

/// The path of a member. An alias may hold what has a meaning in a path.
fn path(member: &MemberRef, rest: &str) -> String {
    let name = member.to_string();
    let name = utf8_percent_encode(&name, NON_ALPHANUMERIC);
    format!("/v1/members/{name}{rest}")
}

fn members_table(members: &[MemberView]) -> String {
    let rows = members.iter().map(|member| {
        vec![
            member.id.to_string(),
            member.alias.clone(),
            role(member.role).to_owned(),
            member.peer_address.clone(),
            member.client_urls.join(","),
            member.http_url.clone(),
            member.progress.as_ref().map_or_else(dash, lag),
            member.progress.as_ref().map_or_else(dash, contact),
        ]
    });
    table(
        &[
            "ID", "ALIAS", "ROLE", "PEERS", "CLIENTS", "HTTP", "LAG", "CONTACT",
        ],
        rows,
    )
}

/// What stands where nothing is known.
pub fn dash() -> String {
    "-".to_owned()
}

/// A role as tables show it.
pub fn role(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Leader => "leader",
        MemberRole::Voter => "voter",
        MemberRole::Learner => "learner",
    }
}

/// How far behind a member is.
pub fn lag(progress: &ProgressView) -> String {
    match progress.state {
        ReplicationState::Snapshot => "snapshot".to_owned(),
        ReplicationState::Probe | ReplicationState::Replicate => progress.lag_entries.to_string(),
    }
}

/// When a member was heard of last.
pub fn contact(progress: &ProgressView) -> String {
    match progress.last_contact_ms {
        None => "never".to_owned(),
        Some(ms) if ms < 10_000 => format!("{ms} ms ago"),
        Some(ms) => format!("{} s ago", ms / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_one_segment_of_the_path() {
        for (name, expected) in [
            ("2", "/v1/members/2/check"),
            ("a/b?c", "/v1/members/a%2Fb%3Fc/check"),
            ("..", "/v1/members/%2E%2E/check"),
            ("\u{e9}", "/v1/members/%C3%A9/check"),
        ] {
            let Ok(member) = name.parse();
            assert_eq!(path(&member, "/check"), expected);
        }
    }

    #[test]
    fn progress_is_told_in_words() {
        let progress = |state, last_contact_ms| ProgressView {
            matched: 1,
            lag_entries: 30,
            last_contact_ms,
            state,
            snapshot: None,
        };
        let cases = [
            (
                ReplicationState::Replicate,
                Some(9_999),
                "30",
                "9999 ms ago",
            ),
            (ReplicationState::Probe, Some(10_000), "30", "10 s ago"),
            (ReplicationState::Snapshot, None, "snapshot", "never"),
        ];
        for (state, ms, expected_lag, expected_contact) in cases {
            let progress = progress(state, ms);
            assert_eq!(lag(&progress), expected_lag);
            assert_eq!(contact(&progress), expected_contact);
        }
    }
}
