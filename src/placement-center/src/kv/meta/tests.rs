use super::*;
use proptest::prelude::*;

#[test]
fn a_fresh_store_is_at_revision_one() {
    let meta = Meta::default();
    assert_eq!((meta.revision, meta.compacted, meta.swept), (1, -1, -1));
    assert_eq!(Meta::decode(&meta.encode()), Ok(meta));
}

#[test]
fn contradictions_are_refused() {
    let sound = Meta {
        revision: 9,
        compacted: 5,
        swept: 3,
        ..Meta::default()
    };
    assert_eq!(Meta::decode(&sound.encode()), Ok(sound));
    let sweep = Some(Sweep {
        target: 6,
        next: Position::default(),
    });
    for (broken, what) in [
        (
            Meta {
                revision: 0,
                compacted: -1,
                swept: -1,
                ..sound
            },
            "no revision",
        ),
        (
            Meta {
                compacted: 10,
                ..sound
            },
            "compacted beyond the newest",
        ),
        (Meta { swept: 6, ..sound }, "swept beyond compacted"),
        (Meta { sweep, ..sound }, "sweeping beyond compacted"),
    ] {
        assert!(Meta::decode(&broken.encode()).is_err(), "{what}");
    }
    assert!(Meta::decode(&[]).is_err());
    assert!(Meta::decode(&[2]).is_err());
    assert!(Meta::decode(&[&sound.encode()[..], &[0]].concat()).is_err());
}

proptest! {
    #[test]
    fn counters_survive_the_round_trip(
        swept in -1..99i64, more in 0..99i64, most in 1..i64::MAX / 2,
        sweep in proptest::option::of((0..=i64::MAX, 0..=i64::MAX)), logical_bytes in 0..1_u64 << 60, keys in 0..1_u64 << 40,
    ) {
        let compacted = swept + more;
        let sweep = sweep.filter(|_| compacted >= 0).map(|(main, sub)| Sweep { target: compacted, next: Position { main, sub } });
        let meta = Meta { revision: compacted.max(0) + most, compacted, swept, sweep, logical_bytes, keys };
        prop_assert_eq!(Meta::decode(&meta.encode()), Ok(meta));
    }

    #[test]
    fn hostile_bytes_are_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = Meta::decode(&[&[LAYOUT_V1][..], &bytes].concat());
    }
}
