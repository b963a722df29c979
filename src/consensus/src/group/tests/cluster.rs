//! Several groups: elections, reads everywhere, hand-over of leadership, members that come and go.

use super::fixture::*;
use super::rig::Cluster;
use crate::core::{ChangeRefused, MemberChange};
use crate::status::Role;
use crate::{ChangeError, ProposeError, TransferError};
use bytes::Bytes;
use std::time::Duration;

#[tokio::test]
async fn three_nodes_elect_replicate_and_read_everywhere() {
    let cluster = Cluster::start(&[1, 2, 3]).await;
    let leader = cluster.leader().await;
    for number in 0..100 {
        let command = Bytes::from(format!("command {number}"));
        let reply = cluster.nodes[&leader].handle.propose(command).await;
        assert_eq!(reply, Ok(number + 1));
    }
    for (id, node) in &cluster.nodes {
        node.handle.read_barrier().await.expect("a leader is there");
        let last = number_of(&node.state, "command 99");
        assert_eq!(last, Some(100), "node {id} reads what was acknowledged");
    }
    cluster.converged().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_follower_names_the_leader() {
    let cluster = Cluster::start(&[1, 2, 3]).await;
    let leader = cluster.leader().await;
    let follower = cluster.others(leader)[0];
    let refused = cluster.nodes[&follower].handle.propose("x".into()).await;
    assert_eq!(
        refused,
        Err(ProposeError::NotLeader {
            leader: Some(leader)
        })
    );
    cluster.stop().await;
}

#[tokio::test]
async fn the_others_go_on_when_the_leader_is_cut_off_and_it_serves_no_stale_read() {
    let cluster = Cluster::start(&[1, 2, 3]).await;
    let old = cluster.leader().await;
    let handle = |id: u64| cluster.nodes[&id].handle.clone();
    assert_eq!(handle(old).propose("before".into()).await, Ok(1));
    cluster.cut(old);
    let new = cluster.leader().await;
    assert_ne!(new, old);
    assert_eq!(handle(new).propose("after".into()).await, Ok(2));
    let read = handle(old).read_barrier().await;
    assert!(read.is_err(), "a cut-off leader answered a read");
    cluster.heal();
    cluster.converged().await;
    handle(old).read_barrier().await.expect("it follows again");
    assert_eq!(number_of(&cluster.nodes[&old].state, "after"), Some(2));
    cluster.stop().await;
}

#[tokio::test]
async fn a_write_of_a_leader_that_loses_its_followers_is_not_acknowledged() {
    let cluster = Cluster::start(&[1, 2, 3]).await;
    let old = cluster.leader().await;
    cluster.cut(old);
    let lost = cluster.nodes[&old].handle.propose("lost".into()).await;
    assert!(
        matches!(
            lost,
            Err(ProposeError::OutcomeUnknown { .. } | ProposeError::NotLeader { .. })
        ),
        "{lost:?}"
    );
    cluster.heal();
    let leader = cluster.leader().await;
    assert_eq!(
        cluster.nodes[&leader].handle.propose("kept".into()).await,
        Ok(1)
    );
    cluster.converged().await;
    cluster.stop().await;
}

#[tokio::test]
async fn leadership_is_handed_over_on_request() {
    let cluster = Cluster::start(&[1, 2, 3]).await;
    let old = cluster.leader().await;
    let heir = cluster.others(old)[1];
    let handed = cluster.nodes[&old].handle.transfer_leader(Some(heir)).await;
    assert_eq!(handed, Ok(heir));
    assert_eq!(cluster.leader().await, heir);
    let refused = cluster.nodes[&old].handle.transfer_leader(None).await;
    assert_eq!(
        refused,
        Err(TransferError::NotLeader { leader: Some(heir) })
    );
    let stranger = cluster.nodes[&heir].handle.transfer_leader(Some(9)).await;
    assert_eq!(stranger, Err(TransferError::CannotLead(9)));
    cluster.stop().await;
}

#[tokio::test]
async fn a_leader_whose_disk_stays_slow_hands_over() {
    let tuning = crate::Tuning {
        fitness_interval: Duration::from_millis(20),
        ..crate::Tuning::default()
    };
    let config = crate::Config { tuning, ..config() };
    let cluster = Cluster::start_with(&[1, 2, 3], config).await;
    let old = cluster.leader().await;
    let handle = &cluster.nodes[&old].handle;
    until(|| {
        let slow = Duration::from_secs(1);
        handle.counters().sync_duration.observe(slow);
        handle.status().role != Role::Leader
    })
    .await;
    assert_ne!(cluster.leader().await, old);
    cluster.stop().await;
}

#[tokio::test]
async fn a_leader_that_stops_hands_over_first() {
    let mut cluster = Cluster::start(&[1, 2, 3]).await;
    let old = cluster.leader().await;
    let node = cluster.nodes.remove(&old).expect("it runs");
    let term = node.handle.status().term;
    node.group
        .shutdown(Duration::from_secs(5))
        .await
        .expect("a clean stop");
    let new = cluster.leader().await;
    let status = cluster.nodes[&new].handle.status();
    assert_eq!((status.role, status.term), (Role::Leader, term + 1));
    cluster.stop().await;
}

#[tokio::test]
async fn a_hand_over_that_nobody_takes_ends_with_the_time_to_stop() {
    // No tick comes in the time of this test: nothing but the deadline ends the hand-over.
    let mut cluster = Cluster::start_with(&[1], still()).await;
    cluster.add(2);
    let handle = cluster.nodes[&1].handle.clone();
    for change in [MemberChange::AddLearner(2), MemberChange::AddVoter(2)] {
        let changed = in_time(handle.change_members(vec![change], Bytes::new())).await;
        changed.expect("the other is there");
        until(|| cluster.nodes[&2].state.applied() == cluster.nodes[&1].state.applied()).await;
    }
    cluster.cut(2);
    let node = cluster.nodes.remove(&1).expect("it runs");
    let shutdown = node.group.shutdown(Duration::from_millis(50));
    let stopped = tokio::time::timeout(Duration::from_secs(10), shutdown).await;
    stopped
        .expect("long after the deadline")
        .expect("a clean stop");
    cluster.stop().await;
}

#[tokio::test]
async fn a_member_joins_as_a_learner_is_promoted_and_removed() {
    let mut cluster = Cluster::start(&[1, 2, 3]).await;
    let leader = cluster.leader().await;
    let handle = cluster.nodes[&leader].handle.clone();
    for number in 0..10 {
        let reply = handle.propose(Bytes::from(format!("{number}"))).await;
        assert_eq!(reply, Ok(number + 1));
    }
    cluster.add(4);
    let early = handle.change_members(vec![MemberChange::AddVoter(4)], Bytes::new());
    assert_eq!(
        early.await,
        Err(ChangeError::Refused(ChangeRefused::Unknown(4))),
        "learners first"
    );
    handle
        .change_members(vec![MemberChange::AddLearner(4)], "who".into())
        .await
        .expect("nothing is in the way");
    until(|| number_of(&cluster.nodes[&4].state, "9") == Some(10)).await;
    until(|| {
        let progress = &handle.status().progress;
        progress
            .iter()
            .any(|peer| peer.node_id == 4 && peer.matched > 10)
    })
    .await;
    handle
        .change_members(vec![MemberChange::AddVoter(4)], Bytes::new())
        .await
        .expect("it has caught up");
    let seen = cluster.nodes[&4]
        .probe
        .memberships
        .lock()
        .expect("no panic")
        .clone();
    assert_eq!(seen[0].context, Bytes::from("who"));
    assert_eq!((seen[0].voters.len(), &seen[0].learners[..]), (3, &[4][..]));
    until(|| cluster.nodes[&4].handle.status().voters.len() == 4).await;
    handle
        .change_members(vec![MemberChange::Remove(4)], Bytes::new())
        .await
        .expect("the others are there");
    assert_eq!(handle.status().voters.len(), 3);
    cluster.stop().await;
}

#[tokio::test]
async fn a_change_that_would_stop_the_cluster_is_refused() {
    let cluster = Cluster::start(&[1, 2, 3]).await;
    let leader = cluster.leader().await;
    let handle = cluster.nodes[&leader].handle.clone();
    let others = cluster.others(leader);
    let change = |change| {
        let handle = handle.clone();
        async move { handle.change_members(vec![change], Bytes::new()).await }
    };
    let refused = |why| Err(ChangeError::Refused(why));
    assert_eq!(
        change(MemberChange::Remove(9)).await,
        refused(ChangeRefused::Unknown(9))
    );
    assert_eq!(
        change(MemberChange::AddLearner(others[0])).await,
        refused(ChangeRefused::Already(others[0]))
    );
    assert_eq!(
        change(MemberChange::Remove(0)).await,
        refused(ChangeRefused::Malformed)
    );
    cluster.cut(others[0]);
    until(|| {
        let progress = handle.status().progress.clone();
        progress.iter().any(|peer| {
            peer.node_id == others[0] && peer.silent_ticks.is_some_and(|ticks| ticks > 10)
        })
    })
    .await;
    assert_eq!(
        change(MemberChange::Remove(others[1])).await,
        refused(ChangeRefused::QuorumAtRisk {
            present: 1,
            voters: 2
        })
    );
    cluster.heal();
    cluster.stop().await;
}

#[tokio::test]
async fn a_leader_asked_to_remove_itself_hands_over_first() {
    let cluster = Cluster::start(&[1, 2, 3]).await;
    let old = cluster.leader().await;
    let removal = vec![MemberChange::Remove(old)];
    let refused = cluster.nodes[&old]
        .handle
        .change_members(removal.clone(), Bytes::new())
        .await;
    assert_eq!(refused, Err(ChangeError::Refused(ChangeRefused::Leads)));
    until(|| {
        let leader = cluster.nodes[&old].handle.status().leader;
        leader.is_some_and(|leader| leader != old)
    })
    .await;
    let new = cluster.leader().await;
    let handle = &cluster.nodes[&new].handle;
    // The first entry of its term must be applied before a change may be proposed.
    handle.read_barrier().await.expect("it leads");
    handle
        .change_members(removal, Bytes::new())
        .await
        .expect("it does not lead any more");
    assert!(!handle.status().voters.contains(&old));
    cluster.stop().await;
}
