//! Reads of single keys and of key ranges at any retained revision, over a view or over the batch being
//! applied. Hands out versions in key order; what a request makes of them is `range`'s business.

use super::key::{Span, history_after, history_key, history_prefix, split_history_key};
use super::meta::Meta;
use super::record::Record;
use super::{CURRENT, HISTORY, Refusal};
use bytes::Bytes;
use std::cmp::Ordering;
use std::ops::ControlFlow;
use storage::{Cursor, Order, Read, Result};

/// The store as one reader sees it.
pub(super) struct Snapshot<'r, R> {
    pub(super) reader: &'r R,
    /// Revision of the newest change the reader sees.
    pub(super) revision: i64,
    pub(super) compacted: i64,
}

/// One visible version, with its value as its own handle.
#[derive(Clone, Debug)]
pub(super) struct Found {
    bytes: Bytes,
}

impl Found {
    pub(super) fn of(record: &Record<'_>) -> Self {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        Found {
            bytes: bytes.into(),
        }
    }

    pub(super) fn record(&self) -> Result<Record<'_>> {
        Ok(Record::decode(CURRENT, &self.bytes)?)
    }

    /// The stored record as it is.
    pub(super) fn encoded(&self) -> &[u8] {
        &self.bytes
    }

    /// The stored record, sharing its memory.
    pub(super) fn shared(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The value, sharing the memory of the record.
    pub(super) fn value(&self) -> Result<Bytes> {
        Ok(self.bytes.slice_ref(self.record()?.value))
    }
}

/// What a walk calls for each visible key, in key order.
pub(super) trait Visit: FnMut(&[u8], &Record<'_>) -> ControlFlow<()> {}
impl<F: FnMut(&[u8], &Record<'_>) -> ControlFlow<()>> Visit for F {}

impl<'r, R: Read> Snapshot<'r, R> {
    /// The newest state that `reader` holds.
    pub(super) fn open(reader: &'r R) -> Result<Self> {
        Ok(Self::new(reader, &Meta::load(reader)?))
    }

    /// Like `open`, for a caller that knows the counters.
    pub(super) fn new(reader: &'r R, meta: &Meta) -> Self {
        Snapshot {
            reader,
            revision: meta.revision,
            compacted: meta.compacted,
        }
    }

    /// The revision to read at for the one a request names; 0 and below name the newest.
    pub(super) fn resolve(&self, requested: i64) -> std::result::Result<i64, Refusal> {
        match requested {
            ..=0 => Ok(self.revision),
            _ if requested > self.revision => Err(Refusal::FutureRevision),
            _ if requested < self.compacted => Err(Refusal::Compacted),
            _ => Ok(requested),
        }
    }

    /// The version of `key` at revision `at`.
    pub(super) fn get(&self, key: &[u8], at: i64) -> Result<Option<Found>> {
        let current = self.reader.get(CURRENT, key)?;
        if let Some(bytes) = current {
            let visible = Record::decode(CURRENT, &bytes)?.mod_revision <= at;
            if visible {
                return Ok(Some(Found { bytes }));
            }
        }
        if at >= self.revision {
            return Ok(None);
        }
        let (mut from, mut to) = (Vec::new(), Vec::new());
        history_key(key, at, &mut from);
        history_after(key, &mut to);
        let cursor = self
            .reader
            .scan(HISTORY, &from, Some(&to), Order::Forward)?;
        let Some((_, bytes)) = cursor.entry() else {
            return Ok(None);
        };
        let is_alive = Record::decode_version(HISTORY, bytes)?.is_some();
        Ok(is_alive.then(|| Found {
            bytes: Bytes::copy_from_slice(bytes),
        }))
    }

    /// Visits every key of `span` that lives at revision `at`, until told to stop.
    pub(super) fn walk(&self, span: Span<'_>, at: i64, visit: &mut impl Visit) -> Result<()> {
        match span {
            Span::Key(key) => {
                if let Some(found) = self.get(key, at)? {
                    let _ = visit(key, &found.record()?);
                }
                Ok(())
            }
            _ if span.is_empty() => Ok(()),
            Span::Range { start, end } if at >= self.revision => {
                let cursor = self.reader.scan(CURRENT, start, end, Order::Forward)?;
                walk_current(cursor, visit)
            }
            Span::Range { start, end } => self.walk_past(start, end, at, visit),
        }
    }

    /// Walks the current and the history family side by side, in key order.
    fn walk_past(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        at: i64,
        visit: &mut impl Visit,
    ) -> Result<()> {
        let mut current = self.reader.scan(CURRENT, start, end, Order::Forward)?;
        let mut history = History::open(self.reader, start, end)?;
        loop {
            let order = match (current.entry(), history.key()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((key, _)), Some(past)) => key.cmp(past),
            };
            let flow = if order == Ordering::Greater {
                history.visit(at, visit)?
            } else {
                let (key, bytes) = current.entry().expect("the comparison above saw an entry");
                let record = Record::decode(CURRENT, bytes)?;
                if record.mod_revision <= at {
                    visit(key, &record)
                } else if order == Ordering::Equal {
                    history.visit(at, visit)?
                } else {
                    ControlFlow::Continue(())
                }
            };
            if flow.is_break() {
                return Ok(());
            }
            if order != Ordering::Less {
                history.next_key()?;
            }
            if order != Ordering::Greater {
                current.advance()?;
            }
        }
    }
}

fn walk_current(mut cursor: Cursor<'_>, visit: &mut impl Visit) -> Result<()> {
    while let Some((key, bytes)) = cursor.entry() {
        if visit(key, &Record::decode(CURRENT, bytes)?).is_break() {
            break;
        }
        cursor.advance()?;
    }
    Ok(())
}

/// A position among the keys of the history family.
struct History<'r> {
    cursor: Cursor<'r>,
    /// User key under the cursor, unescaped; meaningless past the end.
    key: Vec<u8>,
    /// Where a seek is going; kept to reuse its memory.
    target: Vec<u8>,
}

