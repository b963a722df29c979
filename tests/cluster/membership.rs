//! The members of a cluster change under load.

use anyhow::{Result, ensure};
use harness::cluster::Plan;
use harness::{Cluster, wait};

use crate::record::{Clients, Mix};
use crate::steps::{DEADLINE, judge, load, revision};

/// Writes acknowledged between two changes.
const WRITES: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn members_join_by_a_follower_and_the_first_ones_leave_under_load() -> Result<()> {
    let mut cluster = Cluster::three()?;
    let base = revision(&cluster, 1).await?;
    let load = load(&cluster, "grow", WRITES).await?;
    let first = cluster.leader(DEADLINE)?;
    for (new, by) in [(4, cluster.others(first)[0]), (5, 4)] {
        cluster.join(new, by)?;
        let before = load.acknowledged();
        load.reached(before + WRITES, DEADLINE).await?;
    }
    // The leader first: it must hand over before it goes.
    let second = cluster.others(first)[0];
    for leaving in [first, second] {
        cluster.remove(leaving, 5, DEADLINE)?;
        let before = load.acknowledged();
        load.reached(before + WRITES, DEADLINE).await?;
    }
    let record = load.finish(DEADLINE).await?;
    let members = cluster.ask(5, "/v1/members")?;
    let count = members["members"].as_array().map(Vec::len);
    ensure!(count == Some(3), "{members}");
    judge(&cluster, "grow", base, &record).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_see_while_members_change_is_linearizable() -> Result<()> {
    let mut cluster = Cluster::three_with_network()?;
    let clients = Clients::start(&cluster.urls(), Mix::default()).await?;
    let first = cluster.leader(DEADLINE)?;
    cluster.join(4, cluster.others(first)[0])?;
    clients.answered_more(200, DEADLINE).await?;
    // The change and the loss of a voter at once.
    let lost = cluster.others(first)[1];
    cluster.network()?.isolate(lost);
    cluster.remove(first, 4, DEADLINE)?;
    clients.answered_more(200, DEADLINE).await?;
    cluster.network()?.heal();
    clients.finish(DEADLINE).await?.judge()?;
    cluster.converged(&cluster.ids(), DEADLINE)?;
    Ok(())
}

/// Keeps so little of the log that a member that is down for some seconds falls behind its beginning.
const SHORT_LOG: &str = "[raft]\nlog_retention_entries = 1\n[storage]\nwrite_buffer_mib = 1";

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_fell_behind_the_log_comes_back_by_a_snapshot_under_load() -> Result<()> {
    let mut cluster = Cluster::start(Plan {
        config: SHORT_LOG.to_owned(),
        ..Plan::default()
    })?;
    let leader = cluster.leader(DEADLINE)?;
    let absent = cluster.others(leader)[0];
    let base = revision(&cluster, leader).await?;
    let load = load(&cluster, "snapshot", WRITES).await?;
    let applied = cluster.standing(absent)?.applied;
    cluster.kill(absent)?;
    // Behind what it may have had besides what it had applied.
    let cut = || Some(cluster.standing(leader).ok()?.first > applied + 200).filter(|cut| *cut);
    wait::until("the log to be cut", DEADLINE, cut)?;
    let took = cluster.restart(absent)?;
    let before = load.acknowledged();
    load.reached(before + WRITES, DEADLINE).await?;
    let record = load.finish(DEADLINE).await?;
    println!("back by a snapshot after {took:?}");
    ensure!(
        cluster.standing(absent)?.first > applied,
        "it caught up from the log"
    );
    judge(&cluster, "snapshot", base, &record).await
}
