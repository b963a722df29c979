//! Reads and writes through members that do not lead and hear of everything late.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Cluster, client};
use protocol::etcdserverpb::RangeRequest;
use simulator::linear::Verdict;
use tonic::Request;

use crate::record::{Clients, Mix};
use crate::steps::DEADLINE;

/// How late the follower hears of everything. Much longer than an answer takes without it.
const LATE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_lags_answers_old_only_where_that_was_asked_for() -> Result<()> {
    let cluster = Cluster::three_with_network()?;
    let leader = cluster.leader(DEADLINE)?;
    let follower = cluster.others(leader)[0];
    let mut at_leader = client::kv(&cluster.url(leader)?).await?;
    let mut at_follower = client::kv(&cluster.url(follower)?).await?;
    at_leader.put(client::put("key", "0")).await?;
    // Everybody has the first value before the way gets slow.
    cluster.converged(&cluster.ids(), DEADLINE)?;
    cluster.network()?.delay(leader, follower, LATE);
    let mut old = 0;
    for number in 1..=5 {
        let value = number.to_string();
        let header = at_leader.put(client::put("key", value.clone())).await?;
        let revision = header.into_inner().header.context("a header")?.revision;
        let local = RangeRequest {
            serializable: true,
            ..client::get("key")
        };
        let seen = value_of(at_follower.range(local.clone()).await?.into_inner());
        old += u64::from(seen != value);
        let mut session = Request::new(local);
        session
            .metadata_mut()
            .insert("min-revision", revision.to_string().parse()?);
        let seen = value_of(at_follower.range(session).await?.into_inner());
        ensure!(
            seen == value,
            "a session read of {value} at {revision} answers {seen}"
        );

        let value = format!("{number}-again");
        at_leader.put(client::put("key", value.clone())).await?;
        let seen = value_of(at_follower.range(client::get("key")).await?.into_inner());
        ensure!(
            seen == value,
            "a linearizable read of {value} answers {seen}"
        );
    }
    // Without this the reads above prove nothing.
    ensure!(old > 0, "the follower never lagged");
    Ok(())
}

fn value_of(answer: protocol::etcdserverpb::RangeResponse) -> String {
    let item = answer.kvs.first();
    item.map_or(String::new(), |item| {
        String::from_utf8_lossy(&item.value).into_owned()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_takes_writes_and_has_applied_what_it_answers() -> Result<()> {
    let cluster = Cluster::three()?;
    let leader = cluster.leader(DEADLINE)?;
    for follower in cluster.others(leader) {
        let mut kv = client::kv(&cluster.url(follower)?).await?;
        for number in 0..100 {
            let (key, value) = (format!("by{follower}"), number.to_string());
            kv.put(client::put(key.clone(), value.clone())).await?;
            let seen = value_of(kv.range(client::get(key)).await?.into_inner());
            ensure!(
                seen == value,
                "member {follower} answers {seen} after the write of {value}"
            );
        }
    }
    ensure!(
        cluster.leader(DEADLINE)? == leader,
        "forwarding moved the leader"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_sees_that_local_reads_of_a_member_that_lags_are_old() -> Result<()> {
    let cluster = Cluster::three_with_network()?;
    let leader = cluster.leader(DEADLINE)?;
    let network = cluster.network()?;
    network.delay(leader, cluster.others(leader)[0], LATE);
    let mix = Mix {
        serializable: true,
        ..Mix::default()
    };
    let clients = Clients::start(&cluster.urls(), mix).await?;
    clients.answered_more(500, DEADLINE).await?;
    let history = clients.finish(DEADLINE).await?;
    let verdict = history.verdict();
    ensure!(matches!(verdict, Verdict::Violation { .. }), "{verdict:?}");
    Ok(())
}
