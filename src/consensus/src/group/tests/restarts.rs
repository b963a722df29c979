//! Stopping and starting again: what is kept, what is checked, what is refused.

use super::fixture::*;
use crate::ProposeError;
use crate::group::*;
use bytes::Bytes;
use storage::{Crash, Identity, MemoryDisk, OpenOptions, Watermark};

#[tokio::test]
async fn a_clean_stop_leaves_nothing_to_replay() {
    let (disk, node) = ready().await;
    for i in 0..10 {
        node.put(&i.to_string()).await.unwrap();
    }
    node.stop().await;
    disk.crash(Crash::LoseUnsynced);
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    assert_eq!(stores.state.applied().index, 11);
    let identity = directory.identity().unwrap();
    assert_eq!(
        identity.watermark,
        Watermark {
            index: 11,
            term: 1,
            vote: 1
        }
    );
    assert_eq!(identity.incarnation, 1);
    let node = start_on(config(), directory, stores).unwrap();
    in_time(node.handle.read_barrier()).await.unwrap();
    assert!(
        node.probe.contexts.lock().unwrap().is_empty(),
        "nothing is applied twice"
    );
    assert_eq!(node.put("next").await, Ok(11));
    node.stop().await;
}

#[tokio::test]
async fn a_crash_replays_what_the_state_lost() {
    let (disk, node) = ready().await;
    for i in 0..10 {
        node.put(&i.to_string()).await.unwrap();
    }
    let applied = node.state.applied();
    node.kill().await;
    disk.crash(Crash::LoseUnsynced);
    let node = start(&disk);
    in_time(node.handle.read_barrier()).await.unwrap();
    assert_eq!(node.probe.contexts.lock().unwrap().len(), 10);
    assert_eq!(count(&node.state), 10);
    let status = node.handle.status();
    assert_eq!(status.term, 2);
    assert_eq!(node.state.applied().index, applied.index + 1);
    node.stop().await;
}

#[tokio::test]
async fn stop_answers_what_is_in_flight() {
    let (_disk, node) = ready().await;
    let pending: Vec<_> = (0..100)
        .map(|i| node.handle.submit(Bytes::from(i.to_string())).unwrap())
        .collect();
    let handle = node.handle.clone();
    node.stop().await;
    for (i, reply) in pending.into_iter().enumerate() {
        assert_eq!(in_time(reply).await, Ok(i as u64 + 1));
    }
    let refused = handle.submit(Bytes::new()).err();
    assert_eq!(
        refused,
        Some(ProposeError::Stopping {
            outcome_unknown: false
        })
    );
}

#[tokio::test]
async fn stop_without_time_says_what_happened_to_each() {
    let (disk, node) = ready().await;
    let pending: Vec<_> = (0..100)
        .map(|i| node.handle.submit(Bytes::from(i.to_string())).unwrap())
        .collect();
    node.stop_within(Duration::ZERO).await;
    let mut replies = Vec::new();
    for reply in pending {
        replies.push(in_time(reply).await);
    }
    let (_directory, stores) = disk.open(FAMILIES).unwrap();
    for (i, reply) in replies.iter().enumerate() {
        let stored = number_of(&stores.state, &i.to_string());
        match reply {
            Ok(number) => assert_eq!(stored, Some(*number)),
            Err(ProposeError::Stopping {
                outcome_unknown: false,
            }) => assert_eq!(stored, None),
            Err(error) => assert_eq!(
                *error,
                ProposeError::Stopping {
                    outcome_unknown: true
                }
            ),
        }
    }
}

/// The identity of a directory after one run, and a way to start on it with another.
async fn disk_after_a_run() -> MemoryDisk {
    let (disk, node) = ready().await;
    node.put("x").await.unwrap();
    node.stop().await;
    disk
}

