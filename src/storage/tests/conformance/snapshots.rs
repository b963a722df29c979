//! A state on its way to another node: whole or not at all.

use super::node::{KEYS, Node, OTHER, commit, on_both};
use proptest::prelude::*;
use storage::{Error, LogWrite, Read, Record, Result, Snapshot, SnapshotStage, Stores};

const VALUE_BYTES: usize = 3000;
const KEYS_SENT: u32 = 400;

/// A sender with a state of several chunks.
fn fill(stores: &mut Stores) -> Result<()> {
    for number in 0..KEYS_SENT {
        commit(stores, |batch| {
            batch.put(KEYS, &number.to_be_bytes(), &[number as u8; VALUE_BYTES]);
            batch.put(OTHER, b"count", &number.to_be_bytes());
            batch.set_conf_state(b"voters 1 2");
        })?;
    }
    commit(stores, |batch| batch.delete(KEYS, &7_u32.to_be_bytes()))?;
    Ok(())
}

fn chunks(snapshot: &Snapshot) -> Result<Vec<Vec<u8>>> {
    let chunks = snapshot.chunks();
    chunks.map(|chunk| Ok(chunk?.to_vec())).collect()
}

fn push_all(stage: &mut SnapshotStage, chunks: &[Vec<u8>]) -> Result<()> {
    chunks.iter().try_for_each(|chunk| stage.push(chunk))
}

fn sent() -> Vec<Vec<u8>> {
    let sender = Node::memory();
    let (_directory, mut stores) = sender.open().expect("a new disk");
    fill(&mut stores).expect("no fault is planted");
    chunks(&stores.state.snapshot().expect("there is a state")).expect("it can be read")
}

fn check_holds_sent(stores: &Stores) -> Result<()> {
    let view = stores.state.view();
    let last = (KEYS_SENT - 1).to_be_bytes();
    assert_eq!(
        view.get(KEYS, &last)?.map(|value| value.len()),
        Some(VALUE_BYTES)
    );
    assert_eq!(view.get(KEYS, &7_u32.to_be_bytes())?, None);
    assert_eq!(view.get(KEYS, b"old")?, None);
    assert_eq!(view.get(OTHER, b"count")?.as_deref(), Some(&last[..]));
    Ok(())
}

/// A receiver with a state and a log of its own.
fn receive(node: &Node, chunks: &[Vec<u8>]) -> Result<(storage::DataDir, Stores)> {
    let (directory, mut stores) = node.open()?;
    commit(&mut stores, |batch| batch.put(KEYS, b"old", b"state"))?;
    let record = Record {
        index: 1,
        payload: "old entry".into(),
    };
    let write = LogWrite {
        records: vec![record],
        values: vec![("hard_state", "old".into())],
    };
    stores.log.write(&write, true)?;
    let old = stores.state.view();
    let mut stage = stores.state.stage()?;
    push_all(&mut stage, chunks)?;
    let staged = stage.finish()?;
    assert_eq!(staged.applied().index, u64::from(KEYS_SENT) + 1);
    assert_eq!(
        staged.conf_state().map(AsRef::as_ref),
        Some(&b"voters 1 2"[..])
    );
    let values = [("boundary", "term".into()), ("hard_state", "new".into())];
    let conf_state = stores.writer.install(staged, &stores.log, &values)?;
    assert_eq!(conf_state.as_deref(), Some(&b"voters 1 2"[..]));
    assert_eq!(
        old.get(KEYS, b"old")?.as_deref(),
        Some(&b"state"[..]),
        "an old view stays"
    );
    Ok((directory, stores))
}

fn check_installed(node: &mut Node) -> Result<()> {
    let chunks = sent();
    assert!(chunks.len() > 4, "several chunks");
    let (directory, mut stores) = receive(node, &chunks)?;
    let applied = stores.state.applied();
    for again in [false, true] {
        check_holds_sent(&stores)?;
        assert_eq!(stores.state.applied(), applied);
        assert_eq!(
            (stores.log.first_index(), stores.log.last_index()),
            (applied.index + 1, applied.index)
        );
        assert_eq!(
            stores.log.value("hard_state")?.as_deref(),
            Some(&b"new"[..])
        );
        assert_eq!(stores.state.flushed_index()?, applied.index);
        if !again {
            let opened = node_crash(node, (directory, stores))?;
            stores = opened.1;
            commit(&mut stores, |batch| batch.put(KEYS, b"next", b"1"))?;
            return check_second(&mut stores, &chunks);
        }
    }
    Ok(())
}

