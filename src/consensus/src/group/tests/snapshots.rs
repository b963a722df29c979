//! Snapshots between running groups: a node that was away for long, one that joins, transfers that fail.

use super::fixture::*;
use super::rig::Cluster;
use crate::core::MemberChange;
use crate::status::SnapshotDirection;
use crate::{ChangeError, Config, ProposeError};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Keeps next to nothing in the log.
fn forgetful() -> Config {
    Config {
        log_retention_entries: 5,
        ..config()
    }
}

/// Writes on the leader, and waits until no other log than a snapshot can bring anybody there.
async fn write_and_truncate(cluster: &Cluster, name: &str) {
    let leader = cluster.leader().await;
    let node = &cluster.nodes[&leader];
    for number in 0..30 {
        node.put(&format!("{name} {number}"))
            .await
            .expect("it leads");
    }
    node.state.flush().expect("a memory disk");
    let applied = node.state.applied().index;
    node.until(|status| status.first_index > applied - 20).await;
}

async fn caught_up(cluster: &Cluster, id: u64, command: &str) {
    until(|| number_of(&cluster.nodes[&id].state, command).is_some()).await;
}

#[tokio::test]
async fn a_node_that_was_away_for_long_returns_by_snapshot() {
    let mut cluster = Cluster::start_with(&[1, 2, 3], forgetful()).await;
    let leader = cluster.leader().await;
    let away = cluster.others(leader)[0];
    cluster.nodes[&leader].put("early").await.expect("it leads");
    caught_up(&cluster, away, "early").await;
    cluster.kill(away).await;
    write_and_truncate(&cluster, "missed").await;
    cluster.add(away);
    caught_up(&cluster, away, "missed 29").await;
    let node = &cluster.nodes[&away];
    assert_eq!(*node.probe.restored.lock().expect("no panic"), 1);
    node.until(|status| {
        let last = status.last_snapshot.map(|last| last.direction);
        last == Some(SnapshotDirection::Received { from: leader })
    })
    .await;
    cluster.nodes[&leader]
        .until(|status| {
            let last = status.last_snapshot.map(|last| last.direction);
            last == Some(SnapshotDirection::Sent { to: away }) && status.snapshots_to.is_empty()
        })
        .await;
    let sent = &cluster.nodes[&leader].handle.counters().snapshots_sent;
    let received = &node.handle.counters().snapshots_received;
    for (counters, what) in [(sent, "sent"), (received, "received")] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!((of(&counters.installed), of(&counters.failed)), (1, 0));
        assert!(
            of(&counters.bytes) > 0 && of(&counters.micros) > 0,
            "{what}"
        );
    }
    assert!(!node.handle.status().installing_snapshot);
    let next = cluster.nodes[&leader].put("next").await;
    assert_eq!(next, Ok(32));
    cluster.converged().await;
    in_time(cluster.nodes[&away].handle.read_barrier())
        .await
        .expect("it follows");
    cluster.kill(away).await;
    cluster.add(away);
    cluster.nodes[&leader]
        .put("after a crash")
        .await
        .expect("it leads");
    cluster.converged().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_node_joins_a_cluster_whose_log_no_longer_holds_its_beginning() {
    let mut cluster = Cluster::start_with(&[1, 2, 3], forgetful()).await;
    let leader = cluster.leader().await;
    write_and_truncate(&cluster, "old").await;
    cluster.add(4);
    let handle = cluster.nodes[&leader].handle.clone();
    let add = handle.change_members(vec![MemberChange::AddLearner(4)], Bytes::new());
    in_time(add).await.expect("nothing is in the way");
    caught_up(&cluster, 4, "old 29").await;
    cluster.nodes[&4]
        .until(|status| status.learners == [4])
        .await;
    cluster.converged().await;
    let promote = || handle.change_members(vec![MemberChange::AddVoter(4)], Bytes::new());
    let caught_up = |status: &crate::Status| {
        let lag = |matched: u64| status.last_index - matched;
        let peers = status.progress.iter();
        peers
            .filter(|peer| peer.node_id == 4)
            .any(|peer| lag(peer.matched) < 10)
    };
    cluster.nodes[&leader].until(caught_up).await;
    in_time(promote()).await.expect("it has caught up");
    cluster.stop().await;
}

