//! What closing, crashing and copying keep.

use super::node::{FAMILIES, KEYS, Node, OTHER, commit, copy, on_both};
use super::reads::entries;
use storage::{
    DataDir, Error, Identity, LogWrite, OpenOptions, Order, Read, Record, Result, Watermark,
};

fn record(index: u64) -> Record {
    Record {
        index,
        payload: format!("record {index}").into(),
    }
}

fn check_reopen(node: &mut Node) -> Result<()> {
    let (mut directory, mut stores) = node.open()?;
    assert_eq!(directory.identity(), None);
    let identity = Identity {
        cluster_id: 11,
        node_id: 1,
        incarnation: 2,
        instance: 9,
        watermark: Watermark {
            index: 3,
            term: 4,
            vote: 1,
        },
    };
    directory.save_identity(&identity)?;
    let write = LogWrite {
        records: (1..=3).map(record).collect(),
        values: vec![("hard_state", "term 4".into())],
    };
    stores.log.write(&write, true)?;
    commit(&mut stores, |batch| batch.put(KEYS, b"a", b"1"))?;
    stores.state.flush()?;
    drop((directory, stores));

    let (directory, stores) = node.open()?;
    assert_eq!(directory.identity(), Some(&identity));
    assert_eq!(stores.log.read(1..4, usize::MAX)?, write.records);
    assert_eq!(
        stores.log.value("hard_state")?.as_deref(),
        Some(&b"term 4"[..])
    );
    assert_eq!(
        entries(&stores.state.view(), "", None, Order::Forward)?,
        ["a=1"]
    );
    Ok(())
}

#[test]
fn what_was_written_is_there_after_reopening() {
    on_both(check_reopen);
}

fn check_crash(node: &mut Node) -> Result<()> {
    let (directory, mut stores) = node.open()?;
    let write = LogWrite {
        records: vec![record(1), record(2)],
        values: Vec::new(),
    };
    stores.log.write(&write, true)?;
    commit(&mut stores, |batch| batch.put(KEYS, b"a", b"1"))?;
    stores.state.flush()?;
    commit(&mut stores, |batch| {
        batch.put(KEYS, b"a", b"2");
        batch.put(OTHER, b"b", b"2");
    })?;
    assert_eq!(stores.state.flushed_index()?, 1);
    node.crash((directory, stores));

    let (_directory, stores) = node.open()?;
    assert_eq!(stores.log.last_index(), 2, "synced records survive");
    assert_eq!(
        stores.state.applied().index,
        1,
        "unflushed state is replayed"
    );
    let view = stores.state.view();
    assert_eq!(view.get(KEYS, b"a")?.as_deref(), Some(&b"1"[..]));
    assert_eq!(view.get(OTHER, b"b")?, None);
    Ok(())
}

#[test]
fn a_crash_keeps_the_synced_log_and_the_flushed_state_together() {
    on_both(check_crash);
}

fn check_checkpoint(node: &mut Node) -> Result<()> {
    let (directory, mut stores) = node.open()?;
    commit(&mut stores, |batch| {
        batch.put(KEYS, b"a", b"1");
        batch.put(OTHER, b"b", b"1");
    })?;
    let path = node.checkpoint_path();
    stores.state.checkpoint(&path)?;
    let again = stores.state.checkpoint(&path);
    assert!(matches!(again, Err(Error::Checkpoint { .. })), "{again:?}");
    commit(&mut stores, |batch| batch.put(KEYS, b"a", b"2"))?;
    assert_eq!(stores.state.applied().index, 2);
    stores.state.flush()?;
    drop((directory, stores));

    node.restore(&path);
    let (_directory, stores) = node.open()?;
    assert_eq!(stores.state.applied().index, 1);
    let view = stores.state.view();
    assert_eq!(entries(&view, "", None, Order::Forward)?, ["a=1"]);
    assert_eq!(view.get(OTHER, b"b")?.as_deref(), Some(&b"1"[..]));
    Ok(())
}

