//! The black-box checker against histories whose verdict is known: small classics by hand, long ones made
//! by a store that is linearizable or breaks the rule in a known way.

use simulator::Dice;
use simulator::linear::{Answer, Call, Operation, Verdict, check};
use std::collections::BTreeMap;

const STEPS_MAX: u64 = 5_000_000;

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn operation(invoked: u64, returned: u64, call: Call, answer: Answer) -> Operation {
    Operation {
        invoked,
        returned: Some(returned),
        call,
        answer: Some(answer),
    }
}

/// A read of `x`; an empty text is a missing key.
fn read(invoked: u64, returned: u64, value: &str) -> Operation {
    let call = Call::Read { key: "x".into() };
    operation(invoked, returned, call, Answer::Value(text(value)))
}

fn write_to(key: &str, invoked: u64, returned: u64, value: &str) -> Operation {
    let call = Call::Write {
        key: key.into(),
        value: text(value),
    };
    operation(invoked, returned, call, Answer::Done)
}

fn write(invoked: u64, returned: u64, value: &str) -> Operation {
    write_to("x", invoked, returned, value)
}

fn swap(invoked: u64, returned: u64, (expected, value): (&str, &str), swapped: bool) -> Operation {
    let call = Call::Swap {
        key: "x".into(),
        expected: text(expected),
        value: text(value),
    };
    operation(invoked, returned, call, Answer::Swapped(swapped))
}

/// An operation that never answered.
fn lost(operation: Operation) -> Operation {
    Operation {
        returned: None,
        answer: None,
        ..operation
    }
}

fn batch(
    invoked: u64,
    returned: u64,
    reads: &[(&str, &str)],
    writes: &[(&str, &str)],
) -> Operation {
    let call = Call::Batch {
        reads: reads.iter().map(|(key, _)| (*key).to_owned()).collect(),
        writes: writes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), text(value)))
            .collect(),
    };
    let values = reads.iter().map(|(_, value)| text(value)).collect();
    operation(invoked, returned, call, Answer::Values(values))
}

fn is_linearizable(history: &[Operation]) -> bool {
    match check(history, STEPS_MAX) {
        Verdict::Linearizable => true,
        Verdict::Violation { .. } => false,
        Verdict::Unknown => panic!("the search was cut off"),
    }
}

#[test]
fn histories_that_are_linearizable() {
    let histories: [(&str, Vec<Operation>); 12] = [
        ("nothing happened", vec![]),
        ("a key that was never written", vec![read(1, 2, "")]),
        (
            "one after the other",
            vec![write(1, 2, "a"), read(3, 4, "a")],
        ),
        (
            "a read that overlaps a write sees the old value",
            vec![write(1, 2, "a"), write(3, 8, "b"), read(4, 5, "a")],
        ),
        (
            "and another one then the new",
            vec![
                write(1, 2, "a"),
                write(3, 8, "b"),
                read(4, 5, "a"),
                read(6, 7, "b"),
            ],
        ),
        (
            "overlapping writes take either order",
            vec![write(1, 5, "a"), write(2, 4, "b"), read(6, 7, "a")],
        ),
        (
            "a lost write took effect late",
            vec![lost(write(1, 0, "a")), read(2, 3, ""), read(5, 6, "a")],
        ),
        (
            "a lost write took no effect",
            vec![write(1, 2, "a"), lost(write(3, 0, "b")), read(4, 5, "a")],
        ),
        (
            "a failed swap was explained by a lost write",
            vec![
                write(1, 2, "a"),
                lost(write(3, 0, "b")),
                swap(4, 5, ("a", "c"), false),
            ],
        ),
        (
            "a swap between two values",
            vec![
                write(1, 2, "a"),
                swap(3, 4, ("a", "b"), true),
                read(5, 6, "b"),
            ],
        ),
        (
            "two keys have nothing to do with each other",
            vec![write_to("y", 1, 9, "a"), write(2, 3, "b"), read(4, 5, "b")],
        ),
        (
            "a batch sees both keys at once",
            vec![
                batch(1, 2, &[], &[("x", "1"), ("y", "1")]),
                batch(3, 4, &[("x", "1"), ("y", "1")], &[]),
            ],
        ),
    ];
    for (name, history) in histories {
        assert!(is_linearizable(&history), "{name}");
    }
}

