//! Random operations against an ordered map (the state) and a vector (the log).

use super::node::{KEYS, Node, commit};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use storage::{LogWrite, Order, Read, Record, Result};

/// Few and short keys, so that operations meet.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    vec(0..3_u8, 0..3)
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, u8),
    Delete(Vec<u8>),
    Commit,
    Abandon,
    Flush,
    Reopen,
    Scan(Vec<u8>, Option<Vec<u8>>, bool, Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (keys(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        4 => keys().prop_map(Step::Delete),
        3 => Just(Step::Commit),
        1 => Just(Step::Abandon),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        6 => (keys(), proptest::option::of(keys()), any::<bool>(), keys())
            .prop_map(|(start, end, forward, seek)| Step::Scan(start, end, forward, seek)),
    ];
    vec(step, 1..40)
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;
type Scanned = Vec<(Vec<u8>, Vec<u8>)>;

/// What the model says a scan from `seek` (None: from its beginning) shows.
fn expected(
    model: &Model,
    start: &[u8],
    end: Option<&[u8]>,
    order: Order,
    seek: Option<&[u8]>,
) -> Scanned {
    let inside = |key: &[u8]| key >= start && end.is_none_or(|end| key < end);
    let beyond = |key: &[u8]| match (seek, order) {
        (None, _) => true,
        (Some(seek), Order::Forward) => key >= seek,
        (Some(seek), Order::Reverse) => key <= seek,
    };
    let mut rows: Scanned = model
        .iter()
        .filter(|(key, _)| inside(key) && beyond(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if order == Order::Reverse {
        rows.reverse();
    }
    rows
}

fn rest(cursor: &mut storage::Cursor<'_>) -> Result<Scanned> {
    let mut rows = Vec::new();
    while let Some((key, value)) = cursor.entry() {
        rows.push((key.to_vec(), value.to_vec()));
        cursor.advance()?;
    }
    Ok(rows)
}

fn compare<R: Read>(reader: &R, model: &Model, scan: &Step) -> Result<()> {
    let Step::Scan(start, end, forward, seek) = scan else {
        return Ok(());
    };
    let order = if *forward {
        Order::Forward
    } else {
        Order::Reverse
    };
    let end = end.as_deref();
    let mut cursor = reader.scan(KEYS, start, end, order)?;
    assert_eq!(rest(&mut cursor)?, expected(model, start, end, order, None));
    cursor.seek(seek)?;
    assert_eq!(
        rest(&mut cursor)?,
        expected(model, start, end, order, Some(seek))
    );
    assert_eq!(
        reader.get(KEYS, seek)?.as_deref(),
        model.get(seek).map(Vec::as_slice)
    );
    assert_eq!(reader.exists(KEYS, seek)?, model.contains_key(seek));
    Ok(())
}

fn run_state(node: &Node, steps: &[Step]) -> Result<()> {
    let mut opened = node.open()?;
    let mut committed = Model::new();
    let mut remaining = steps;
    while !remaining.is_empty() {
        let ends_batch = |step: &Step| {
            matches!(
                step,
                Step::Commit | Step::Abandon | Step::Flush | Step::Reopen
            )
        };
        let length = remaining
            .iter()
            .position(ends_batch)
            .map_or(remaining.len(), |at| at + 1);
        let (group, later) = remaining.split_at(length);
        remaining = later;
        let mut model = committed.clone();
        let state = opened.1.state.clone();
        let applied = state.applied();
        let mut batch = opened.1.writer.begin();
        for step in group {
            match step {
                Step::Put(key, value) => {
                    batch.put(KEYS, key, &[*value]);
                    model.insert(key.clone(), vec![*value]);
                }
                Step::Delete(key) => {
                    batch.delete(KEYS, key);
                    model.remove(key);
                }
                scan => {
                    compare(&batch, &model, scan)?;
                    compare(&state.view(), &committed, scan)?;
                }
            }
        }
        if matches!(group.last(), Some(Step::Abandon)) {
            drop(batch);
        } else {
            batch.commit(storage::Applied {
                index: applied.index + 1,
                ..applied
            })?;
            committed = model;
        }
        match group.last() {
            Some(Step::Flush) => state.flush()?,
            Some(Step::Reopen) => {
                state.flush()?;
                drop((opened, state));
                opened = node.open()?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum LogStep {
    /// How far below the end to start, and how many records.
    Write(u64, u64),
    /// How far above the first index to cut.
    Truncate(u64),
    Reopen,
}

fn run_log(node: &Node, steps: &[LogStep]) -> Result<()> {
    let mut opened = node.open()?;
    // The model: first index, and a stamp for each record.
    let (mut first, mut stamps) = (1_u64, Vec::<u64>::new());
    for (stamp, step) in (0_u64..).zip(steps) {
        let log = &opened.1.log;
        match step {
            LogStep::Write(back, count) => {
                let start = (first + stamps.len() as u64)
                    .saturating_sub(*back)
                    .max(first);
                stamps.truncate((start - first) as usize);
                let records = (start..start + count).map(|index| Record {
                    index,
                    payload: stamp.to_be_bytes().to_vec().into(),
                });
                let write = LogWrite {
                    records: records.collect(),
                    values: Vec::new(),
                };
                if *count > 0 {
                    log.write(&write, stamp % 2 == 0)?;
                    stamps.extend((0..*count).map(|_| stamp));
                } else {
                    log.write(&write, true)?;
                    // Nothing was written, so nothing was replaced either.
                    stamps = read_stamps(log)?;
                }
            }
            LogStep::Truncate(up) => {
                let to = (first + up).min(first + stamps.len() as u64);
                log.truncate_prefix(to, b"boundary")?;
                stamps.drain(..(to - first) as usize);
                first = to;
            }
            LogStep::Reopen => {
                drop(opened);
                opened = node.open()?;
            }
        }
        let log = &opened.1.log;
        assert_eq!(log.first_index(), first);
        assert_eq!(log.last_index() + 1, first + stamps.len() as u64);
        assert_eq!(read_stamps(log)?, stamps);
    }
    Ok(())
}

fn read_stamps(log: &storage::LogStore) -> Result<Vec<u64>> {
    let records = log.read(log.first_index()..log.last_index() + 1, usize::MAX)?;
    let stamp = |record: Record| {
        let bytes = record.payload.as_ref().try_into();
        u64::from_be_bytes(bytes.expect("a stamp has eight bytes"))
    };
    Ok(records.into_iter().map(stamp).collect())
}

fn log_steps() -> impl Strategy<Value = Vec<LogStep>> {
    let step = prop_oneof![
        6 => (0..6_u64, 0..6_u64).prop_map(|(back, count)| LogStep::Write(back, count)),
        2 => (0..8_u64).prop_map(LogStep::Truncate),
        1 => Just(LogStep::Reopen),
    ];
    vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_state_in_memory_is_an_ordered_map(steps in steps()) {
        run_state(&Node::memory(), &steps).expect("no operation fails");
    }

    #[test]
    fn the_log_in_memory_is_a_vector(steps in log_steps()) {
        run_log(&Node::memory(), &steps).expect("no operation fails");
    }
}

proptest! {
    // Each case opens a database; a few dozen keep the suite within seconds.
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_state_on_rocksdb_is_an_ordered_map(steps in steps()) {
        run_state(&Node::rocks(), &steps).expect("no operation fails");
    }

    #[test]
    fn the_log_on_rocksdb_is_a_vector(steps in log_steps()) {
        run_log(&Node::rocks(), &steps).expect("no operation fails");
    }
}

#[test]
fn commit_of_an_empty_batch_moves_the_position_alone() -> Result<()> {
    let (_directory, mut stores) = Node::memory().open()?;
    let applied = commit(&mut stores, |_| {})?;
    assert_eq!(stores.state.applied(), applied);
    Ok(())
}
