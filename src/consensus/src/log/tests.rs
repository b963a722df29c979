//! What raft-rs may rely on when it reads the log.

use super::*;
use raft::Storage as _;
use storage::LogWrite;

fn entry(index: u64, kind: EntryType) -> Entry {
    Entry {
        index,
        term: 1,
        entry_type: kind as i32,
        data: vec![7; 100],
        ..Entry::default()
    }
}

/// Entries 1..=stored in the store, the rest up to `last` in the cache alone.
fn view(stored: u64, last: u64) -> LogView {
    let store = storage::memory_stores(&[]).log;
    let records = (1..=stored)
        .map(|index| codec::encode_entry(&entry(index, EntryType::EntryNormal)))
        .collect();
    store
        .write(
            &LogWrite {
                records,
                values: Vec::new(),
            },
            true,
        )
        .expect("the memory log writes");
    let mut view = LogView::open(store, ConfState::default()).expect("the log opens");
    view.append(
        (stored + 1..=last)
            .map(|index| entry(index, EntryType::EntryNormal))
            .collect(),
    );
    view
}

fn indexes(view: &LogView, low: u64, high: u64, bytes_max: u64) -> Vec<u64> {
    let entries = view
        .entries(low, high, bytes_max, GetEntriesContext::empty(false))
        .expect("the range is within the log");
    entries.iter().map(|entry| entry.index).collect()
}

#[test]
fn ranges_are_half_open_across_store_and_cache() {
    for (stored, last) in [(10, 10), (0, 10), (5, 10)] {
        let view = view(stored, last);
        assert_eq!(indexes(&view, 3, 3, u64::MAX), [0; 0]);
        assert_eq!(indexes(&view, 3, 4, u64::MAX), [3]);
        assert_eq!(indexes(&view, 4, 8, u64::MAX), [4, 5, 6, 7]);
        assert_eq!(indexes(&view, 1, 11, u64::MAX).len(), 10);
    }
}

#[test]
fn ranges_are_bounded_by_size_and_hold_at_least_one() {
    let size = entry(1, EntryType::EntryNormal).encoded_len() as u64;
    for (stored, last) in [(10, 10), (0, 10), (5, 10)] {
        let view = view(stored, last);
        assert_eq!(indexes(&view, 2, 11, 0), [2]);
        assert_eq!(indexes(&view, 6, 11, 0), [6]);
        assert_eq!(indexes(&view, 4, 11, 3 * size), [4, 5, 6]);
        assert_eq!(indexes(&view, 4, 11, 3 * size - 1), [4, 5]);
    }
}

#[test]
fn terms_are_known_from_the_boundary_to_the_end() {
    let mut view = view(5, 10);
    let unavailable = raft::Error::Store(StorageError::Unavailable);
    let compacted = || raft::Error::Store(StorageError::Compacted);
    assert_eq!(view.term(0), Ok(0));
    assert_eq!(view.term(3), Ok(1));
    assert_eq!(view.term(10), Ok(1));
    assert_eq!(view.term(11), Err(unavailable));
    view.compact(4).expect("the log is readable");
    assert_eq!(view.term(3), Ok(1));
    assert_eq!(view.term(2), Err(compacted()));
    let low = view.entries(3, 5, None, GetEntriesContext::empty(false));
    assert_eq!(low, Err(compacted()));
}

#[test]
fn a_replaced_suffix_is_read_from_the_cache() {
    let mut view = view(5, 5);
    assert_eq!(view.term(4), Ok(1));
    view.append(vec![Entry {
        term: 2,
        ..entry(4, EntryType::EntryNormal)
    }]);
    assert_eq!(view.term(4), Ok(2));
    assert_eq!(view.last_index(), Ok(4));
    assert_eq!(indexes(&view, 1, 5, u64::MAX), [1, 2, 3, 4]);
}

#[test]
fn a_campaign_reads_no_payloads() {
    let mut view = view(500, 500);
    view.append(vec![
        entry(501, EntryType::EntryConfChangeV2),
        entry(502, EntryType::EntryNormal),
    ]);
    let entries = view
        .entries(1, 503, None, GetEntriesContext::empty(false))
        .expect("the range is within the log");
    assert_eq!(
        entries.iter().map(|e| e.index).collect::<Vec<_>>(),
        [501],
        "the membership change, nothing else"
    );
    let bytes: usize = entries.iter().map(raft_prost::Message::encoded_len).sum();
    assert!(bytes < 20, "{bytes} bytes for a question of yes or no");
}

#[test]
fn a_misplaced_entry_is_corruption() {
    let store = storage::memory_stores(&[]).log;
    let record = storage::Record {
        index: 1,
        ..codec::encode_entry(&entry(9, EntryType::EntryNormal))
    };
    store
        .write(
            &LogWrite {
                records: vec![record],
                values: Vec::new(),
            },
            true,
        )
        .expect("the memory log writes");
    let view = LogView::open(store, ConfState::default()).expect("the log opens");
    assert!(matches!(
        view.term_at(1),
        Err(LogError::Codec(CodecError::Misplaced {
            record: 1,
            entry: 9
        }))
    ));
}
