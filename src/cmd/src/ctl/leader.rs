//! `placement-ctl leader`: who leads, and handing that over.

use placement_center::admin::{MemberRef, MemberView};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Error;
use super::arguments::LeaderCommand;
use super::http::Client;
use super::output::{Output, table};

#[derive(Debug, Deserialize, Serialize)]
struct Leader {
    leader: u64,
    term: u64,
    member: Option<MemberView>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Transferred {
    leader: u64,
}

/// Performs one of the commands.
pub fn run(client: &Client, output: &Output, command: &LeaderCommand) -> Result<(), Error> {
    match command {
        LeaderCommand::Show => show(client, output),
        LeaderCommand::Transfer { to } => transfer(client, output, to.as_ref()),
    }
}

fn show(client: &Client, output: &Output) -> Result<(), Error> {
    let leader: Leader = client.get("/v1/leader")?;
    output.print(&leader, |leader| {
        let alias = leader.member.as_ref().map(|member| member.alias.clone());
        let clients = leader
            .member
            .as_ref()
            .map(|member| member.client_urls.join(","));
        table(
            &["LEADER", "ALIAS", "TERM", "CLIENTS"],
            [vec![
                leader.leader.to_string(),
                alias.unwrap_or_default(),
                leader.term.to_string(),
                clients.unwrap_or_default(),
            ]],
        )
    })?;
    Ok(())
}

fn transfer(client: &Client, output: &Output, to: Option<&MemberRef>) -> Result<(), Error> {
    let body = to.map(|member| match member {
        MemberRef::Id(id) => json!({ "to": id }),
        MemberRef::Alias(alias) => json!({ "to": alias }),
    });
    let transferred: Transferred = client.post("/v1/leader/transfer", body.as_ref())?;
    output.print(&transferred, |transferred| {
        table(&["LEADER"], [vec![transferred.leader.to_string()]])
    })?;
    Ok(())
}