#[test]
fn histories_that_are_not() {
    let histories: [(&str, Vec<Operation>); 12] = [
        ("a value nobody wrote", vec![read(1, 2, "a")]),
        (
            "stale read",
            vec![write(1, 2, "a"), write(3, 4, "b"), read(5, 6, "a")],
        ),
        ("lost update", vec![write(1, 2, "a"), read(3, 4, "")]),
        (
            "a read goes back behind another read",
            vec![
                write(1, 2, "a"),
                write(3, 10, "b"),
                read(4, 5, "b"),
                read(6, 7, "a"),
            ],
        ),
        (
            "split brain: two swaps of one value",
            vec![
                write(1, 2, "a"),
                swap(3, 6, ("a", "b"), true),
                swap(4, 7, ("a", "c"), true),
            ],
        ),
        (
            "split brain: each side reads its own",
            vec![
                write(1, 2, "a"),
                write(3, 4, "b"),
                read(5, 6, "a"),
                read(7, 8, "b"),
            ],
        ),
        (
            "a refused write took effect",
            vec![
                Operation {
                    answer: Some(Answer::NotApplied),
                    ..write(1, 2, "a")
                },
                read(3, 4, "a"),
            ],
        ),
        (
            "a lost write took effect before it began",
            vec![read(1, 2, "a"), lost(write(3, 0, "a"))],
        ),
        (
            "a lost write took effect twice",
            vec![
                lost(write(1, 0, "a")),
                read(2, 3, "a"),
                write(4, 5, "b"),
                read(6, 7, "b"),
                read(8, 9, "a"),
            ],
        ),
        (
            "a swap that failed had to succeed",
            vec![write(1, 2, "a"), swap(3, 4, ("a", "b"), false)],
        ),
        (
            "a torn batch",
            vec![
                batch(1, 2, &[], &[("x", "1"), ("y", "1")]),
                batch(3, 4, &[], &[("x", "2"), ("y", "2")]),
                batch(5, 6, &[("x", "1"), ("y", "2")], &[]),
            ],
        ),
        (
            "a deleted key came back",
            vec![write(1, 2, "a"), write(3, 4, ""), read(5, 6, "a")],
        ),
    ];
    for (name, history) in histories {
        assert!(!is_linearizable(&history), "{name}");
    }
}

/// A history of overlapping clients on a store that is one: each operation takes effect somewhere between
/// its invocation and its answer. In order of invocation.
fn honest(seed: u64, clients: u64, operations: u64, keys: u64) -> Vec<Operation> {
    let mut dice = Dice::new(seed);
    let mut free: Vec<u64> = (0..clients).collect();
    let mut planned = Vec::new();
    for unique in 0..operations {
        let client = dice.below(clients) as usize;
        let invoked = free[client] + 1 + dice.below(20);
        let effect = invoked + 1 + dice.below(20);
        let returned = effect + 1 + dice.below(20);
        free[client] = returned;
        let key = format!("key {}", dice.below(keys));
        let value = text(&format!("value {unique}"));
        let call = match dice.below(10) {
            0..=4 => Call::Read { key },
            5..=8 => Call::Write { key, value },
            _ => Call::Write { key, value: None },
        };
        planned.push((effect, invoked, returned, call, dice.chance(30)));
    }
    planned.sort_by_key(|(effect, ..)| *effect);
    let mut store: BTreeMap<String, String> = BTreeMap::new();
    let mut history: Vec<Operation> = Vec::new();
    for (_, invoked, returned, call, is_lost) in planned {
        let answer = match &call {
            Call::Read { key } => Answer::Value(store.get(key).cloned()),
            Call::Write { key, value } => {
                match value {
                    Some(value) => drop(store.insert(key.clone(), value.clone())),
                    None => drop(store.remove(key)),
                }
                Answer::Done
            }
            _ => unreachable!("only reads and writes are planned"),
        };
        let done = operation(invoked, returned, call, answer);
        history.push(if is_lost { lost(done) } else { done });
    }
    history.sort_by_key(|operation| operation.invoked);
    history
}

