//! Membership changes: one at a time, in effect once, stored with the applied position.

use super::harness::*;
use crate::core::*;

#[test]
fn a_second_change_is_refused_while_one_is_pending() {
    let mut cluster = Cluster::led_by_one();
    let leader = cluster.member(1);
    leader
        .core
        .propose_members(&[MemberChange::AddLearner(4)], &[])
        .expect("no change is pending");
    let second = leader
        .core
        .propose_members(&[MemberChange::AddLearner(5)], &[]);
    assert_eq!(second, Err(ProposalRefused::ChangePending));
    cluster.rest();
    cluster
        .member(1)
        .core
        .propose_members(&[MemberChange::AddLearner(5)], &[])
        .expect("the first is applied");
    cluster.rest();
    for id in 1..=3 {
        assert_eq!(cluster.member(id).core.learners(), [4, 5]);
    }
}

#[test]
fn a_change_is_stored_with_the_position_and_survives_a_restart() {
    let mut cluster = Cluster::led_by_one();
    cluster
        .member(1)
        .core
        .propose_members(&[MemberChange::AddLearner(4)], &[])
        .expect("no change is pending");
    cluster.rest();
    for id in 1..=3 {
        let member = cluster.member(id);
        assert!(
            member.conf_state.is_some(),
            "node {id} was given the membership to store"
        );
        member.restart();
        assert_eq!(member.core.learners(), [4]);
        assert_eq!(member.core.voters(), [1, 2, 3]);
    }
}

#[test]
fn a_change_replayed_after_a_crash_takes_effect_once() {
    let mut cluster = Cluster::led_by_one();
    cluster
        .member(1)
        .core
        .propose_members(&[MemberChange::AddLearner(4)], &[])
        .expect("no change is pending");
    cluster.rest();
    let member = cluster.member(2);
    // The state lost its last batch: the change is in the log, not in the state.
    member.applied = storage::Applied {
        index: 1,
        term: member.history[&1].0.term,
        chain_hash: member.history[&1].1,
    };
    member.conf_state = None;
    member.restart();
    assert_eq!(member.core.learners(), Vec::<u64>::new().as_slice());
    cluster.member(1).core.tick();
    cluster.rest();
    assert_eq!(cluster.member(2).core.learners(), [4]);
}

#[test]
fn several_changes_go_through_a_joint_membership() {
    let mut cluster = Cluster::led_by_one();
    cluster.members.insert(4, Member::new(4, &[1, 2, 3]));
    cluster
        .member(1)
        .core
        .propose_members(&[MemberChange::AddLearner(4)], &[])
        .expect("no change is pending");
    cluster.rest();
    let swap = [MemberChange::AddVoter(4), MemberChange::Remove(3)];
    cluster
        .member(1)
        .core
        .propose_members(&swap, &[])
        .expect("no change is pending");
    cluster.rest();
    for id in [1, 2, 4] {
        let mut voters = cluster.member(id).core.voters().to_vec();
        voters.sort_unstable();
        assert_eq!(voters, [1, 2, 4], "at node {id}");
    }
    cluster.assert_same_history();
}

#[test]
fn a_follower_and_a_senseless_change_are_refused() {
    let mut cluster = Cluster::led_by_one();
    let refused = cluster
        .member(2)
        .core
        .propose_members(&[MemberChange::AddLearner(4)], &[]);
    assert_eq!(refused, Err(ProposalRefused::NotLeader { leader: Some(1) }));
    let leaves = cluster.member(1).core.propose_members(&[], &[]);
    assert_eq!(leaves, Err(ProposalRefused::ChangeImpossible));
}
