//! Snapshots to members that lack what the log no longer holds, and everything that may go wrong on the way.

use super::harness::*;
use crate::core::*;
use raft::eraftpb::{ConfState, MessageType};
use storage::Applied;

/// A cluster of three in which node 3 lacks entries that node 1, the leader, has truncated.
fn behind() -> Cluster {
    let mut cluster = Cluster::led_by_one();
    cluster.isolate(3);
    write_and_truncate(&mut cluster, 30);
    cluster.cut.clear();
    cluster
}

/// The leader and node 2 write entries, and the leader keeps the last of its log alone.
fn write_and_truncate(cluster: &mut Cluster, entries: u32) {
    for number in 0..entries {
        cluster.member(1).propose(&number.to_string());
        cluster.rest();
    }
    let leader = cluster.member(1);
    let (first, flushed) = (leader.core.last_index(), leader.applied.index);
    let boundary = leader
        .core
        .compact(first, flushed)
        .expect("the log can be read");
    leader
        .log
        .truncate_prefix(first, &boundary)
        .expect("a memory log");
}

fn applied(cluster: &Cluster, id: u64) -> Applied {
    cluster.members[&id].applied
}

fn tick_all(cluster: &mut Cluster, ticks: usize) {
    for _ in 0..ticks {
        cluster.tick_all();
        cluster.rest();
    }
}

/// Ticks without delivering snapshots; returns the one that was sent.
fn sent_snapshot(cluster: &mut Cluster) -> (Message, storage::Snapshot) {
    for _ in 0..10 {
        cluster.member(1).core.tick();
        for _ in 0..20 {
            for member in cluster.members.values_mut() {
                member.rest();
            }
            if let Some(shipment) = cluster.member(1).shipments.pop() {
                return shipment;
            }
            if !cluster.deliver() {
                break;
            }
        }
    }
    panic!("no snapshot was sent");
}

#[test]
fn a_member_that_lacks_truncated_entries_gets_a_snapshot_and_goes_on() {
    let mut cluster = behind();
    tick_all(&mut cluster, 3);
    let leader = applied(&cluster, 1);
    let follower = cluster.member(3);
    assert_eq!(follower.applied, leader);
    assert_eq!(follower.core.first_index(), leader.index + 1);
    assert_eq!(follower.core.applied_index(), leader.index);
    cluster.member(1).propose("next");
    cluster.rest();
    assert_eq!(applied(&cluster, 3), applied(&cluster, 1));
    cluster.assert_same_history();
    cluster.member(3).restart();
    cluster.member(1).propose("after a restart");
    tick_all(&mut cluster, 2);
    assert_eq!(applied(&cluster, 3), applied(&cluster, 1));
    assert_eq!(
        cluster.member(1).core.shipped_index(),
        None,
        "nothing is held for it"
    );
}

#[test]
fn a_member_that_joins_gets_the_membership_with_the_snapshot() {
    let mut cluster = Cluster::led_by_one();
    let add = [MemberChange::AddLearner(4)];
    let leader = cluster.member(1);
    leader
        .core
        .propose_members(&add, b"who")
        .expect("no change is pending");
    cluster.rest();
    write_and_truncate(&mut cluster, 5);
    cluster.members.insert(4, Member::new(4, &[1, 2, 3]));
    tick_all(&mut cluster, 3);
    let joined = cluster.member(4);
    assert_eq!(joined.core.learners(), [4]);
    joined.restart();
    assert_eq!(joined.core.learners(), [4]);
    assert_eq!(applied(&cluster, 4).index, applied(&cluster, 1).index);
}

#[test]
fn a_snapshot_that_nobody_reports_is_sent_again() {
    let mut cluster = behind();
    drop(sent_snapshot(&mut cluster));
    tick_all(&mut cluster, SNAPSHOT_TICKS_MAX as usize / 2);
    assert!(applied(&cluster, 3).index < 10, "it is still waited for");
    tick_all(
        &mut cluster,
        SNAPSHOT_TICKS_MAX as usize / 2 + 2 * ELECTION_TICKS,
    );
    assert_eq!(applied(&cluster, 3), applied(&cluster, 1));
}

#[test]
fn a_snapshot_that_failed_is_sent_again_after_a_rest() {
    let mut cluster = behind();
    drop(sent_snapshot(&mut cluster));
    let leader = cluster.member(1);
    leader.core.snapshot_sent(3, false);
    leader.take();
    tick_all(&mut cluster, ELECTION_TICKS / 2);
    assert!(
        applied(&cluster, 3).index < 10,
        "each attempt costs a checkpoint"
    );
    tick_all(&mut cluster, ELECTION_TICKS);
    assert_eq!(applied(&cluster, 3), applied(&cluster, 1));
}

