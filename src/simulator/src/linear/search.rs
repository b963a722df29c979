//! The search: takes operations in an order that respects real time, goes back where the answers do not
//! fit, and never tries the same set of operations with the same outcome twice.

use super::Verdict;
use super::history::{Partition, Placed, Step, ValueId};
use std::collections::HashSet;

/// End of the list of events.
const END: usize = usize::MAX;

/// An invocation or an answer, in a list from which operations are taken out and put back.
#[derive(Clone, Copy)]
struct Event {
    operation: usize,
    is_answer: bool,
    before: usize,
    after: usize,
}

/// The events that are left, in the order of time. Event 0 is the head.
struct Events {
    list: Vec<Event>,
    /// Invocation and answer of each operation.
    places: Vec<(usize, Option<usize>)>,
}

impl Events {
    fn new(operations: &[Placed]) -> Self {
        let mut moments = Vec::new();
        for (number, placed) in operations.iter().enumerate() {
            moments.push((placed.invoked, false, number));
            if let Some(returned) = placed.returned {
                moments.push((returned, true, number));
            }
        }
        // Of equal times invocations come first: such operations overlap.
        moments.sort_unstable();
        let mut list = vec![Event {
            operation: 0,
            is_answer: true,
            before: END,
            after: if moments.is_empty() { END } else { 1 },
        }];
        let mut places = vec![(END, None); operations.len()];
        for (at, (_, is_answer, operation)) in moments.iter().copied().enumerate() {
            let place = at + 1;
            list.push(Event {
                operation,
                is_answer,
                before: at,
                after: if place == moments.len() {
                    END
                } else {
                    place + 1
                },
            });
            if is_answer {
                places[operation].1 = Some(place);
            } else {
                places[operation].0 = place;
            }
        }
        Events { list, places }
    }

    fn unlink(&mut self, place: usize) {
        let Event { before, after, .. } = self.list[place];
        self.list[before].after = after;
        if after != END {
            self.list[after].before = before;
        }
    }

    fn relink(&mut self, place: usize) {
        let Event { before, after, .. } = self.list[place];
        self.list[before].after = place;
        if after != END {
            self.list[after].before = place;
        }
    }

    fn take(&mut self, operation: usize) {
        let (invocation, answer) = self.places[operation];
        self.unlink(invocation);
        if let Some(answer) = answer {
            self.unlink(answer);
        }
    }

    fn put_back(&mut self, operation: usize) {
        let (invocation, answer) = self.places[operation];
        if let Some(answer) = answer {
            self.relink(answer);
        }
        self.relink(invocation);
    }
}

/// The operations taken so far. Almost all of them are a prefix, so a short name tells the whole set.
struct Taken {
    bits: Vec<u64>,
    /// All words before this one are full.
    full: usize,
}

impl Taken {
    fn new(operations: usize) -> Self {
        Taken {
            bits: vec![0; operations.div_ceil(64) + 1],
            full: 0,
        }
    }

    fn set(&mut self, operation: usize) {
        self.bits[operation / 64] |= 1 << (operation % 64);
        while self.bits[self.full] == u64::MAX {
            self.full += 1;
        }
    }

    fn clear(&mut self, operation: usize) {
        self.bits[operation / 64] &= !(1 << (operation % 64));
        self.full = self.full.min(operation / 64);
    }

    /// A name of this set together with a state; equal names mean equal sets and states.
    fn name(&self, state: &[ValueId]) -> Box<[u64]> {
        let rest = &self.bits[self.full..];
        let used = rest
            .iter()
            .rposition(|word| *word != 0)
            .map_or(0, |at| at + 1);
        let mut name = Vec::with_capacity(1 + state.len() + used);
        name.push(self.full as u64);
        name.extend(state.iter().map(|value| u64::from(*value)));
        name.extend_from_slice(&rest[..used]);
        name.into()
    }
}

/// Searches an order for the operations of one partition.
pub(super) fn search(partition: &Partition, steps_max: u64) -> Verdict {
    let operations = &partition.operations;
    let mut left = operations
        .iter()
        .filter(|placed| placed.returned.is_some())
        .count();
    let mut events = Events::new(operations);
    let mut taken = Taken::new(operations.len());
    let mut state: Vec<ValueId> = vec![0; partition.keys.len()];
    let mut order: Vec<(usize, Vec<ValueId>)> = Vec::new();
    let mut tried: HashSet<Box<[u64]>> = HashSet::new();
    let (mut fewest_left, mut unplaced) = (left + 1, Vec::new());
    let mut place = events.list[0].after;
    for _ in 0..steps_max {
        if left == 0 {
            return Verdict::Linearizable;
        }
        let event = events.list[place];
        if event.is_answer {
            if left < fewest_left {
                fewest_left = left;
                unplaced = candidates(&events, operations);
            }
            // This operation has answered and could not be placed: something before was wrong.
            let Some((operation, before)) = order.pop() else {
                let keys = partition.keys.clone();
                return Verdict::Violation { keys, unplaced };
            };
            state = before;
            taken.clear(operation);
            left += usize::from(operations[operation].returned.is_some());
            events.put_back(operation);
            place = events.list[events.places[operation].0].after;
            continue;
        }
        let placed = &operations[event.operation];
        place = event.after;
        let Some(next) = apply(&placed.step, &state) else {
            continue;
        };
        taken.set(event.operation);
        if tried.insert(taken.name(&next)) {
            order.push((event.operation, std::mem::replace(&mut state, next)));
            left -= usize::from(placed.returned.is_some());
            events.take(event.operation);
            place = events.list[0].after;
        } else {
            taken.clear(event.operation);
        }
    }
    Verdict::Unknown
}

/// Numbers of the operations that could come next and do not fit.
fn candidates(events: &Events, operations: &[Placed]) -> Vec<usize> {
    let mut numbers = Vec::new();
    let mut place = events.list[0].after;
    while place != END && !events.list[place].is_answer {
        numbers.push(operations[events.list[place].operation].number);
        place = events.list[place].after;
    }
    numbers
}

/// The state after a step; `None` if its answer does not fit the state before.
fn apply(step: &Step, state: &[ValueId]) -> Option<Vec<ValueId>> {
    let with = |writes: &[(usize, ValueId)]| {
        let mut next = state.to_vec();
        for (key, value) in writes {
            next[*key] = *value;
        }
        next
    };
    match step {
        Step::Read(key, value) => (state[*key] == *value).then(|| state.to_vec()),
        Step::Write(key, value) => Some(with(&[(*key, *value)])),
        Step::Swap(key, expected, value, swapped) => {
            let fits = state[*key] == *expected;
            match swapped {
                Some(false) => (!fits).then(|| state.to_vec()),
                Some(true) | None => fits.then(|| with(&[(*key, *value)])),
            }
        }
        Step::Batch(reads, writes) => {
            let reads = reads.iter().flatten();
            let mut fits = reads.map(|(key, value)| state[*key] == *value);
            fits.all(|fits| fits).then(|| with(writes))
        }
    }
}
