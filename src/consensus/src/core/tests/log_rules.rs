//! Durability and order: what may leave when, what is read while it is on its way to the disk, what
//! a restart accepts.

use super::harness::*;
use crate::core::*;
use crate::log::codec;
use raft::eraftpb::{Entry, HardState, MessageType};
use storage::{Applied, LogWrite};

fn appends_to(member: &Member, to: u64) -> Vec<usize> {
    let kind = MessageType::MsgAppend as i32;
    member
        .outgoing
        .iter()
        .filter(|m| m.0.msg_type == kind && m.to() == to)
        .map(|m| m.0.entries.len())
        .collect()
}

#[test]
fn proposals_of_one_turn_travel_in_one_message() {
    let mut cluster = Cluster::led_by_one();
    let leader = cluster.member(1);
    for i in 0..100 {
        leader.propose(&i.to_string());
    }
    leader.take();
    assert_eq!(appends_to(leader, 2), [100]);
    assert_eq!(leader.unwritten.len(), 1);
    assert_eq!(leader.unwritten[0].records.len(), 100);
}

/// Node 3 misses `count` entries of `bytes` and comes back; sizes of the append messages it is sent.
fn catch_up(count: usize, bytes: usize) -> Vec<usize> {
    let mut cluster = Cluster::led_by_one();
    cluster.isolate(3);
    let text = "x".repeat(bytes);
    for i in 0..count {
        cluster.member(1).propose(&text);
        if i % 10 == 0 {
            cluster.rest();
        }
    }
    cluster.rest();
    cluster.cut.clear();
    cluster.trace.clear();
    cluster.member(1).core.tick();
    cluster.rest();
    assert_eq!(cluster.member(3).core.applied_index(), 1 + count as u64);
    let messages = cluster
        .trace
        .iter()
        .map(|bytes| Message::decode(bytes).expect("it was delivered"));
    let appends = messages.filter(|m| m.to() == 3 && !m.0.entries.is_empty());
    appends.map(|message| message.encode().len()).collect()
}

#[test]
fn a_late_follower_catches_up_in_few_messages() {
    let sizes = catch_up(1000, 10);
    assert!(sizes.len() <= 2, "{} messages", sizes.len());
}

#[test]
fn no_message_to_a_late_follower_is_larger_than_a_link_takes() {
    let sizes = catch_up(100, 10 << 10);
    let limit = (128 << 10) + 1000;
    assert!(sizes.iter().all(|size| *size <= limit), "{sizes:?}");
    assert!(sizes.len() <= 12, "{} messages", sizes.len());
}

#[test]
fn an_acknowledgement_waits_for_the_write() {
    let mut cluster = Cluster::led_by_one();
    cluster.member(1).propose("x");
    cluster.member(1).take();
    cluster.deliver();
    let follower = cluster.member(2);
    assert_eq!(follower.unwritten.len(), 1);
    assert!(
        follower.outgoing.is_empty(),
        "acknowledged what a crash would lose"
    );
    follower.persist();
    assert_eq!(follower.outgoing.len(), 1);
}

#[test]
fn the_leader_sends_what_is_not_yet_durable_here() {
    let mut cluster = Cluster::led_by_one();
    let before = cluster.member(1).core.committed_index();
    // Two turns whose writes the leader's disk has not finished; followers are faster.
    for text in ["a", "b"] {
        cluster.member(1).propose(text);
        cluster.member(1).take();
        for _ in 0..4 {
            cluster.deliver();
            cluster.member(2).persist();
            cluster.member(3).persist();
        }
    }
    assert_eq!(cluster.member(1).unwritten.len(), 2);
    assert_eq!(
        cluster.member(1).core.committed_index(),
        before + 2,
        "a quorum without the leader is one"
    );
    assert!(
        cluster.member(1).unapplied.is_empty(),
        "not applied before it is durable here"
    );
    cluster.rest();
    assert_eq!(cluster.member(1).core.applied_index(), before + 2);
}

/// Found by the simulator: the only voter left led, sent entries to a learner, crashed before its vote was
/// durable, and voted for another leader of the same term.
#[test]
fn the_only_voter_sends_nothing_before_its_own_vote_is_durable() {
    let mut cluster = Cluster::new(&[1]);
    cluster.elect(1);
    let learner = [MemberChange::AddLearner(2)];
    let leader = &mut cluster.member(1).core;
    leader
        .propose_members(&learner, &[])
        .expect("none is pending");
    cluster.rest();
    let alone = cluster.member(1);
    let term = alone.core.term();
    alone.restart();
    for _ in 0..4 * ELECTION_TICKS {
        alone.take();
        if alone.core.role() == Role::Leader {
            break;
        }
        alone.core.tick();
    }
    assert_eq!(alone.core.role(), Role::Leader);
    assert!(alone.core.term() > term);
    alone.propose("x");
    alone.core.tick();
    alone.take();
    assert!(!alone.unwritten.is_empty(), "the vote is not written yet");
    assert!(alone.outgoing.is_empty(), "sent {:?}", alone.outgoing);
    alone.persist();
    assert!(
        !appends_to(alone, 2).is_empty(),
        "sent what waited for the vote"
    );
}