#[test]
fn long_histories_of_an_honest_store_pass() {
    for (seed, clients, operations, keys) in [
        (1, 10, 64_000, 50),
        (2, 10, 6_400, 1),
        (3, 30, 5_000, 3),
        (4, 3, 20_000, 1),
    ] {
        let history = honest(seed, clients, operations, keys);
        assert!(is_linearizable(&history), "seed {seed}");
    }
}

/// Turns one read into one that sees a value overwritten for certain before it began; `None` if this read
/// has no such value.
fn made_stale(history: &[Operation], at: usize) -> Option<Vec<Operation>> {
    let Call::Read { key } = &history[at].call else {
        return None;
    };
    history[at].returned?;
    let begins = history[at].invoked;
    let certain: Vec<&Operation> = history
        .iter()
        .filter(|other| {
            let own = matches!(&other.call, Call::Write { key: written, .. } if written == key);
            own && other.returned.is_some_and(|returned| returned < begins)
        })
        .collect();
    // Written and then certainly overwritten by a write that began after it was answered.
    let (old, value) = certain.iter().find_map(|old| match &old.call {
        Call::Write {
            value: Some(value), ..
        } => {
            let replaced = certain
                .iter()
                .any(|newer| Some(newer.invoked) > old.returned);
            replaced.then(|| (old, value.clone()))
        }
        _ => None,
    })?;
    assert!(old.returned < Some(begins));
    let mut forged = history.to_vec();
    forged[at].answer = Some(Answer::Value(Some(value)));
    Some(forged)
}

#[test]
fn one_stale_read_in_a_long_history_is_found() {
    let mut forged = 0;
    for seed in 0..20 {
        let history = honest(100 + seed, 8, 2_000, 5);
        let stale = (1_000..2_000).find_map(|at| made_stale(&history, at));
        let Some(stale) = stale else { continue };
        forged += 1;
        assert!(is_linearizable(&history), "seed {seed}");
        assert!(!is_linearizable(&stale), "seed {seed}");
    }
    assert!(forged >= 15, "only {forged} histories could be forged");
}

#[test]
fn one_swallowed_write_in_a_long_history_is_found() {
    let mut forged = 0;
    for seed in 0..20 {
        let mut history = honest(200 + seed, 8, 2_000, 5);
        // A value that somebody saw, whose write is said to have been refused.
        let seen: Vec<Option<String>> = history
            .iter()
            .filter_map(|operation| match &operation.answer {
                Some(Answer::Value(value)) => Some(value.clone()),
                _ => None,
            })
            .collect();
        let swallowed = history.iter().position(|operation| match &operation.call {
            Call::Write { value, .. } => value.is_some() && seen.contains(value),
            _ => false,
        });
        let Some(at) = swallowed else { continue };
        forged += 1;
        history[at].answer = Some(Answer::NotApplied);
        history[at].returned = Some(history[at].invoked);
        assert!(!is_linearizable(&history), "seed {seed}");
    }
    assert!(forged >= 15, "only {forged} histories could be forged");
}

#[test]
fn a_search_that_is_cut_off_says_so() {
    let history = honest(5, 10, 1_000, 1);
    assert_eq!(check(&history, 100), Verdict::Unknown);
}

#[test]
fn a_violation_names_its_keys_and_operations() {
    let history = vec![write_to("y", 1, 2, "a"), write(3, 4, "b"), read(5, 6, "c")];
    let verdict = check(&history, STEPS_MAX);
    let (keys, unplaced) = (vec!["x".to_owned()], vec![2]);
    assert_eq!(verdict, Verdict::Violation { keys, unplaced });
}

#[test]
fn a_history_survives_a_file() {
    let history = honest(6, 3, 100, 3);
    let text = serde_json::to_string(&history).unwrap();
    let read: Vec<Operation> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, history);
}
