//! A scan over an ordered map: the records of the in-memory engine, or the writes of a batch.

use super::excludes_everything;
use crate::Order;
use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ops::Bound;

/// Keys of one family in order.
pub(crate) type Table<V> = BTreeMap<Box<[u8]>, V>;

/// Walks `start..end` of a map in one direction.
pub(crate) struct MapCursor<'a, V> {
    table: &'a Table<V>,
    start: Box<[u8]>,
    end: Option<Box<[u8]>>,
    order: Order,
    rest: Range<'a, Box<[u8]>, V>,
    current: Option<(&'a [u8], &'a V)>,
}

impl<'a, V> MapCursor<'a, V> {
    /// `start` must lie below `end`.
    pub(crate) fn new(
        table: &'a Table<V>,
        start: &[u8],
        end: Option<&[u8]>,
        order: Order,
    ) -> MapCursor<'a, V> {
        assert!(!excludes_everything(start, end), "bounds are checked first");
        let upper = end.map_or(Bound::Unbounded, Bound::Excluded);
        let mut cursor = MapCursor {
            table,
            start: start.into(),
            end: end.map(Into::into),
            order,
            rest: table.range::<[u8], _>((Bound::Included(start), upper)),
            current: None,
        };
        cursor.advance();
        cursor
    }

    pub(crate) fn entry(&self) -> Option<(&'a [u8], &'a V)> {
        self.current
    }

    pub(crate) fn advance(&mut self) {
        let next = match self.order {
            Order::Forward => self.rest.next(),
            Order::Reverse => self.rest.next_back(),
        };
        self.current = next.map(|(key, value)| (key.as_ref(), value));
    }

    pub(crate) fn seek(&mut self, key: &[u8]) {
        let start = self.start.as_ref();
        let end = self.end.as_deref();
        let below_end = end.is_none_or(|end| key < end);
        let whole_upper = end.map_or(Bound::Unbounded, Bound::Excluded);
        let bounds = match self.order {
            Order::Forward if !below_end => None,
            Order::Forward => Some((Bound::Included(key.max(start)), whole_upper)),
            Order::Reverse if key < start => None,
            Order::Reverse if below_end => Some((Bound::Included(start), Bound::Included(key))),
            Order::Reverse => Some((Bound::Included(start), whole_upper)),
        };
        match bounds {
            Some(bounds) => {
                self.rest = self.table.range::<[u8], _>(bounds);
                self.advance();
            }
            None => {
                self.rest = Range::default();
                self.current = None;
            }
        }
    }
}
