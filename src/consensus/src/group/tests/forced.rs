//! One member of three goes on alone, because it was told to.

use super::fixture::*;
use crate::core::conf_change;
use crate::group::*;
use crate::log::codec;
use crate::payload::Encoder;
use crate::{ForceError, MemberChange, force_new_cluster};
use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, HardState};
use raft_prost::Message as _;
use storage::{Crash, LogWrite, MemoryDisk};

/// Entries that the survivor has and has not applied, two of them changes that would add members.
const ENTRIES: u64 = 6;

fn of_three() -> Config {
    Config {
        founding_voters: vec![1, 2, 3],
        ..config()
    }
}

/// The disk of a member of three that was the follower of somebody: entries of term 4, none applied.
async fn survivor() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    // Founds the directory; alone it finds no majority.
    start_on(of_three(), directory, stores)
        .unwrap()
        .stop()
        .await;
    let (_directory, stores) = disk.open(FAMILIES).unwrap();
    let records = (1..=ENTRIES).map(|index| {
        let mut entry = Entry {
            index,
            term: 4,
            ..Entry::default()
        };
        entry.data = match index {
            2 => conf_change(&[MemberChange::AddLearner(4)], &[]).encode_to_vec(),
            4 => conf_change(&[MemberChange::AddVoter(4), MemberChange::Remove(1)], &[])
                .encode_to_vec(),
            _ => {
                let mut payload = Encoder::new(0, 100);
                payload.push(index.to_string().as_bytes());
                payload.finish()
            }
        };
        if index % 2 == 0 && index < 6 {
            entry.set_entry_type(EntryType::EntryConfChangeV2);
        }
        codec::encode_entry(&entry)
    });
    let hard_state = HardState {
        term: 4,
        vote: 2,
        commit: 3,
    };
    let write = LogWrite {
        records: records.collect(),
        values: vec![(codec::HARD_STATE, codec::encode_hard_state(&hard_state))],
    };
    stores.log.write(&write, true).unwrap();
    disk
}

fn force(disk: &MemoryDisk) {
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    force_new_cluster(1, &directory, &stores).unwrap();
}

/// Starts the survivor and checks that it serves, alone, with every command it had.
async fn serves_alone(disk: &MemoryDisk) -> Node {
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    let node = start_on(of_three(), directory, stores).unwrap();
    in_time(node.handle.read_barrier()).await.unwrap();
    let status = node.handle.status();
    assert_eq!(status.voters, [1]);
    assert!(
        status.learners.is_empty() && status.outgoing.is_empty(),
        "{status:?}"
    );
    for command in ["1", "3", "5", "6"] {
        assert!(
            number_of(&node.state, command).is_some(),
            "command {command}"
        );
    }
    node
}

#[tokio::test]
async fn a_survivor_goes_on_alone_and_stays_alone() {
    let disk = survivor().await;
    force(&disk);
    let node = serves_alone(&disk).await;
    let seen = node.probe.memberships.lock().unwrap().clone();
    assert_eq!(seen.len(), 1, "the machine is told once: {seen:?}");
    assert_eq!(seen[0].voters, [1]);
    node.put("new").await.unwrap();
    node.stop().await;
    let node = serves_alone(&disk).await;
    assert!(number_of(&node.state, "new").is_some());
    node.stop().await;
}

#[tokio::test]
async fn crashes_on_the_way_lose_nothing() {
    let disk = survivor().await;
    force(&disk);
    disk.crash(Crash::LoseUnsynced);
    for round in 0..3 {
        let node = serves_alone(&disk).await;
        node.put(&format!("round {round}")).await.unwrap();
        node.kill().await;
        disk.crash(Crash::LoseUnsynced);
    }
    // Told again, it is alone again.
    force(&disk);
    let node = serves_alone(&disk).await;
    assert!(number_of(&node.state, "round 2").is_some());
    node.stop().await;
}

#[tokio::test]
async fn members_are_added_again_afterwards() {
    let disk = survivor().await;
    force(&disk);
    let node = serves_alone(&disk).await;
    let added = node
        .handle
        .change_members(vec![MemberChange::AddLearner(7)], Bytes::new());
    in_time(added).await.unwrap();
    node.stop().await;
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    let node = start_on(of_three(), directory, stores).unwrap();
    in_time(node.handle.read_barrier()).await.unwrap();
    assert_eq!(
        node.handle.status().learners,
        [7],
        "the forced membership is past"
    );
    node.stop().await;
}

#[tokio::test]
async fn nothing_is_forced_where_nothing_can_be_saved() {
    let disk = MemoryDisk::new();
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    let refused = force_new_cluster(1, &directory, &stores);
    assert!(matches!(refused, Err(ForceError::Empty)), "{refused:?}");
    start_on(of_three(), directory, stores)
        .unwrap()
        .stop()
        .await;
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    let refused = force_new_cluster(1, &directory, &stores);
    assert!(matches!(refused, Err(ForceError::Empty)), "{refused:?}");
    drop((directory, stores));
    let disk = survivor().await;
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    let refused = force_new_cluster(2, &directory, &stores);
    assert!(
        matches!(refused, Err(ForceError::WrongNode { .. })),
        "{refused:?}"
    );
    assert_eq!(stores.log.last_index(), ENTRIES, "nothing was written");
}