#[test]
fn a_snapshot_that_cannot_be_taken_is_asked_for_again() {
    let mut cluster = behind();
    cluster.member(1).no_snapshots = true;
    tick_all(&mut cluster, 3 * ELECTION_TICKS);
    let wanted = cluster.member(1).snapshots_wanted;
    assert!(
        (2..=3).contains(&wanted),
        "{wanted} times in three election timeouts"
    );
    cluster.member(1).no_snapshots = false;
    tick_all(&mut cluster, 2 * ELECTION_TICKS);
    assert_eq!(applied(&cluster, 3), applied(&cluster, 1));
}

#[test]
fn what_is_durable_after_a_snapshot_does_not_overtake_it() {
    let mut cluster = behind();
    let (message, snapshot) = sent_snapshot(&mut cluster);
    let index = snapshot.applied().index;
    assert_eq!(
        cluster.member(3).step_snapshot(&message, &snapshot),
        Ok(true)
    );
    cluster.member(1).core.snapshot_sent(3, true);
    let follower = cluster.member(3);
    let install = follower.unwritten.pop_front().expect("the install");
    assert!(install.snapshot.is_some());
    assert!(follower.core.is_installing());
    // An entry behind the snapshot arrives and is durable before that is installed.
    cluster.member(1).propose("behind it");
    let follower = cluster.member(3);
    let position = message.snapshot().expect("it is one");
    let append = raft::eraftpb::Message {
        msg_type: MessageType::MsgAppend as i32,
        from: 1,
        to: 3,
        term: follower.core.term(),
        index,
        log_term: position.term,
        commit: index,
        entries: vec![raft::eraftpb::Entry {
            index: index + 1,
            term: position.term,
            data: payload("behind it"),
            ..Default::default()
        }],
        ..Default::default()
    };
    follower.core.step(Message(append)).expect("it fits");
    follower.take();
    let number = follower.unwritten[0].number.take();
    let number = number.expect("it is reported, here and not again");
    follower.core.persisted(number);
    follower.take();
    let follower = cluster.member(3);
    let appended = MessageType::MsgAppendResponse as i32;
    let acknowledged = follower
        .outgoing
        .iter()
        .any(|sent| sent.0.msg_type == appended && sent.0.index >= index);
    assert!(!acknowledged, "it acknowledged what a crash would lose");
    assert!(follower.core.persisted_index() < index);
    assert!(follower.unapplied.is_empty());
    follower.unwritten.push_front(install);
    follower.rest();
    tick_all(&mut cluster, 2);
    assert_eq!(applied(&cluster, 3), applied(&cluster, 1));
}

#[test]
fn a_member_that_installs_takes_no_second_snapshot_and_does_not_campaign() {
    let mut cluster = behind();
    let (message, snapshot) = sent_snapshot(&mut cluster);
    let follower = cluster.member(3);
    assert_eq!(follower.step_snapshot(&message, &snapshot), Ok(true));
    let staged = snapshot.applied();
    let again = follower
        .core
        .step_snapshot(message, staged, snapshot.conf_state());
    assert_eq!(again, Err(StepError::Busy));
    for _ in 0..5 * ELECTION_TICKS {
        follower.core.tick();
        follower.take();
    }
    assert_eq!(follower.core.role(), Role::Follower);
    let call = raft::eraftpb::Message {
        msg_type: MessageType::MsgTimeoutNow as i32,
        from: 1,
        to: 3,
        term: follower.core.term(),
        ..Default::default()
    };
    assert_eq!(follower.core.step(Message(call)), Err(StepError::Busy));
    follower.rest();
    assert_eq!(follower.applied, staged);
}

#[test]
fn a_snapshot_the_member_does_not_need_is_not_installed() {
    let mut cluster = behind();
    let (message, snapshot) = sent_snapshot(&mut cluster);
    let before = applied(&cluster, 2);
    let message = Message(raft::eraftpb::Message { to: 2, ..message.0 });
    assert_eq!(
        cluster.member(2).step_snapshot(&message, &snapshot),
        Ok(false)
    );
    cluster.member(2).rest();
    assert_eq!(applied(&cluster, 2), before);
    assert_eq!(cluster.member(2).core.first_index(), 1);
}

#[test]
fn stamps_do_not_go_back_behind_a_snapshot() {
    let mut cluster = behind();
    let stamped = {
        let mut encoder = crate::payload::Encoder::new(7_000, 1);
        encoder.push(b"x");
        encoder.finish()
    };
    cluster.isolate(3);
    cluster.member(1).core.propose(stamped).expect("it leads");
    write_and_truncate(&mut cluster, 3);
    cluster.cut.clear();
    tick_all(&mut cluster, 3);
    let follower = cluster.member(3);
    assert_eq!(follower.core.time_ms(), 7_000);
    follower.restart();
    assert_eq!(
        follower.core.time_ms(),
        7_000,
        "its log is empty, and it may be elected"
    );
}

