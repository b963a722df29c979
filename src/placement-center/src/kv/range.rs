//! Answers a range request: limit, count, filters and sorting. Ordinary ranges of the newest revision
//! cost one scan of the keys they return; the rest of the options walk the range in bounded memory.

use super::CURRENT;
use super::counts;
use super::fault::ReadFailure;
use super::key::Span;
use super::record::Record;
use super::snapshot::Snapshot;
use bytes::Bytes;
use protocol::etcdserverpb::range_request::{SortOrder, SortTarget};
use protocol::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use protocol::mvccpb::KeyValue;
use std::ops::ControlFlow;
use storage::Result;
use storage::{Order, Read};

/// Keys that a sorted, limited selection collects beyond its limit before it drops the worst.
const SELECTION_SLACK: usize = 1024;

/// Keys of an answer, before the header.
#[derive(Default)]
struct Page {
    kvs: Vec<KeyValue>,
    more: bool,
    count: u64,
}

/// Answers `request` from what `snapshot` sees; the header holds the revision alone.
pub(super) fn range<R: Read>(
    snapshot: &Snapshot<'_, R>,
    request: &RangeRequest,
) -> std::result::Result<RangeResponse, ReadFailure> {
    let at = snapshot.resolve(request.revision)?;
    let span = Span::new(&request.key, &request.range_end);
    let plan = Plan::new(request);
    let page = match (span, plan.shape) {
        _ if request.count_only => Page {
            count: count(snapshot, span, at)?,
            ..Page::default()
        },
        (Span::Key(_), _) => single(snapshot, request, &plan, at)?,
        (Span::Range { start, end }, Shape::Ascending) if at >= snapshot.revision => {
            ascending(snapshot, start, end, &plan)?
        }
        (Span::Range { .. }, Shape::Descending) if at >= snapshot.revision => {
            descending(snapshot, span, &plan)?
        }
        _ => selected(snapshot, span, at, &plan)?,
    };
    Ok(RangeResponse {
        header: Some(ResponseHeader {
            revision: snapshot.revision,
            ..ResponseHeader::default()
        }),
        kvs: page.kvs,
        more: page.more,
        count: i64::try_from(page.count).unwrap_or(i64::MAX),
    })
}

/// How the keys of an answer are found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// In key order, all of them.
    Ascending,
    /// Against key order, all of them.
    Descending,
    /// Filtered, or in another order than that of keys.
    Selected,
}

/// The options of a request, made unambiguous.
struct Plan {
    shape: Shape,
    limit: usize,
    keys_only: bool,
    target: SortTarget,
    descends: bool,
    mod_revisions: (i64, i64),
    create_revisions: (i64, i64),
}

impl Plan {
    fn new(request: &RangeRequest) -> Self {
        // Orders and targets that do not exist are refused at the edge; here they mean the default.
        let target = SortTarget::try_from(request.sort_target).unwrap_or(SortTarget::Key);
        let descends = SortOrder::try_from(request.sort_order) == Ok(SortOrder::Descend);
        let bound = |max: i64| if max == 0 { i64::MAX } else { max };
        let mod_revisions = (request.min_mod_revision, bound(request.max_mod_revision));
        let create_revisions = (
            request.min_create_revision,
            bound(request.max_create_revision),
        );
        let everything = |(min, max): (i64, i64)| min <= 0 && max == i64::MAX;
        let shape = match (target, descends) {
            _ if !everything(mod_revisions) || !everything(create_revisions) => Shape::Selected,
            (SortTarget::Key, false) => Shape::Ascending,
            (SortTarget::Key, true) => Shape::Descending,
            _ => Shape::Selected,
        };
        let limit = usize::try_from(request.limit)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(usize::MAX);
        Plan {
            shape,
            limit,
            keys_only: request.keys_only,
            target,
            descends,
            mod_revisions,
            create_revisions,
        }
    }

    fn takes(&self, record: &Record<'_>) -> bool {
        let within = |(min, max): (i64, i64), revision: i64| min <= revision && revision <= max;
        within(self.mod_revisions, record.mod_revision)
            && within(self.create_revisions, record.create_revision)
    }

    fn is_sorted_by_walk(&self) -> bool {
        self.target == SortTarget::Key && !self.descends
    }

    /// Sorts what was collected in key order; stable, so equal values keep key order.
    fn sort(&self, kvs: &mut [KeyValue]) {
        let number: fn(&KeyValue) -> i64 = match self.target {
            SortTarget::Version => |kv| kv.version,
            SortTarget::Create => |kv| kv.create_revision,
            SortTarget::Mod => |kv| kv.mod_revision,
            SortTarget::Key => {
                return kvs.sort_by(|a, b| directed(self.descends, a.key.cmp(&b.key)));
            }
            SortTarget::Value => {
                return kvs.sort_by(|a, b| directed(self.descends, a.value.cmp(&b.value)));
            }
        };
        kvs.sort_by(|a, b| directed(self.descends, number(a).cmp(&number(b))));
    }
}