#[tokio::test]
async fn transfers_that_fail_are_tried_again_and_writes_go_on() {
    let mut cluster = Cluster::start_with(&[1, 2, 3], forgetful()).await;
    let leader = cluster.leader().await;
    let away = cluster.others(leader)[1];
    cluster.kill(away).await;
    write_and_truncate(&cluster, "missed").await;
    cluster.network.lock().expect("no panic").lose_snapshots = 2;
    cluster.add(away);
    for number in 0..50 {
        let command = format!("meanwhile {number}");
        cluster.nodes[&leader]
            .put(&command)
            .await
            .expect("it leads");
    }
    caught_up(&cluster, away, "meanwhile 49").await;
    assert!(cluster.network.lock().expect("no panic").snapshots_sent >= 3);
    cluster.converged().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_leader_that_was_cut_off_for_long_answers_its_waiters_and_takes_a_snapshot() {
    let cluster = Cluster::start_with(&[1, 2, 3], forgetful()).await;
    let old = cluster.leader().await;
    cluster.nodes[&old].put("before").await.expect("it leads");
    cluster.cut(old);
    let command = Bytes::from("lost");
    let pending = cluster.nodes[&old]
        .handle
        .submit(command)
        .expect("it believes to lead");
    write_and_truncate(&cluster, "missed").await;
    cluster.heal();
    caught_up(&cluster, old, "missed 29").await;
    assert!(in_time(pending).await.is_err());
    assert_eq!(number_of(&cluster.nodes[&old].state, "lost"), None);
    assert_eq!(
        *cluster.nodes[&old].probe.restored.lock().expect("no panic"),
        1
    );
    cluster.converged().await;
    cluster.stop().await;
}

#[tokio::test]
async fn those_whose_entry_a_snapshot_swallowed_are_told_that_nobody_knows() {
    // Left alone, node 1 would let them wait for longer than this test does.
    let patient = Config {
        election: Duration::from_secs(20),
        ..forgetful()
    };
    let mut cluster = Cluster::start_with(&[1], patient).await;
    cluster.configure(forgetful());
    let handle = cluster.nodes[&1].handle.clone();
    for id in [2, 3] {
        cluster.add(id);
        for change in [MemberChange::AddLearner(id), MemberChange::AddVoter(id)] {
            let changed = handle.change_members(vec![change], Bytes::new());
            in_time(changed).await.expect("it is there");
            let applied = || cluster.nodes.values().map(|node| node.state.applied());
            until(|| applied().all(|position| position == cluster.nodes[&1].state.applied())).await;
        }
    }
    cluster.cut(1);
    let last_index = handle.status().last_index;
    let pending = handle.submit("lost".into()).expect("it believes to lead");
    let mut changes = tokio::task::JoinSet::new();
    let changing = handle.clone();
    changes.spawn(async move {
        let learner = vec![MemberChange::AddLearner(9)];
        changing.change_members(learner, Bytes::new()).await
    });
    cluster.nodes[&1]
        .until(|status| status.last_index >= last_index + 2)
        .await;
    write_and_truncate(&cluster, "missed").await;
    cluster.heal();
    caught_up(&cluster, 1, "missed 29").await;
    let unknown = in_time(pending).await;
    assert!(
        matches!(unknown, Err(ProposeError::OutcomeUnknown { .. })),
        "{unknown:?}"
    );
    let change = in_time(changes.join_next()).await.expect("one was spawned");
    assert_eq!(change.expect("no panic"), Err(ChangeError::OutcomeUnknown));
    cluster.converged().await;
    cluster.stop().await;
}
