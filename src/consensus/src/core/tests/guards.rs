//! Guards around single messages that raft-rs would take at their word.

use super::harness::*;
use crate::core::*;
use raft::eraftpb::{Entry, Message as RaftMessage, MessageType};

fn message(kind: MessageType, from: u64, to: u64, term: u64) -> RaftMessage {
    RaftMessage {
        msg_type: kind as i32,
        from,
        to,
        term,
        ..RaftMessage::default()
    }
}

#[test]
fn a_rejection_overtaken_by_its_acknowledgement_is_ignored() {
    let mut cluster = Cluster::led_by_one();
    for number in 0..10 {
        cluster.member(1).propose(&number.to_string());
        cluster.rest();
    }
    let matched = cluster.member(1).core.last_index();
    let term = cluster.member(1).core.term();
    let stale = [(matched, 0), (matched, 3), (matched, matched - 2)];
    for (index, reject_hint) in stale {
        let leader = cluster.member(1);
        leader.core.unreachable(3);
        let rejection = RaftMessage {
            index,
            reject: true,
            reject_hint,
            log_term: u64::from(reject_hint > 0),
            ..message(MessageType::MsgAppendResponse, 3, 1, term)
        };
        leader
            .core
            .step(Message(rejection))
            .expect("such messages exist");
        leader.take();
        let append = MessageType::MsgAppend as i32;
        let mut sent = leader
            .outgoing
            .drain(..)
            .filter(|sent| sent.0.msg_type == append);
        assert!(
            sent.all(|sent| sent.to() != 3 || sent.0.index >= matched),
            "it is sent again what it holds, after a rejection at {index} with the hint {reject_hint}"
        );
    }
}

#[test]
fn only_the_leader_of_the_term_may_call_an_election() {
    let mut cluster = Cluster::led_by_one();
    let term = cluster.member(1).core.term();
    let call = |from, term| Message(message(MessageType::MsgTimeoutNow, from, 3, term));
    for (from, term) in [(2, term), (1, term + 1), (1, term - 1)] {
        let member = cluster.member(3);
        assert!(
            member.core.step(call(from, term)).is_err(),
            "from {from} in term {term}"
        );
        assert_eq!(member.core.role(), Role::Follower);
    }
    cluster
        .member(3)
        .core
        .step(call(1, term))
        .expect("from the leader");
    cluster.rest();
    assert_eq!(cluster.member(3).core.role(), Role::Leader);
}

#[test]
fn a_stranger_cannot_ask_for_reads() {
    let mut cluster = Cluster::led_by_one();
    let mut context = Vec::new();
    for word in [9_u64, 1, 1] {
        context.extend_from_slice(&word.to_be_bytes());
    }
    let request = RaftMessage {
        entries: vec![Entry {
            data: context,
            ..Entry::default()
        }],
        ..message(MessageType::MsgReadIndex, 9, 1, 0)
    };
    let refused = cluster.member(1).core.step(Message(request));
    assert_eq!(refused, Err(StepError::Sender(9)));
}

#[test]
fn entries_that_are_not_taken_do_not_move_the_clock() {
    let mut cluster = Cluster::led_by_one();
    cluster.isolate(1);
    let leader = cluster.elect_other(1);
    let follower = 5 - leader;
    let (term, last_index) = {
        let core = &cluster.member(leader).core;
        (core.term(), core.last_index())
    };
    let append = |from, term, index| {
        let mut encoder = crate::payload::Encoder::new(u64::MAX, 0);
        encoder.push(b"x");
        let entry = Entry {
            index: index + 1,
            term,
            data: encoder.finish(),
            ..Entry::default()
        };
        Message(RaftMessage {
            index,
            log_term: term,
            entries: vec![entry],
            ..message(MessageType::MsgAppend, from, follower, term)
        })
    };
    let before = cluster.member(follower).core.time_ms();
    // One of a leader of the past, one behind a hole in the log.
    for message in [
        append(1, term - 1, last_index),
        append(leader, term, last_index + 10),
    ] {
        let member = cluster.member(follower);
        member.core.step(message).expect("such messages exist");
        member.take();
        assert_eq!(member.core.time_ms(), before);
        assert_eq!(member.core.last_index(), last_index);
    }
    let member = cluster.member(follower);
    let taken = append(leader, term, last_index);
    member.core.step(taken).expect("it follows the log");
    assert_eq!(member.core.time_ms(), u64::MAX);
}

#[test]
fn leadership_moves_to_the_voter_that_is_asked() {
    let mut cluster = Cluster::led_by_one();
    assert!(!cluster.member(1).core.transfer(9), "no member");
    assert!(!cluster.member(1).core.transfer(1), "itself");
    assert!(!cluster.member(2).core.transfer(3), "a follower");
    cluster.member(1).propose("before");
    assert!(cluster.member(1).core.transfer(3));
    let refused = cluster.member(1).core.propose(payload("during"));
    assert_eq!(refused, Err(ProposalRefused::NotLeader { leader: None }));
    cluster.rest();
    assert_eq!(cluster.member(3).core.role(), Role::Leader);
    cluster.assert_same_history();
}
