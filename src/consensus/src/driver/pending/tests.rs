//! Who is told what when an entry commits, or another one in its place.

use super::*;
use crate::config::Config;
use crate::core::CoreConfig;
use crate::handle::{Handle, PendingReply, Shared};
use std::sync::Arc;
use std::time::Duration;
use storage::Applied;

type Reply = PendingReply<u64>;

fn core() -> Core {
    let voters = raft::eraftpb::ConfState {
        voters: vec![1],
        ..Default::default()
    };
    let config = CoreConfig {
        node_id: 1,
        incarnation: 1,
        seed: 1,
        election_ticks: 10,
        snapshot_ticks_max: 100,
        uncommitted_bytes_max: 64 << 20,
        applied: Applied::default(),
        conf_state: Some(crate::log::codec::encode_conf_state(&voters)),
    };
    Core::open(config, storage::memory_stores(&[]).log).unwrap()
}

/// Two commands proposed as one entry, and their replies.
fn proposed() -> (Pending<u64>, Position, Vec<Reply>) {
    let config = Config {
        node_id: 1,
        founding_voters: vec![1],
        joining: false,
        new_instance: 1,
        cluster_id: 1,
        heartbeat: Duration::from_millis(10),
        election: Duration::from_millis(100),
        seed: 1,
        proposals_count_max: 10,
        proposals_bytes_max: 1000,
        command_bytes_max: 1000,
        log_retention_entries: 10,
        log_retention_bytes: 1000,
        tuning: crate::Tuning::default(),
    };
    let mut core = core();
    let shared = Arc::new(Shared::new(
        &config,
        crate::driver::status(&core, 0, 0),
        vec![1],
    ));
    let (handle, mut inbox) = Handle::new(shared);
    let replies = (0..2)
        .map(|_| handle.submit(bytes::Bytes::from_static(b"c")).unwrap())
        .collect();
    let mut proposals = Vec::new();
    while let Ok(proposal) = inbox.proposals_rx.try_recv() {
        proposals.push(proposal);
    }
    let mut pending = Pending::default();
    pending.propose(&mut core, &mut proposals);
    (
        pending,
        Position {
            index: core.last_index(),
            term: core.term(),
        },
        replies,
    )
}

async fn errors(replies: Vec<Reply>) -> Vec<ProposeError> {
    let mut errors = Vec::new();
    for reply in replies {
        errors.push(reply.await.unwrap_err());
    }
    errors
}

#[tokio::test]
async fn our_entry_commits() {
    let (mut pending, position, replies) = proposed();
    let waiters = pending.committed(position, Some(1));
    assert_eq!(waiters.len(), 2);
    assert!(pending.is_empty());
    for waiter in waiters {
        waiter.answer(Ok(5));
    }
    for reply in replies {
        assert_eq!(reply.await, Ok(5));
    }
}

#[tokio::test]
async fn another_entry_took_the_place_of_ours() {
    let (mut pending, position, replies) = proposed();
    let other = Position {
        term: position.term + 1,
        ..position
    };
    assert!(pending.committed(other, Some(2)).is_empty());
    let superseded = ProposeError::Superseded { leader: Some(2) };
    assert_eq!(errors(replies).await, [superseded.clone(), superseded]);
}

/// Found by the simulator: leadership lost and won back, the log cut short in between.
#[tokio::test]
async fn an_entry_of_an_earlier_leadership_does_not_hide_one_of_this() {
    let (mut pending, position, lost) = proposed();
    let (ours, _, replies) = proposed();
    let later = Position {
        index: position.index + 3,
        term: position.term,
    };
    let now = Position {
        index: position.index + 1,
        term: position.term + 2,
    };
    pending.entries[0].position = later;
    pending
        .entries
        .extend(ours.entries.into_iter().map(|entry| Entry {
            position: now,
            ..entry
        }));
    let waiters = pending.committed(now, Some(1));
    assert_eq!(waiters.len(), 2);
    for waiter in waiters {
        waiter.answer(Ok(5));
    }
    for reply in replies {
        assert_eq!(reply.await, Ok(5));
    }
    let superseded = ProposeError::Superseded { leader: Some(1) };
    assert_eq!(errors(lost).await, [superseded.clone(), superseded]);
}

#[tokio::test]
async fn the_log_jumped_over_ours() {
    let (mut pending, position, replies) = proposed();
    let later = Position {
        index: position.index + 1,
        term: position.term + 1,
    };
    assert!(pending.committed(later, None).is_empty());
    let unknown = ProposeError::OutcomeUnknown { leader: None };
    assert_eq!(errors(replies).await, [unknown.clone(), unknown]);
}

#[tokio::test]
async fn a_snapshot_swallowed_ours() {
    let (mut pending, position, replies) = proposed();
    pending.swallowed(position.index - 1, None);
    assert!(!pending.is_empty(), "it may still commit");
    pending.swallowed(position.index, Some(2));
    let unknown = ProposeError::OutcomeUnknown { leader: Some(2) };
    assert_eq!(errors(replies).await, [unknown.clone(), unknown]);
}

#[tokio::test]
async fn without_leadership_the_wait_is_bounded() {
    let (mut pending, _, replies) = proposed();
    for _ in 0..5 {
        pending.tick(5, None);
    }
    assert!(!pending.is_empty(), "the next leader may still commit it");
    pending.tick(5, Some(3));
    let unknown = ProposeError::OutcomeUnknown { leader: Some(3) };
    assert_eq!(errors(replies).await, [unknown.clone(), unknown]);
}
