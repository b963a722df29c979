//! A crash, an error or a full disk at every single storage operation of a small node's life. Goal:
//! whatever the operation and whatever the disk kept of the unsynced bytes, the node opens again
//! with everything it was promised, and log, state and identity fit together.
//!
//! Method: the in-memory twin numbers every storage operation. The workload runs once to count them,
//! then once for each operation and each way to fail.

use storage::{
    Applied, Crash, DataDir, Error, Family, Fault, Identity, LogWrite, MemoryDisk, Read, Record,
    Result, Stores, Watermark,
};

const KEYS: Family = Family("keys");
const OTHER: Family = Family("other");
const FAMILIES: &[Family] = &[KEYS, OTHER];
const ROUNDS: u64 = 12;

/// What the workload was promised by operations that returned.
#[derive(Clone, Copy, Debug, Default)]
struct Promised {
    /// Highest synced log index.
    synced: u64,
    /// Highest flushed applied index.
    flushed: u64,
    /// Watermark of the last saved identity.
    watermark: u64,
    /// Highest first index that a truncation returned for.
    first: u64,
}

fn record(index: u64) -> Record {
    Record {
        index,
        payload: format!("change {index}").into(),
    }
}

/// One round of a node: log two records (the second write unsynced until the next), apply the
/// synced ones, now and then flush, truncate, save the identity.
fn round(opened: &mut (DataDir, Stores), promised: &mut Promised) -> Result<()> {
    let (directory, stores) = opened;
    let next = stores.log.last_index() + 1;
    let write = |indexes: std::ops::Range<u64>, sync| {
        let write = LogWrite {
            records: indexes.clone().map(record).collect(),
            values: vec![("commit", (indexes.end - 1).to_be_bytes().to_vec().into())],
        };
        stores.log.write(&write, sync)
    };
    write(next..next + 2, true)?;
    promised.synced = next + 1;
    write(next + 2..next + 3, false)?;
    while stores.state.applied().index < promised.synced {
        let index = stores.state.applied().index + 1;
        let mut batch = stores.writer.begin();
        batch.put(KEYS, &index.to_be_bytes(), b"applied");
        batch.put(OTHER, b"count", &index.to_be_bytes());
        batch.set_conf_state(&index.to_be_bytes());
        batch.commit(Applied {
            index,
            term: 1,
            chain_hash: index * 31,
        })?;
    }
    if next % 2 == 0 {
        stores.state.flush()?;
        promised.flushed = stores.state.applied().index;
        let first = stores.state.flushed_index()?;
        assert!(first >= promised.flushed);
        stores.log.truncate_prefix(first, &first.to_be_bytes())?;
        promised.first = first;
    }
    let identity = Identity {
        cluster_id: 5,
        node_id: 1,
        incarnation: 1,
        instance: 8,
        watermark: Watermark {
            index: promised.synced,
            term: 1,
            vote: 1,
        },
    };
    directory.save_identity(&identity)?;
    promised.watermark = promised.synced;
    Ok(())
}

fn run(disk: &MemoryDisk, promised: &mut Promised) -> Result<()> {
    let mut opened = disk.open(FAMILIES)?;
    for _ in 0..ROUNDS {
        round(&mut opened, promised)?;
    }
    Ok(())
}

/// The node after the crash: nothing promised is missing, nothing fits badly.
fn check(disk: &MemoryDisk, promised: Promised) -> Result<()> {
    let (directory, stores) = disk.open(FAMILIES)?;
    let (first, last) = (stores.log.first_index(), stores.log.last_index());
    assert!(last >= promised.synced, "synced records are lost: {last}");
    assert!(first >= promised.first, "a truncation came undone");
    for record_read in stores.log.read(first..last + 1, usize::MAX)? {
        assert_eq!(record_read, record(record_read.index));
    }
    if let Some(boundary) = stores.log.value("boundary")? {
        assert_eq!(boundary.as_ref(), first.to_be_bytes());
    } else {
        assert_eq!(first, 1);
    }
    let applied = stores.state.applied();
    assert!(applied.index >= promised.flushed, "flushed state is lost");
    assert!(applied.index <= last, "the state is ahead of the log");
    assert!(first <= applied.index + 1, "records to replay are gone");
    assert_eq!(stores.state.flushed_index()?, applied.index);
    let view = stores.state.view();
    for index in 1..=last {
        let expected = index <= applied.index;
        assert_eq!(view.exists(KEYS, &index.to_be_bytes())?, expected);
    }
    let word = (applied.index > 0).then(|| applied.index.to_be_bytes().to_vec());
    let count = view.get(OTHER, b"count")?.map(|count| count.to_vec());
    assert_eq!(count, word, "the position and its change are apart");
    assert_eq!(stores.conf_state.map(|state| state.to_vec()), word);
    let watermark = directory
        .identity()
        .map_or(0, |known| known.watermark.index);
    assert!(watermark >= promised.watermark, "the identity went back");
    assert!(watermark <= last, "the watermark is beyond the log");
    Ok(())
}

fn operations_of_the_workload() -> u64 {
    let disk = MemoryDisk::new();
    run(&disk, &mut Promised::default()).expect("nothing fails on a healthy disk");
    disk.operations()
}

fn sweep(fault: Fault, crashes: impl Fn(u64) -> Vec<Crash>) {
    let operations = operations_of_the_workload();
    assert!(
        operations > 5 * ROUNDS,
        "the workload has too few operations"
    );
    for operation in 1..=operations {
        for crash in crashes(operation) {
            println!("{fault:?} at operation {operation} of {operations}, then {crash:?}");
            let disk = MemoryDisk::new();
            disk.fail_at(operation, fault);
            let mut promised = Promised::default();
            let failed = run(&disk, &mut promised);
            failed.expect_err("the operation was to fail");
            disk.heal();
            disk.crash(crash);
            check(&disk, promised).expect("the node opens and reads");
            // The node goes on from there, and a clean stop loses nothing.
            let mut opened = disk.open(FAMILIES).expect("the node opens again");
            round(&mut opened, &mut promised).expect("the disk is healthy");
        }
    }
}

