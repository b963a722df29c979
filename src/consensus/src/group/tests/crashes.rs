//! A crash at every storage operation: nothing acknowledged is lost, and what is there is exactly what
//! the log says.

use super::fixture::*;
use crate::apply::chain_hash;
use crate::core::Position;
use crate::group::*;
use crate::log::codec;
use crate::payload::Decoder;
use std::collections::BTreeMap;
use storage::{Crash, Fault, LogStore, MemoryDisk};

const COMMANDS_PER_RUN: u64 = 6;
const RUNS: u64 = 2;

/// Runs the workload until the power fails; returns what was acknowledged, and whether it got to its end.
async fn workload(disk: &MemoryDisk, acknowledged: &mut BTreeMap<String, u64>) -> bool {
    for run in 0..RUNS {
        let Ok((directory, stores)) = disk.open(FAMILIES) else {
            return false;
        };
        let Ok(node) = start_on(config(), directory, stores) else {
            return false;
        };
        for i in 0..COMMANDS_PER_RUN {
            let command = format!("{run}-{i}");
            match node.put(&command).await {
                Ok(number) => acknowledged.insert(command, number),
                Err(_) => {
                    node.kill().await;
                    return false;
                }
            };
        }
        if in_time(node.group.shutdown(Duration::from_secs(10)))
            .await
            .is_err()
        {
            return false;
        }
    }
    true
}

/// Replays the log from its start, apart from the group: commands in order, and the hash chain.
fn replay(log: &LogStore, until: u64) -> (Vec<String>, u64) {
    let mut commands = Vec::new();
    let mut chain = 0;
    for record in log.read(1..until + 1, usize::MAX).unwrap() {
        let entry = codec::decode_entry(&record).unwrap();
        chain = chain_hash(
            chain,
            Position {
                index: entry.index,
                term: entry.term,
            },
            &entry.data,
        );
        if !entry.data.is_empty() {
            let decoder = Decoder::new(entry.data.into()).unwrap();
            commands.extend(
                decoder.map(|command| String::from_utf8(command.unwrap().to_vec()).unwrap()),
            );
        }
    }
    (commands, chain)
}

async fn check(disk: &MemoryDisk, acknowledged: &BTreeMap<String, u64>, text: &str) {
    let node = start(disk);
    in_time(node.handle.read_barrier())
        .await
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    for (command, number) in acknowledged {
        assert_eq!(
            number_of(&node.state, command),
            Some(*number),
            "{text}: {command} was acknowledged"
        );
    }
    let applied = node.state.applied();
    let (commands, chain) = replay(&node.log, applied.index);
    assert_eq!(
        applied.chain_hash, chain,
        "{text}: the state is of another log"
    );
    assert_eq!(
        count(&node.state),
        commands.len() as u64,
        "{text}: each command once"
    );
    for (i, command) in commands.iter().enumerate() {
        assert_eq!(
            number_of(&node.state, command),
            Some(i as u64 + 1),
            "{text}: {command}"
        );
    }
    // It serves on.
    assert_eq!(
        node.put("after").await,
        Ok(commands.len() as u64 + 1),
        "{text}"
    );
    node.kill().await;
}

#[tokio::test]
async fn no_crash_loses_what_was_acknowledged() {
    let mut crashes = 0;
    for operation in 1..500 {
        let mut finished = false;
        for crash in [
            Crash::LoseUnsynced,
            Crash::KeepAll,
            Crash::Seeded(operation),
        ] {
            let text = format!("{crash:?} at operation {operation}");
            let disk = MemoryDisk::new();
            disk.fail_at(operation, Fault::PowerLoss);
            let mut acknowledged = BTreeMap::new();
            finished = workload(&disk, &mut acknowledged).await;
            disk.heal();
            disk.crash(crash);
            check(&disk, &acknowledged, &text).await;
            crashes += 1;
        }
        if finished {
            assert!(
                crashes > 60,
                "the workload has more operations than {crashes}"
            );
            return;
        }
    }
    panic!("the workload never got to its end");
}

#[tokio::test]
async fn two_replays_of_one_log_are_equal() {
    let disk = MemoryDisk::new();
    assert!(workload(&disk, &mut BTreeMap::new()).await);
    let (_, original) = disk.open(FAMILIES).unwrap();
    let records = original
        .log
        .read(1..original.log.last_index() + 1, usize::MAX)
        .unwrap();
    let hard_state = original.log.value(codec::HARD_STATE).unwrap().unwrap();
    let founders = original.log.value(codec::FOUNDERS).unwrap().unwrap();
    let mut chains = Vec::new();
    for _ in 0..2 {
        let copy = MemoryDisk::new();
        let (mut directory, stores) = copy.open(FAMILIES).unwrap();
        let values = vec![
            (codec::HARD_STATE, hard_state.clone()),
            (codec::FOUNDERS, founders.clone()),
        ];
        stores
            .log
            .write(
                &storage::LogWrite {
                    records: records.clone(),
                    values,
                },
                true,
            )
            .unwrap();
        let identity = storage::Identity {
            cluster_id: 77,
            node_id: 1,
            ..storage::Identity::default()
        };
        directory.save_identity(&identity).unwrap();
        let node = start_on(config(), directory, stores).unwrap();
        in_time(node.handle.read_barrier()).await.unwrap();
        chains.push((node.state.applied(), count(&node.state)));
        node.kill().await;
    }
    assert_eq!(chains[0], chains[1]);
    let (_, chain) = replay(&original.log, original.state.applied().index);
    assert_eq!(original.state.applied().chain_hash, chain);
}
