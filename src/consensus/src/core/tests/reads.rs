//! Read rounds: dropped requests, deposed leaders, answers that must not be believed.

use super::harness::*;
use crate::core::*;
use raft::eraftpb::MessageType;

fn is_heartbeat_ack_of_three(message: &Message) -> bool {
    message.0.msg_type == MessageType::MsgHeartbeatResponse as i32 && message.from() == 3
}

#[test]
fn a_round_needs_a_quorum() {
    let mut cluster = Cluster::led_by_one();
    let committed = cluster.member(1).core.committed_index();
    let round = cluster.member(1).read();
    assert_eq!(cluster.member(1).reads.get(&round), None);
    cluster.rest();
    assert_eq!(
        cluster.member(1).reads.get(&round),
        Some(&ReadOutcome::Ready { index: committed })
    );
}

#[test]
fn a_follower_asks_the_leader() {
    let mut cluster = Cluster::led_by_one();
    let position = cluster.member(1).propose("x");
    cluster.rest();
    let round = cluster.member(3).read();
    cluster.rest();
    assert_eq!(
        cluster.member(3).reads.get(&round),
        Some(&ReadOutcome::Ready {
            index: position.index
        })
    );
}

#[test]
fn a_request_dropped_in_silence_is_made_again() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    // Node 1 leads, but nothing of its term is committed: acknowledgements are held back.
    cluster.hold = |message| message.0.msg_type == MessageType::MsgAppendResponse as i32;
    cluster.elect(1);
    let round = cluster.member(1).read();
    cluster.rest();
    assert_eq!(cluster.member(1).reads.get(&round), None);
    cluster.hold = |_| false;
    for message in std::mem::take(&mut cluster.held) {
        cluster.hand_over(message);
    }
    cluster.rest();
    let outcome = cluster.member(1).reads.get(&round).copied();
    assert!(
        matches!(outcome, Some(ReadOutcome::Ready { .. })),
        "{outcome:?} without asking again"
    );
}

#[test]
fn without_a_leader_a_round_ends_in_bounded_time() {
    let mut member = Member::new(1, &[1, 2, 3]);
    let round = member.read();
    for _ in 0..40 {
        member.core.tick();
        member.take();
    }
    assert_eq!(member.reads.get(&round), Some(&ReadOutcome::NoLeader));
}

#[test]
fn a_cut_off_leader_answers_no_read() {
    let mut cluster = Cluster::led_by_one();
    cluster.isolate(1);
    let other = cluster.elect_other(1);
    cluster.member(other).propose("unseen by node 1");
    cluster.rest();
    assert_eq!(
        cluster.member(1).core.role(),
        Role::Leader,
        "it does not know yet"
    );
    let round = cluster.member(1).read();
    for _ in 0..40 {
        cluster.member(1).core.tick();
        cluster.rest();
    }
    assert!(!matches!(
        cluster.member(1).reads.get(&round),
        Some(ReadOutcome::Ready { .. })
    ));
}

#[test]
fn late_acknowledgements_confirm_nothing_new() {
    let mut cluster = Cluster::led_by_one();
    let old = cluster.member(1).core.committed_index();
    // The acknowledgement of node 3 for a first request is on its way for long.
    cluster.hold = is_heartbeat_ack_of_three;
    cluster.cut.insert((2, 1));
    let first = cluster.member(1).read();
    cluster.rest();
    assert_eq!(cluster.member(1).reads.get(&first), None);
    assert_eq!(cluster.held.len(), 1);
    // Node 1 is cut off; another leads and commits something node 1 does not know.
    cluster.isolate(1);
    let other = cluster.elect_other(1);
    cluster.member(other).propose("acknowledged elsewhere");
    cluster.rest();
    assert!(cluster.member(other).core.committed_index() > old);
    // A new reader at node 1, whose first round is asked again after some ticks.
    let second = cluster.member(1).read();
    for _ in 0..5 {
        cluster.member(1).core.tick();
        cluster.rest();
    }
    assert_eq!(
        cluster.member(1).core.role(),
        Role::Leader,
        "it still believes to lead"
    );
    for message in std::mem::take(&mut cluster.held) {
        let _ = cluster.member(1).core.step(message);
        cluster.member(1).take();
    }
    let outcome = cluster.member(1).reads.get(&second).copied();
    assert_eq!(outcome, None, "a stale read at {old} was confirmed");
}

#[test]
fn a_request_delivered_twice_is_served_once() {
    let mut cluster = Cluster::led_by_one();
    cluster.member(3).read();
    let request = cluster
        .member(3)
        .outgoing
        .pop()
        .expect("a follower forwards its request");
    assert_eq!(cluster.member(1).core.step(request.clone()), Ok(()));
    assert_eq!(
        cluster.member(1).core.step(request),
        Err(StepError::Entries)
    );
}

#[test]
fn a_member_of_several_does_not_read_locally() {
    let mut cluster = Cluster::led_by_one();
    assert!(!cluster.member(1).core.reads_locally());
    let mut alone = Member::new(1, &[1]);
    assert!(
        !alone.core.reads_locally(),
        "nothing of the term is applied"
    );
    alone.rest();
    assert!(alone.core.reads_locally());
    alone
        .core
        .propose_members(&[MemberChange::AddLearner(2)], &[])
        .expect("no change is pending");
    assert!(
        !alone.core.reads_locally(),
        "a change of membership is under way"
    );
}