#[test]
fn a_checkpoint_opens_with_the_content_of_its_moment() {
    on_both(check_checkpoint);
}

fn check_disk_bytes(node: &mut Node) -> Result<()> {
    let (_directory, mut stores) = node.open()?;
    let before = stores.state.disk_bytes()?;
    // Alternating bits, so that compression cannot make it vanish.
    let value: Vec<u8> = (0..100_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    commit(&mut stores, |batch| batch.put(KEYS, b"a", &value))?;
    stores.state.flush()?;
    assert!(stores.state.disk_bytes()? > before + 300_000);
    Ok(())
}

#[test]
fn disk_bytes_follow_the_data() {
    on_both(check_disk_bytes);
}

/// Row `n` is rewritten by every change, in two families; only one of them ever fills its buffer.
/// If RocksDB flushed families one by one, a crash image would show the position beside its change.
#[test]
fn a_background_flush_never_separates_the_position_from_the_change() -> Result<()> {
    let root = tempfile::tempdir().expect("the temporary directory is writable");
    let options = OpenOptions {
        state_families: FAMILIES,
        block_cache_bytes: 1 << 20,
        write_buffer_bytes: 64 << 10,
    };
    let live = root.path().join("live");
    let (_directory, mut stores) = DataDir::open(&live, &options)?;
    let mut checked = 0;
    for step in 1..=600_u64 {
        commit(&mut stores, |batch| {
            batch.put(KEYS, b"step", &step.to_be_bytes());
            batch.put(KEYS, &step.to_be_bytes(), &[7; 1024]);
            batch.put(OTHER, b"step", &step.to_be_bytes());
        })?;
        if step % 60 != 0 {
            continue;
        }
        let image = root.path().join(format!("image-{step}"));
        copy(&live, &image);
        // A copy that takes a while may miss a table that its manifest names; a power failure
        // cannot. Such a copy does not open and says nothing.
        let Ok((_image_directory, copied)) = DataDir::open(&image, &options) else {
            continue;
        };
        let index = copied.state.applied().index;
        checked += u64::from(index > 0);
        let view = copied.state.view();
        for family in [KEYS, OTHER] {
            let stored = view.get(family, b"step")?.unwrap_or_default();
            let expected = if index == 0 {
                vec![]
            } else {
                index.to_be_bytes().to_vec()
            };
            assert_eq!(stored, expected, "family {} at {index}", family.0);
        }
    }
    assert!(checked > 0, "no image held a background flush");
    Ok(())
}

fn check_reclaim(node: &mut Node) -> Result<()> {
    let (_directory, mut stores) = node.open()?;
    let keys: Vec<String> = (0..64).map(|number| format!("{number:03}")).collect();
    // Noise, so that compression does not make it small.
    let mut noise = 1_u64;
    for key in &keys {
        let value: Vec<u8> = std::iter::repeat_with(|| {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise as u8
        })
        .take(64 << 10)
        .collect();
        commit(&mut stores, |batch| batch.put(KEYS, key.as_bytes(), &value))?;
    }
    stores.state.flush()?;
    for key in &keys {
        commit(&mut stores, |batch| batch.delete(KEYS, key.as_bytes()))?;
    }
    stores.state.flush()?;
    let before = stores.state.disk_bytes()?;
    stores.state.reclaim(|| false)?;
    let untouched = stores.state.disk_bytes()?;
    assert_eq!(untouched, before, "it went on after it was told to stop");
    stores.state.reclaim(|| true)?;
    let after = stores.state.disk_bytes()?;
    // In memory there is nothing to give back.
    let held = (keys.len() as u64) << 16;
    assert!(
        before < held || after + held / 10 * 9 < before,
        "{before} bytes became {after}"
    );
    assert!(entries(&stores.state.view(), "", None, Order::Forward)?.is_empty());
    Ok(())
}

#[test]
fn space_of_what_was_deleted_is_given_back() {
    on_both(check_reclaim);
}
