//! Commands and reads on a healthy node: order, grouping, bounds, stamps.

use super::fixture::*;
use crate::group::*;
use crate::{ProposeError, Role};
use bytes::Bytes;

#[tokio::test]
async fn commands_are_applied_in_the_order_of_submission() {
    let (_disk, node) = ready().await;
    let pending: Vec<_> = (0..500)
        .map(|i| node.handle.submit(Bytes::from(format!("c{i}"))).unwrap())
        .collect();
    for (i, reply) in pending.into_iter().enumerate() {
        assert_eq!(in_time(reply).await, Ok(i as u64 + 1));
    }
    assert_eq!(number_of(&node.state, "c41"), Some(42));
    node.stop().await;
}

#[tokio::test]
async fn the_age_of_the_log_is_told() {
    let (_disk, node) = ready().await;
    node.put("x").await.unwrap();
    node.until(|status| status.oldest_entry_ms.is_some()).await;
    let age = node.handle.oldest_entry_age().expect("it was just seen");
    assert!(age < Duration::from_secs(60), "{age:?}");
    node.stop().await;
}

#[tokio::test]
async fn a_lone_command_costs_one_sync() {
    let (_disk, node) = ready().await;
    for i in 0..10 {
        let before = node.syncs();
        node.put(&i.to_string()).await.unwrap();
        assert_eq!(node.syncs() - before, 1, "command {i}");
    }
    node.stop().await;
}

#[tokio::test]
async fn concurrent_commands_share_syncs() {
    let (_disk, node) = ready().await;
    let (syncs, last_index) = (node.syncs(), node.handle.status().last_index);
    let pending: Vec<_> = (0..5000)
        .map(|i| node.handle.submit(Bytes::from(format!("c{i}"))).unwrap())
        .collect();
    for reply in pending {
        in_time(reply).await.unwrap();
    }
    assert!(node.syncs() - syncs <= 2, "{} syncs", node.syncs() - syncs);
    assert!(node.handle.status().last_index - last_index <= 2);
    node.stop().await;
}

#[tokio::test]
async fn many_large_commands_are_split_into_entries() {
    let (_disk, node) = ready().await;
    let last_index = node.handle.status().last_index;
    let large = |i: usize| Bytes::from(vec![u8::try_from(i).unwrap(); 400 << 10]);
    let mut pending: Vec<_> = (0..10)
        .map(|i| node.handle.submit(large(i)).unwrap())
        .collect();
    pending.push(node.handle.submit(Bytes::from(vec![9; 2 << 20])).unwrap());
    for (i, reply) in pending.into_iter().enumerate() {
        assert_eq!(in_time(reply).await, Ok(i as u64 + 1));
    }
    // Two commands of 400 KiB fit an entry of 1 MiB; the one of 2 MiB travels alone.
    assert_eq!(node.handle.status().last_index - last_index, 6);
    node.stop().await;
}

#[tokio::test]
async fn more_than_the_bound_of_commands_is_refused_at_once() {
    let disk = storage::MemoryDisk::new();
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    let node = start_on(
        Config {
            proposals_count_max: 10,
            ..config()
        },
        directory,
        stores,
    )
    .unwrap();
    in_time(node.handle.read_barrier()).await.unwrap();
    let submit = |i: usize| node.handle.submit(Bytes::from(i.to_string()));
    let pending: Vec<_> = (0..10).map(|i| submit(i).unwrap()).collect();
    assert_eq!(submit(10).err(), Some(ProposeError::Overloaded));
    for reply in pending {
        in_time(reply).await.unwrap();
    }
    assert!(submit(11).is_ok(), "room again");
    node.stop().await;
}

#[tokio::test]
async fn commands_under_way_count_against_the_bound() {
    let config = Config {
        proposals_count_max: 10,
        ..config()
    };
    let (_disk, node) = ready_with(config).await;
    let (go_tx, go_rx) = crossbeam_channel::bounded::<()>(0);
    let wait = move |_: &[u8]| {
        // Ends when the test drops its end.
        let _ = go_rx.recv();
        Ok(())
    };
    *node.probe.on_apply.lock().unwrap() = Some(Box::new(wait));
    let submit = |i: usize| node.handle.submit(Bytes::from(i.to_string()));
    let mut pending: Vec<_> = (0..6).map(|i| submit(i).unwrap()).collect();
    // Out of the queue, into the log, not yet answered.
    node.until(|status| status.committed_index == 2).await;
    pending.extend((6..10).map(|i| submit(i).unwrap()));
    assert_eq!(submit(10).err(), Some(ProposeError::Overloaded));
    drop(go_tx);
    for reply in pending {
        in_time(reply).await.unwrap();
    }
    node.stop().await;
}

