//! A recorded history as plain data, and its division into groups of keys that can be checked apart.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// When the client sent it, on a clock that all clients share.
    pub invoked: u64,
    /// When it had its answer; `None` if it never learnt the outcome.
    pub returned: Option<u64>,
    /// What it asked.
    pub call: Call,
    /// What it was told; `None` if it never learnt the outcome.
    pub answer: Option<Answer>,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Reads a key.
    Read {
        /// The key.
        key: String,
    },
    /// Writes a key, or deletes it.
    Write {
        /// The key.
        key: String,
        /// The new value; `None` deletes.
        value: Option<String>,
    },
    /// Writes a key if it has the expected value.
    Swap {
        /// The key.
        key: String,
        /// The value it must have; `None`: it must not exist.
        expected: Option<String>,
        /// The new value; `None` deletes.
        value: Option<String>,
    },
    /// Reads several keys and then writes several, all at once.
    Batch {
        /// Keys to read.
        reads: Vec<String>,
        /// Keys to write, each with its new value.
        writes: Vec<(String, Option<String>)>,
    },
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The write is done.
    Done,
    /// The value read; `None`: there is no such key.
    Value(Option<String>),
    /// Whether the swap found what it expected.
    Swapped(bool),
    /// The values read.
    Values(Vec<Option<String>>),
    /// It was not applied and never will be.
    NotApplied,
}

impl Call {
    fn keys(&self) -> Vec<&str> {
        match self {
            Call::Read { key } | Call::Write { key, .. } | Call::Swap { key, .. } => vec![key],
            Call::Batch { reads, writes } => {
                let writes = writes.iter().map(|(key, _)| key);
                reads.iter().chain(writes).map(String::as_str).collect()
            }
        }
    }

    fn writes(&self) -> bool {
        !matches!(self, Call::Read { .. })
            && !matches!(self, Call::Batch { writes, .. } if writes.is_empty())
    }
}

/// A value of a key: 0 for none, otherwise the number of a text.
pub(super) type ValueId = u32;

/// What an operation does to, and says of, the numbered keys of its partition.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Read(usize, ValueId),
    Write(usize, ValueId),
    /// Key, expected, new, and whether it swapped if that is known.
    Swap(usize, ValueId, ValueId, Option<bool>),
    /// Keys read with the values seen, if those are known; keys written.
    Batch(Option<Vec<(usize, ValueId)>>, Vec<(usize, ValueId)>),
}

/// An operation of a partition.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// Its number in the history.
    pub(super) number: usize,
    pub(super) invoked: u64,
    pub(super) returned: Option<u64>,
    pub(super) step: Step,
}

/// Operations on keys that no other operation connects with other keys.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) keys: Vec<String>,
    pub(super) operations: Vec<Placed>,
}

impl Partition {
    /// The partitions of a history, without what cannot matter.
    pub(super) fn split(history: &[Operation]) -> Vec<Partition> {
        let groups = groups(history);
        let mut partitions: BTreeMap<usize, Partition> = BTreeMap::new();
        let mut slots: BTreeMap<&str, usize> = BTreeMap::new();
        for (key, group) in &groups {
            let keys = &mut partitions.entry(*group).or_default().keys;
            slots.insert(key, keys.len());
            keys.push((*key).to_owned());
        }
        let mut values = Values::default();
        for (number, operation) in history.iter().enumerate() {
            let unknown = operation.returned.is_none() || operation.answer.is_none();
            let pointless = operation.answer == Some(Answer::NotApplied)
                || (unknown && !operation.call.writes());
            let Some(first) = operation.call.keys().first().copied() else {
                continue;
            };
            if pointless {
                continue;
            }
            let step = step(operation, &slots, &mut values, unknown);
            let partition = partitions.entry(groups[first]).or_default();
            partition.operations.push(Placed {
                number,
                invoked: operation.invoked,
                returned: operation.returned.filter(|_| !unknown),
                step,
            });
        }
        let mut partitions: Vec<Partition> = partitions.into_values().collect();
        partitions.iter_mut().for_each(Partition::prune);
        partitions
    }

