//! Every member is restarted, one after the other, under load.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use harness::{Cluster, wait};

use crate::record::{Clients, Mix};
use crate::steps::{DEADLINE, judge, load, revision, rounds};

/// Writes acknowledged between two restarts.
const WRITES: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn restarting_all_members_in_turn_fails_nothing_and_leaves_them_equal() -> Result<()> {
    let mut cluster = Cluster::three()?;
    for round in 0..rounds(1) {
        let prefix = format!("rolling{round}");
        let base = revision(&cluster, 1).await?;
        let load = load(&cluster, &prefix, WRITES).await?;
        for id in cluster.ids() {
            let what = format!("the leave to restart member {id}");
            wait::until(&what, DEADLINE, || may_restart(&cluster, id))?;
            let begin = Instant::now();
            let status = cluster.stop(id)?;
            ensure!(status.code() == Some(0), "member {id}: {status}");
            let stopped = begin.elapsed();
            let started = cluster.restart(id)?;
            println!("member {id} stopped in {stopped:?}, serves after {started:?}");
            let before = load.acknowledged();
            load.reached(before + WRITES, DEADLINE).await?;
        }
        let record = load.finish(DEADLINE).await?;
        println!(
            "{} acknowledged, {} of unknown outcome, {} refused for good",
            record.acknowledged.len(),
            record.unanswered.len(),
            record.refused.len()
        );
        let mut ends = BTreeMap::new();
        for lost in &record.unanswered {
            let end = format!("{:?}: {}", lost.status.code(), lost.status.message());
            *ends.entry(end).or_insert(0_u64) += 1;
        }
        println!("unknown: {ends:?}");
        // Every error said what became of the write, or came from a connection that broke.
        for lost in &record.unanswered {
            let outcome = lost.status.metadata().get("placement-outcome");
            let told = outcome.is_some_and(|outcome| outcome == "unknown");
            let broke = std::error::Error::source(&lost.status).is_some();
            ensure!(
                told || broke,
                "an unclear end of a write: {:?}",
                lost.status
            );
        }
        judge(&cluster, &prefix, base, &record).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_see_of_a_rolling_restart_is_linearizable() -> Result<()> {
    let mut cluster = Cluster::three()?;
    let clients = Clients::start(&cluster.urls(), Mix::default()).await?;
    for id in cluster.ids() {
        clients.answered_more(300, DEADLINE).await?;
        cluster.stop(id)?;
        clients.answered_more(300, DEADLINE).await?;
        cluster.restart(id)?;
    }
    let history = clients.finish(DEADLINE).await?;
    history.judge().context("a rolling restart")?;
    cluster.converged(&cluster.ids(), DEADLINE)?;
    Ok(())
}

fn may_restart(cluster: &Cluster, id: u64) -> Option<()> {
    let other = cluster.others(id)[0];
    let check = cluster
        .ask(other, &format!("/v1/members/{id}/check"))
        .ok()?;
    (check["may_restart"] == true).then_some(())
}
