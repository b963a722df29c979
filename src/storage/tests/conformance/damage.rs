//! Damaged data is an error that says so, never a shorter log or an older state.

use super::node::{KEYS, Node, commit, on_both};
use std::fs;
use storage::{LogWrite, Order, Read, Record, Result};

fn fill(node: &Node) -> Result<()> {
    let (_directory, mut stores) = node.open()?;
    let record = |index| Record {
        index,
        payload: format!("record {index}").into(),
    };
    let write = LogWrite {
        records: (1..=5).map(record).collect(),
        values: vec![("hard_state", "term 1".into())],
    };
    stores.log.write(&write, true)?;
    commit(&mut stores, |batch| batch.put(KEYS, b"a", b"1"))?;
    stores.state.flush()
}

fn sealed(index: u64) -> Vec<u8> {
    let payload = format!("record {index}");
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&index.to_be_bytes()), payload.as_bytes());
    [&checksum.to_le_bytes(), payload.as_bytes()].concat()
}

fn check_record(node: &mut Node, value: Option<&[u8]>) -> Result<()> {
    fill(node)?;
    node.tamper_log("log", &3_u64.to_be_bytes(), value);
    let (_directory, stores) = node.open()?;
    assert_eq!(stores.log.read(1..3, usize::MAX)?.len(), 2);
    let damaged = stores.log.read(1..6, usize::MAX);
    assert!(
        damaged.as_ref().is_err_and(|error| error.is_corruption()),
        "{damaged:?}"
    );
    let message = damaged.map_or_else(|error| error.to_string(), |_| String::new());
    assert_eq!(
        message.contains("3 is missing"),
        value.is_none(),
        "{message}"
    );
    assert_eq!(stores.log.read(4..6, usize::MAX)?.len(), 2);
    Ok(())
}

#[test]
fn a_damaged_record_is_found_when_it_is_read() {
    let mut flipped = sealed(3);
    flipped[6] ^= 1;
    on_both(|node| check_record(node, None));
    on_both(|node| check_record(node, Some(&flipped)));
    on_both(|node| check_record(node, Some(&sealed(2))));
    on_both(|node| check_record(node, Some(b"")));
}

fn check_opening(node: &mut Node, damage: impl Fn(&Node)) -> Result<()> {
    fill(node)?;
    damage(node);
    let opened = node.open();
    assert!(opened.is_err_and(|error| error.is_corruption()));
    Ok(())
}

/// A record, intact in itself, at the one index that has no successor.
fn end_of_numbers(node: &Node) {
    let index = u64::MAX;
    node.tamper_log("log", &index.to_be_bytes(), Some(&sealed(index)));
}

#[test]
fn opening_refuses_what_does_not_fit_together() {
    on_both(|node| {
        check_opening(node, |node| {
            node.tamper_log("log", &1_u64.to_be_bytes(), None)
        })
    });
    on_both(|node| check_opening(node, |node| node.tamper_log("log", b"eight by", Some(b"x"))));
    on_both(|node| check_opening(node, |node| node.tamper_log("log", b"odd", Some(b"x"))));
    on_both(|node| check_opening(node, end_of_numbers));
    on_both(|node| {
        check_opening(node, |node| {
            node.tamper_log("meta", b"first_index", Some(b"x"))
        })
    });
    on_both(|node| check_opening(node, |node| node.tamper_state("applied", b"position", None)));
    on_both(|node| {
        check_opening(node, |node| {
            node.tamper_state("applied", b"position", Some(b"7"))
        })
    });
}

fn check_value(node: &mut Node) -> Result<()> {
    fill(node)?;
    node.tamper_log("meta", b"value/hard_state", Some(b"some other bytes"));
    let (_directory, stores) = node.open()?;
    let damaged = stores.log.value("hard_state");
    assert!(damaged.is_err_and(|error| error.is_corruption()));
    Ok(())
}

#[test]
fn a_damaged_value_is_found_when_it_is_read() {
    on_both(check_value);
}

fn scan_all<R: Read>(reader: &R, order: Order) -> Result<usize> {
    let mut cursor = reader.scan(KEYS, b"", None, order)?;
    let mut rows = 0;
    while cursor.entry().is_some() {
        rows += 1;
        cursor.advance()?;
    }
    Ok(rows)
}

/// Flips one bit in the first data block of a table file: the block's checksum must reveal it.
#[test]
fn a_flipped_bit_in_a_table_is_an_error_not_a_short_scan() -> Result<()> {
    let node = Node::rocks();
    let (directory, mut stores) = node.open()?;
    commit(&mut stores, |batch| {
        for number in 0..1000_u32 {
            batch.put(
                KEYS,
                &number.to_be_bytes(),
                &number.wrapping_mul(2_654_435_761).to_be_bytes(),
            );
        }
    })?;
    stores.state.flush()?;
    drop((directory, stores));
    let Node::Rocks { directory, .. } = &node else {
        unreachable!("the node was made on RocksDB")
    };
    let tables = fs::read_dir(directory.join("state")).expect("the state is there");
    // The largest table holds the keys; that of the position stays whole, so the store opens.
    let table = tables
        .map(|entry| entry.expect("the directory is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .max_by_key(|path| fs::metadata(path).map_or(0, |metadata| metadata.len()))
        .expect("a flush writes a table");
    let mut bytes = fs::read(&table).expect("the table is readable");
    bytes[40] ^= 1;
    fs::write(&table, bytes).expect("the table is writable");

    let (_directory, stores) = node.open()?;
    let view = stores.state.view();
    for order in [Order::Forward, Order::Reverse] {
        let scanned = scan_all(&view, order);
        let damaged = scanned.as_ref().is_err_and(|error| error.is_corruption());
        assert!(damaged, "{order:?}: {scanned:?}");
    }
    let read = view.get(KEYS, &0_u32.to_be_bytes());
    assert!(read.is_err_and(|error| error.is_corruption()));
    Ok(())
}
