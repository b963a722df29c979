//! The log: no holes, whole suffixes, honest bounds.

use super::node::{Node, on_both};
use std::sync::atomic::{AtomicBool, Ordering};
use storage::{Error, LogStore, LogWrite, Record, Result};

fn append(log: &LogStore, indexes: impl IntoIterator<Item = u64>, tag: &str) -> Result<()> {
    let record = |index| Record {
        index,
        payload: format!("{tag}{index}").into(),
    };
    let records = indexes.into_iter().map(record).collect();
    let write = LogWrite {
        records,
        values: Vec::new(),
    };
    log.write(&write, true)
}

fn payloads(log: &LogStore, from: u64, to: u64) -> Result<Vec<String>> {
    let records = log.read(from..to, usize::MAX)?;
    let text = |record: Record| String::from_utf8_lossy(&record.payload).into_owned();
    Ok(records.into_iter().map(text).collect())
}

fn check_contiguity(node: &mut Node) -> Result<()> {
    let (_directory, stores) = node.open()?;
    let log = &stores.log;
    assert_eq!((log.first_index(), log.last_index()), (1, 0));
    let gap = append(log, [2], "x");
    assert!(
        matches!(
            gap,
            Err(Error::Gap {
                expected: 1,
                found: 2
            })
        ),
        "{gap:?}"
    );
    append(log, 1..=4, "a")?;
    let gap = append(log, [6], "x");
    assert!(
        matches!(
            gap,
            Err(Error::Gap {
                expected: 5,
                found: 6
            })
        ),
        "{gap:?}"
    );
    let gap = append(log, [5, 7], "x");
    assert!(
        matches!(
            gap,
            Err(Error::Gap {
                expected: 6,
                found: 7
            })
        ),
        "{gap:?}"
    );
    let twice = append(log, [5, 5], "x");
    assert!(matches!(twice, Err(Error::Gap { .. })), "{twice:?}");
    let zero = append(log, [0], "x");
    assert!(matches!(zero, Err(Error::Compacted { .. })), "{zero:?}");
    assert_eq!(log.last_index(), 4, "a refused write leaves nothing");
    log.truncate_prefix(5, b"term 1")?;
    assert_eq!((log.first_index(), log.last_index()), (5, 4));
    let gap = append(log, [6], "x");
    assert!(
        matches!(gap, Err(Error::Gap { expected: 5, .. })),
        "{gap:?}"
    );
    let old = append(log, [4], "x");
    assert!(
        matches!(old, Err(Error::Compacted { first: 5, .. })),
        "{old:?}"
    );
    append(log, [5], "b")?;
    assert_eq!(payloads(log, 5, 6)?, ["b5"]);
    Ok(())
}

#[test]
fn holes_are_refused_also_in_an_empty_log() {
    on_both(check_contiguity);
}

fn check_suffix(node: &mut Node) -> Result<()> {
    let (directory, stores) = node.open()?;
    append(&stores.log, 1..=6, "a")?;
    append(&stores.log, 3..=4, "b")?;
    assert_eq!(stores.log.last_index(), 4);
    let beyond = stores.log.read(1..6, usize::MAX);
    assert!(
        matches!(
            beyond,
            Err(Error::Unavailable {
                requested: 5,
                last: 4
            })
        ),
        "{beyond:?}"
    );
    drop((directory, stores));
    let (_directory, stores) = node.open()?;
    assert_eq!(payloads(&stores.log, 1, 5)?, ["a1", "a2", "b3", "b4"]);
    assert_eq!(
        stores.log.last_index(),
        4,
        "the old tail does not come back"
    );
    append(&stores.log, 5..=7, "c")?;
    assert_eq!(payloads(&stores.log, 4, 8)?, ["b4", "c5", "c6", "c7"]);
    Ok(())
}

#[test]
fn a_new_suffix_replaces_the_old_one_whole() {
    on_both(check_suffix);
}

fn check_truncation(node: &mut Node) -> Result<()> {
    let (directory, stores) = node.open()?;
    let log = &stores.log;
    append(log, 1..=6, "a")?;
    log.truncate_prefix(4, b"term 2")?;
    log.truncate_prefix(3, b"ignored")?;
    assert_eq!((log.first_index(), log.last_index()), (4, 6));
    let too_far = log.truncate_prefix(8, b"");
    assert!(
        matches!(
            too_far,
            Err(Error::Unavailable {
                requested: 7,
                last: 6
            })
        ),
        "{too_far:?}"
    );
    let below = log.read(3..5, usize::MAX);
    assert!(
        matches!(
            below,
            Err(Error::Compacted {
                requested: 3,
                first: 4
            })
        ),
        "{below:?}"
    );
    drop((directory, stores));
    let (directory, stores) = node.open()?;
    assert_eq!((stores.log.first_index(), stores.log.last_index()), (4, 6));
    assert_eq!(payloads(&stores.log, 4, 7)?, ["a4", "a5", "a6"]);
    assert_eq!(
        stores.log.value("boundary")?.as_deref(),
        Some(&b"term 2"[..])
    );
    stores.log.truncate_prefix(7, b"term 3")?;
    drop((directory, stores));
    let (_directory, stores) = node.open()?;
    assert_eq!((stores.log.first_index(), stores.log.last_index()), (7, 6));
    Ok(())
}

#[test]
fn truncation_moves_the_first_index_for_good() {
    on_both(check_truncation);
}

fn check_read_limits(node: &mut Node) -> Result<()> {
    let (_directory, stores) = node.open()?;
    append(&stores.log, 1..=5, "a")?;
    let count = |bytes| stores.log.read(1..6, bytes).map(|records| records.len());
    assert_eq!(count(0)?, 1, "at least one");
    assert_eq!(count(3)?, 1);
    assert_eq!(count(4)?, 2);
    assert_eq!(count(usize::MAX)?, 5);
    assert_eq!(stores.log.read(3..3, 9)?, []);
    assert_eq!(stores.log.read(9..9, 9)?, [], "an empty range is nowhere");
    assert_eq!(stores.log.value("nothing")?, None);
    stores.log.write(&LogWrite::default(), true)?;
    Ok(())
}

#[test]
fn a_read_stops_at_its_byte_limit() {
    on_both(check_read_limits);
}

/// A reader meets the log while its suffix is replaced by a shorter one, again and again: it may be
/// told that a record is not written (yet), never that the log is damaged.
fn check_race(node: &mut Node) -> Result<()> {
    let (_directory, stores) = node.open()?;
    append(&stores.log, 1..=20, "a")?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u64;
            while !done.load(Ordering::Acquire) {
                match stores.log.read(1..21, usize::MAX) {
                    Ok(records) => assert_eq!(records.len(), 20),
                    Err(Error::Unavailable { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
                reads += 1;
            }
            reads
        });
        let record = |index| Record {
            index,
            payload: "b".into(),
        };
        let write = |records: std::ops::RangeInclusive<u64>| {
            let records = records.map(record).collect();
            let values = Vec::new();
            stores.log.write(&LogWrite { records, values }, false)
        };
        let written = (0..3000).try_for_each(|_| {
            write(5..=6)?;
            write(7..=20)
        });
        done.store(true, Ordering::Release);
        let reads = reader.join().expect("the reader met only honest answers");
        assert!(reads > 0);
        written
    })
}

#[test]
fn a_reader_beside_a_writer_sees_no_damage() {
    on_both(check_race);
}