fn directed(descends: bool, ordering: std::cmp::Ordering) -> std::cmp::Ordering {
    if descends {
        ordering.reverse()
    } else {
        ordering
    }
}

fn count<R: Read>(snapshot: &Snapshot<'_, R>, span: Span<'_>, at: i64) -> Result<u64> {
    if at >= snapshot.revision {
        return counts::count(snapshot.reader, span);
    }
    let mut count = 0;
    snapshot.walk(span, at, &mut |_: &[u8], _: &Record<'_>| {
        count += 1;
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

fn single<R: Read>(
    snapshot: &Snapshot<'_, R>,
    request: &RangeRequest,
    plan: &Plan,
    at: i64,
) -> Result<Page> {
    let Some(found) = snapshot.get(&request.key, at)? else {
        return Ok(Page::default());
    };
    let record = found.record()?;
    let mut page = Page {
        count: 1,
        ..Page::default()
    };
    if plan.takes(&record) {
        let value = if plan.keys_only {
            Bytes::new()
        } else {
            found.value()?
        };
        page.kvs
            .push(record.to_key_value(request.key.clone(), value));
    }
    Ok(page)
}

fn ascending<R: Read>(
    snapshot: &Snapshot<'_, R>,
    start: &[u8],
    end: Option<&[u8]>,
    plan: &Plan,
) -> Result<Page> {
    let mut page = Page::default();
    if (Span::Range { start, end }).is_empty() {
        return Ok(page);
    }
    let mut cursor = snapshot.reader.scan(CURRENT, start, end, Order::Forward)?;
    while let Some((key, bytes)) = cursor.entry() {
        if page.kvs.len() == plan.limit {
            page.more = true;
            break;
        }
        page.kvs.push(key_value(
            key,
            &Record::decode(CURRENT, bytes)?,
            !plan.keys_only,
        ));
        cursor.advance()?;
    }
    page.count = page.kvs.len() as u64;
    if page.more {
        page.count += counts::count_rest(snapshot.reader, cursor, end)?;
    }
    Ok(page)
}

fn descending<R: Read>(snapshot: &Snapshot<'_, R>, span: Span<'_>, plan: &Plan) -> Result<Page> {
    let mut page = Page::default();
    let Span::Range { start, end } = span else {
        return Ok(page);
    };
    if span.is_empty() {
        return Ok(page);
    }
    let mut cursor = snapshot.reader.scan(CURRENT, start, end, Order::Reverse)?;
    while let Some((key, bytes)) = cursor.entry() {
        if page.kvs.len() == plan.limit {
            page.more = true;
            break;
        }
        page.kvs.push(key_value(
            key,
            &Record::decode(CURRENT, bytes)?,
            !plan.keys_only,
        ));
        cursor.advance()?;
    }
    page.count = if page.more {
        counts::count(snapshot.reader, span)?
    } else {
        page.kvs.len() as u64
    };
    Ok(page)
}

/// Walks the whole range: filters, then sorts, then limits. A limited selection holds at most its limit
/// and some slack, whatever the size of the range.
fn selected<R: Read>(
    snapshot: &Snapshot<'_, R>,
    span: Span<'_>,
    at: i64,
    plan: &Plan,
) -> Result<Page> {
    let mut page = Page::default();
    let mut taken = 0_usize;
    let full = plan.limit.saturating_mul(2).saturating_add(SELECTION_SLACK);
    // Values are sorted by even when they are not asked for.
    let with_values = !plan.keys_only || plan.target == SortTarget::Value;
    snapshot.walk(span, at, &mut |key: &[u8], record: &Record<'_>| {
        page.count += 1;
        if plan.takes(record) {
            taken += 1;
            if !plan.is_sorted_by_walk() || page.kvs.len() < plan.limit {
                page.kvs.push(key_value(key, record, with_values));
            }
            if page.kvs.len() >= full {
                plan.sort(&mut page.kvs);
                page.kvs.truncate(plan.limit);
            }
        }
        ControlFlow::Continue(())
    })?;
    if !plan.is_sorted_by_walk() {
        plan.sort(&mut page.kvs);
    }
    page.kvs.truncate(plan.limit);
    page.more = taken > plan.limit;
    if plan.keys_only {
        page.kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
    }
    Ok(page)
}

fn key_value(key: &[u8], record: &Record<'_>, with_value: bool) -> KeyValue {
    let value = if with_value {
        Bytes::copy_from_slice(record.value)
    } else {
        Bytes::new()
    };
    record.to_key_value(Bytes::copy_from_slice(key), value)
}
