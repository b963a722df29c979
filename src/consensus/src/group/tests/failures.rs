//! What kills a group, and what its clients are told then.

use super::fixture::*;
use crate::ProposeError;
use crate::group::*;
use crate::machine::MachineError;
use bytes::Bytes;
use storage::{Fault, LogWrite};

const IN_FLIGHT: ProposeError = ProposeError::Stopping {
    outcome_unknown: true,
};
const REFUSED: ProposeError = ProposeError::Stopping {
    outcome_unknown: false,
};

async fn assert_dead(mut node: Node, expected: fn(&FatalError) -> bool) {
    let error = in_time(node.group.failed()).await;
    assert!(expected(&error), "died of {error:?}");
    assert_eq!(node.put("after").await, Err(REFUSED));
    assert_eq!(
        in_time(node.handle.read_barrier()).await,
        Err(crate::ReadError::Stopping)
    );
    assert!(in_time(node.group.shutdown(Duration::ZERO)).await.is_err());
}

/// A process that exits while a thread still uses the engine is aborted by the engine's exit handlers.
#[test]
fn no_thread_outlives_the_runtime_of_a_group_that_was_not_stopped() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let probe = runtime.block_on(async {
        let (_, node) = ready().await;
        node.put("a").await.unwrap();
        node.probe
    });
    drop(runtime);
    assert_eq!(
        Arc::strong_count(&probe),
        1,
        "the apply thread holds another"
    );
}

#[tokio::test]
async fn a_failed_sync_is_fatal_and_acknowledges_nothing() {
    // The next operation is the synced write of the log, the one after it the commit of the state.
    let outcomes: [fn(&FatalError) -> bool; 2] = [
        |error| matches!(error, FatalError::WriteLog(_)),
        |error| matches!(error, FatalError::CommitState { .. }),
    ];
    for (operation, expected) in (1..).zip(outcomes) {
        let (disk, node) = ready_with(still()).await;
        node.put("before").await.unwrap();
        disk.fail_at(disk.operations() + operation, Fault::Io);
        let submit = |i: usize| node.handle.submit(Bytes::from(i.to_string())).unwrap();
        let pending: Vec<_> = (0..5).map(submit).collect();
        for reply in pending {
            assert_eq!(
                in_time(reply).await,
                Err(IN_FLIGHT),
                "operation {operation}"
            );
        }
        assert_dead(node, expected).await;
    }
}

#[tokio::test]
async fn a_full_disk_is_fatal() {
    let (disk, node) = ready_with(still()).await;
    disk.fail_at(disk.operations() + 1, Fault::NoSpace);
    assert_eq!(node.put("x").await, Err(IN_FLIGHT));
    assert_dead(node, |error| matches!(error, FatalError::WriteLog(_))).await;
}

#[tokio::test]
async fn an_error_of_the_machine_is_fatal() {
    let (_disk, node) = ready().await;
    *node.probe.on_apply.lock().unwrap() = Some(Box::new(|_| {
        Err(MachineError::Command("from the future".into()))
    }));
    assert_eq!(node.put("x").await, Err(IN_FLIGHT));
    assert_dead(node, |error| {
        matches!(error, FatalError::Apply { index: 2, .. })
    })
    .await;
}

#[tokio::test]
async fn a_panic_of_the_machine_is_fatal_and_says_what() {
    let (_disk, node) = ready().await;
    *node.probe.on_apply.lock().unwrap() = Some(Box::new(|_| panic!("planted")));
    assert_eq!(node.put("x").await, Err(IN_FLIGHT));
    let says = |error: &FatalError| matches!(error, FatalError::Panicked { part: "apply", message } if message == "planted");
    assert_dead(node, says).await;
}

#[tokio::test]
async fn a_driver_that_died_serves_no_reads() {
    let (_disk, mut node) = ready().await;
    let task = node.group.driver.0.take().unwrap();
    task.abort();
    assert!(in_time(task).await.is_err());
    assert_eq!(
        in_time(node.handle.read_barrier()).await,
        Err(crate::ReadError::Stopping)
    );
    assert_eq!(node.put("x").await, Err(REFUSED));
}

#[tokio::test]
async fn an_entry_of_an_unknown_version_stops_the_node() {
    let (disk, node) = ready().await;
    node.put("x").await.unwrap();
    node.kill().await;
    disk.crash(storage::Crash::KeepAll);
    let (directory, stores) = disk.open(FAMILIES).unwrap();
    let last = stores.log.last_index();
    let record = stores.log.read(last..last + 1, 0).unwrap().remove(0);
    let mut entry = crate::log::codec::decode_entry(&record).unwrap();
    (entry.index, entry.data) = (last + 1, b"\x09from the future".to_vec());
    let records = vec![crate::log::codec::encode_entry(&entry)];
    stores
        .log
        .write(
            &LogWrite {
                records,
                values: Vec::new(),
            },
            true,
        )
        .unwrap();
    let mut node = start_on(config(), directory, stores).unwrap();
    let error = in_time(node.group.failed()).await;
    assert!(matches!(error, FatalError::Payload { .. }), "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("version 9"), "{source}");
}

#[tokio::test]
async fn a_failed_watermark_is_fatal() {
    let died_of_watermark = async |operation: u64| {
        let disk = storage::MemoryDisk::new();
        disk.fail_at(operation, Fault::Io);
        let (directory, stores) = disk.open(FAMILIES).ok()?;
        let mut node = start_on(still(), directory, stores).ok()?;
        if node.put("x").await.is_ok() {
            return None;
        }
        let error = in_time(node.group.failed()).await;
        Some(matches!(error, FatalError::SaveWatermark(_)))
    };
    let mut deaths = 0;
    for operation in 1..=12 {
        deaths += usize::from(died_of_watermark(operation).await == Some(true));
    }
    assert_eq!(
        deaths, 1,
        "the vote of the first start is guarded by one save of the watermark"
    );
}