fn node_crash(
    node: &mut Node,
    opened: (storage::DataDir, Stores),
) -> Result<(storage::DataDir, Stores)> {
    node.crash(opened);
    let opened = node.open()?;
    check_holds_sent(&opened.1)?;
    Ok(opened)
}

/// What was installed serves on, and can be sent in turn.
fn check_second(stores: &mut Stores, first: &[Vec<u8>]) -> Result<()> {
    let second = chunks(&stores.state.snapshot()?)?;
    assert_ne!(second[0], first[0], "it stands for a later position");
    let receiver = Node::memory();
    let (_directory, other) = receiver.open()?;
    let mut stage = other.state.stage()?;
    push_all(&mut stage, &second)?;
    assert_eq!(stage.finish()?.applied(), stores.state.applied());
    Ok(())
}

#[test]
fn a_snapshot_replaces_state_and_log_and_survives_a_crash() {
    on_both(check_installed);
}

fn check_frozen(node: &mut Node) -> Result<()> {
    let (_directory, mut stores) = node.open()?;
    fill(&mut stores)?;
    let snapshot = stores.state.snapshot()?;
    let before = chunks(&snapshot)?;
    commit(&mut stores, |batch| batch.put(KEYS, b"later", b"1"))?;
    assert_eq!(
        chunks(&snapshot)?,
        before,
        "what is applied meanwhile does not show"
    );
    assert_eq!(
        before,
        sent(),
        "both engines say the same of the same state"
    );
    Ok(())
}

#[test]
fn a_snapshot_does_not_move() {
    on_both(check_frozen);
}

fn check_refused(node: &mut Node) -> Result<()> {
    let chunks = sent();
    let (_directory, mut stores) = node.open()?;
    commit(&mut stores, |batch| batch.put(KEYS, b"old", b"state"))?;
    let refused = |pushed: &[Vec<u8>], why: &str| {
        let mut stage = stores.state.stage()?;
        let result = push_all(&mut stage, pushed).and_then(|()| stage.finish().map(drop));
        assert!(
            matches!(result, Err(Error::BadSnapshot(_))),
            "{why}: {result:?}"
        );
        Ok(())
    };
    refused(&[], "nothing")?;
    refused(&chunks[..chunks.len() - 1], "no end")?;
    refused(&chunks[1..], "no head")?;
    let mut swapped = chunks.clone();
    swapped.swap(1, 2);
    refused(&swapped, "another order")?;
    let mut repeated = chunks.clone();
    repeated.insert(2, chunks[1].clone());
    refused(&repeated, "a repeated chunk")?;
    let mut flipped = chunks.clone();
    flipped[2][100] ^= 1;
    refused(&flipped, "a flipped bit")?;
    let mut longer = chunks.clone();
    longer.push(chunks[1].clone());
    refused(&longer, "more than the end")?;
    refused(&[vec![0; storage::CHUNK_BYTES_MAX + 1]], "a huge chunk")?;
    let busy = stores.state.stage()?;
    assert!(matches!(
        stores.state.stage().map(drop),
        Err(Error::StagingBusy)
    ));
    drop(busy);
    stores.state.stage().map(drop)?;
    assert_eq!(
        stores.state.view().get(KEYS, b"old")?.as_deref(),
        Some(&b"state"[..])
    );
    commit(&mut stores, |batch| batch.put(KEYS, b"more", b"1"))?;
    Ok(())
}

#[test]
fn what_is_not_the_whole_snapshot_is_refused_and_the_state_serves_on() {
    on_both(check_refused);
}

#[test]
fn an_empty_state_cannot_be_sent() {
    on_both(|node| {
        let (_directory, stores) = node.open()?;
        assert!(matches!(
            stores.state.snapshot(),
            Err(Error::BadSnapshot(_))
        ));
        Ok(())
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn hostile_chunks_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), sealed in any::<bool>()) {
        let (_directory, stores) = Node::memory().open().expect("a new disk");
        let mut stage = stores.state.stage().expect("nobody stages");
        let mut chunk = bytes;
        if sealed && chunk.len() > 8 {
            // With a right checksum and number, so that what is behind them is looked at.
            chunk[4..8].fill(0);
            let checksum = crc32c::crc32c(&chunk[4..]);
            chunk[..4].copy_from_slice(&checksum.to_le_bytes());
        }
        let _ = stage.push(&chunk);
        prop_assert!(stage.finish().is_err());
    }
}
