//! Bytes in the store that nobody wrote: an error that names the family, never a panic or an answer.

use super::rig::Rig;
use crate::kv::testing::range as request;
use crate::kv::{COUNT, CURRENT, HISTORY, META, REVISION, ReadFailure, Store, range};
use protocol::etcdserverpb::RangeRequest;
use storage::{Applied, Family};

fn overwrite(rig: &mut Rig, family: Family, key: &[u8], value: &[u8]) {
    let index = rig.stores.state.applied().index + 1;
    let mut batch = rig.stores.writer.begin();
    batch.put(family, key, value);
    batch
        .commit(Applied {
            index,
            term: 1,
            chain_hash: 0,
        })
        .expect("commit");
}

fn filled() -> Rig {
    let mut rig = Rig::new();
    rig.put(b"k", b"1");
    rig.put(b"k", b"2");
    rig
}

#[test]
fn damaged_records_are_errors_to_readers() {
    for family in [CURRENT, HISTORY, META] {
        let mut rig = filled();
        let key = rig.dump(family).pop_first().expect("a record").0;
        overwrite(&mut rig, family, &key, b"\xEE?");
        for range_end in [&b""[..], b"z"] {
            let request = RangeRequest {
                revision: 2,
                ..request(b"k", range_end)
            };
            let answer = range(&rig.stores.state.view(), &request);
            let Err(ReadFailure::Storage(error)) = answer else {
                panic!("{family:?}: {answer:?}")
            };
            assert!(error.to_string().contains(family.0), "{error}");
        }
    }
}

#[test]
fn a_store_whose_counts_do_not_add_up_does_not_open() {
    for (name, family, key, value) in [
        ("another count", COUNT, &b""[..], &b"\x01\x05"[..]),
        ("a page of another version", COUNT, b"", b"\x02\x01"),
        ("a page cut off", COUNT, b"", b"\x01\x01\x09k"),
        ("counters of another version", META, b"counters", b"\x09"),
    ] {
        let mut rig = filled();
        assert!(Store::open(&rig.stores.state.view()).is_ok());
        overwrite(&mut rig, family, key, value);
        assert!(Store::open(&rig.stores.state.view()).is_err(), "{name}");
    }
}

#[test]
fn a_damaged_row_of_changes_stops_the_sweep() {
    for (key, value) in [
        (&[0, 0, 0, 0, 0, 0, 0, 2][..], &b"\x01\x00k"[..]),
        (&[0; 16][..], b"\xEE"),
    ] {
        let mut rig = filled();
        overwrite(&mut rig, REVISION, key, value);
        rig = rig.reopen();
        rig.compact(3).expect("compact");
        assert!(rig.try_housekeep().is_err());
    }
}