#[test]
fn entries_are_readable_before_raft_is_told() {
    let mut member = Member::new(1, &[1]);
    member.rest();
    let position = member.propose("x");
    member.take();
    assert!(
        member.core.raw.raft.raft_log.unstable_entries().is_empty(),
        "raft-rs was told"
    );
    let term = raft::Storage::term(member.core.raw.store(), position.index)
        .expect("the entry is readable");
    assert_eq!(term, position.term);
}

#[test]
#[should_panic(expected = "is not outstanding")]
fn durability_reported_out_of_order_is_refused() {
    let mut cluster = Cluster::led_by_one();
    let leader = cluster.member(1);
    let mut numbers = Vec::new();
    for text in ["a", "b"] {
        leader.propose(text);
        leader.take();
        numbers.extend(leader.unwritten.back().and_then(|persist| persist.number));
    }
    leader.core.persisted(numbers[1]);
    leader.core.persisted(numbers[0]);
}

#[test]
#[should_panic(expected = "is not outstanding")]
fn durability_of_an_unknown_write_is_refused() {
    let mut member = Member::new(1, &[1]);
    member.core.persisted(1000);
}

#[test]
fn a_commit_index_alone_needs_no_write_of_its_own() {
    let mut member = Member::new(1, &[1]);
    member.rest();
    member.propose("x");
    member.take();
    member.persist();
    assert!(
        member.unwritten.is_empty(),
        "the commit index waits for company"
    );
    member.core.tick();
    member.take();
    assert_eq!(member.unwritten.len(), 1);
    assert!(!member.unwritten[0].must_sync);
    assert_eq!(member.unwritten[0].number, None);
}

/// A log of entries 1..=last of term 1 whose persisted commit index is `commit`.
fn written_log(last: u64, commit: u64) -> LogStore {
    let log = new_log();
    let entry = |index| Entry {
        index,
        term: 1,
        data: payload("x"),
        ..Entry::default()
    };
    let records = (1..=last)
        .map(|index| codec::encode_entry(&entry(index)))
        .collect();
    let hard_state = codec::encode_hard_state(&HardState {
        term: 1,
        vote: 1,
        commit,
    });
    let values = vec![
        (codec::HARD_STATE, hard_state),
        (codec::FOUNDERS, conf_state(&[1])),
    ];
    log.write(&LogWrite { records, values }, true)
        .expect("the memory log writes");
    log
}

fn open_at(log: &LogStore, index: u64, term: u64) -> Result<Core, OpenError> {
    let applied = Applied {
        index,
        term,
        chain_hash: 0,
    };
    Core::open(
        CoreConfig {
            applied,
            ..core_config(1)
        },
        log.clone(),
    )
}

#[test]
fn the_state_may_be_ahead_of_the_persisted_commit() {
    let log = written_log(5, 1);
    let mut core = open_at(&log, 3, 1).expect("applied is within the log");
    assert_eq!(core.committed_index(), 3);
    let number = core.take_effects().persist[0]
        .number
        .expect("the first entry of a term is synced");
    core.persisted(number);
    let indexes: Vec<u64> = core
        .take_effects()
        .apply
        .iter()
        .map(|c| c.position.index)
        .collect();
    assert_eq!(indexes, [4, 5, 6], "exactly what was not applied");
}

#[test]
fn replay_starts_from_the_applied_index_not_from_commit() {
    let log = written_log(5, 5);
    let mut core = open_at(&log, 2, 1).expect("applied is within the log");
    let indexes: Vec<u64> = core
        .take_effects()
        .apply
        .iter()
        .map(|c| c.position.index)
        .collect();
    assert_eq!(indexes, [3, 4, 5]);
}

#[test]
fn a_state_that_does_not_fit_the_log_is_refused() {
    let log = written_log(5, 1);
    assert!(matches!(
        open_at(&log, 6, 1),
        Err(OpenError::AppliedBeyondLog {
            applied: 6,
            last: 5
        })
    ));
    assert!(matches!(
        open_at(&log, 3, 9),
        Err(OpenError::StateOfAnotherLog { .. })
    ));
    assert!(matches!(
        open_at(&written_log(5, 6), 3, 1),
        Err(OpenError::CommitBeyondLog { commit: 6, last: 5 })
    ));
    log.truncate_prefix(4, &codec::encode_boundary(1))
        .expect("the memory log truncates");
    assert!(matches!(
        open_at(&log, 2, 1),
        Err(OpenError::LogStartsLate {
            applied: 2,
            first: 4
        })
    ));
    assert!(open_at(&log, 3, 1).is_ok());
}

#[test]
fn a_log_without_membership_is_refused() {
    let result = Core::open(core_config(1), new_log());
    assert!(matches!(result, Err(OpenError::NoMembership)));
}