#[test]
fn the_log_behind_a_snapshot_is_held_until_its_receiver_replicates() {
    let mut cluster = behind();
    assert_eq!(cluster.member(1).core.shipped_index(), None);
    let (message, snapshot) = sent_snapshot(&mut cluster);
    let index = snapshot.applied().index;
    assert_eq!(cluster.member(1).core.shipped_index(), Some(index));
    assert_eq!(
        cluster.member(3).step_snapshot(&message, &snapshot),
        Ok(true)
    );
    cluster.member(1).core.snapshot_sent(3, true);
    assert_eq!(
        cluster.member(1).core.shipped_index(),
        Some(index),
        "delivered, not caught up"
    );
    tick_all(&mut cluster, 3);
    assert_eq!(cluster.member(1).core.shipped_index(), None);
}

#[test]
fn a_snapshot_nobody_needs_any_more_is_given_back() {
    let mut cluster = behind();
    cluster.member(1).core.tick();
    // The snapshot is taken, and the member is gone before the message for it is made.
    cluster.isolate(3);
    for _ in 0..=2 * ELECTION_TICKS {
        cluster.member(1).core.tick();
        cluster.member(1).take();
        cluster.rest();
    }
    assert!(!cluster.member(1).core.has_offer(3));
    let leader = cluster.member(1);
    let applied = leader.applied;
    assert!(
        !leader.core.snapshot_taken(3, applied, None),
        "nobody asked"
    );
}

#[test]
fn a_membership_that_contradicts_itself_is_refused() {
    let mut cluster = behind();
    let (message, snapshot) = sent_snapshot(&mut cluster);
    let forgeries: [fn(&mut ConfState); 6] = [
        |state| state.voters.push(0),
        |state| state.voters.push(1),
        |state| state.voters.clear(),
        |state| state.learners.push(1),
        |state| state.learners_next.push(8),
        |state| (state.voters_outgoing, state.learners) = (vec![8], vec![8]),
    ];
    for (number, forge) in forgeries.into_iter().enumerate() {
        let mut forged = message.0.clone();
        let members = forged.mut_snapshot().mut_metadata().mut_conf_state();
        forge(members);
        // Its state says the same.
        let said = crate::log::codec::encode_conf_state(members);
        let follower = cluster.member(3);
        let stepped = follower
            .core
            .step_snapshot(Message(forged), snapshot.applied(), Some(&said));
        assert!(
            matches!(stepped, Err(StepError::Snapshot(_))),
            "forgery {number}: {stepped:?}"
        );
    }
}

#[test]
fn each_forged_snapshot_is_refused() {
    let mut cluster = behind();
    let (message, snapshot) = sent_snapshot(&mut cluster);
    let staged = snapshot.applied();
    type Forge = fn(&mut raft::eraftpb::Message);
    fn metadata(message: &mut raft::eraftpb::Message) -> &mut raft::eraftpb::SnapshotMetadata {
        message.mut_snapshot().mut_metadata()
    }
    fn members(message: &mut raft::eraftpb::Message, change: fn(&mut ConfState)) {
        change(metadata(message).mut_conf_state());
    }
    let forgeries: [Forge; 16] = [
        |message| message.to = 2,
        |message| message.from = 0,
        |message| message.from = 9,
        |message| message.term = 0,
        |message| message.term = u64::MAX,
        |message| message.snapshot = None,
        |message| message.entries.push(Default::default()),
        |message| message.request_snapshot = 1,
        |message| metadata(message).index += 1,
        |message| metadata(message).index = u64::MAX,
        |message| metadata(message).term += 1,
        |message| metadata(message).conf_state = None,
        |message| members(message, |state| state.voters.push(9)),
        |message| members(message, |state| state.voters.clear()),
        |message| members(message, |state| state.learners.push(1)),
        |message| members(message, |state| state.learners_next.push(8)),
    ];
    for (number, forge) in forgeries.into_iter().enumerate() {
        let mut forged = message.0.clone();
        forge(&mut forged);
        let follower = cluster.member(3);
        let before = (follower.core.term(), follower.core.committed_index());
        let refused = follower
            .core
            .step_snapshot(Message(forged), staged, snapshot.conf_state());
        assert!(refused.is_err(), "forgery {number}: {refused:?}");
        assert_eq!(
            (follower.core.term(), follower.core.committed_index()),
            before
        );
    }
    let elsewhere = Applied {
        index: staged.index - 1,
        ..staged
    };
    let follower = cluster.member(3);
    let refused = follower
        .core
        .step_snapshot(message.clone(), elsewhere, snapshot.conf_state());
    assert!(refused.is_err(), "its bytes are of another state");
    assert!(
        follower.core.step(message.clone()).is_err(),
        "without its bytes"
    );
    assert_eq!(follower.step_snapshot(&message, &snapshot), Ok(true));
}
