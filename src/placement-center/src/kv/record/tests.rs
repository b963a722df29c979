use super::*;
use crate::kv::{CURRENT, HISTORY};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn records_survive_the_round_trip(
        create_revision in 1..i64::MAX / 2, age in 0..i64::MAX / 2, sub in 0..=i64::MAX,
        version in 1..=i64::MAX, lease in 0..=i64::MAX, value in vec(any::<u8>(), 0..40),
    ) {
        let mod_revision = create_revision + age;
        let record = Record { create_revision, mod_revision, sub, version, lease, value: &value };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        prop_assert_eq!(Record::decode(CURRENT, &bytes), Ok(record));
        prop_assert_eq!(Record::decode_version(HISTORY, &bytes), Ok(Some(record)));
    }

    #[test]
    fn changes_survive_the_round_trip(
        key in vec(any::<u8>(), 0..20), main in 1..=i64::MAX, sub in 0..=i64::MAX, value_bytes in 0..1_u64 << 40,
        is_tombstone: bool, replaces: bool,
    ) {
        let replaced = (replaces || is_tombstone).then_some(Replaced { position: Position { main, sub }, value_bytes });
        let change = Change { key: &key, is_tombstone, replaced };
        let mut bytes = Vec::new();
        change.encode(&mut bytes);
        prop_assert_eq!(Change::decode(&bytes), Ok(change));
    }

    #[test]
    fn hostile_bytes_are_an_error_and_no_panic(kind in 0..4_u8, rest in vec(any::<u8>(), 0..60)) {
        let bytes = [&[kind][..], &rest].concat();
        let _ = Record::decode(CURRENT, &bytes);
        let _ = Record::decode_version(HISTORY, &bytes);
        let _ = Change::decode(&bytes);
    }
}

#[test]
fn a_tombstone_is_a_version_without_a_record_and_no_current_record() {
    assert_eq!(Record::decode_version(HISTORY, &TOMBSTONE), Ok(None));
    assert!(Record::decode(CURRENT, &TOMBSTONE).is_err());
}

#[test]
fn damage_is_refused() {
    let cases: &[(&[u8], &str)] = &[
        (&[], "empty"),
        (&[9, 1, 1, 0, 1, 0], "unknown layout"),
        (&[TOMBSTONE_V1, 0], "a tombstone with something behind it"),
        (&[LIVE_V1, 1, 1, 0, 1], "cut off"),
        (&[LIVE_V1, 0, 1, 0, 1, 0], "never created"),
        (&[LIVE_V1, 2, 1, 0, 1, 0], "changed before it was created"),
        (&[LIVE_V1, 1, 1, 0, 0, 0], "version 0"),
        (
            &[
                LIVE_V1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0, 1, 0,
            ],
            "a number beyond 63 bits",
        ),
    ];
    for (bytes, what) in cases {
        assert!(Record::decode_version(HISTORY, bytes).is_err(), "{what}");
    }
    assert!(
        Change::decode(&[TOMBSTONE_V1, 0]).is_err(),
        "a tombstone that replaced nothing"
    );
    assert!(Change::decode(&[LIVE_V1, 5]).is_err(), "cut off");
}

#[test]
fn a_small_record_has_a_small_head() {
    let record = Record {
        create_revision: 100,
        mod_revision: 120,
        sub: 0,
        version: 3,
        lease: 0,
        value: b"v",
    };
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    assert_eq!(bytes.len(), 7);
}
