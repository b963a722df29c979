//! A crash, an error or a full disk at every storage operation of receiving and installing a snapshot: the node
//! opens with the whole old state and its log, or with the whole new one.

use storage::{
    Applied, Crash, Error, Family, Fault, LogWrite, MemoryDisk, Read, Record, Result, Stores,
};

const KEYS: Family = Family("keys");
const FAMILIES: &[Family] = &[KEYS];
const OLD_INDEX: u64 = 3;
const NEW_INDEX: u64 = 50;

fn apply(stores: &mut Stores, index: u64, value: &[u8]) -> Result<()> {
    let mut batch = stores.writer.begin();
    batch.put(KEYS, b"key", value);
    batch.commit(Applied {
        index,
        term: 1,
        chain_hash: index,
    })
}

fn snapshot() -> Vec<Vec<u8>> {
    let disk = MemoryDisk::new();
    let (_directory, mut stores) = disk.open(FAMILIES).expect("a new disk");
    apply(&mut stores, NEW_INDEX, b"new").expect("no fault is planted");
    let snapshot = stores.state.snapshot().expect("there is a state");
    let chunks = snapshot.chunks();
    chunks
        .map(|chunk| chunk.expect("it can be read").to_vec())
        .collect()
}

/// A node with three applied and flushed entries in log and state.
fn old_node(disk: &MemoryDisk) {
    let (_directory, mut stores) = disk.open(FAMILIES).expect("a new disk");
    let record = |index| Record {
        index,
        payload: "entry".into(),
    };
    let write = LogWrite {
        records: (1..=OLD_INDEX).map(record).collect(),
        values: Vec::new(),
    };
    stores.log.write(&write, true).expect("no fault is planted");
    apply(&mut stores, OLD_INDEX, b"old").expect("no fault is planted");
    stores.state.flush().expect("no fault is planted");
}

fn receive(disk: &MemoryDisk, chunks: &[Vec<u8>]) -> Result<()> {
    let (_directory, mut stores) = disk.open(FAMILIES)?;
    let mut stage = stores.state.stage()?;
    for chunk in chunks {
        stage.push(chunk)?;
    }
    let staged = stage.finish()?;
    let values = [("boundary", "1".into())];
    stores.writer.install(staged, &stores.log, &values)?;
    apply(&mut stores, NEW_INDEX + 1, b"newer")?;
    stores.state.flush()
}

/// Whether the node has the new state; asserts that it has all of the old or all of the new.
fn is_new(disk: &MemoryDisk) -> bool {
    let (_directory, stores) = disk.open(FAMILIES).expect("whatever happened, it opens");
    let value = stores.state.view().get(KEYS, b"key").expect("readable");
    let applied = stores.state.applied().index;
    let (first, last) = (stores.log.first_index(), stores.log.last_index());
    match value.as_deref() {
        Some(b"old") => {
            assert_eq!((applied, first, last), (OLD_INDEX, 1, OLD_INDEX));
            false
        }
        Some(b"new") => {
            assert_eq!(
                (applied, first, last),
                (NEW_INDEX, NEW_INDEX + 1, NEW_INDEX)
            );
            true
        }
        Some(b"newer") => {
            assert_eq!(
                (applied, first, last),
                (NEW_INDEX + 1, NEW_INDEX + 1, NEW_INDEX)
            );
            true
        }
        other => panic!("neither the old nor the new state: {other:?}"),
    }
}

#[test]
fn a_fault_at_any_operation_leaves_the_old_or_the_new_state() {
    let chunks = snapshot();
    let disk = MemoryDisk::new();
    old_node(&disk);
    let begin = disk.operations();
    receive(&disk, &chunks).expect("no fault is planted");
    let end = disk.operations();
    assert!(end - begin >= 4, "the sweep has something to sweep");
    let (mut old, mut new) = (0, 0);
    for operation in begin + 1..=end {
        for fault in [Fault::PowerLoss, Fault::Io, Fault::NoSpace] {
            for crash in [
                Crash::LoseUnsynced,
                Crash::KeepAll,
                Crash::Seeded(operation),
            ] {
                let disk = MemoryDisk::new();
                old_node(&disk);
                disk.fail_at(operation, fault);
                let result = receive(&disk, &chunks);
                assert!(
                    result.is_err(),
                    "operation {operation} did not fail with {fault:?}"
                );
                disk.crash(crash);
                disk.heal();
                match is_new(&disk) {
                    true => new += 1,
                    false => old += 1,
                }
                assert_eq!(
                    is_new(&disk),
                    is_new(&disk),
                    "opening again changes nothing"
                );
            }
        }
    }
    assert!(
        old > 0 && new > 0,
        "{old} old, {new} new: both sides of the switch were seen"
    );
}

#[test]
fn a_full_disk_while_receiving_does_not_hurt_the_state_in_use() {
    let chunks = snapshot();
    let disk = MemoryDisk::new();
    old_node(&disk);
    let (_directory, mut stores) = disk.open(FAMILIES).expect("a closed disk");
    let mut stage = stores.state.stage().expect("nobody stages");
    disk.fail_at(disk.operations() + 1, Fault::NoSpace);
    let full = chunks.iter().try_for_each(|chunk| stage.push(chunk));
    assert!(matches!(full, Err(Error::Write(_))), "{full:?}");
    drop(stage);
    apply(&mut stores, OLD_INDEX + 1, b"served on").expect("the state in use is not poisoned");
    stores.state.stage().expect("the next attempt may begin");
}
