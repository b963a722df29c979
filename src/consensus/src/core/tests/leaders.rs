//! Who may lead while members come and go: leaving a joint membership, a vote taken away, members that join,
//! were cut off or removed.

use super::harness::*;
use crate::core::*;
use raft::eraftpb::MessageType;

/// A cluster of three led by node 1, with node 4 as a learner that has caught up.
fn with_learner() -> Cluster {
    let mut cluster = Cluster::led_by_one();
    cluster.members.insert(4, Member::new(4, &[1, 2, 3]));
    propose(&mut cluster, 1, &[MemberChange::AddLearner(4)]);
    cluster.rest();
    cluster.member(1).core.tick();
    cluster.rest();
    assert!(cluster.member(1).core.has_caught_up(4));
    cluster
}

fn propose(cluster: &mut Cluster, leader: u64, changes: &[MemberChange]) -> Position {
    let leader = &mut cluster.member(leader).core;
    leader.check_change(changes).expect("the change is sound");
    leader
        .propose_members(changes, &[])
        .expect("no change is pending")
}

fn tick_all(cluster: &mut Cluster, ticks: u32) {
    for _ in 0..ticks {
        cluster.tick_all();
        cluster.rest();
    }
}

/// Ticks and delivers; unlike `Cluster::rest` it lets members refuse messages, as they do those of one that
/// was removed.
fn tick_and_pass_on(cluster: &mut Cluster) {
    cluster.tick_all();
    for _ in 0..20 {
        let mut sent = Vec::new();
        for member in cluster.members.values_mut() {
            member.rest();
            sent.append(&mut member.outgoing);
        }
        sent.retain(|message| !cluster.cut.contains(&(message.from(), message.to())));
        if sent.is_empty() {
            return;
        }
        for message in sent {
            let _ = cluster.member(message.to()).core.step(message);
        }
    }
}

#[test]
fn a_member_that_joins_never_campaigns() {
    let mut joining = Member::new(4, &[1, 2, 3]);
    for _ in 0..20 * ELECTION_TICKS {
        joining.core.tick();
        joining.rest();
    }
    assert_eq!(joining.core.role(), Role::Follower);
    assert!(joining.outgoing.is_empty(), "it asks nobody for votes");
}

#[test]
fn a_new_leader_leaves_the_joint_membership_of_its_predecessor() {
    let mut cluster = with_learner();
    // The old leader disappears when the joint membership is committed everywhere and not left yet.
    propose(
        &mut cluster,
        1,
        &[MemberChange::AddVoter(4), MemberChange::Demote(3)],
    );
    for _ in 0..100 {
        let joint = |member: &Member| !member.core.outgoing().is_empty();
        if [2, 3, 4].into_iter().all(|id| joint(&cluster.members[&id])) {
            break;
        }
        // The leader is not told what it applied: it would leave the joint membership at once.
        for member in cluster.members.values_mut() {
            member.take();
            member.persist();
            if member.core.node_id() != 1 {
                member.apply();
            }
        }
        cluster.deliver();
        cluster.member(1).core.tick();
    }
    assert_eq!(cluster.member(2).core.outgoing().len(), 3);
    cluster.isolate(1);
    let new = cluster.elect_other(1);
    tick_all(&mut cluster, 3);
    for id in [2, 3, 4] {
        let core = &cluster.member(id).core;
        assert_eq!(core.outgoing(), [] as [u64; 0], "node {id} is still joint");
        assert_eq!(core.learners(), [3], "at node {id} led by {new}");
    }
}

#[test]
fn pre_votes_elect_a_leader_amid_a_joint_change() {
    // Terms have moved on at one member only; the others must still find a leader among them.
    let mut cluster = with_learner();
    cluster.isolate(3);
    propose(
        &mut cluster,
        1,
        &[MemberChange::AddVoter(4), MemberChange::Remove(3)],
    );
    cluster.rest();
    cluster.cut.clear();
    cluster.isolate(1);
    for _ in 0..3 * ELECTION_TICKS {
        tick_and_pass_on(&mut cluster);
    }
    let leaders = cluster
        .members
        .values()
        .filter(|member| member.core.node_id() != 1 && member.core.role() == Role::Leader);
    assert_eq!(leaders.count(), 1);
}

