//! Counts living keys of the newest revision: the whole buckets of the range are summed, the two edges
//! that cut a bucket are scanned.

use super::counts::{Visit, each_of_page};
use super::key::Span;
use super::{COUNT, CURRENT};
use std::ops::ControlFlow;
use storage::{Cursor, Order, Read, Result};

/// Living keys of `span`.
pub(super) fn count<R: Read>(reader: &R, span: Span<'_>) -> Result<u64> {
    match span {
        Span::Key(key) => Ok(u64::from(reader.exists(CURRENT, key)?)),
        _ if span.is_empty() => Ok(0),
        Span::Range { start, end } => count_rest(
            reader,
            reader.scan(CURRENT, start, end, Order::Forward)?,
            end,
        ),
    }
}

/// Living keys from where `cursor` (a forward scan of the current family that stops at `end`) stands.
pub(super) fn count_rest<R: Read>(
    reader: &R,
    mut cursor: Cursor<'_>,
    end: Option<&[u8]>,
) -> Result<u64> {
    let Some((first, _)) = cursor.entry() else {
        return Ok(0);
    };
    let first = first.to_vec();
    let mut total = 0;
    // The bucket whose end is not seen yet, and the bucket behind the range.
    let mut open: Option<(Vec<u8>, u64)> = None;
    let mut next = None;
    each_from(reader, &first, &mut |start, keys| {
        if end.is_some_and(|end| start >= end) {
            next = Some(start.to_vec());
            return Ok(ControlFlow::Break(()));
        }
        if let Some(open) = &mut open {
            total += open.1;
            open.0.clear();
            open.0.extend_from_slice(start);
            open.1 = keys;
        } else {
            total += count_until(&mut cursor, Some(start))?;
            open = Some((start.to_vec(), keys));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let Some((start, keys)) = open else {
        return count_until(&mut cursor, None);
    };
    if reaches(reader, end, next.as_deref())? {
        return Ok(total + keys);
    }
    cursor.seek(&start)?;
    Ok(total + count_until(&mut cursor, None)?)
}

/// Visits the buckets that start at or behind `first`, in order, until told to stop.
fn each_from<R: Read>(reader: &R, first: &[u8], visit: &mut impl Visit) -> Result<()> {
    // The page that `first` falls into starts at or before it.
    let behind = [first, &[0]].concat();
    let cursor = reader.scan(COUNT, &[], Some(&behind), Order::Reverse)?;
    if let Some((start, page)) = cursor.entry() {
        let flow = each_of_page(start, page, &mut |start, keys| match start < first {
            true => Ok(ControlFlow::Continue(())),
            false => visit(start, keys),
        })?;
        if flow.is_break() {
            return Ok(());
        }
    }
    let mut cursor = reader.scan(COUNT, &behind, None, Order::Forward)?;
    while let Some((start, page)) = cursor.entry() {
        if each_of_page(start, page, visit)?.is_break() {
            break;
        }
        cursor.advance()?;
    }
    Ok(())
}

/// Whether a range that ends at `end` takes in all keys below `next`. One look at the key behind the
/// end spares the scan of an edge in the common case, a range that ends where keys of its kind end.
fn reaches<R: Read>(reader: &R, end: Option<&[u8]>, next: Option<&[u8]>) -> Result<bool> {
    let Some(end) = end else {
        return Ok(true);
    };
    if next == Some(end) {
        return Ok(true);
    }
    Ok(reader
        .scan(CURRENT, end, next, Order::Forward)?
        .entry()
        .is_none())
}

/// Counts keys below `stop`, or to the end of the scan.
fn count_until(cursor: &mut Cursor<'_>, stop: Option<&[u8]>) -> Result<u64> {
    let mut keys = 0;
    while cursor
        .entry()
        .is_some_and(|(key, _)| stop.is_none_or(|stop| key < stop))
    {
        keys += 1;
        cursor.advance()?;
    }
    Ok(keys)
}
