//! What several of these tests do.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::load::{Load, Plan, Record};
use harness::random::count_from;
use harness::{Cluster, client, history};

/// Longest any one step may take, on a machine that runs other tests too.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// From this many rounds on, a run is one of acceptance.
const ACCEPTANCE_ROUNDS: u64 = 15;

/// How often a fault is repeated.
pub fn rounds(default: u64) -> u64 {
    count_from("CLUSTER_ROUNDS", default)
}

/// Whether times are held to the product's own figures.
pub fn is_acceptance() -> bool {
    rounds(0) >= ACCEPTANCE_ROUNDS
}

/// The revision now.
pub async fn revision(cluster: &Cluster, at: u64) -> Result<i64> {
    client::revision(&mut client::kv(&cluster.url(at)?).await?).await
}

/// A load of 64 clients spread over all members, well under way.
pub async fn load(cluster: &Cluster, prefix: &str, acknowledged: u64) -> Result<Load> {
    let load = Load::start(&Plan::of_cluster(&cluster.urls(), prefix)).await?;
    load.reached(acknowledged, DEADLINE).await?;
    Ok(load)
}

/// Compares what a load remembers with what each member tells, and the members with each other.
pub async fn judge(cluster: &Cluster, prefix: &str, base: i64, record: &Record) -> Result<()> {
    ensure!(
        record.refused.is_empty(),
        "{} writes were refused for good, the first by {:?}",
        record.refused.len(),
        record.refused[0].status
    );
    for id in cluster.ids() {
        let url = cluster.url(id)?;
        let verdict = history::verify(&url, prefix, base, &record.acknowledged, record).await?;
        println!("{prefix}: member {id} has {verdict:?}");
    }
    let (index, hash) = cluster.converged(&cluster.ids(), DEADLINE)?;
    println!("{prefix}: all members at {index} with {hash}");
    Ok(())
}

/// A number of times in ascending order, for a line of output.
pub fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}
