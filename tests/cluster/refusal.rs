//! Processes that a cluster must not take for its members.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::cluster::TOKEN;
use harness::settings::{Member, Origin};
use harness::{Cluster, Kind, Options, Server, client, wait};

use crate::steps::{DEADLINE, load};

/// Lines that a refusal may leave in one log, over some seconds of being tried again and again.
const LINES_MAX: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_a_wiped_disk_gets_no_vote_under_its_old_number() -> Result<()> {
    let mut cluster = Cluster::three()?;
    let leader = cluster.leader(DEADLINE)?;
    let wiped = cluster.others(leader)[0];
    load(&cluster, "before", 300)
        .await?
        .finish(DEADLINE)
        .await?;
    cluster.kill(wiped)?;
    std::fs::remove_dir_all(cluster.member(wiped)?.data()).context("wipe the disk")?;
    cluster.respawn(wiped)?;
    let refusal = "has another data directory";
    wait::until("the refusal in the leader's log", DEADLINE, || {
        (said(&mut cluster, leader, refusal).ok()? > 0).then_some(())
    })?;
    // With its vote the other two could lose one and go on; without it they may not.
    let other = cluster
        .others(leader)
        .into_iter()
        .find(|id| *id != wiped)
        .context("three")?;
    cluster.kill(other)?;
    let mut kv = client::kv(&cluster.url(leader)?).await?;
    let write = tokio::time::timeout(Duration::from_secs(4), kv.put(client::put("k", "v"))).await;
    ensure!(!matches!(write, Ok(Ok(_))), "a wiped disk made a majority");
    cluster.restart(other)?;
    kv.put(client::put("k", "v")).await?;
    for id in cluster.ids() {
        let lines = said(&mut cluster, id, refusal)?;
        let printed = cluster.member_mut(id)?.process().printed();
        ensure!(
            lines <= LINES_MAX,
            "member {id} says it {lines} times: {printed}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_refused_and_said_once() -> Result<()> {
    let mut cluster = Cluster::three()?;
    let leader = cluster.leader(DEADLINE)?;
    let address = format!("127.0.0.1:{}", cluster.member(leader)?.peer_port());
    let mut stranger = Server::begin(
        Kind::Center,
        Options {
            member: Some(Member {
                node_id: 4,
                token: "not-the-token-of-the-others".to_owned(),
                peer_address: None,
                origin: Origin::Joiner(vec![address]),
            }),
            ..Options::default()
        },
    )?;
    let status = stranger.process().wait(DEADLINE)?;
    let printed = stranger.process().printed();
    ensure!(status.code() == Some(1), "{status}: {printed}");
    ensure!(
        printed.contains("token"),
        "{printed:?} does not name the token"
    );
    ensure!(!printed.contains("panicked"), "{printed}");
    let members = cluster.ask(leader, "/v1/members")?;
    let count = members["members"].as_array().map(Vec::len);
    ensure!(count == Some(3), "{members}");
    let lines = said(&mut cluster, leader, "token")?;
    ensure!(
        (1..=LINES_MAX).contains(&lines),
        "the member says it {lines} times"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_member_is_not_reached_can_be_asked_for() -> Result<()> {
    let mut cluster = Cluster::three()?;
    let leader = cluster.leader(DEADLINE)?;
    let strayed = cluster.others(leader)[0];
    cluster.stop(strayed)?;
    let member = cluster.member_mut(strayed)?;
    member.set_token("a-token-of-yesterday");
    cluster.respawn(strayed)?;
    let unreachable = |cluster: &Cluster| {
        let member = cluster
            .ask(leader, &format!("/v1/members/{strayed}"))
            .ok()?;
        Some(member["unreachable"].clone())
    };
    wait::until("the reason among the members", DEADLINE, || {
        let reason = unreachable(&cluster)?;
        reason.as_str()?.contains("token").then_some(())
    })?;
    let asked = cluster.ask(leader, "/v1/status")?;
    let links = asked["links"].as_array().context("it has links")?;
    let mut reasons = links.iter().filter_map(|link| link["reason"].as_str());
    ensure!(reasons.any(|reason| reason.contains("token")), "{asked}");
    wait::until("the refusal in the log", DEADLINE, || {
        (said(&mut cluster, leader, "was refused").ok()? > 0).then_some(())
    })?;
    cluster.stop(strayed)?;
    cluster.member_mut(strayed)?.set_token(TOKEN);
    cluster.restart(strayed)?;
    wait::until("the member among the others", DEADLINE, || {
        unreachable(&cluster)?.is_null().then_some(())
    })?;
    for id in cluster.others(strayed) {
        // One for each direction.
        let lines = said(&mut cluster, id, "the cluster token is another one")?;
        ensure!(lines <= LINES_MAX, "member {id} says it {lines} times");
    }
    let logged = cluster.member(leader)?.everything_logged();
    ensure!(logged.contains("is let in after"), "{logged}");
    Ok(())
}

/// Lines of a member's standard error, where all its warnings go, that say something.
fn said(cluster: &mut Cluster, id: u64, what: &str) -> Result<usize> {
    let printed = cluster.member_mut(id)?.process().printed();
    Ok(printed.lines().filter(|line| line.contains(what)).count())
}