#[test]
fn a_follower_refuses_proposals() {
    let mut cluster = Cluster::led_by_one();
    let refused = cluster.member(2).core.propose(payload("x"));
    assert_eq!(refused, Err(ProposalRefused::NotLeader { leader: Some(1) }));
    cluster.member(2).take();
    assert!(
        cluster.member(2).outgoing.is_empty(),
        "nothing is forwarded behind the caller's back"
    );
}

#[test]
fn uncommitted_bytes_are_bounded() {
    let log = new_log();
    let config = CoreConfig {
        uncommitted_bytes_max: 1,
        conf_state: Some(conf_state(&[1])),
        ..core_config(1)
    };
    let mut core = Core::open(config, log).expect("an empty log opens");
    let mut refused = 0;
    for _ in 0..40 {
        refused += usize::from(core.propose(vec![1; 100 << 10]) == Err(ProposalRefused::Full));
    }
    assert!(
        (25..40).contains(&refused),
        "{refused} of 40 refused at a bound of one message"
    );
}

#[test]
#[should_panic(expected = "beyond the flushed state")]
fn truncation_beyond_the_flushed_state_is_refused() {
    let mut core = open_at(&written_log(9, 5), 5, 1).expect("applied is within the log");
    let _ = core.compact(5, 3);
}

#[test]
fn truncation_keeps_the_boundary() {
    let log = written_log(9, 5);
    let mut core = open_at(&log, 5, 1).expect("applied is within the log");
    let boundary = core.compact(4, 5).expect("the log is readable");
    log.truncate_prefix(4, &boundary)
        .expect("the memory log truncates");
    assert_eq!(core.first_index(), 4);
    assert_eq!(raft::Storage::term(core.raw.store(), 3), Ok(1));
    let reopened = open_at(&log, 5, 1).expect("the truncated log opens");
    assert_eq!(reopened.first_index(), 4);
}

#[test]
fn replay_hands_out_a_bounded_amount() {
    let log = new_log();
    let data = vec![crate::payload::VERSION; 1 << 20];
    let entry = |index| Entry {
        index,
        term: 1,
        data: data.clone(),
        ..Entry::default()
    };
    let records = (1..=64)
        .map(|index| codec::encode_entry(&entry(index)))
        .collect();
    let hard_state = codec::encode_hard_state(&HardState {
        term: 1,
        vote: 1,
        commit: 64,
    });
    let values = vec![
        (codec::HARD_STATE, hard_state),
        (codec::FOUNDERS, conf_state(&[1])),
    ];
    log.write(&LogWrite { records, values }, true)
        .expect("the memory log writes");
    let mut core = open_at(&log, 0, 0).expect("the log opens");
    let mut applied = 0;
    for _ in 0..100 {
        let apply = core.take_effects().apply;
        let bytes: usize = apply.iter().map(|c| c.payload.len()).sum();
        assert!(bytes <= 21 << 20, "{bytes} bytes handed out at once");
        core.tick();
        assert!(
            core.take_effects().apply.is_empty() || bytes < 17 << 20,
            "more is handed out while much waits"
        );
        let Some(last) = apply.last() else { break };
        applied = last.position.index;
        core.applied(applied);
    }
    assert_eq!(applied, 64);
}

#[test]
fn a_follower_slow_to_apply_takes_no_more_entries() {
    let mut member = Member::new(2, &[1, 2, 3]);
    let append = |index: u64| {
        let data = vec![crate::payload::VERSION; 1 << 20];
        let entry = Entry {
            index,
            term: 1,
            data,
            ..Entry::default()
        };
        let log_term = u64::from(index > 1);
        let kind = MessageType::MsgAppend as i32;
        let (from, to, term) = (1, 2, 1);
        Message(raft::eraftpb::Message {
            msg_type: kind,
            from,
            to,
            term,
            index: index - 1,
            log_term,
            commit: index,
            entries: vec![entry],
            ..Default::default()
        })
    };
    let mut index = 1;
    while member.core.step(append(index)).is_ok() {
        member.take();
        member.persist();
        index += 1;
        assert!(index < 30, "took {index} MiB and applied nothing");
    }
    assert_eq!(member.core.step(append(index)), Err(StepError::Busy));
    member.apply();
    assert_eq!(member.core.step(append(index)), Ok(()));
}

#[test]
fn stamps_are_known_after_a_restart() {
    let log = new_log();
    let mut encoder = crate::payload::Encoder::new(123_456, 0);
    encoder.push(b"x");
    let stamped = Entry {
        index: 1,
        term: 1,
        data: encoder.finish(),
        ..Entry::default()
    };
    let empty = Entry {
        index: 2,
        term: 1,
        ..Entry::default()
    };
    let hard_state = codec::encode_hard_state(&HardState {
        term: 1,
        vote: 1,
        commit: 2,
    });
    let values = vec![
        (codec::HARD_STATE, hard_state),
        (codec::FOUNDERS, conf_state(&[1])),
    ];
    let records = [stamped, empty].iter().map(codec::encode_entry).collect();
    log.write(&LogWrite { records, values }, true)
        .expect("the memory log writes");
    assert_eq!(
        open_at(&log, 0, 0).expect("the log opens").time_ms(),
        123_456
    );
}