impl<'r> History<'r> {
    fn open<R: Read>(reader: &'r R, start: &[u8], end: Option<&[u8]>) -> Result<Self> {
        let (mut from, mut to) = (Vec::new(), Vec::new());
        history_prefix(start, &mut from);
        if let Some(end) = end {
            history_prefix(end, &mut to);
        }
        let cursor = reader.scan(
            HISTORY,
            &from,
            end.is_some().then_some(&to[..]),
            Order::Forward,
        )?;
        let mut history = History {
            cursor,
            key: Vec::new(),
            target: from,
        };
        history.read_key()?;
        Ok(history)
    }

    fn key(&self) -> Option<&[u8]> {
        self.cursor.entry().is_some().then_some(&self.key[..])
    }

    /// Visits the version of the present key at `at`, if it lived then. Leaves the cursor somewhere
    /// among or behind the versions of that key; `next_key` must follow.
    fn visit(&mut self, at: i64, visit: &mut impl Visit) -> Result<ControlFlow<()>> {
        history_key(&self.key, at, &mut self.target);
        self.cursor.seek(&self.target)?;
        let prefix = &self.target[..self.target.len() - size_of::<i64>()];
        if let Some((key, bytes)) = self.cursor.entry()
            && key.starts_with(prefix)
            && let Some(record) = Record::decode_version(HISTORY, bytes)?
        {
            return Ok(visit(&self.key, &record));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn next_key(&mut self) -> Result<()> {
        history_after(&self.key, &mut self.target);
        self.cursor.seek(&self.target)?;
        self.read_key()
    }

    fn read_key(&mut self) -> Result<()> {
        if let Some((key, _)) = self.cursor.entry() {
            split_history_key(key, &mut self.key)?;
        }
        Ok(())
    }
}