    /// Forgets writes of unknown outcome whose values nobody saw: if they took effect, another write
    /// replaced them before anyone looked. A swap that failed may have seen any value.
    fn prune(&mut self) {
        let mut seen: BTreeSet<ValueId> = BTreeSet::new();
        let mut blind = true;
        for placed in &self.operations {
            match &placed.step {
                Step::Read(_, value) => drop(seen.insert(*value)),
                Step::Swap(_, expected, _, swapped) => {
                    seen.insert(*expected);
                    blind &= *swapped != Some(false);
                }
                Step::Batch(reads, _) => {
                    let reads = reads.iter().flatten();
                    seen.extend(reads.map(|(_, value)| *value));
                }
                Step::Write(..) => {}
            }
        }
        self.operations.retain(|placed| {
            placed.returned.is_some()
                || !blind
                || match &placed.step {
                    Step::Write(_, value) | Step::Swap(_, _, value, _) => seen.contains(value),
                    Step::Read(..) | Step::Batch(..) => true,
                }
        });
        self.operations.sort_by_key(|placed| placed.invoked);
    }
}

fn step(
    operation: &Operation,
    slots: &BTreeMap<&str, usize>,
    values: &mut Values,
    unknown: bool,
) -> Step {
    match &operation.call {
        Call::Read { key } => {
            let value = match &operation.answer {
                Some(Answer::Value(value)) => values.number(value.as_deref()),
                _ => ValueId::MAX,
            };
            Step::Read(slots[key.as_str()], value)
        }
        Call::Write { key, value } => {
            Step::Write(slots[key.as_str()], values.number(value.as_deref()))
        }
        Call::Swap {
            key,
            expected,
            value,
        } => {
            let expected = values.number(expected.as_deref());
            let value = values.number(value.as_deref());
            let swapped = match operation.answer {
                Some(Answer::Swapped(swapped)) if !unknown => Some(swapped),
                _ => None,
            };
            Step::Swap(slots[key.as_str()], expected, value, swapped)
        }
        Call::Batch { reads, writes } => {
            let seen = match &operation.answer {
                Some(Answer::Values(seen)) if !unknown => {
                    let pairs = reads.iter().zip(seen);
                    let number = |(key, value): (&String, &Option<String>)| {
                        (slots[key.as_str()], values.number(value.as_deref()))
                    };
                    Some(pairs.map(number).collect())
                }
                _ => None,
            };
            let number = |(key, value): &(String, Option<String>)| {
                (slots[key.as_str()], values.number(value.as_deref()))
            };
            Step::Batch(seen, writes.iter().map(number).collect())
        }
    }
}

/// Numbers for texts.
#[derive(Default)]
struct Values(BTreeMap<String, ValueId>);

impl Values {
    fn number(&mut self, value: Option<&str>) -> ValueId {
        let Some(value) = value else { return 0 };
        let next = ValueId::try_from(self.0.len() + 1).unwrap_or(ValueId::MAX);
        *self.0.entry(value.to_owned()).or_insert(next)
    }
}

/// The group of each key: keys that one call names belong together.
fn groups(history: &[Operation]) -> BTreeMap<&str, usize> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut parents: Vec<usize> = Vec::new();
    for operation in history {
        let mut first = None;
        for key in operation.call.keys() {
            let number = *numbers.entry(key).or_insert_with(|| {
                parents.push(parents.len());
                parents.len() - 1
            });
            let root = root(&parents, number);
            match first {
                None => first = Some(root),
                Some(first) => parents[root] = first,
            }
        }
    }
    let grouped = numbers.into_iter();
    grouped
        .map(|(key, number)| (key, root(&parents, number)))
        .collect()
}

fn root(parents: &[usize], mut number: usize) -> usize {
    while parents[number] != number {
        number = parents[number];
    }
    number
}
