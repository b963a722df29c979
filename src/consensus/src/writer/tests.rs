//! Several writes as one.

use super::*;
use storage::Record;

fn persist(number: u64, indexes: std::ops::RangeInclusive<u64>, text: &'static [u8]) -> Persist {
    Persist {
        number: Some(number),
        records: indexes
            .map(|index| Record {
                index,
                payload: Bytes::from_static(text),
            })
            .collect(),
        hard_state: None,
        ballot: None,
        must_sync: true,
        snapshot: None,
    }
}

#[test]
fn a_later_write_replaces_the_suffix_of_an_earlier_one() {
    let mut group = Group::default();
    group.add(persist(1, 5..=9, b"old"));
    group.add(persist(2, 7..=8, b"new"));
    let records: Vec<_> = group
        .write
        .records
        .iter()
        .map(|record| (record.index, record.payload.as_ref()))
        .collect();
    assert_eq!(
        records,
        [(5, &b"old"[..]), (6, b"old"), (7, b"new"), (8, b"new")]
    );
    assert_eq!(group.number, Some(2));
}

#[test]
fn the_newest_hard_state_and_ballot_win() {
    let mut group = Group::default();
    let ballot = Some(Ballot { term: 3, vote: 1 });
    group.add(Persist {
        hard_state: Some(Bytes::from_static(b"a")),
        ballot,
        ..persist(1, 1..=1, b"x")
    });
    group.add(Persist {
        number: None,
        records: Vec::new(),
        hard_state: Some(Bytes::from_static(b"b")),
        ballot: None,
        must_sync: false,
        snapshot: None,
    });
    assert_eq!(
        group.write.values,
        [(codec::HARD_STATE, Bytes::from_static(b"b"))]
    );
    assert_eq!(
        (group.number, group.ballot, group.must_sync),
        (Some(1), ballot, true)
    );
}

/// Found by the simulator: entries without a stamp were all that was left, and a restarted leader stamped
/// below what was applied.
#[test]
fn a_truncated_log_keeps_the_newest_stamp() {
    let disk = storage::MemoryDisk::new();
    let (_, stores) = disk.open(&[]).unwrap();
    let write = LogWrite {
        records: persist(1, 1..=3, b"x").records,
        values: Vec::new(),
    };
    stores.log.write(&write, true).unwrap();
    truncate(&stores.log, 3, b"boundary", codec::encode_stamp(77)).unwrap();
    drop(stores);
    disk.crash(storage::Crash::LoseUnsynced);
    let (_, stores) = disk.open(&[]).unwrap();
    assert_eq!(stores.log.first_index(), 3);
    let stamp = stores.log.value(codec::STAMP).unwrap().unwrap();
    assert_eq!(codec::decode_stamp(&stamp).unwrap(), 77);
}