#[tokio::test]
async fn more_than_the_bound_of_bytes_is_refused_at_once() {
    let disk = storage::MemoryDisk::new();
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    let node = start_on(
        Config {
            proposals_bytes_max: 1000,
            ..config()
        },
        directory,
        stores,
    )
    .unwrap();
    in_time(node.handle.read_barrier()).await.unwrap();
    let submit = |bytes: usize| node.handle.submit(Bytes::from(vec![b'x'; bytes]));
    let first = submit(2000).expect("one command is always admitted");
    assert_eq!(submit(1).err(), Some(ProposeError::Overloaded));
    in_time(first).await.unwrap();
    let pending = [submit(600).unwrap(), submit(400).unwrap()];
    assert_eq!(submit(1).err(), Some(ProposeError::Overloaded));
    for reply in pending {
        in_time(reply).await.unwrap();
    }
    let too_large = submit((2 << 20) + 1).err();
    assert_eq!(
        too_large,
        Some(ProposeError::TooLarge {
            bytes: (2 << 20) + 1,
            bytes_max: 2 << 20
        })
    );
    node.stop().await;
}

#[tokio::test]
async fn an_abandoned_command_is_applied_all_the_same() {
    let (_disk, node) = ready().await;
    drop(
        node.handle
            .submit(Bytes::from_static(b"abandoned"))
            .unwrap(),
    );
    node.put("next").await.unwrap();
    assert_eq!(number_of(&node.state, "abandoned"), Some(1));
    node.until(|status| status.proposals_pending == 0).await;
    node.stop().await;
}

#[tokio::test]
async fn a_reply_means_readable() {
    let (_disk, node) = ready().await;
    for i in 0..50 {
        let number = node.put(&i.to_string()).await.unwrap();
        assert!(
            *node.probe.published.lock().unwrap() >= number,
            "replied before it was published"
        );
        in_time(node.handle.read_barrier()).await.unwrap();
        assert_eq!(number_of(&node.state, &i.to_string()), Some(number));
    }
    node.stop().await;
}

#[tokio::test]
async fn read_rounds_serve_all_who_wait() {
    let (_disk, node) = ready().await;
    // Take the shortcut of a sole voter away, so that rounds are made.
    let shared = Arc::clone(&node.group.rest.shared);
    for _ in 0..20 {
        shared.reads_locally.store(false, Ordering::Release);
        let readers: Vec<_> = (0..100).map(|_| node.handle.read_barrier()).collect();
        for reader in readers {
            shared.reads_locally.store(false, Ordering::Release);
            in_time(reader).await.unwrap();
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn stamps_never_decrease() {
    let (_disk, node) = ready().await;
    for i in 0..20 {
        node.put(&i.to_string()).await.unwrap();
    }
    let stamps: Vec<u64> = node
        .probe
        .contexts
        .lock()
        .unwrap()
        .iter()
        .map(|context| context.time_ms)
        .collect();
    assert!(
        stamps[0] > 1_600_000_000_000,
        "a wall clock in ms: {}",
        stamps[0]
    );
    assert!(stamps.is_sorted());
    node.stop().await;
}

#[tokio::test]
async fn housekeeping_runs_when_idle_and_is_published() {
    let (_disk, node) = ready().await;
    *node.probe.housekeeping.lock().unwrap() = 5;
    node.put("wakes the apply thread").await.unwrap();
    let done = async {
        while *node.probe.housekeeping.lock().unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    };
    in_time(done).await;
    node.stop().await;
}

#[tokio::test]
async fn status_shows_role_and_indexes() {
    let (_disk, node) = ready().await;
    assert_eq!(in_time(node.handle.leader_known()).await, 1);
    node.put("x").await.unwrap();
    node.until(|status| status.applied_index == 2 && status.proposals_pending == 0)
        .await;
    let status = node.handle.status();
    assert_eq!(
        (status.node_id, status.role, status.leader, status.term),
        (1, Role::Leader, Some(1), 1)
    );
    assert_eq!((status.first_index, status.last_index), (1, 2));
    assert_eq!((status.persisted_index, status.committed_index), (2, 2));
    assert_eq!(status.voters, [1]);
    assert_eq!(
        node.handle
            .counters()
            .proposals_applied
            .load(Ordering::Relaxed),
        1
    );
    assert_eq!(
        node.handle
            .counters()
            .proposals_committed
            .load(Ordering::Relaxed),
        1
    );
    assert_eq!(
        node.handle
            .counters()
            .leader_changes
            .load(Ordering::Relaxed),
        1
    );
    assert_eq!(
        node.handle.counters().sync_duration.read().count,
        node.syncs()
    );
    node.stop().await;
}

#[tokio::test]
async fn without_a_quorum_a_command_is_refused_and_a_read_fails_in_bounded_time() {
    let disk = storage::MemoryDisk::new();
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    let node = start_on(
        Config {
            founding_voters: vec![1, 2, 3],
            joining: false,
            new_instance: 1,
            ..config()
        },
        directory,
        stores,
    )
    .unwrap();
    assert_eq!(
        node.put("x").await,
        Err(ProposeError::NotLeader { leader: None })
    );
    assert_eq!(
        in_time(node.handle.read_barrier()).await,
        Err(crate::ReadError::NoLeader)
    );
    node.stop().await;
}
