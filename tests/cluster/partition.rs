//! The leader is cut off, in each direction, or stands still: the others go on, and what clients see through
//! all members, the one in trouble included, stays linearizable.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Cluster, client, wait};

use crate::record::{Clients, Mix};
use crate::steps::{DEADLINE, rounds};

/// Answers between the events of a test.
const ANSWERS: u64 = 150;

#[derive(Clone, Copy, Debug)]
enum Cut {
    BothWays,
    /// The leader is not heard.
    Out,
    /// The leader does not hear.
    In,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_cut_off_both_ways_is_replaced() -> Result<()> {
    cut_the_leader(Cut::BothWays).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_not_heard_is_replaced() -> Result<()> {
    cut_the_leader(Cut::Out).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_does_not_hear_is_replaced() -> Result<()> {
    cut_the_leader(Cut::In).await
}

async fn cut_the_leader(cut: Cut) -> Result<()> {
    let cluster = Cluster::three_with_network()?;
    let clients = Clients::start(&cluster.urls(), Mix::default()).await?;
    for round in 0..rounds(1) {
        clients.answered_more(ANSWERS, DEADLINE).await?;
        let old = cluster.leader(DEADLINE)?;
        let network = cluster.network()?;
        for other in cluster.others(old) {
            match cut {
                Cut::BothWays => network.isolate(old),
                Cut::Out => network.hold(old, other),
                Cut::In => network.hold(other, old),
            }
        }
        let new = cluster.leader_among(&cluster.others(old), DEADLINE)?;
        clients.answered_more(ANSWERS, DEADLINE).await?;
        no_old_answer(&cluster, (old, new), round).await?;
        network.heal();
        println!("round {round}: member {new} leads instead of {old}");
        let healed = || cluster.leader(Duration::ZERO).ok();
        wait::until("one leader for all", DEADLINE, healed)?;
    }
    clients.answered_more(ANSWERS, DEADLINE).await?;
    let history = clients.finish(DEADLINE).await?;
    history.judge().with_context(|| format!("{cut:?}"))?;
    cluster.converged(&cluster.ids(), DEADLINE)?;
    Ok(())
}

/// A write at the new leader, then a linearizable read at the old one: it may fail, but it may not answer
/// what was before the write.
async fn no_old_answer(cluster: &Cluster, (old, new): (u64, u64), round: u64) -> Result<()> {
    let value = round.to_string();
    let mut writer = client::kv(&cluster.url(new)?).await?;
    writer.put(client::put("stale", value.clone())).await?;
    let mut reader = client::kv(&cluster.url(old)?).await?;
    match reader.range(client::get("stale")).await {
        Ok(answer) => {
            let kvs = answer.into_inner().kvs;
            let found = kvs.first().map(|item| item.value.clone());
            ensure!(
                found.as_deref() == Some(value.as_bytes()),
                "member {old} answers {found:?}"
            );
        }
        Err(status) => println!("member {old}, cut off: {}", status.message()),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_gives_no_old_answers() -> Result<()> {
    let mut cluster = Cluster::three()?;
    let clients = Clients::start(&cluster.urls(), Mix::default()).await?;
    for round in 0..rounds(2) {
        clients.answered_more(ANSWERS, DEADLINE).await?;
        let old = cluster.leader(DEADLINE)?;
        // Its clients' requests are under way in it, and are answered after the pause.
        cluster.pause(old)?;
        let new = cluster.leader_among(&cluster.others(old), DEADLINE)?;
        clients.answered_more(ANSWERS, DEADLINE).await?;
        cluster.resume(old)?;
        no_old_answer(&cluster, (old, new), round).await?;
        println!("round {round}: member {new} led while {old} stood still");
    }
    clients.answered_more(ANSWERS, DEADLINE).await?;
    clients.finish(DEADLINE).await?.judge()?;
    cluster.converged(&cluster.ids(), DEADLINE)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_and_breaking_network_loses_nothing() -> Result<()> {
    let cluster = Cluster::three_with_network()?;
    let clients = Clients::start(&cluster.urls(), Mix::default()).await?;
    let network = cluster.network()?;
    for round in 0..rounds(2) {
        let leader = cluster.leader(DEADLINE)?;
        let others = cluster.others(leader);
        network.delay(leader, others[0], Duration::from_millis(40));
        network.delay(others[1], leader, Duration::from_millis(20));
        clients.answered_more(ANSWERS, DEADLINE).await?;
        // One way alone, from the leader to one follower, harms nobody but the follower.
        network.hold(leader, others[1]);
        clients.answered_more(ANSWERS, DEADLINE).await?;
        network.sever(leader, others[0]);
        network.sever(leader, others[1]);
        clients.answered_more(ANSWERS, DEADLINE).await?;
        network.heal();
        println!("round {round} done");
    }
    clients.answered_more(ANSWERS, DEADLINE).await?;
    clients.finish(DEADLINE).await?.judge()?;
    cluster.converged(&cluster.ids(), DEADLINE)?;
    Ok(())
}