#[test]
fn a_leader_whose_vote_is_taken_away_stops_leading() {
    let mut cluster = Cluster::led_by_one();
    // Proposed while node 1 led; leadership moves to the very member it removes before it commits.
    propose(&mut cluster, 1, &[MemberChange::Remove(2)]);
    cluster.member(1).take();
    let removal: Vec<Message> = std::mem::take(&mut cluster.member(1).outgoing);
    for message in removal {
        cluster.hand_over(message);
    }
    cluster.member(2).rest();
    cluster.member(3).rest();
    for member in cluster.members.values_mut() {
        member.outgoing.clear();
    }
    cluster.isolate(1);
    for _ in 0..4 * ELECTION_TICKS {
        cluster.member(2).core.tick();
        cluster.member(3).core.tick();
        // Only node 2 may ask.
        cluster.member(3).outgoing.retain(|message| {
            let kind = message.0.msg_type;
            kind != MessageType::MsgRequestPreVote as i32
        });
        cluster.rest();
        let core = &cluster.member(2).core;
        let votes = core.voters().contains(&2);
        assert!(
            votes || core.role() != Role::Leader,
            "it leads without a vote"
        );
    }
    assert_eq!(
        cluster.member(2).core.voters(),
        [1, 3],
        "it led, and committed it"
    );
    cluster.cut.clear();
    tick_all(&mut cluster, 4 * ELECTION_TICKS as u32);
    let leader = cluster.member(3).core.leader();
    assert!(matches!(leader, Some(1 | 3)), "{leader:?}");
}

#[test]
fn a_removed_member_disturbs_nobody() {
    let mut cluster = Cluster::led_by_one();
    cluster.isolate(3);
    let remove = [MemberChange::Remove(3)];
    cluster
        .member(1)
        .core
        .propose_members(&remove, &[])
        .expect("no change is pending");
    cluster.rest();
    // It does not know, and asks for votes again and again.
    cluster.cut.clear();
    let term = cluster.member(1).core.term();
    for _ in 0..10 * ELECTION_TICKS {
        tick_and_pass_on(&mut cluster);
    }
    let leader = &cluster.member(1).core;
    assert_eq!((leader.role(), leader.term()), (Role::Leader, term));
}

#[test]
fn a_member_that_was_cut_off_returns_without_an_election() {
    let mut cluster = Cluster::led_by_one();
    let term = cluster.member(1).core.term();
    cluster.isolate(3);
    tick_all(&mut cluster, 10 * ELECTION_TICKS as u32);
    cluster.cut.clear();
    tick_all(&mut cluster, 3 * ELECTION_TICKS as u32);
    let leader = &cluster.member(1).core;
    assert_eq!((leader.role(), leader.term()), (Role::Leader, term));
    assert_eq!(cluster.member(3).core.leader(), Some(1));
}

#[test]
fn a_leader_without_a_quorum_steps_down() {
    let mut cluster = Cluster::led_by_one();
    cluster.isolate(1);
    for _ in 0..=2 * ELECTION_TICKS {
        cluster.member(1).core.tick();
        cluster.rest();
    }
    assert_ne!(cluster.member(1).core.role(), Role::Leader);
}

#[test]
fn the_next_leader_is_found_at_the_first_attempt() {
    for (leader, others) in [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])] {
        let mut cluster = Cluster::new(&[1, 2, 3]);
        cluster.elect(leader);
        tick_all(&mut cluster, 1);
        let term = cluster.member(leader).core.term();
        cluster.isolate(leader);
        let mut ticks = 0;
        while others
            .iter()
            .all(|id| cluster.members[id].core.role() != Role::Leader)
        {
            ticks += 1;
            assert!(ticks <= ELECTION_TICKS + 1, "no leader after {ticks} ticks");
            // Their ticks are out of step by up to one, as those of any two machines.
            for id in others {
                cluster.member(id).core.tick();
                cluster.rest();
            }
        }
        assert!(
            others
                .iter()
                .all(|id| cluster.members[id].core.term() == term + 1)
        );
    }
}
