//! Messages no honest member sends are errors, never panics.

use super::harness::*;
use crate::core::*;
use proptest::prelude::*;
use raft::eraftpb::{Entry, Message as RaftMessage, MessageType};

fn message(kind: MessageType, change: impl FnOnce(&mut RaftMessage)) -> Message {
    let mut message = RaftMessage {
        msg_type: kind as i32,
        from: 2,
        to: 1,
        term: 100,
        ..RaftMessage::default()
    };
    change(&mut message);
    Message(message)
}

fn entry(index: u64, term: u64) -> Entry {
    Entry {
        index,
        term,
        ..Entry::default()
    }
}

#[test]
fn each_forgery_is_refused() {
    use MessageType as Kind;
    let forgeries = [
        message(Kind::MsgHup, |_| {}),
        message(Kind::MsgBeat, |_| {}),
        message(Kind::MsgCheckQuorum, |_| {}),
        message(Kind::MsgUnreachable, |_| {}),
        message(Kind::MsgSnapStatus, |_| {}),
        message(Kind::MsgPropose, |m| m.entries = vec![entry(1, 1)]),
        message(Kind::MsgPropose, |_| {}),
        message(Kind::MsgSnapshot, |_| {}),
        message(Kind::MsgTransferLeader, |_| {}),
        message(Kind::MsgTimeoutNow, |_| {}),
        message(Kind::MsgAppend, |m| m.to = 3),
        message(Kind::MsgAppend, |m| m.from = 0),
        message(Kind::MsgAppend, |m| m.from = 1),
        message(Kind::MsgAppend, |m| m.term = 0),
        message(Kind::MsgAppend, |m| m.term = u64::MAX),
        message(Kind::MsgAppend, |m| m.index = u64::MAX),
        message(Kind::MsgAppend, |m| m.commit = u64::MAX),
        message(Kind::MsgAppend, |m| m.entries = vec![entry(5, 1)]),
        message(Kind::MsgAppend, |m| {
            m.entries = vec![entry(1, 2), entry(2, 1)]
        }),
        message(Kind::MsgAppend, |m| m.entries = vec![entry(1, 101)]),
        message(Kind::MsgAppend, |m| {
            m.entries = vec![Entry {
                entry_type: 9,
                ..entry(1, 1)
            }]
        }),
        message(Kind::MsgAppend, |m| {
            m.entries = vec![Entry {
                entry_type: 2,
                data: vec![255],
                ..entry(1, 1)
            }]
        }),
        message(Kind::MsgHeartbeat, |m| m.commit = 50),
        message(Kind::MsgAppendResponse, |m| (m.term, m.index) = (1, 50)),
        message(Kind::MsgAppendResponse, |m| {
            (m.term, m.reject, m.reject_hint) = (1, true, 50)
        }),
        message(Kind::MsgAppendResponse, |m| m.request_snapshot = 1),
        message(Kind::MsgReadIndex, |m| m.term = 0),
        message(Kind::MsgReadIndexResp, |_| {}),
        Message(RaftMessage {
            msg_type: 77,
            from: 2,
            to: 1,
            term: 1,
            ..RaftMessage::default()
        }),
    ];
    let mut cluster = Cluster::led_by_one();
    for forgery in forgeries {
        let text = format!("{forgery:?}");
        let leader = cluster.member(1);
        let before = (
            leader.core.term(),
            leader.core.last_index(),
            leader.core.committed_index(),
        );
        assert!(leader.core.step(forgery).is_err(), "accepted {text}");
        let after = (
            leader.core.term(),
            leader.core.last_index(),
            leader.core.committed_index(),
        );
        assert_eq!(before, after, "{text} changed the core");
    }
}

#[test]
fn a_deposed_sole_voter_campaigns_only_with_a_durable_log() {
    let mut member = Member::new(1, &[1]);
    member.rest();
    let index = member.core.last_index();
    let intruder = message(MessageType::MsgAppend, |m| {
        (m.index, m.log_term) = (index, 1);
        m.entries = vec![entry(index + 1, 100)];
    });
    assert_eq!(member.core.step(intruder), Ok(()));
    member.take();
    assert_eq!(member.core.role(), Role::Follower);
    let timeout_now = message(MessageType::MsgTimeoutNow, |_| {});
    assert_eq!(member.core.step(timeout_now), Err(StepError::Sender(2)));
    for _ in 0..5 * ELECTION_TICKS {
        member.core.tick();
    }
    assert_eq!(
        member.core.role(),
        Role::Follower,
        "the entry is not durable"
    );
    member.take();
    member.persist();
    member.core.tick();
    assert_eq!(member.core.role(), Role::Leader);
}

#[test]
fn a_response_of_a_stranger_is_refused() {
    let mut cluster = Cluster::led_by_one();
    let stranger = message(MessageType::MsgAppendResponse, |m| {
        (m.from, m.term) = (9, 2)
    });
    assert_eq!(
        cluster.member(1).core.step(stranger),
        Err(StepError::Sender(9))
    );
}

#[test]
fn a_term_has_one_leader() {
    let mut cluster = Cluster::led_by_one();
    let leader = &cluster.member(1).core;
    let (term, last_index, committed) =
        (leader.term(), leader.last_index(), leader.committed_index());
    let from_three = |kind, change: &dyn Fn(&mut RaftMessage)| {
        message(kind, |m| {
            (m.from, m.to, m.term) = (3, 2, term);
            change(m);
        })
    };
    let append = from_three(MessageType::MsgAppend, &|m| {
        (m.index, m.log_term) = (last_index, term);
        m.entries = vec![entry(last_index + 1, term)];
        m.commit = last_index + 1;
    });
    let heartbeat = from_three(MessageType::MsgHeartbeat, &|m| m.commit = committed);
    for forgery in [append, heartbeat] {
        let follower = &mut cluster.member(2).core;
        assert_eq!(follower.step(forgery), Err(StepError::Sender(3)));
        assert_eq!(follower.leader(), Some(1));
        assert_eq!(follower.last_index(), last_index);
    }
}

prop_compose! {
    fn any_entry()(entry_type in 0..4_i32, term in 0..4_u64, index in 0..8_u64, data in prop::collection::vec(any::<u8>(), 0..30)) -> Entry {
        Entry { entry_type, term, index, data, ..Entry::default() }
    }
}

prop_compose! {
    fn any_message()(
        kind in 0..20_i32, from in 0..5_u64, term in prop_oneof![0..5_u64, Just(u64::MAX)],
        log_term in 0..4_u64, index in prop_oneof![0..8_u64, any::<u64>()],
        entries in prop::collection::vec(any_entry(), 0..3), commit in prop_oneof![0..8_u64, any::<u64>()],
        commit_term in 0..4_u64, reject: bool, reject_hint in prop_oneof![0..8_u64, any::<u64>()],
        context in prop::collection::vec(any::<u8>(), 0..26),
    ) -> Message {
        Message(RaftMessage {
            msg_type: kind, to: 1, from, term, log_term, index, entries, commit, commit_term, reject, reject_hint, context,
            ..RaftMessage::default()
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn random_messages_do_not_panic(messages in prop::collection::vec(any_message(), 1..40), leads: bool) {
        let mut cluster = Cluster::led_by_one();
        if !leads {
            cluster.isolate(1);
            cluster.member(1).restart();
        }
        let member = cluster.member(1);
        for message in messages {
            let _ = member.core.step(message);
            member.take();
            member.persist();
            member.core.tick();
        }
    }
}
