//! Answers a range request: reads its options, chooses how the keys are found, wraps the answer.

use super::fault::ReadFailure;
use super::key::Span;
use super::past;
use super::record::Record;
use super::select::{self, Selection};
use super::snapshot::Snapshot;
use protocol::etcdserverpb::range_request::{SortOrder, SortTarget};
use protocol::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use protocol::mvccpb::KeyValue;
use storage::{Read, Result};

/// Answers `request` from what `snapshot` sees; the header holds the revision alone.
pub(super) fn range<R: Read>(
    snapshot: &Snapshot<'_, R>,
    request: &RangeRequest,
) -> std::result::Result<RangeResponse, ReadFailure> {
    let at = snapshot.resolve(request.revision)?;
    let span = Span::new(&request.key, &request.range_end);
    let plan = Plan::new(request);
    let selection = find(snapshot, request, span, at, &plan)?;
    Ok(RangeResponse {
        header: Some(ResponseHeader {
            revision: snapshot.revision,
            ..ResponseHeader::default()
        }),
        kvs: selection.kvs,
        more: selection.more,
        count: i64::try_from(selection.count).unwrap_or(i64::MAX),
    })
}

fn find<R: Read>(
    snapshot: &Snapshot<'_, R>,
    request: &RangeRequest,
    span: Span<'_>,
    at: i64,
    plan: &Plan,
) -> Result<Selection> {
    let is_newest = at >= snapshot.revision;
    match (span, plan.shape) {
        _ if request.count_only => Ok(Selection {
            count: past::count(snapshot, span, at)?,
            ..Selection::default()
        }),
        (Span::Key(_), _) => select::single(snapshot, request, plan, at),
        (Span::Range { start, end }, Shape::Ascending) if is_newest => {
            select::ascending(snapshot, start, end, plan)
        }
        (Span::Range { end, .. }, Shape::Ascending) => {
            select::ascending_past(snapshot, span, end, at, plan)
        }
        (Span::Range { start, end }, Shape::Descending) if is_newest => {
            select::descending(snapshot, start, end, plan)
        }
        _ => select::selected(snapshot, span, at, plan),
    }
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
pub(super) struct Plan {
    shape: Shape,
    pub(super) limit: usize,
    pub(super) keys_only: bool,
    pub(super) target: SortTarget,
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

    pub(super) fn takes(&self, record: &Record<'_>) -> bool {
        let within = |(min, max): (i64, i64), revision: i64| min <= revision && revision <= max;
        within(self.mod_revisions, record.mod_revision)
            && within(self.create_revisions, record.create_revision)
    }

    pub(super) fn is_sorted_by_walk(&self) -> bool {
        self.target == SortTarget::Key && !self.descends
    }

    /// Sorts what was collected in key order; stable, so equal values keep key order.
    pub(super) fn sort(&self, kvs: &mut [KeyValue]) {
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
