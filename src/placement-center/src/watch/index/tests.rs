//! The index against a list that is searched from end to end.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(Keys),
    /// Removes one of those that are there, counted from any place.
    Remove(usize),
}

fn key() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(0_u8..4, 0..4).prop_map(Bytes::from)
}

fn keys() -> impl Strategy<Value = Keys> {
    (key(), key()).prop_filter_map("an empty range is refused", |(key, end)| {
        Keys::new(key, end).ok()
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => keys().prop_map(Step::Insert),
        2 => any::<usize>().prop_map(Step::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn finds_what_a_list_finds(steps in prop::collection::vec(step(), 1..120), looked_up in prop::collection::vec(key(), 1..20)) {
        let mut index = Index::default();
        let mut list: Vec<(Keys, WatcherId)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(keys) => {
                    let id = WatcherId(number as u64);
                    index.insert(&keys, id);
                    list.push((keys, id));
                }
                Step::Remove(_) if list.is_empty() => {}
                Step::Remove(place) => {
                    let (keys, id) = list.swap_remove(place % list.len());
                    index.remove(&keys, id);
                }
            }
            let height = index.ranges.check();
            prop_assert!(f64::from(height) <= 1.45 * ((list.len() + 2) as f64).log2());
        }
        for key in looked_up {
            let mut found = Vec::new();
            index.find(&key, |id| found.push(id));
            found.sort_unstable();
            let mut expected: Vec<WatcherId> = list
                .iter()
                .filter(|(keys, _)| keys.contain(&key))
                .map(|(_, id)| *id)
                .collect();
            expected.sort_unstable();
            prop_assert_eq!(found, expected, "watchers of {:?}", key);
        }
    }
}

#[test]
fn a_tree_of_ordered_ranges_stays_low() {
    let mut index = Index::default();
    let range = |number: u64| Keys::Range {
        start: Bytes::from(format!("{number:08}")),
        end: None,
    };
    for number in 0..10_000 {
        index.insert(&range(number), WatcherId(number));
    }
    assert!(index.ranges.check() <= 15);
    for number in 0..10_000 {
        index.remove(&range(number), WatcherId(number));
    }
    assert_eq!(index.ranges.check(), 0);
    assert!(index.keys.is_empty());
}