fn start_error(
    disk: &MemoryDisk,
    config: Config,
    change: impl FnOnce(&mut Identity),
) -> StartError {
    let (mut directory, stores) = disk.open(FAMILIES).unwrap();
    let mut identity = directory.identity().unwrap().clone();
    change(&mut identity);
    directory.save_identity(&identity).unwrap();
    match start_on(config, directory, stores) {
        Ok(_) => panic!("started"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_directory_of_another_node_or_cluster_is_refused() {
    let disk = disk_after_a_run().await;
    let error = start_error(
        &disk,
        Config {
            cluster_id: 78,
            ..config()
        },
        |_| {},
    );
    assert!(
        matches!(
            error,
            StartError::WrongCluster {
                expected: 78,
                found: 77
            }
        ),
        "{error}"
    );
    let error = start_error(
        &disk,
        Config {
            node_id: 2,
            ..config()
        },
        |_| {},
    );
    assert!(
        matches!(
            error,
            StartError::WrongNode {
                expected: 2,
                found: 1
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_log_behind_the_watermark_is_refused() {
    let disk = disk_after_a_run().await;
    let error = start_error(&disk, config(), |identity| identity.watermark.index = 3);
    assert!(
        matches!(
            error,
            StartError::LogBehindWatermark {
                expected: 3,
                found: 2
            }
        ),
        "{error}"
    );
    let error = start_error(&disk, config(), |identity| {
        identity.watermark = Watermark {
            index: 2,
            term: 2,
            vote: 1,
        }
    });
    assert!(
        matches!(
            error,
            StartError::TermBehindWatermark {
                expected: 2,
                found: 1
            }
        ),
        "{error}"
    );
    let error = start_error(&disk, config(), |identity| {
        identity.watermark = Watermark {
            index: 2,
            term: 1,
            vote: 3,
        }
    });
    assert!(
        matches!(
            error,
            StartError::VoteChanged {
                term: 1,
                expected: 3,
                found: 1
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_new_node_must_be_a_founder() {
    let (directory, stores) = MemoryDisk::new().open(FAMILIES).unwrap();
    let result = start_on(
        Config {
            founding_voters: vec![2, 3],
            joining: false,
            new_instance: 1,
            ..config()
        },
        directory,
        stores,
    );
    assert!(matches!(
        result,
        Err(StartError::NotAFounder { node_id: 1, .. })
    ));
}

#[tokio::test]
async fn a_log_without_an_identity_is_refused() {
    let with_log = disk_after_a_run().await;
    let (_, stores) = with_log.open(FAMILIES).unwrap();
    let (new_directory, _) = MemoryDisk::new().open(FAMILIES).unwrap();
    assert!(matches!(
        start_on(config(), new_directory, stores),
        Err(StartError::IdentityMissing)
    ));
}

#[tokio::test]
async fn impossible_values_are_refused() {
    let wrong = [
        Config {
            node_id: 0,
            ..config()
        },
        Config {
            heartbeat: Duration::ZERO,
            ..config()
        },
        Config {
            election: Duration::from_millis(10),
            ..config()
        },
        Config {
            proposals_count_max: 0,
            ..config()
        },
        Config {
            command_bytes_max: usize::MAX,
            ..config()
        },
    ];
    for config in wrong {
        let (directory, stores) = MemoryDisk::new().open(FAMILIES).unwrap();
        assert!(matches!(
            start_on(config, directory, stores),
            Err(StartError::Config(_))
        ));
    }
}

#[tokio::test]
async fn every_start_counts() {
    let disk = MemoryDisk::new();
    for incarnation in 1..=4 {
        let node = start(&disk);
        in_time(node.handle.read_barrier()).await.unwrap();
        node.kill().await;
        disk.crash(Crash::LoseUnsynced);
        let (directory, _) = disk.open(FAMILIES).unwrap();
        assert_eq!(directory.identity().unwrap().incarnation, incarnation);
    }
}

#[tokio::test]
async fn stamps_do_not_decrease_over_a_restart() {
    let (disk, node) = ready().await;
    node.put("x").await.unwrap();
    node.kill().await;
    // The wall clock goes back: to the next leader the newest stamp in the log is in the future.
    disk.crash(Crash::KeepAll);
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    let record = stores.log.read(2..3, 0).unwrap().remove(0);
    let mut entry = crate::log::codec::decode_entry(&record).unwrap();
    let future = u64::MAX / 2;
    entry.data[1..9].copy_from_slice(&future.to_le_bytes());
    let records = vec![crate::log::codec::encode_entry(&entry)];
    stores
        .log
        .write(
            &storage::LogWrite {
                records,
                values: Vec::new(),
            },
            true,
        )
        .unwrap();
    let node = start_on(config(), directory, stores).unwrap();
    in_time(node.handle.read_barrier()).await.unwrap();
    node.put("y").await.unwrap();
    assert_eq!(
        node.probe.contexts.lock().unwrap().last().unwrap().time_ms,
        future
    );
    node.stop().await;
}

#[tokio::test]
async fn the_log_is_truncated_behind_the_flushed_state() {
    let disk = MemoryDisk::new();
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    let node = start_on(
        Config {
            log_retention_entries: 20,
            ..config()
        },
        directory,
        stores,
    )
    .unwrap();
    for i in 0..50 {
        node.put(&i.to_string()).await.unwrap();
    }
    // Enough commands that a flush is due, in few entries.
    for _ in 0..11 {
        let pending: Vec<_> = (0..10_000)
            .map(|_| node.handle.submit(Bytes::from_static(b"x")).unwrap())
            .collect();
        for reply in pending {
            in_time(reply).await.unwrap();
        }
    }
    node.until(|status| status.flushed_index > 0 && status.first_index > 1)
        .await;
    let status = node.handle.status();
    assert!(status.first_index <= status.flushed_index + 1, "{status:?}");
    assert!(
        status.last_index - status.first_index + 1 >= 20,
        "{status:?}"
    );
    let log = node.log.clone();
    let truncated = async {
        while log.first_index() < status.first_index {
            tokio::task::yield_now().await;
        }
    };
    in_time(truncated).await;
    let commands = count(&node.state);
    node.kill().await;
    disk.crash(Crash::LoseUnsynced);
    let node = start(&disk);
    in_time(node.handle.read_barrier()).await.unwrap();
    assert_eq!(count(&node.state), commands);
    node.stop().await;
}

#[tokio::test]
async fn the_watermark_follows_the_log() {
    let (_disk, node) = ready().await;
    node.put("x").await.unwrap();
    let identity = Arc::clone(&node.group.rest.identity);
    let saved = async {
        while identity.lock().unwrap().watermark().index < 2 {
            tokio::task::yield_now().await;
        }
    };
    in_time(saved).await;
    node.kill().await;
}

const OPTIONS: OpenOptions = OpenOptions {
    state_families: FAMILIES,
    block_cache_bytes: 8 << 20,
    write_buffer_bytes: 8 << 20,
};

#[tokio::test]
async fn rocksdb_keeps_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for run in 0..4 {
        let (data, stores) = DataDir::open(directory.path(), &OPTIONS).unwrap();
        let node = start_on(config(), data, stores).unwrap();
        in_time(node.handle.read_barrier()).await.unwrap();
        assert_eq!(count(&node.state), acknowledged, "run {run}");
        let pending: Vec<_> = (0..200)
            .map(|i| {
                node.handle
                    .submit(Bytes::from(format!("{run}-{i}")))
                    .unwrap()
            })
            .collect();
        for reply in pending {
            acknowledged = in_time(reply).await.unwrap();
        }
        let probe = Arc::downgrade(&node.probe);
        if run % 2 == 0 {
            node.kill().await
        } else {
            node.stop().await
        }
        assert!(
            probe.upgrade().is_none(),
            "the machine is gone with its thread"
        );
    }
    assert_eq!(acknowledged, 800);
}
