//! The virtual clock: events in the order of their times, equal times in the order they were made.

use std::collections::BTreeMap;

/// Microseconds of virtual time.
pub type Micros = u64;

/// A millisecond.
pub const MILLI: Micros = 1_000;
/// A second.
pub const SECOND: Micros = 1_000_000;

/// Events to come.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    events: BTreeMap<(Micros, u64), E>,
    made: u64,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Queue {
            events: BTreeMap::new(),
            made: 0,
        }
    }

    pub(crate) fn push(&mut self, at: Micros, event: E) {
        self.made += 1;
        self.events.insert((at, self.made), event);
    }

    pub(crate) fn pop(&mut self) -> Option<(Micros, E)> {
        let ((at, _), event) = self.events.pop_first()?;
        Some((at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_by_birth() {
        let mut queue = Queue::new();
        queue.push(5, "c");
        queue.push(1, "a");
        queue.push(5, "d");
        queue.push(1, "b");
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(1, "a"), (1, "b"), (5, "c"), (5, "d")]);
    }
}