#[test]
fn power_loss_at_every_operation() {
    sweep(Fault::PowerLoss, |operation| {
        let mut crashes = vec![Crash::LoseUnsynced, Crash::KeepAll];
        crashes.extend((0..20).map(|seed| Crash::Seeded(operation * 1000 + seed)));
        crashes.extend((0..24).map(|part| Crash::KeepBytes(part * 9)));
        crashes
    });
}

#[test]
fn an_input_output_error_at_every_operation() {
    sweep(Fault::Io, |operation| {
        vec![
            Crash::LoseUnsynced,
            Crash::KeepAll,
            Crash::Seeded(operation),
        ]
    });
}

#[test]
fn a_full_disk_at_every_operation() {
    sweep(Fault::NoSpace, |operation| {
        vec![
            Crash::LoseUnsynced,
            Crash::KeepAll,
            Crash::Seeded(operation),
        ]
    });
}

#[test]
fn a_disk_that_fills_up_at_any_byte_says_so() {
    let disk = MemoryDisk::new();
    run(&disk, &mut Promised::default()).expect("nothing fails on a healthy disk");
    for capacity in (0..disk.written_bytes()).step_by(37) {
        let disk = MemoryDisk::new();
        disk.set_capacity_bytes(capacity);
        let mut promised = Promised::default();
        let failed = run(&disk, &mut promised).expect_err("the disk is too small");
        assert!(failed.is_no_space(), "{failed:?}");
        disk.heal();
        disk.crash(Crash::LoseUnsynced);
        check(&disk, promised).expect("the node opens and reads");
    }
}

#[test]
fn after_a_failed_sync_nothing_more_is_written() -> Result<()> {
    let disk = MemoryDisk::new();
    let (_directory, mut stores) = disk.open(FAMILIES)?;
    let write = LogWrite {
        records: vec![record(1)],
        values: Vec::new(),
    };
    disk.fail_at(1, Fault::Io);
    let failed = stores.log.write(&write, true);
    assert!(matches!(failed, Err(Error::Write(_))), "{failed:?}");
    // The device is fine again, and that must not matter: the kernel may have dropped the pages.
    let again = stores.log.write(&write, true);
    assert!(matches!(again, Err(Error::Poisoned)), "{again:?}");
    assert_eq!(disk.operations(), 1, "the disk was not even asked");

    disk.fail_at(2, Fault::Io);
    let failed = stores.state.flush();
    assert!(matches!(failed, Err(Error::Flush(_))), "{failed:?}");
    let mut batch = stores.writer.begin();
    batch.put(KEYS, b"a", b"1");
    let refused = batch.commit(Applied {
        index: 1,
        term: 1,
        chain_hash: 0,
    });
    assert!(matches!(refused, Err(Error::Poisoned)), "{refused:?}");
    assert_eq!(stores.state.applied().index, 0);
    Ok(())
}

#[test]
fn stores_of_a_dead_process_write_nothing() -> Result<()> {
    let disk = MemoryDisk::new();
    let (mut directory, dead) = disk.open(FAMILIES)?;
    assert!(matches!(disk.open(FAMILIES), Err(Error::Locked { .. })));
    disk.crash(Crash::KeepAll);
    let (_directory, stores) = disk.open(FAMILIES)?;
    let write = LogWrite {
        records: vec![record(1)],
        values: Vec::new(),
    };
    let refused = dead.log.write(&write, true);
    assert!(refused.is_err_and(|error| error.is_power_loss()));
    let refused = directory.save_identity(&Identity::default());
    assert!(refused.is_err_and(|error| error.is_power_loss()));
    stores.log.write(&write, true)?;
    Ok(())
}

#[test]
fn without_power_nothing_works_and_nothing_is_written() -> Result<()> {
    let disk = MemoryDisk::new();
    let (mut directory, stores) = disk.open(FAMILIES)?;
    disk.fail_at(1, Fault::PowerLoss);
    let lost = directory.save_identity(&Identity::default());
    assert!(lost.is_err_and(|error| error.is_power_loss()));
    let write = LogWrite {
        records: vec![record(1)],
        values: Vec::new(),
    };
    let refused = stores.log.write(&write, true);
    assert!(refused.is_err_and(|error| error.is_power_loss()));
    let refused = stores.state.flush();
    assert!(refused.is_err_and(|error| error.is_power_loss()));
    assert!(
        disk.open(FAMILIES)
            .is_err_and(|error| error.is_power_loss())
    );
    disk.crash(Crash::KeepAll);
    let (directory, stores) = disk.open(FAMILIES)?;
    assert_eq!(stores.log.last_index(), 0);
    assert_eq!(directory.identity(), Some(&Identity::default()));
    Ok(())
}

#[test]
fn the_same_seed_keeps_the_same_bytes() {
    let trace = |seed| {
        let disk = MemoryDisk::new();
        disk.fail_at(40, Fault::PowerLoss);
        let mut promised = Promised::default();
        run(&disk, &mut promised).expect_err("the power fails");
        disk.crash(Crash::Seeded(seed));
        let (_directory, stores) = disk.open(FAMILIES).expect("the node opens");
        (stores.log.last_index(), stores.state.applied())
    };
    for seed in 0..50 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
    let distinct: std::collections::BTreeSet<_> = (0..50)
        .map(trace)
        .map(|(last, applied)| (last, applied.index))
        .collect();
    assert!(distinct.len() > 1, "the seed decides nothing");
}
