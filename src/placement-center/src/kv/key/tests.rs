use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// Few different bytes, so that zeros, escapes and prefixes meet often.
fn user_key() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0x00), Just(0x01), Just(0xFF), any::<u8>()];
    vec(byte, 0..6)
}

#[test]
fn spans_read_the_wire_forms() {
    let cases: &[(&[u8], &[u8], Span<'_>)] = &[
        (b"a", b"", Span::Key(b"a")),
        (
            b"a",
            b"\0",
            Span::Range {
                start: b"a",
                end: None,
            },
        ),
        (
            b"\0",
            b"\0",
            Span::Range {
                start: b"\0",
                end: None,
            },
        ),
        (
            b"a",
            b"b",
            Span::Range {
                start: b"a",
                end: Some(b"b"),
            },
        ),
        (
            b"a",
            b"\0\0",
            Span::Range {
                start: b"a",
                end: Some(b"\0\0"),
            },
        ),
    ];
    for (key, range_end, expected) in cases {
        assert_eq!(
            Span::new(key, range_end),
            *expected,
            "{key:?}..{range_end:?}"
        );
    }
}

#[test]
fn inverted_and_equal_bounds_are_empty() {
    assert!(Span::new(b"b", b"a").is_empty());
    assert!(Span::new(b"a", b"a").is_empty());
    assert!(!Span::new(b"a", b"a\0").is_empty());
    assert!(!Span::new(b"z", b"\0").is_empty());
    assert!(!Span::new(b"a", b"").is_empty());
}

#[test]
fn the_newest_version_of_a_key_comes_first() {
    let (mut newer, mut older) = (Vec::new(), Vec::new());
    history_key(b"k", 9, &mut newer);
    history_key(b"k", 8, &mut older);
    assert!(newer < older);
}

proptest! {
    #[test]
    fn history_keys_survive_the_round_trip(key in user_key(), revision in 0..=i64::MAX) {
        let (mut encoded, mut decoded) = (Vec::new(), Vec::new());
        history_key(&key, revision, &mut encoded);
        prop_assert_eq!(split_history_key(&encoded, &mut decoded), Ok(revision));
        prop_assert_eq!(decoded, key);
    }

    #[test]
    fn history_keys_sort_by_user_key(a in user_key(), b in user_key(), first in 0..9i64, second in 0..9i64) {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        history_key(&a, first, &mut x);
        history_key(&b, second, &mut y);
        prop_assert_eq!(x.cmp(&y), a.cmp(&b).then(second.cmp(&first)));
    }

    #[test]
    fn bounds_enclose_the_versions_of_one_key(a in user_key(), b in user_key(), revision in 0..=i64::MAX) {
        let (mut key, mut from, mut to) = (Vec::new(), Vec::new(), Vec::new());
        history_key(&b, revision, &mut key);
        history_prefix(&a, &mut from);
        history_after(&a, &mut to);
        prop_assert_eq!(from <= key && key < to, a == b);
    }

    #[test]
    fn hostile_history_keys_are_refused_or_round_trip(bytes in vec(prop_oneof![Just(0), Just(255), any::<u8>()], 0..24)) {
        let (mut key, mut again) = (Vec::new(), Vec::new());
        if let Ok(revision) = split_history_key(&bytes, &mut key) {
            history_key(&key, revision, &mut again);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn positions_survive_and_sort(a in (0..=i64::MAX, 0..=i64::MAX), b in (0..=i64::MAX, 0..=i64::MAX)) {
        let (a, b) = (Position { main: a.0, sub: a.1 }, Position { main: b.0, sub: b.1 });
        prop_assert_eq!(Position::decode(&a.encode()), Ok(a));
        prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
    }

    #[test]
    fn hostile_positions_are_refused_or_round_trip(bytes in vec(any::<u8>(), 0..20)) {
        if let Ok(position) = Position::decode(&bytes) {
            prop_assert_eq!(&position.encode()[..], &bytes[..]);
        }
    }
}
