//! The members of a cluster change under load.

use anyhow::{Result, ensure};
use harness::Cluster;

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
