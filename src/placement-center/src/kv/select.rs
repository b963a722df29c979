//! Finds the keys of an answer. In key order at the newest revision this is one scan of the keys that
//! are returned; everything else walks the range, in bounded memory where there is a limit.

use super::CURRENT;
use super::counting;
use super::key::Span;
use super::past;
use super::range::Plan;
use super::record::Record;
use super::snapshot::Snapshot;
use bytes::Bytes;
use protocol::etcdserverpb::RangeRequest;
use protocol::etcdserverpb::range_request::SortTarget;
use protocol::mvccpb::KeyValue;
use std::ops::ControlFlow;
use storage::{Order, Read, Result};

/// Keys that a sorted, limited selection collects beyond its limit before it drops the worst.
const SELECTION_SLACK: usize = 1024;

/// What an answer holds, before the header.
#[derive(Default)]
pub(super) struct Selection {
    pub(super) kvs: Vec<KeyValue>,
    pub(super) more: bool,
    pub(super) count: u64,
}

pub(super) fn single<R: Read>(
    snapshot: &Snapshot<'_, R>,
    request: &RangeRequest,
    plan: &Plan,
    at: i64,
) -> Result<Selection> {
    let Some(found) = snapshot.get(&request.key, at)? else {
        return Ok(Selection::default());
    };
    let record = found.record()?;
    let mut selection = Selection {
        count: 1,
        ..Selection::default()
    };
    if plan.takes(&record) {
        let value = if plan.keys_only {
            Bytes::new()
        } else {
            found.value()?
        };
        selection
            .kvs
            .push(record.to_key_value(request.key.clone(), value));
    }
    Ok(selection)
}

pub(super) fn ascending<R: Read>(
    snapshot: &Snapshot<'_, R>,
    start: &[u8],
    end: Option<&[u8]>,
    plan: &Plan,
) -> Result<Selection> {
    let mut selection = Selection::default();
    if (Span::Range { start, end }).is_empty() {
        return Ok(selection);
    }
    let mut cursor = snapshot.reader.scan(CURRENT, start, end, Order::Forward)?;
    while let Some((key, bytes)) = cursor.entry() {
        if selection.kvs.len() == plan.limit {
            selection.more = true;
            break;
        }
        selection.kvs.push(key_value(
            key,
            &Record::decode(CURRENT, bytes)?,
            !plan.keys_only,
        ));
        cursor.advance()?;
    }
    selection.count = selection.kvs.len() as u64;
    if selection.more {
        selection.count += counting::count_rest(snapshot.reader, cursor, end)?;
    }
    Ok(selection)
}

pub(super) fn ascending_past<R: Read>(
    snapshot: &Snapshot<'_, R>,
    span: Span<'_>,
    end: Option<&[u8]>,
    at: i64,
    plan: &Plan,
) -> Result<Selection> {
    let mut selection = Selection::default();
    let mut rest = Vec::new();
    snapshot.walk(span, at, &mut |key: &[u8], record: &Record<'_>| {
        if selection.kvs.len() == plan.limit {
            rest.extend_from_slice(key);
            selection.more = true;
            return ControlFlow::Break(());
        }
        selection.kvs.push(key_value(key, record, !plan.keys_only));
        ControlFlow::Continue(())
    })?;
    selection.count = selection.kvs.len() as u64;
    if selection.more {
        selection.count += past::count(snapshot, Span::Range { start: &rest, end }, at)?;
    }
    Ok(selection)
}

pub(super) fn descending<R: Read>(
    snapshot: &Snapshot<'_, R>,
    start: &[u8],
    end: Option<&[u8]>,
    plan: &Plan,
) -> Result<Selection> {
    let mut selection = Selection::default();
    let span = Span::Range { start, end };
    if span.is_empty() {
        return Ok(selection);
    }
    let mut cursor = snapshot.reader.scan(CURRENT, start, end, Order::Reverse)?;
    while let Some((key, bytes)) = cursor.entry() {
        if selection.kvs.len() == plan.limit {
            selection.more = true;
            break;
        }
        selection.kvs.push(key_value(
            key,
            &Record::decode(CURRENT, bytes)?,
            !plan.keys_only,
        ));
        cursor.advance()?;
    }
    selection.count = if selection.more {
        counting::count(snapshot.reader, span)?
    } else {
        selection.kvs.len() as u64
    };
    Ok(selection)
}

/// Walks the whole range: filters, then sorts, then limits. A limited selection holds at most its limit
/// and some slack, whatever the size of the range.
pub(super) fn selected<R: Read>(
    snapshot: &Snapshot<'_, R>,
    span: Span<'_>,
    at: i64,
    plan: &Plan,
) -> Result<Selection> {
    let mut selection = Selection::default();
    let mut taken = 0_usize;
    let full = plan.limit.saturating_mul(2).saturating_add(SELECTION_SLACK);
    // Values are sorted by even when they are not asked for.
    let with_values = !plan.keys_only || plan.target == SortTarget::Value;
    snapshot.walk(span, at, &mut |key: &[u8], record: &Record<'_>| {
        selection.count += 1;
        if plan.takes(record) {
            taken += 1;
            if !plan.is_sorted_by_walk() || selection.kvs.len() < plan.limit {
                selection.kvs.push(key_value(key, record, with_values));
            }
            if selection.kvs.len() >= full {
                plan.sort(&mut selection.kvs);
                selection.kvs.truncate(plan.limit);
            }
        }
        ControlFlow::Continue(())
    })?;
    if !plan.is_sorted_by_walk() {
        plan.sort(&mut selection.kvs);
    }
    selection.kvs.truncate(plan.limit);
    selection.more = taken > plan.limit;
    if plan.keys_only {
        selection
            .kvs
            .iter_mut()
            .for_each(|kv| kv.value = Bytes::new());
    }
    Ok(selection)
}

fn key_value(key: &[u8], record: &Record<'_>, with_value: bool) -> KeyValue {
    let value = if with_value {
        Bytes::copy_from_slice(record.value)
    } else {
        Bytes::new()
    };
    record.to_key_value(Bytes::copy_from_slice(key), value)
}
